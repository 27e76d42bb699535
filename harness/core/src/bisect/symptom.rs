//! Which failures count as the same one.
//!
//! A probe that fails in another way (out of memory, say) says nothing about the failure that is looked for. But the place is
//! no part of what makes two failures the same: it is what the search varies, and where a device computes on its own the
//! worker waits somewhere behind the fault. Nor is how wrong a text is: the same broken copy gives another text in one place
//! and none at all in another.

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;
use crate::outcome::{FailureClass, Outcome, Phase};
use crate::record::{Attempt, CaseVerdict};

/// Half of a worker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Until everything is loaded and ready.
    Loading,
    /// The first token.
    Prefill,
    /// Tokens after the first.
    Decode,
}

impl Stage {
    fn of(phase: Option<Phase>) -> Self {
        match phase {
            Some(Phase::Prefill) => Self::Prefill,
            Some(Phase::Decode | Phase::Finish) => Self::Decode,
            Some(Phase::Spawn | Phase::Resolve | Phase::Plan | Phase::Load | Phase::Prepare) | None => Self::Loading,
        }
    }

    fn is_generating(self) -> bool {
        self != Self::Loading
    }
}

/// How something fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Symptom {
    /// Nothing happens any more.
    Stalled {
        /// When.
        stage: Stage,
    },
    /// It gets on, but not in time.
    Timeout,
    /// A device has not enough memory.
    OutOfMemory {
        /// Which.
        device: Option<DeviceId>,
    },
    /// The process dies.
    Crashed {
        /// When.
        stage: Stage,
        /// Of that signal,
        signal: Option<i32>,
        /// or with that exit code.
        exit_code: Option<i32>,
    },
    /// The worker says why it cannot go on.
    Failed {
        /// Whose fault it is.
        class: FailureClass,
    },
    /// It completes, and the text is wrong or no text; or the logits are not finite.
    WrongText,
    /// It completes, and something else is not as expected.
    Check {
        /// Name of the check.
        check: String,
    },
    /// It was not run.
    NotRun,
}

/// Checks that say what became of the text.
const TEXT_CHECKS: [&str; 5] = ["garbage", "repeatable", "snapshot", "agreement", "contains"];

/// Checks that a search cannot be about: whether an injected fault struck differs from probe to probe by intention.
const NOT_LOOKED_AT: [&str; 1] = ["faults"];

impl Symptom {
    /// How a case fails; `None` where it passes.
    #[must_use]
    pub fn of(attempts: &[&Attempt], verdict: &CaseVerdict) -> Option<Self> {
        let misfortune = attempts.iter().find_map(|attempt| match &attempt.outcome {
            Outcome::Completed => None,
            other => Some(Self::of_outcome(other)),
        });
        if attempts.is_empty() {
            return Some(Self::NotRun);
        }
        misfortune.or_else(|| {
            let checks = verdict.findings.iter().map(|finding| finding.check.as_str());
            let mut checks = checks.filter(|check| !NOT_LOOKED_AT.contains(check)).peekable();
            checks.peek()?;
            let first_other = checks.find(|check| !TEXT_CHECKS.contains(check));
            Some(match first_other {
                Some(check) => Self::Check {
                    check: check.to_owned(),
                },
                None => Self::WrongText,
            })
        })
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Stalled { phase, .. } => Self::Stalled {
                stage: Stage::of(Some(*phase)),
            },
            Outcome::Timeout { .. } => Self::Timeout,
            Outcome::OutOfMemory { failure } => Self::OutOfMemory {
                device: failure.device.clone(),
            },
            Outcome::Crashed {
                phase,
                signal,
                exit_code,
                ..
            } => Self::Crashed {
                stage: Stage::of(Some(*phase)),
                signal: *signal,
                exit_code: *exit_code,
            },
            Outcome::Failed { failure } if failure.class == FailureClass::NonFinite => Self::WrongText,
            Outcome::Failed { failure } => Self::Failed { class: failure.class },
            Outcome::Skipped { .. } | Outcome::Completed => Self::NotRun,
        }
    }

    /// Whether another failure is this one. A stall or a crash is the same in prefill and in decode: which token it strikes
    /// at may depend on chance.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stalled { stage: a }, Self::Stalled { stage: b }) => a.is_generating() == b.is_generating(),
            (
                Self::Crashed {
                    stage: a,
                    signal: signal_a,
                    exit_code: code_a,
                },
                Self::Crashed {
                    stage: b,
                    signal: signal_b,
                    exit_code: code_b,
                },
            ) => a.is_generating() == b.is_generating() && (signal_a, code_a) == (signal_b, code_b),
            (Self::NotRun, _) => false,
            (a, b) => a == b,
        }
    }

    /// Completes a sentence: `with this hop …`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Stalled { stage } => match stage {
                Stage::Loading => "loading never ends (stalled)".to_owned(),
                Stage::Prefill => "the first token never comes (stalled in prefill)".to_owned(),
                Stage::Decode => "tokens stop coming (stalled in decode)".to_owned(),
            },
            Self::Timeout => "it does not end in time".to_owned(),
            Self::OutOfMemory { device: Some(device) } => format!("{device} runs out of memory"),
            Self::OutOfMemory { device: None } => "memory runs out".to_owned(),
            Self::Crashed {
                stage,
                signal,
                exit_code,
            } => {
                let when = match stage {
                    Stage::Loading => "while loading",
                    Stage::Prefill => "in prefill",
                    Stage::Decode => "in decode",
                };
                let how = match (signal, exit_code) {
                    (Some(signal), _) => format!(" of signal {signal}"),
                    (None, Some(code)) => format!(" with exit code {code}"),
                    (None, None) => String::new(),
                };
                format!("the worker dies{how} {when}")
            }
            Self::Failed { class } => {
                let name = serde_json::to_value(class).ok();
                let name = name
                    .as_ref()
                    .and_then(|name| name.as_str())
                    .unwrap_or("internal")
                    .to_owned();
                format!("the worker gives up ({name})")
            }
            Self::WrongText => "the text is wrong".to_owned(),
            Self::Check { check } => format!("the check `{check}` fails"),
            Self::NotRun => "it is not run".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(stage: Stage, signal: i32) -> Symptom {
        Symptom::Crashed {
            stage,
            signal: Some(signal),
            exit_code: None,
        }
    }

    #[test]
    fn the_same_failure_may_strike_at_another_token_but_not_in_another_half_of_life() {
        let stalled = |stage| Symptom::Stalled { stage };
        assert!(stalled(Stage::Prefill).is_same(&stalled(Stage::Decode)));
        assert!(!stalled(Stage::Prefill).is_same(&stalled(Stage::Loading)));
        assert!(crashed(Stage::Decode, 11).is_same(&crashed(Stage::Prefill, 11)));
        assert!(!crashed(Stage::Decode, 11).is_same(&crashed(Stage::Decode, 9)));
        assert!(!stalled(Stage::Decode).is_same(&Symptom::Timeout));
    }

    #[test]
    fn what_was_not_run_is_no_failure_of_any_kind() {
        assert!(!Symptom::NotRun.is_same(&Symptom::NotRun));
        assert!(!Symptom::WrongText.is_same(&Symptom::NotRun));
    }

    #[test]
    fn memory_of_another_device_is_another_failure() {
        let on = |device: &str| Symptom::OutOfMemory {
            device: DeviceId::new(device).ok(),
        };
        assert!(on("sim:0").is_same(&on("sim:0")));
        assert!(!on("sim:0").is_same(&on("sim:1")));
    }
}
