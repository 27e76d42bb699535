//! What happened to an attempt.

mod place;
pub mod ranks;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::place::{Hop, LastSeen, Phase, Place};
pub use self::ranks::RankSeen;
use crate::device::DeviceId;
use crate::units::Bytes;

/// Words of the deadline that expired, as in a scenario's `[timeout]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// From the start of the process to the end of loading.
    Load,
    /// From the start of a generation to its first token.
    FirstToken,
    /// Between two tokens.
    Token,
    /// The whole attempt.
    Total,
}

impl Deadline {
    /// The key of `[timeout]`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::FirstToken => "first_token",
            Self::Token => "token",
            Self::Total => "total",
        }
    }
}

/// The class of a worker's own failure: whose fault it is and what a person does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The model's files are not there.
    ModelMissing,
    /// A file of the model is truncated, malformed, or lacks a tensor.
    ModelInvalid,
    /// The architecture, dtype or format is not one the engine runs.
    Unsupported,
    /// The tokenizer or chat template is missing or broken.
    Tokenizer,
    /// A device that was asked for does not exist.
    DeviceMissing,
    /// The device map does not fit the model, or a budget cannot be planned with.
    PlacementInvalid,
    /// The request itself makes no sense to the engine.
    RequestInvalid,
    /// A logical or physical device has not enough memory.
    OutOfMemory,
    /// Logits that are not finite.
    NonFinite,
    /// A server answered with an error, or not as its API promises.
    Server,
    /// The worker panicked.
    Panic,
    /// The worker broke the protocol.
    Protocol,
    /// Anything else.
    Internal,
}

impl FailureClass {
    /// True where the scenario, the model's files or the machine must be changed before anything can be measured:
    /// such failures end in exit code 96, not 100.
    #[must_use]
    pub fn is_setup(self) -> bool {
        matches!(
            self,
            Self::ModelMissing
                | Self::ModelInvalid
                | Self::Unsupported
                | Self::Tokenizer
                | Self::DeviceMissing
                | Self::PlacementInvalid
                | Self::RequestInvalid
        )
    }
}

/// A failure the worker itself could name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WorkerFailure {
    /// Its class.
    pub class: FailureClass,
    /// What happened, in a sentence a person can act on.
    pub message: String,
    /// The phase it happened in.
    pub phase: Phase,
    /// Out of memory: the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Out of memory: what would have been in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_bytes: Option<Bytes>,
    /// Out of memory: what is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_bytes: Option<Bytes>,
    /// The module or hop, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The rank it happened on, where the engine runs as several processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// What happened to an attempt. One variant, one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// All tokens were generated and reported.
    Completed,
    /// The whole attempt took longer than allowed although it was getting on.
    Timeout {
        /// What was allowed, in seconds.
        limit_s: f64,
        /// Where it was.
        last: LastSeen,
    },
    /// Nothing happened for longer than a phase allows.
    Stalled {
        /// The phase it hangs in.
        phase: Phase,
        /// The deadline that expired.
        deadline: Deadline,
        /// What was allowed, in seconds.
        limit_s: f64,
        /// Where it was.
        last: LastSeen,
        /// Tokens that had been generated before it hung.
        tokens: u32,
    },
    /// A device had not enough memory.
    OutOfMemory {
        /// What is known about it.
        failure: WorkerFailure,
    },
    /// The process died without saying why.
    Crashed {
        /// The phase it was in.
        phase: Phase,
        /// The signal, if one ended it.
        signal: Option<i32>,
        /// The exit code, if it had one.
        exit_code: Option<i32>,
        /// Where it was.
        last: LastSeen,
        /// What the supervisor makes of it.
        message: String,
    },
    /// The worker said why it could not go on.
    Failed {
        /// What it said.
        failure: WorkerFailure,
    },
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
        /// What would make it run.
        hint: Option<String>,
    },
}

/// The name of an outcome, as scenarios expect it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// All tokens were generated.
    #[default]
    Completed,
    /// Too long as a whole.
    Timeout,
    /// No progress within a phase.
    Stalled,
    /// Out of memory.
    OutOfMemory,
    /// Died.
    Crashed,
    /// Refused.
    Failed,
    /// Not run.
    Skipped,
}

impl OutcomeKind {
    /// The name in records and scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::OutOfMemory => "out_of_memory",
            Self::Crashed => "crashed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Completed => OutcomeKind::Completed,
            Self::Timeout { .. } => OutcomeKind::Timeout,
            Self::Stalled { .. } => OutcomeKind::Stalled,
            Self::OutOfMemory { .. } => OutcomeKind::OutOfMemory,
            Self::Crashed { .. } => OutcomeKind::Crashed,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::Skipped { .. } => OutcomeKind::Skipped,
        }
    }

    /// The phase the attempt ended in, where it did not complete.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        match self {
            Self::Completed | Self::Skipped { .. } => None,
            Self::Timeout { last, .. } => last.phase,
            Self::Stalled { phase, .. } | Self::Crashed { phase, .. } => Some(*phase),
            Self::OutOfMemory { failure } | Self::Failed { failure } => Some(failure.phase),
        }
    }

    /// The module or hop the attempt ended at, where it did not complete and the place is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Completed | Self::Skipped { .. } => None,
            Self::Timeout { last, .. } | Self::Stalled { last, .. } | Self::Crashed { last, .. } => last.place.as_ref(),
            Self::OutOfMemory { failure } | Self::Failed { failure } => failure.place.as_ref(),
        }
    }

    /// One sentence for a person. Contains text of the worker: escape it wherever it is shown.
    #[must_use]
    pub fn sentence(&self) -> String {
        use crate::units::human_seconds;
        match self {
            Self::Completed => "completed".into(),
            Self::Timeout { limit_s, last } => {
                format!(
                    "took longer than the {} allowed for the whole attempt; {}",
                    human_seconds(*limit_s),
                    last_seen_words(last)
                )
            }
            Self::Stalled {
                deadline,
                limit_s,
                last,
                tokens,
                ..
            } => format!(
                "stalled: {} (timeout.{} allows {}); {} generated before{}",
                last_seen_words(last),
                deadline.as_str(),
                human_seconds(*limit_s),
                match tokens {
                    0 => "no token".to_owned(),
                    1 => "1 token".to_owned(),
                    n => format!("{n} tokens"),
                },
                last.last_token_before_s
                    .map(|seconds| format!(", the last {} before it got there", short_time(seconds)))
                    .unwrap_or_default()
            ),
            Self::OutOfMemory { failure } | Self::Failed { failure } => failure.message.clone(),
            Self::Crashed { message, last, .. } => format!("{message}; {}", last_seen_words(last)),
            Self::Skipped { reason, .. } => reason.clone(),
        }
    }
}

/// A time between an event that came through a pipe and a stamp in memory: below a millisecond it is the pipe's.
fn short_time(seconds: f64) -> String {
    if seconds < 0.001 {
        "less than 1 ms".to_owned()
    } else {
        crate::units::human_seconds(seconds)
    }
}

/// `in decode, token 3, hop a -> b, sim:0 -> sim:1, for 2.0 s`; of ranks, `rank 1 of 2 in decode, …`.
fn last_seen_words(last: &LastSeen) -> String {
    let mut words = match ranks::behind_words(&last.ranks) {
        Some(who) => format!("{who} "),
        None => String::new(),
    };
    match last.phase {
        Some(phase) => words.push_str(&format!("in {phase}")),
        None => words.push_str("in an unknown phase"),
    }
    if let Some(token) = last.token {
        words.push_str(&format!(", token {token}"));
    }
    if let Some(place) = &last.place {
        words.push_str(&format!(", {place}"));
    }
    if let Some(seconds) = last.for_s {
        words.push_str(&format!(", for {}", crate::units::human_seconds(seconds)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_survive_the_breadcrumb() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_index(phase.index()), Some(phase));
        }
        assert_eq!(Phase::from_index(8), None);
    }

    #[test]
    fn a_stall_is_a_sentence() {
        let outcome = Outcome::Stalled {
            phase: Phase::Decode,
            deadline: Deadline::Token,
            limit_s: 2.0,
            last: LastSeen {
                phase: Some(Phase::Decode),
                token: Some(3),
                place: Some(Place::Hop(Hop {
                    from_module: "model.layers.3".into(),
                    to_module: "model.layers.4".into(),
                    from_device: DeviceId::new("sim:0").unwrap(),
                    to_device: DeviceId::new("sim:1").unwrap(),
                })),
                for_s: Some(2.01),
                last_token_before_s: Some(0.041),
                ranks: Vec::new(),
            },
            tokens: 3,
        };
        insta::assert_snapshot!(outcome.sentence(), @"stalled: in decode, token 3, hop model.layers.3 -> model.layers.4, sim:0 -> sim:1, for 2.01 s (timeout.token allows 2.00 s); 3 tokens generated before, the last 41.0 ms before it got there");
        assert_eq!(short_time(0.0), "less than 1 ms");
    }
}
