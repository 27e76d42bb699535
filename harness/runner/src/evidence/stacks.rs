//! Native stacks of the threads of a worker, in two steps: addresses while it lives, names afterwards.

use std::collections::BTreeMap;
use std::time::Instant;

use placebench_core::evidence::ThreadEvidence;

use super::symbols::Names;
use super::tracer;
use super::unwind::RawStack;

/// Stacks without names, by thread.
pub(super) struct Stacks(BTreeMap<u32, RawStack>);

impl Stacks {
    /// Looks at the threads, process by process, until the time is up. Every one of them runs on afterwards.
    pub(super) fn take(threads: &[ThreadEvidence], until: Instant) -> Self {
        let mut by_process: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for thread in threads {
            by_process.entry(thread.pid).or_default().push(thread.tid);
        }
        let mut stacks = BTreeMap::new();
        for (pid, tids) in by_process {
            if Instant::now() < until {
                stacks.extend(tracer::stacks(pid, &tids, until));
            }
        }
        Self(stacks)
    }

    /// Hands each thread its stack, with names.
    pub(super) fn name(self, threads: &mut [ThreadEvidence]) {
        let names = Names::of(self.0.values().flat_map(|stack| &stack.frames));
        for thread in threads {
            match self.0.get(&thread.tid) {
                Some(stack) => {
                    thread.frames = names.apply(&stack.frames);
                    thread.stack_note.clone_from(&stack.note);
                }
                None => thread.stack_note = Some(super::NO_TIME.to_owned()),
            }
        }
    }
}
