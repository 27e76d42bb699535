//! Why nothing can be said.

use serde::{Deserialize, Serialize};

use super::fingerprint::FingerprintDifference;
use crate::record::TextVerdict;

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SideName {
    /// What is compared with.
    Base,
    /// What is compared.
    New,
}

impl SideName {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::New => "new",
        }
    }
}

/// Why a comparison has no verdict. Never a pass: what was not measured may be anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NoVerdictReason {
    /// The sides were not measured on the same machine.
    OtherMachine {
        /// What differs.
        differences: Vec<FingerprintDifference>,
    },
    /// A text is wrong: its timing is no speed.
    TextInvalid {
        /// Whose.
        side: SideName,
        /// The judgement on it.
        text: TextVerdict,
    },
    /// Attempts did not complete. Those that did are the lucky ones.
    NotCompleted {
        /// Whose.
        side: SideName,
        /// How many.
        attempts: u32,
        /// What happened to the first of them.
        sentence: String,
    },
    /// A GPU was slowed down by heat or by its power supply.
    Throttled {
        /// Whose.
        side: SideName,
        /// What its driver said.
        reasons: Vec<String>,
    },
    /// Processes of others computed on a GPU meanwhile.
    ForeignProcess {
        /// Whose.
        side: SideName,
        /// In how many attempts.
        attempts: u32,
        /// Who they were, in words.
        processes: Vec<String>,
    },
    /// Attempts ran beside others of their own run.
    RanBeside {
        /// Whose.
        side: SideName,
        /// How many.
        attempts: u32,
    },
    /// The sides did not do the same work, so their times do not compare. The counters say what differs.
    OtherWork,
    /// The sides did not handle the same number of tokens, so their times do not compare.
    OtherTokenCounts {
        /// Input and output tokens of the base.
        base: (u32, u32),
        /// Input and output tokens of the new side.
        new: (u32, u32),
    },
    /// A side has no figure, in some attempt or in all.
    Missing {
        /// Whose.
        side: SideName,
    },
    /// Neither side has a figure.
    MissingOnBoth,
    /// A figure that cannot be: zero, negative or not finite.
    Unusable {
        /// Whose.
        side: SideName,
        /// Number of the attempt.
        attempt: u32,
        /// The figure, as text: JSON has no word for what is not finite.
        value: String,
    },
    /// Every attempt has the very same figure: a clock that stood still, or one answer handed out again and again.
    Collapsed {
        /// Whose.
        side: SideName,
    },
    /// A counter that should be the same in every attempt is not.
    Varies {
        /// Whose.
        side: SideName,
        /// How.
        detail: String,
    },
    /// Too few pairs of attempts.
    TooFewPairs {
        /// Pairs there are.
        pairs: u32,
        /// Pairs it takes.
        needed: u32,
    },
    /// A change too large to be believed before someone has looked at it.
    Implausible {
        /// New / base.
        ratio: f64,
    },
    /// There was nothing to compare.
    NothingCompared,
}

impl NoVerdictReason {
    /// It in a sentence, with what to do. Holds words of the machine and of workers: escape it where shown.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::OtherMachine { differences } => {
                let parts = differences.iter().map(|difference| {
                    let told = |text: &str| {
                        if text.is_empty() {
                            "nothing".to_owned()
                        } else {
                            format!("`{text}`")
                        }
                    };
                    format!("{} and {}", told(&difference.base), told(&difference.new))
                });
                let parts: Vec<String> = parts.collect();
                format!("measured on unlike machines: {}", parts.join("; "))
            }
            Self::TextInvalid { side, text } => {
                format!(
                    "the text of the {} side is {}, so its timing is no speed",
                    side.as_str(),
                    text.as_str()
                )
            }
            Self::NotCompleted {
                side,
                attempts,
                sentence,
            } => {
                let attempts = counted(*attempts, "attempt");
                format!("{attempts} of the {} side did not complete: {sentence}", side.as_str())
            }
            Self::Throttled { side, reasons } => {
                let reasons = reasons.join(", ");
                format!(
                    "a GPU was slowed down on the {} side ({reasons}): let it cool down and measure again",
                    side.as_str()
                )
            }
            Self::ForeignProcess {
                side,
                attempts,
                processes,
            } => format!(
                "other programs computed on the GPU during {} of the {} side ({}): end them, or wait for them, and measure again",
                counted(*attempts, "attempt"),
                side.as_str(),
                processes.join(", ")
            ),
            Self::RanBeside { side, attempts } => format!(
                "{} of the {} side ran beside others (--jobs), so their times are no speed: measure with --jobs 1",
                counted(*attempts, "attempt"),
                side.as_str()
            ),
            Self::OtherWork => "the two sides did not do the same work: see the counters".to_owned(),
            Self::OtherTokenCounts { base, new } => format!(
                "the two sides handled different numbers of tokens: {} in and {} out, then {} in and {} out; fix the length with ignore_eos",
                base.0, base.1, new.0, new.1
            ),
            Self::Missing { side } => format!("the {} side was not measured in every attempt", side.as_str()),
            Self::MissingOnBoth => "neither side was measured".to_owned(),
            Self::Unusable { side, attempt, value } => {
                format!(
                    "attempt {attempt} of the {} side says {value}, which cannot be",
                    side.as_str()
                )
            }
            Self::Collapsed { side } => format!(
                "every attempt of the {} side says exactly the same: nothing was measured, or one answer was handed out again",
                side.as_str()
            ),
            Self::Varies { side, detail } => {
                format!(
                    "attempts of the {} side differ where they should not: {detail}",
                    side.as_str()
                )
            }
            Self::TooFewPairs { pairs, needed } => {
                let pairs = counted(*pairs, "pair");
                format!(
                    "{pairs} of attempts, but it takes {needed}: set repetitions = {needed} and isolation = \"process\""
                )
            }
            Self::Implausible { ratio } => {
                format!(
                    "a change by the factor {ratio:.2} is not believed: look at both sides; if it is meant, compare with a newer base"
                )
            }
            Self::NothingCompared => "there was nothing to compare".to_owned(),
        }
    }
}

fn counted(number: u32, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}
