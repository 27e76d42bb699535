//! All that is said of a case's times besides their medians.

use placebench_core::protocol::Generation;
use placebench_core::record::{Attempt, CaseSpec};
use serde::Serialize;

use super::first_token::{self, FirstTokenRow, FirstTokenView};
use super::gaps::{self, Gaps};
use super::latency_table::{self, SpreadRow};
use super::steps::StepView;
use super::timing::Timing;

/// Latencies of a case: in order, by parts, and as percentiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyView {
    /// Its gaps in the order of the tokens.
    #[serde(skip)]
    pub gaps: Gaps,
    /// What comes before the first generation.
    #[serde(skip)]
    pub first_token: FirstTokenView,
    /// The time until the first token by its parts, in words.
    pub first_token_row: FirstTokenRow,
    /// How its latencies are spread; empty where none is a speed.
    pub spread: Vec<SpreadRow>,
}

/// What latencies are made from.
pub(super) struct Source<'a> {
    pub(super) spec: &'a CaseSpec,
    /// Attempts that count, and are timed.
    pub(super) timed: &'a [&'a Attempt],
    /// The attempt that the verdict speaks of.
    pub(super) attempt: Option<&'a Attempt>,
    /// Whether its times are speeds.
    pub(super) timing: &'a Timing,
    /// Whether it was run in a way that allows for times.
    pub(super) is_timed: bool,
    /// The first token and a token after it.
    pub(super) steps: &'a [StepView; 2],
    /// Why a time is missing.
    pub(super) why: &'a str,
}

pub(super) fn view(source: &Source<'_>) -> LatencyView {
    let generations = source.timed.iter().flat_map(|attempt| &attempt.generations);
    let first_token = first_token::view(source.timed, source.timing);
    LatencyView {
        gaps: gaps::view(source),
        first_token_row: first_token::row(&first_token, &source.steps[0]),
        first_token,
        spread: match source.timing {
            Timing::Valid { .. } => latency_table::spread(&generations.collect::<Vec<&Generation>>()),
            Timing::Invalid(_) | Timing::Missing(_) => Vec::new(),
        },
    }
}
