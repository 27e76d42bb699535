//! Which placement of a prompt is best, and whether that is known.
//!
//! Peaks can be counted. Times are asked by the rule of `compare`: the attempts of two placements with the same number form a
//! pair, and the least median is first only where every other placement is certainly slower.

use std::collections::HashMap;

use placebench_core::compare::{CasePair, Change, GateSpec, NoVerdictReason, Side, TimingMetric, TimingRow, compare};
use placebench_core::record::{Attempt, CaseSpec, IndexedRun};

use super::is_comparable;
use crate::view::CaseView;

/// Peaks closer than this are equal: allocators round up.
const PEAK_TOLERANCE: f64 = 0.01;

/// Placements beyond this are not asked who is first: the answer would rest on too many questions.
const MOST_ASKED: usize = 12;

/// Placements may be any number of times slower than others.
const NOTHING_IS_IMPLAUSIBLE: f64 = 1e9;

/// What is known of the order of times per token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// There are no two placements to compare.
    #[default]
    Alone,
    /// The first is faster than each other one.
    Known,
    /// The repetitions do not tell them apart.
    Close,
    /// There are too few repetitions to ask.
    TooFew,
    /// Something else is wrong with the data, or there are too many placements to ask.
    Unknown,
}

/// The speeds of a prompt, the least time first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Speeds {
    /// Positions of comparable cases in their prompt, by time per token; by time to first token where nothing was decoded.
    pub order: Vec<usize>,
    /// Whether that order is more than noise.
    pub standing: Standing,
    /// The time is the one per token; otherwise the one to the first token.
    pub is_per_token: bool,
}

/// Orders the comparable cases and marks the first of them where that is known.
pub(super) fn mark(record: &IndexedRun<'_>, specs: &[&CaseSpec], cases: &mut [CaseView], reference: &str) -> Speeds {
    let among = comparable(cases, reference);
    let attempts: HashMap<usize, Vec<&Attempt>> = (among.iter())
        .filter_map(|index| Some((*index, record.deciding_attempts(specs.get(*index)?).collect())))
        .collect();
    let ttft = |case: &CaseView| case.overview.numbers.ttft_s;
    let tpot = |case: &CaseView| case.overview.numbers.tpot_s;
    let by_ttft = order(cases, &among, &ttft);
    let by_tpot = order(cases, &among, &tpot);
    let ask = |order: &[usize], metric| standing(record, specs, order, &attempts, metric);
    let (first, per_token) = (ask(&by_ttft, TimingMetric::TtftS), ask(&by_tpot, TimingMetric::TpotS));
    if let (Standing::Known, Some(best)) = (first, by_ttft.first()) {
        cases[*best].overview.is_first_ttft = true;
    }
    if let (Standing::Known, Some(best)) = (per_token, by_tpot.first()) {
        cases[*best].overview.is_first_tpot = true;
    }
    match by_tpot.is_empty() {
        true => Speeds {
            order: by_ttft,
            standing: first,
            is_per_token: false,
        },
        false => Speeds {
            order: by_tpot,
            standing: per_token,
            is_per_token: true,
        },
    }
}

/// Marks the case whose largest peak is the least, if it is so by more than what allocators round.
pub(super) fn mark_peak(cases: &mut [CaseView], reference: &str) -> Option<String> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "only compared, with a tolerance far above the rounding"
    )]
    let peak = |case: &CaseView| case.overview.peak.as_ref().map(|peak| peak.bytes as f64);
    let order = order(cases, &comparable(cases, reference), &peak);
    let [first, second, ..] = order.as_slice() else {
        return None;
    };
    let (least, next) = (peak(&cases[*first])?, peak(&cases[*second])?);
    if least * (1.0 + PEAK_TOLERANCE) >= next {
        return None;
    }
    cases[*first].overview.is_first_peak = true;
    Some(cases[*first].placement.clone())
}

/// Cases that ended well and did the work of the reference.
fn comparable(cases: &[CaseView], reference: &str) -> Vec<usize> {
    let of_reference = cases.iter().find(|case| case.placement == reference).or(cases.first());
    let Some(work) = of_reference.map(|case| case.overview.work.clone()) else {
        return Vec::new();
    };
    let fits = |case: &CaseView| is_comparable(case) && case.overview.work == work;
    (0..cases.len()).filter(|index| fits(&cases[*index])).collect()
}

fn order(cases: &[CaseView], among: &[usize], figure: &dyn Fn(&CaseView) -> Option<f64>) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = (among.iter())
        .filter_map(|index| Some((*index, figure(&cases[*index])?)))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order.into_iter().map(|(index, _)| index).collect()
}

fn standing(
    record: &IndexedRun<'_>,
    specs: &[&CaseSpec],
    order: &[usize],
    attempts: &HashMap<usize, Vec<&Attempt>>,
    metric: TimingMetric,
) -> Standing {
    let side = |index: &usize| {
        let spec = *specs.get(*index)?;
        Some(Side {
            case: &spec.case,
            attempts: attempts.get(index)?,
            environment: &record.info.environment,
            text: record.verdict_of(&spec.case)?.text,
        })
    };
    let mut sides = order.iter().take(MOST_ASKED).filter_map(side);
    let Some(base) = sides.next() else {
        return Standing::Alone;
    };
    let pairs: Vec<CasePair<'_>> = sides.map(|new| CasePair { base, new, noise: None }).collect();
    if pairs.is_empty() {
        return Standing::Alone;
    }
    if order.len() > MOST_ASKED {
        return Standing::Unknown;
    }
    // The data are looked at once, and one figure at a time.
    let defaults = GateSpec::placements();
    let rule = GateSpec {
        metrics: vec![metric],
        max_pairs: defaults.pairs,
        implausible_factor: NOTHING_IS_IMPLAUSIBLE,
        ..defaults
    };
    let comparison = compare(&pairs, &rule);
    let rows = || comparison.cases.iter().flat_map(|case| &case.timings);
    let is_too_few = |row: &TimingRow| matches!(row.reason, Some(NoVerdictReason::TooFewPairs { .. }));
    if rows().all(|row| row.change == Change::Slower) {
        Standing::Known
    } else if rows().any(is_too_few) {
        Standing::TooFew
    } else if rows().any(|row| row.change == Change::NoVerdict) {
        Standing::Unknown
    } else {
        Standing::Close
    }
}
