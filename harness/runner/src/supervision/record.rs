//! From a worker that is over to the record of its attempt.

use std::time::Instant;

use placebench_core::evidence::Evidence;
use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{Attempt, CaseSpec};

use super::Supervision;
use crate::pipes::PipeEnd;
use crate::supervisor::attempt_without_process;

/// A worker that is over, one way or the other.
pub(crate) struct Finished {
    supervision: Supervision,
    outcome: Outcome,
}

impl Finished {
    /// What is known of a worker, and what is made of it.
    pub(super) fn new(supervision: Supervision, outcome: Outcome) -> Self {
        Self { supervision, outcome }
    }

    /// The record. Notes of the supervisor follow what the worker itself wrote to its standard error.
    pub(crate) fn into_record(self, case: &CaseSpec, attempt: u32, started_at: String) -> Attempt {
        let Self {
            supervision: seen,
            outcome,
        } = self;
        let transcript = seen.transcript;
        let end = seen.exited.map_or_else(Instant::now, |(_, at)| at);
        let still_open = |end: Option<PipeEnd>| end == Some(PipeEnd::StillOpen);
        let leaked_pipes =
            !seen.given_up && (still_open(seen.events_end) || still_open(seen.stderr.as_ref().map(|(end, _)| *end)));
        let mut stderr_tail = seen.stderr.map(|(_, capture)| capture.text()).unwrap_or_default();
        stderr_tail = transcript.secrets.hidden(&stderr_tail).into_owned();
        for note in &seen.notes {
            if !stderr_tail.is_empty() && !stderr_tail.ends_with('\n') {
                stderr_tail.push('\n');
            }
            stderr_tail.push_str(&format!("[placebench] {note}\n"));
        }
        let evidence = seen.looked.map(|looked| {
            let mut stacks = looked.answer.stacks;
            for stacks in &mut stacks {
                stacks.text = transcript.secrets.hidden(&stacks.text).into_owned();
            }
            let native = looked.look.finish();
            Evidence {
                judged_after_s: looked.judged_after.as_secs_f64(),
                taken_after_s: looked.taken_after.as_secs_f64(),
                gpus: looked.gpus,
                // Nothing that was said after the judgement is listened to, so this is what it had said by then.
                memory: transcript.memory.clone(),
                notes: [native.notes.as_slice(), &looked.answer.notes].concat(),
                stacks,
                ..native
            }
        });
        let lived = end.saturating_duration_since(seen.spawned);
        let last_events = match outcome.kind() {
            // Everything it said is on record in better words, and what an interrupted one said tells nothing.
            OutcomeKind::Completed | OutcomeKind::Skipped => Vec::new(),
            _ => seen.last_events.before(seen.missed, lived),
        };
        Attempt {
            evidence,
            last_events,
            wall_s: lived.as_secs_f64(),
            peak_rss_bytes: seen.peak_rss,
            stderr_tail,
            leaked_pipes,
            killed_after_s: seen.killed_after_s,
            ..transcript.into_record(attempt_without_process(case, attempt, started_at, outcome))
        }
    }
}
