//! The figures of a run that services follow over time, by case.
//!
//! A series cannot say of one of its points that it means nothing. So cases that were not what they should be have no point
//! at all: those whose text is wrong, that did not complete, that were audited, or in which faults were injected.

use std::collections::HashSet;

use placebench_core::compare::Direction;
use placebench_core::device::DeviceBytes;
use placebench_core::judge::metrics;
use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, RunRecord};

use crate::view::words::{Lines, visible};

/// Most bytes of a name (`bencher_valid`, `MAX_BENCHMARK_NAME_LEN`).
const MOST_BYTES: usize = 1024;

/// One figure of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TrackedFigure<'a> {
    /// The case.
    pub(super) spec: &'a CaseSpec,
    /// Its name, made visible and short enough; no other case of the run has it.
    pub(super) case: String,
    /// The device it is about; absent where it is about the whole case.
    pub(super) device: Option<String>,
    /// Its name in records, which ends in its unit.
    pub(super) metric: &'static str,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Which way is better.
    pub(super) direction: Direction,
    /// The median over all measured generations, or what was counted. Finite.
    pub(super) value: f64,
    /// The smallest and the largest median of an attempt; absent where it was counted, or there is one attempt.
    pub(super) range: Option<(f64, f64)>,
    /// Measured generations.
    pub(super) samples: u32,
}

/// All figures, in the order of the run.
pub(super) fn figures(record: &RunRecord) -> Vec<TrackedFigure<'_>> {
    let mut names = HashSet::new();
    let mut all = Vec::new();
    for spec in &record.info.cases {
        let case = unique(&mut names, &spec.case);
        if let Some(verdict) = record
            .verdict_of(&spec.case)
            .filter(|verdict| is_tracked(spec, verdict))
        {
            of_case(record, spec, &case, verdict, &mut all);
        }
    }
    all
}

fn is_tracked(spec: &CaseSpec, verdict: &CaseVerdict) -> bool {
    let was_run = !matches!(verdict.status, CaseStatus::Skipped | CaseStatus::Setup);
    let completed = verdict.outcome == OutcomeKind::Completed && spec.expect.outcome == OutcomeKind::Completed;
    let is_itself = spec.audit.is_none() && spec.faults.is_empty() && spec.expect.fails.is_empty();
    was_run && completed && is_itself && verdict.text.timing_is_valid()
}

/// A timing: its name, its unit, which way is better, and where it stands.
type Timing = (&'static str, &'static str, Direction, fn(&CaseMetrics) -> Option<f64>);

const TIMINGS: [Timing; 7] = [
    ("load_s", "s", Direction::Lower, |metrics| metrics.load_s),
    ("ttft_s", "s", Direction::Lower, |metrics| metrics.ttft_s),
    ("tpot_s", "s", Direction::Lower, |metrics| metrics.tpot_s),
    ("e2e_s", "s", Direction::Lower, |metrics| metrics.e2e_s),
    ("prefill_tokens_per_s", "tokens/s", Direction::Higher, |metrics| {
        metrics.prefill_tokens_per_s
    }),
    ("decode_tokens_per_s", "tokens/s", Direction::Higher, |metrics| {
        metrics.decode_tokens_per_s
    }),
    ("output_tokens_per_s", "tokens/s", Direction::Higher, |metrics| {
        metrics.output_tokens_per_s
    }),
];

fn of_case<'a>(
    record: &'a RunRecord,
    spec: &'a CaseSpec,
    case: &str,
    verdict: &'a CaseVerdict,
    all: &mut Vec<TrackedFigure<'a>>,
) {
    let figures = &verdict.metrics;
    let of_attempts: Vec<CaseMetrics> = record
        .deciding_attempts(spec)
        .map(|attempt| metrics(&[attempt]))
        .collect();
    let mut add = |metric, unit, direction, device: Option<String>, value: Option<f64>, range| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            all.push(TrackedFigure {
                spec,
                case: case.to_owned(),
                device,
                metric,
                unit,
                direction,
                value,
                range,
                samples: figures.samples,
            });
        }
    };
    for (metric, unit, direction, read) in TIMINGS {
        let value = read(figures);
        let range = value.and_then(|value| range(value, of_attempts.iter().filter_map(read)));
        add(metric, unit, direction, None, value, range);
    }
    let counted = [
        ("hops_per_token", "hops/token", figures.hops_per_token),
        (
            "transfer_bytes_per_token",
            "bytes/token",
            figures.transfer_bytes_per_token,
        ),
    ];
    for (metric, unit, value) in counted {
        add(metric, unit, Direction::Lower, None, value, None);
    }
    let memory: [(&'static str, &Vec<DeviceBytes>); 3] = [
        ("weights_bytes", &figures.weights_bytes),
        ("kv_cache_bytes", &figures.kv_cache_bytes),
        ("peak_memory_bytes", &figures.peak_memory_bytes),
    ];
    for (metric, devices) in memory {
        for on in devices {
            let (device, value) = (Some(on.device.to_string()), Some(on.bytes.as_f64()));
            add(metric, "bytes", Direction::Lower, device, value, None);
        }
    }
}

/// From the smallest to the largest, the value between them; nothing of fewer than two.
fn range(value: f64, of_attempts: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let all: Vec<f64> = of_attempts.filter(|value| value.is_finite()).collect();
    let low = all.iter().copied().fold(value, f64::min);
    let high = all.iter().copied().fold(value, f64::max);
    (all.len() > 1).then_some((low, high))
}

/// The name with every character visible, within the limit, and not one of those that were given out.
fn unique(names: &mut HashSet<String>, name: &str) -> String {
    // Room for the name of a device and a number.
    let most = MOST_BYTES - 64;
    let mut shown = visible(name, Lines::Join, most);
    if shown.is_empty() {
        shown.push('-');
    }
    let mut end = shown.len().min(most);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    let mut free = shown.clone();
    let mut number = 2;
    while !names.insert(free.clone()) {
        free = format!("{shown} ({number})");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_visible_and_distinct() {
        let mut names = HashSet::new();
        assert_eq!(unique(&mut names, "a/b/c"), "a/b/c");
        assert_eq!(unique(&mut names, "a/b/c"), "a/b/c (2)");
        assert_eq!(unique(&mut names, "a\n\u{202e}"), "a␊⟨U+202E⟩");
        assert_eq!(unique(&mut names, ""), "-");
        let long = "é".repeat(5000);
        let (first, second) = (unique(&mut names, &long), unique(&mut names, &long));
        assert!(first.len() < MOST_BYTES && second.len() < MOST_BYTES && first != second);
    }

    #[test]
    fn a_range_holds_the_value_and_takes_two_attempts() {
        assert_eq!(range(2.0, [1.0, 3.0].into_iter()), Some((1.0, 3.0)));
        assert_eq!(range(5.0, [1.0, 3.0, f64::NAN].into_iter()), Some((1.0, 5.0)));
        assert_eq!(range(2.0, [2.0].into_iter()), None);
        assert_eq!(range(2.0, [2.0, f64::NAN].into_iter()), None);
    }
}
