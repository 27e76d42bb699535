//! Raw points of a case's latencies, or why there are none.

use placebench_core::outcome::OutcomeKind;
use placebench_core::protocol::Generation;

use super::case::CaseView;
use super::words::list;

/// What may be drawn of a case's timings.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// Raw points, in seconds, in the order they were measured.
    Valid {
        /// Time to first token, one a generation.
        ttft_s: Vec<f64>,
        /// Gaps between tokens of all generations, one after the other.
        gaps_s: Vec<f64>,
    },
    /// The text was wrong, so that no timing is a speed: the reason.
    Invalid(String),
    /// Nothing was measured: the reason.
    Missing(String),
}

impl Timing {
    /// The raw points of some generations. Stamps that are no numbers or run backwards are left out.
    pub fn of<'a>(generations: impl Iterator<Item = &'a Generation>, why_missing: &str) -> Self {
        let mut ttft_s = Vec::new();
        let mut gaps_s = Vec::new();
        for generation in generations {
            let stamps = &generation.token_stamps_s;
            ttft_s.extend(stamps.first().copied().filter(|value| plausible(*value)));
            gaps_s.extend(
                stamps
                    .windows(2)
                    .map(|pair| pair[1] - pair[0])
                    .filter(|value| plausible(*value)),
            );
        }
        if ttft_s.is_empty() {
            Self::Missing(why_missing.to_owned())
        } else {
            Self::Valid { ttft_s, gaps_s }
        }
    }
}

/// A duration that can have been measured.
pub(super) fn plausible(seconds: f64) -> bool {
    seconds.is_finite() && seconds >= 0.0
}

/// Why nothing is timed although placements completed: `auto and manual: not measured: ran beside others`. Empty where any
/// latency can be drawn, a text is wrong, or nothing completed.
pub(super) fn untimed(cases: &[CaseView]) -> String {
    if cases.iter().any(|case| !matches!(case.timing, Timing::Missing(_))) {
        return String::new();
    }
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    let completed = cases
        .iter()
        .filter(|case| case.outcome_kind == Some(OutcomeKind::Completed));
    for case in completed {
        let Timing::Missing(why) = &case.timing else { continue };
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, names)) => names.push(case.placement.clone()),
            None => reasons.push((why, vec![case.placement.clone()])),
        }
    }
    let sentences = reasons.iter().map(|(why, names)| format!("{}: {why}", list(names)));
    sentences.collect::<Vec<String>>().join("; ")
}
