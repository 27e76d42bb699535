//! What the engine did in one attempt.

use std::time::Duration;

use placebench_core::outcome::{FailureClass, Outcome, WorkerFailure};
use placebench_core::protocol::{EventKind, Generation, WorkerEvent};
use placebench_core::record::Attempt;

use super::answer::{Answer, class_name, is_refusal, named_failure};

/// Lines of standard error that are shown.
const SHOWN_LINES: usize = 4;

/// An event, and when it came in.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) event: WorkerEvent,
    /// Since the process was started.
    pub(crate) after: Duration,
}

/// An attempt, and every event in it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) attempt: Attempt,
    pub(crate) events: Vec<Heard>,
}

impl Seen {
    pub(crate) fn is_completed(&self) -> bool {
        self.attempt.outcome == Outcome::Completed
    }

    /// The failure that the engine named itself.
    pub(crate) fn failure(&self) -> Option<&WorkerFailure> {
        named_failure(&self.attempt.outcome)
    }

    /// The failure that says *this I cannot do*.
    pub(crate) fn refusal(&self) -> Option<&WorkerFailure> {
        self.failure().filter(|failure| is_refusal(failure))
    }

    /// The first measured generation.
    pub(crate) fn generation(&self) -> Option<&Generation> {
        self.attempt.generations.first()
    }

    /// Tokens and text of the first measured generation: what two attempts are compared by.
    pub(crate) fn output(&self) -> Option<(&[u32], &str)> {
        self.generation()
            .map(|made| (made.output_ids.as_slice(), made.text.as_str()))
    }

    /// Events of one name.
    pub(crate) fn has(&self, is_it: impl Fn(&EventKind) -> bool) -> bool {
        self.events.iter().any(|heard| is_it(&heard.event.kind))
    }

    /// The last thing it said: its last event, or the end of its standard error.
    pub(crate) fn said(&self) -> Option<String> {
        let lines: Vec<&str> = self.attempt.stderr_tail.lines().collect();
        let stderr = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
        if !stderr.is_empty() {
            return Some(stderr.join("\n"));
        }
        self.events.last().map(|heard| line(&heard.event))
    }

    /// The answer where it did not complete although it had to.
    pub(crate) fn must_complete(&self) -> Result<(), Answer> {
        if self.is_completed() {
            return Ok(());
        }
        Err(Answer::failed_saying(
            format!("the attempt ended so: {}", self.attempt.outcome.sentence()),
            self.said(),
        ))
    }

    /// The answer where it did not complete: that it cannot do it, or that it fails at it.
    pub(crate) fn may_refuse(&self) -> Result<(), Answer> {
        match self.refusal() {
            Some(failure) => Err(Answer::refused(failure)),
            None => self.must_complete(),
        }
    }

    /// The answer to a request that must be refused with one of these classes.
    pub(crate) fn must_be_refused(&self, classes: &[FailureClass]) -> Answer {
        let wanted: Vec<String> = classes
            .iter()
            .map(|class| format!("`{}`", class_name(*class)))
            .collect();
        let wanted = wanted.join(" or ");
        match self.failure() {
            Some(failure) if classes.contains(&failure.class) => Answer::passed(),
            Some(failure) => Answer::failed_saying(
                format!("an error of class `{}`, not {wanted}", class_name(failure.class)),
                Some(failure.message.clone()),
            ),
            None => Answer::failed_saying(
                format!("no error of class {wanted}: {}", self.attempt.outcome.sentence()),
                self.said(),
            ),
        }
    }
}

/// An event as the line it came in, more or less.
pub(crate) fn line(event: &WorkerEvent) -> String {
    serde_json::to_string(event).unwrap_or_else(|_| format!("{event:?}"))
}
