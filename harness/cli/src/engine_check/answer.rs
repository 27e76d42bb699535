//! What a check has to say.

use placebench_core::outcome::{FailureClass, Outcome, WorkerFailure};
use serde::Serialize;

use crate::error::CliError;

/// The answer of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The engine does what is required.
    Passed {
        /// What was seen, where that is worth a word.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
    /// It does not.
    Failed {
        /// What was seen instead.
        seen: String,
        /// What the engine said: an event, or the end of its standard error. Untrusted.
        #[serde(skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// It cannot, and says so; or nothing can be seen here.
    NotApplicable {
        /// Why.
        why: String,
    },
    /// A check that this one rests on has failed.
    NotTried {
        /// Its name.
        after: &'static str,
    },
}

impl Answer {
    pub(crate) fn passed() -> Self {
        Self::Passed { seen: None }
    }

    pub(crate) fn passed_with(seen: impl Into<String>) -> Self {
        Self::Passed {
            seen: Some(seen.into()),
        }
    }

    pub(crate) fn failed(seen: impl Into<String>) -> Self {
        Self::Failed {
            seen: seen.into(),
            said: None,
        }
    }

    pub(crate) fn failed_saying(seen: impl Into<String>, said: Option<String>) -> Self {
        Self::Failed {
            seen: seen.into(),
            said: said.filter(|said| !said.trim().is_empty()),
        }
    }

    pub(crate) fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable { why: why.into() }
    }

    /// An engine that refuses what it cannot do has answered.
    pub(crate) fn refused(failure: &WorkerFailure) -> Self {
        Self::not_applicable(format!(
            "the engine refuses it ({}): {}",
            class_name(failure.class),
            failure.message
        ))
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// Why a check needs to ask no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Its answer stands.
    Answer(Answer),
    /// Nothing can be found out at all.
    Error(CliError),
}

impl From<Answer> for Stop {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Self::Error(error)
    }
}

/// A class as it is written.
pub(crate) fn class_name(class: FailureClass) -> String {
    match serde_json::to_value(class) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{class:?}"),
    }
}

/// The failure that the engine named; a breach is the supervisor's word and no such failure.
pub(crate) fn named_failure(outcome: &Outcome) -> Option<&WorkerFailure> {
    match outcome {
        Outcome::Failed { failure } if failure.class == FailureClass::Protocol => None,
        Outcome::Failed { failure } | Outcome::OutOfMemory { failure } => Some(failure),
        _ => None,
    }
}

/// A failure that says *this I cannot do*.
pub(crate) fn is_refusal(failure: &WorkerFailure) -> bool {
    matches!(failure.class, FailureClass::Unsupported | FailureClass::RequestInvalid)
}
