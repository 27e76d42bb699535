//! Exit codes: nextest's where they exist, so that scripts written for it read ours.

use serde::{Deserialize, Serialize};

/// How an invocation of placebench ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitCode {
    /// Everything asked for passed.
    Passed,
    /// The command line makes no sense.
    Usage,
    /// No case was selected.
    NothingSelected,
    /// A filter expression is malformed.
    BadFilter,
    /// The scenario, a model's files or the machine must be put right first.
    Setup,
    /// A case failed.
    CaseFailed,
    /// Everything is right but slower than the baseline.
    Slower,
    /// Nothing can be said.
    NoVerdict,
    /// Only snapshots wait for review.
    PendingSnapshots,
}

impl ExitCode {
    /// The number the process exits with.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Usage => 2,
            Self::NothingSelected => 4,
            Self::BadFilter => 94,
            Self::Setup => 96,
            Self::CaseFailed => 100,
            Self::Slower => 111,
            Self::NoVerdict => 112,
            Self::PendingSnapshots => 113,
        }
    }
}
