//! Which placement of a prompt needs least memory. Peaks are counted, so that no repetition is needed to know.

use placebench_core::compare::other_work;
use placebench_core::record::CaseSpec;

use super::is_comparable;
use crate::view::CaseView;

/// Peaks closer than this are equal: allocators round up.
const PEAK_TOLERANCE: f64 = 0.01;

/// Marks the case whose largest peak is the least, if it is so by more than what allocators round.
pub(super) fn mark(specs: &[&CaseSpec], cases: &mut [CaseView], reference: &str) -> Option<String> {
    let peaks = peaks(specs, cases, reference);
    let [(first, least), (_, next), ..] = peaks.as_slice() else {
        return None;
    };
    if least * (1.0 + PEAK_TOLERANCE) >= *next {
        return None;
    }
    let first = cases.get_mut(*first)?;
    first.overview.is_first_peak = true;
    Some(first.placement.clone())
}

/// The peaks of cases that ended well and did the work of the reference, the least first.
fn peaks(specs: &[&CaseSpec], cases: &[CaseView], reference: &str) -> Vec<(usize, f64)> {
    let position = cases.iter().position(|case| case.placement == reference).unwrap_or(0);
    let Some(base) = specs.get(position) else {
        return Vec::new();
    };
    let both = specs.iter().zip(cases).enumerate();
    let fit = both.filter(|(_, (spec, case))| is_comparable(spec, case) && other_work(base, spec).is_none());
    #[expect(
        clippy::cast_precision_loss,
        reason = "only compared, with a tolerance far above the rounding"
    )]
    let peak = |case: &CaseView| Some(case.overview.peak.as_ref()?.bytes as f64);
    let mut peaks: Vec<(usize, f64)> = fit
        .filter_map(|(index, (_, case))| Some((index, peak(case)?)))
        .collect();
    peaks.sort_by(|a, b| a.1.total_cmp(&b.1));
    peaks
}
