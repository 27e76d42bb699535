//! The timings that can be compared.

use serde::{Deserialize, Serialize};

use crate::judge::metrics;
use crate::record::Attempt;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither: a difference is a difference.
    Equal,
}

/// A timing, by its name in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimingMetric {
    /// Start of the process to the end of loading.
    LoadS,
    /// Start of the generation to the first token.
    TtftS,
    /// Time per output token after the first.
    TpotS,
    /// Start of the generation to the last token.
    E2eS,
    /// Tokens of all sequences per second.
    OutputTokensPerS,
}

impl TimingMetric {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoadS => "load_s",
            Self::TtftS => "ttft_s",
            Self::TpotS => "tpot_s",
            Self::E2eS => "e2e_s",
            Self::OutputTokensPerS => "output_tokens_per_s",
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::LoadS | Self::TtftS | Self::TpotS | Self::E2eS => "s",
            Self::OutputTokensPerS => "tokens/s",
        }
    }

    /// Which way is better.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            Self::LoadS | Self::TtftS | Self::TpotS | Self::E2eS => Direction::Lower,
            Self::OutputTokensPerS => Direction::Higher,
        }
    }

    /// The figure of one attempt: the median over its measured generations; warm-ups are none of them. The attempt is the
    /// unit of every comparison: generations of one process share its memory layout and its moment, so they are no
    /// independent samples (firecracker#6047). `None` where it was not measured.
    #[must_use]
    pub fn of(self, attempt: &Attempt) -> Option<f64> {
        let figures = metrics(&[attempt]);
        match self {
            Self::LoadS => figures.load_s,
            Self::TtftS => figures.ttft_s,
            Self::TpotS => figures.tpot_s,
            Self::E2eS => figures.e2e_s,
            Self::OutputTokensPerS => figures.output_tokens_per_s,
        }
    }

    /// Sign that turns the logarithm of new / base into "how much worse".
    pub(super) fn sign(self) -> f64 {
        match self.direction() {
            Direction::Lower | Direction::Equal => 1.0,
            Direction::Higher => -1.0,
        }
    }
}
