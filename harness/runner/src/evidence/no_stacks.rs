//! Systems on which native stacks cannot be taken.

use std::time::Instant;

use placebench_core::evidence::ThreadEvidence;

/// No stacks.
pub(super) struct Stacks;

impl Stacks {
    /// Nothing is looked at.
    pub(super) fn take(_threads: &[ThreadEvidence], _until: Instant) -> Self {
        Self
    }

    /// Says so.
    pub(super) fn name(self, threads: &mut [ThreadEvidence]) {
        for thread in threads {
            thread.stack_note = Some("native stacks are not available on this system".to_owned());
        }
    }
}
