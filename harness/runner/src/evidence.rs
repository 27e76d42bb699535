//! What a worker was doing when its deadline had passed: its threads, their stacks, its memory.
//!
//! The judgement stands before any of this begins. A thread of its own looks, because a process that is stuck in the
//! kernel can hold up whoever reads its files; the supervisor waits for it for a limited time only, and ends the worker
//! then, whatever has been seen. Names are looked up afterwards, while the worker is being ended.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use placebench_core::evidence::{Evidence, ThreadEvidence};

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod maps;
mod procfs;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod stacks;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "evidence/no_stacks.rs"]
mod stacks;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod symbols;
mod syscalls;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tracer;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unwind;

pub(crate) use procfs::{processes_of_group, resident};
use stacks::Stacks;

/// How long looking at a worker may hold up its end.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// How long the look-up of names may hold up the record of an attempt, once the worker has ended.
const NAME: Duration = Duration::from_secs(10);
/// Threads that are looked at.
const MOST_THREADS: usize = 64;
/// Why a thread has no stack although it could have one.
const NO_TIME: &str = "the time for looking was up";

/// A worker that is being looked at.
pub(crate) struct Look {
    steps: Receiver<Step>,
    seen: Evidence,
}

/// What the looking thread reports, in this order.
enum Step {
    /// Threads without stacks, those left out, resident memory.
    Seen(Evidence),
    /// The worker is not touched any more.
    LetGo,
    /// Threads with their stacks.
    Named(Vec<ThreadEvidence>),
}

impl Look {
    /// Looks at all processes of a group, and returns when none of them is touched any more, or when the time is up.
    pub(crate) fn at(group: u32) -> Self {
        let until = Instant::now() + LOOK;
        let (sender, steps) = channel();
        // A step that nobody takes any more is no loss.
        let looking = move || {
            let evidence = seen(group);
            let mut threads = evidence.threads.clone();
            let _unheard = sender.send(Step::Seen(evidence));
            let stacks = take_stacks(&threads, until);
            let _unheard = sender.send(Step::LetGo);
            if let Some(stacks) = stacks {
                stacks.name(&mut threads);
                put_most_telling_first(&mut threads, group);
                let _unheard = sender.send(Step::Named(threads));
            }
        };
        let started = thread::Builder::new().name("evidence".to_owned()).spawn(looking);
        let mut look = Self {
            steps,
            seen: Evidence::default(),
        };
        if started.is_err() {
            look.seen
                .notes
                .push("no thread could be started to look at the worker".to_owned());
            return look;
        }
        // A little longer than it is told, so that what it has by then is not missed.
        look.take(until + Duration::from_millis(20), false);
        look
    }

    /// What was seen, with the names that are found within a limited time.
    pub(crate) fn finish(mut self) -> Evidence {
        self.take(Instant::now() + NAME, true);
        for thread in &mut self.seen.threads {
            if thread.frames.is_empty() && thread.stack_note.is_none() {
                thread.stack_note = Some(NO_TIME.to_owned());
            }
        }
        self.seen
    }

    /// Takes what is reported, to the end or until the worker is let go.
    fn take(&mut self, until: Instant, to_the_end: bool) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.steps.recv_timeout(left) {
                Ok(Step::Seen(seen)) => self.seen = seen,
                Ok(Step::LetGo) if !to_the_end => return,
                Ok(Step::LetGo) => {}
                Ok(Step::Named(threads)) => self.seen.threads = threads,
                Err(_) => return,
            }
        }
    }
}

/// What `/proc` tells.
fn seen(group: u32) -> Evidence {
    let processes = procfs::processes_of_group(group);
    let mut threads: Vec<ThreadEvidence> = Vec::new();
    let mut all = 0;
    for pid in &processes {
        let own = procfs::threads(*pid);
        all += own.len();
        let room = MOST_THREADS.saturating_sub(threads.len());
        threads.extend(own.into_iter().take(room));
    }
    let mut notes = Vec::new();
    if !cfg!(target_os = "linux") {
        notes.push("threads and stacks are not available on this system".to_owned());
    } else if processes.is_empty() {
        notes.push("nothing of the worker was left to look at".to_owned());
    }
    Evidence {
        threads_left_out: u32::try_from(all - threads.len()).unwrap_or(u32::MAX),
        threads,
        rss_bytes: procfs::resident(&processes),
        notes,
        ..Evidence::default()
    }
}

/// The kernel lets go of what a thread traces when that thread ends, so it is done in one that ends here and now.
fn take_stacks(threads: &[ThreadEvidence], until: Instant) -> Option<Stacks> {
    let own = threads.to_vec();
    let tracing = move || Stacks::take(&own, until);
    let started = thread::Builder::new().name("stacks".to_owned()).spawn(tracing);
    started.ok()?.join().ok()
}

/// A stack that holds the entrance to this project's engines tells most; then that of the first thread of the worker; then
/// those that wait in something else than the language's own pools, by the length of what is known.
fn put_most_telling_first(threads: &mut [ThreadEvidence], leader: u32) {
    let engine = |thread: &ThreadEvidence| {
        let is_engine = |name: &String| name.contains("placebench_engine");
        thread
            .frames
            .iter()
            .filter_map(|frame| frame.function.as_ref())
            .any(is_engine)
    };
    threads.sort_by_key(|thread| {
        let telling = thread.frames.iter().filter(|frame| !frame.is_runtime()).count();
        (
            !engine(thread),
            thread.tid != leader,
            thread.tid != thread.pid,
            std::cmp::Reverse(telling),
            thread.tid,
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::evidence::StackFrame;

    #[test]
    fn the_thread_of_the_engine_comes_first() {
        let thread = |tid, function: &str| ThreadEvidence {
            pid: 10,
            tid,
            frames: vec![StackFrame {
                function: Some(function.into()),
                ..StackFrame::default()
            }],
            ..ThreadEvidence::default()
        };
        let order = |threads: &[ThreadEvidence]| {
            let mut threads = threads.to_vec();
            put_most_telling_first(&mut threads, 10);
            threads.iter().map(|thread| thread.tid).collect::<Vec<_>>()
        };
        let idle = [thread(12, "std::thread::park"), thread(11, "pool"), thread(10, "main")];
        assert_eq!(order(&idle), [10, 11, 12]);
        let engine = [idle.as_slice(), &[thread(13, "placebench_engine::worker::run")]].concat();
        assert_eq!(order(&engine), [13, 10, 11, 12]);
    }

    /// Whoever waits for a process is told of its stops as well: they are no end.
    #[test]
    fn being_looked_at_is_no_end() {
        use crate::sys::{GroupSignal, SIGKILL, spawn_in_group};
        let (mut child, group) = spawn_in_group(std::process::Command::new("sleep").arg("100000")).unwrap();
        let waiting = std::thread::spawn(move || group.wait_without_reaping().unwrap());
        for _ in 0..50 {
            Look::at(group.id()).finish();
        }
        group.signal(GroupSignal::Kill);
        assert_eq!(waiting.join().unwrap().signal, Some(SIGKILL));
        child.wait().unwrap();
    }

    #[test]
    fn a_group_that_is_gone_is_no_error() {
        let evidence = Look::at(u32::MAX).finish();
        assert_eq!((evidence.threads.len(), evidence.rss_bytes), (0, None));
        assert_eq!(evidence.notes.len(), 1);
    }
}
