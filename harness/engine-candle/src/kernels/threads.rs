//! The threads that kernels share their work among.
//!
//! A decoding step asks for some hundred small pieces of work, each far shorter than it takes to wake a sleeping thread, so
//! helpers wait actively for a moment before they sleep. The caller takes part, and never waits for a helper that
//! has not begun: on a busy machine it does the work itself instead of waiting for the scheduler. With one thread, nothing is
//! started.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread::Thread;

/// Looks for work before a helper sleeps: some ten microseconds, longer than most gaps within a step.
const LOOKS: u32 = 4000;

/// Looks before the caller, which has nothing else to do, lets other programs run first.
const LOOKS_OF_CALLER: u32 = 2000;

/// Set in [`Desk::state`] while helpers may begin; the bits below count those at work, the bits above the pieces so far.
const OPEN: usize = 1 << 15;

type Work = dyn Fn(usize) + Sync;

/// Where caller and helpers meet.
struct Desk {
    state: AtomicUsize,
    /// Written while closed and nobody is at work, read by those who have begun.
    work: UnsafeCell<Option<(*const Work, usize)>>,
    /// The next item.
    next: AtomicUsize,
    has_panicked: AtomicBool,
}

#[expect(
    unsafe_code,
    reason = "the work is borrowed from the caller, and no safe type says for how long"
)]
// SAFETY: `work` is written only by the one caller that holds the lock of its `Threads`, while the desk is closed and the
// count of those at work is 0; it is read only between begin and end, which that caller waits for. What it points to
// is `Sync`.
unsafe impl Sync for Desk {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Desk {}

/// A group of threads.
pub(super) struct Threads {
    desk: Arc<Desk>,
    helpers: Vec<Thread>,
    in_use: Mutex<()>,
}

impl Threads {
    /// As many as candle computes with: `RAYON_NUM_THREADS` where it is set, else the cores of this machine.
    pub(super) fn global() -> &'static Self {
        static THREADS: OnceLock<Threads> = OnceLock::new();
        THREADS.get_or_init(|| Self::new(candle_core::utils::get_num_threads()))
    }

    /// `count` threads, the caller's included. Fewer where the system refuses.
    fn new(count: usize) -> Self {
        let desk = Arc::new(Desk {
            state: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
        });
        let start = |number: usize| {
            let desk = Arc::clone(&desk);
            let builder = std::thread::Builder::new().name(format!("kernels-{number}"));
            builder
                .spawn(move || desk.help())
                .ok()
                .map(|handle| handle.thread().clone())
        };
        let helpers = (1..count.clamp(1, OPEN / 2)).map_while(start).collect();
        Self {
            desk,
            helpers,
            in_use: Mutex::new(()),
        }
    }

    /// How many there are, the caller's included.
    pub(super) fn count(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work` once with every number below `items`, in no particular order, on all threads.
    ///
    /// # Panics
    /// When `work` does.
    pub(super) fn for_each(&self, items: usize, work: impl Fn(usize) + Sync) {
        let free = match self.in_use.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        // Work that asks for work, or another thread of the program, gets no helpers.
        if free.is_none() || self.helpers.is_empty() || items < 2 {
            (0..items).for_each(work);
            return;
        }
        let opened = self.desk.open(&work, items);
        for helper in &self.helpers {
            helper.unpark();
        }
        self.desk.take_items(&work, items);
        drop(opened);
        assert!(!self.desk.has_panicked.load(Ordering::Relaxed), "a kernel panicked");
    }
}

/// While this exists helpers may begin; dropping it waits for those who have.
struct Opened<'a>(&'a Desk);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.0.state.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            looks += 1;
            if looks < LOOKS_OF_CALLER {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

impl Desk {
    /// The caller must hold the lock of the [`Threads`] and keep `work` until what is returned was dropped.
    fn open<'a>(&'a self, work: &'a (impl Fn(usize) + Sync), items: usize) -> Opened<'a> {
        let work: *const (dyn Fn(usize) + Sync + 'a) = work;
        #[expect(
            unsafe_code,
            clippy::missing_transmute_annotations,
            reason = "no safe type says how long the work is borrowed"
        )]
        // SAFETY: only the lifetime changes; `Opened` borrows `work` and waits for all who use the pointer. The desk is
        // closed with nobody at work: the lock is held, and whoever held it before has waited too.
        unsafe {
            *self.work.get() = Some((std::mem::transmute::<_, *const Work>(work), items));
        }
        self.next.store(0, Ordering::Relaxed);
        self.has_panicked.store(false, Ordering::Relaxed);
        // A new number, so that helpers see that this is not the piece they have left.
        self.state.fetch_add(2 * OPEN + OPEN, Ordering::AcqRel);
        Opened(self)
    }

    fn take_items(&self, work: &(impl Fn(usize) + Sync + ?Sized), items: usize) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return;
            }
            work(item);
        }
    }

    /// What a helper does for ever.
    fn help(&self) {
        let mut done = 0;
        let mut looks = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            let piece = state / (2 * OPEN);
            if state & OPEN == 0 || piece == done {
                looks += 1;
                if looks < LOOKS {
                    std::hint::spin_loop();
                } else {
                    std::thread::park();
                    looks = 0;
                }
                continue;
            }
            if self
                .state
                .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            #[expect(unsafe_code, reason = "the work is borrowed from the caller")]
            // SAFETY: this thread has begun while the desk was open, so the caller keeps the work until it has ended.
            let work = unsafe { (*self.work.get()).map(|(work, items)| (&*work, items)) };
            if let Some((work, items)) = work
                && catch_unwind(AssertUnwindSafe(|| self.take_items(work, items))).is_err()
            {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
            done = piece;
            looks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once_by_any_number_of_threads() {
        for count in [1, 2, 5] {
            let threads = Threads::new(count);
            assert_eq!(threads.helpers.len(), count - 1);
            for items in [0, 1, 2, 100, 1000] {
                let visits: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                threads.for_each(items, |item| {
                    visits[item].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    visits.iter().all(|visits| visits.load(Ordering::Relaxed) == 1),
                    "{count} {items}"
                );
            }
        }
    }

    #[test]
    fn helpers_really_help() {
        let threads = Threads::new(2);
        let caller = std::thread::current().id();
        let helped = AtomicBool::new(false);
        // The caller's items wait until the helper has had one.
        threads.for_each(8, |_| {
            if std::thread::current().id() != caller {
                helped.store(true, Ordering::Relaxed);
            }
            while !helped.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        });
        assert!(helped.into_inner());
    }

    #[test]
    fn work_within_work_and_of_several_callers_is_done() {
        let threads = Threads::new(3);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        threads.for_each(10, |_| {
                            threads.for_each(3, |item| {
                                sum.fetch_add(item, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 50 * 10 * 3);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let threads = Threads::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            threads.for_each(100, |item| assert!(item < 50, "too large"));
        }));
        assert!(outcome.is_err());
        let count = AtomicUsize::new(0);
        threads.for_each(100, |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 100);
    }
}
