//! How many bytes of lines may wait to be looked at.
//!
//! The queue of signals bounds their number, which is enough for the short lines of a worker in order. One that writes lines
//! of many megabytes faster than they are read would fill the memory of the supervisor before the number mattered.

use std::sync::{Condvar, Mutex, PoisonError};

/// A line may wait although it alone has more bytes than this.
const MOST_BYTES: usize = 8 << 20;

/// Bytes that wait. The reader of a pipe adds, whoever looks at the lines takes off.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    closed: bool,
}

impl Backlog {
    /// Waits until there is room for so many bytes more. After [`Self::close`] there is always room: nobody looks any more.
    pub(super) fn add(&self, bytes: usize) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |state: &mut State| {
            let held = state.waiting;
            !state.closed && held > 0 && held.saturating_add(bytes) > MOST_BYTES
        };
        let mut state = self
            .changed
            .wait_while(state, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_add(bytes);
    }

    /// So many bytes have been looked at.
    pub(super) fn take(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(bytes);
        self.changed.notify_all();
    }

    /// Nothing will be looked at any more.
    pub(super) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// A reader with that many lines of half the room each, and how many of them it got rid of.
    fn reader(backlog: &Arc<Backlog>, lines: usize) -> (thread::JoinHandle<()>, Arc<AtomicUsize>) {
        let added = Arc::new(AtomicUsize::new(0));
        let (own, count) = (Arc::clone(backlog), Arc::clone(&added));
        let thread = thread::spawn(move || {
            for _ in 0..lines {
                own.add(MOST_BYTES / 2);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        (thread, added)
    }

    fn wait_for(added: &AtomicUsize, count: usize) {
        while added.load(Ordering::SeqCst) < count {
            thread::yield_now();
        }
    }

    #[test]
    fn the_reader_is_held_up_until_lines_are_taken() {
        let backlog = Arc::new(Backlog::default());
        let (thread, added) = reader(&backlog, 5);
        for taken in 0..3 {
            wait_for(&added, taken + 2);
            assert!(backlog.state.lock().unwrap().waiting <= MOST_BYTES);
            backlog.take(MOST_BYTES / 2);
        }
        thread.join().unwrap();
        assert_eq!(added.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn one_line_larger_than_the_room_goes_through_alone() {
        let backlog = Backlog::default();
        backlog.add(3 * MOST_BYTES);
        backlog.take(3 * MOST_BYTES);
        backlog.add(3 * MOST_BYTES);
    }

    #[test]
    fn nobody_is_held_up_by_a_supervisor_that_has_gone() {
        let backlog = Arc::new(Backlog::default());
        let (thread, added) = reader(&backlog, 5);
        wait_for(&added, 2);
        backlog.close();
        thread.join().unwrap();
    }
}
