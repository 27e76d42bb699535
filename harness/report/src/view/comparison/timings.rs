//! The times of a comparison, the worst first.

use placebench_core::compare::{CaseComparison, Change, Comparison, Direction, NoVerdictReason, TimingRow};
use serde::Serialize;

use super::case_name;
use super::cases::CaseSection;
use crate::view::changes::{Tone, is_speed, timing_row};
use crate::view::words::{line, message};

/// A time of a case on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimingView {
    /// The case.
    pub case: String,
    /// The figure.
    pub metric: String,
    /// Where the page says more of the case; empty where it says no more.
    pub anchor: String,
    /// `worse`, `better`, `open` (nobody knows yet), `none` (nobody can say) or `same`.
    pub sense: &'static str,
    /// The figure of the base.
    pub base: String,
    /// The figure of the new side.
    pub new: String,
    /// The change.
    pub change: String,
    /// Its interval.
    pub interval: String,
    /// The judgement.
    pub verdict: String,
    /// What counts as a change.
    pub floor: String,
    /// Why there is no judgement; empty where there is one.
    pub why: String,
    /// How many pairs.
    pub pairs: usize,
    /// What is drawn.
    #[serde(skip)]
    pub chart: Ratio,
}

/// A ratio as it is drawn: logarithms, turned so that more is worse.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ratio {
    /// The estimate; absent where there is none.
    pub log_ratio: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// What counts as a change.
    pub floor: f64,
    /// What counts as the same, where that is more.
    pub margin: f64,
    /// The figures of both sides by attempt.
    pub pairs: Vec<(f64, f64)>,
    /// Their unit.
    pub unit: String,
}

/// The times that changed or are not known, and those that are the same; each with the worst first.
#[must_use]
pub(super) fn of(comparison: &Comparison, sections: &[CaseSection]) -> (Vec<TimingView>, Vec<TimingView>) {
    let anchor = |case: &str| {
        sections
            .iter()
            .find(|section| section.case_key == case)
            .map_or("", |section| section.anchor.as_str())
    };
    let mut all: Vec<TimingView> = comparison
        .cases
        .iter()
        .flat_map(|case| case.timings.iter().map(|row| view(case, row, anchor(&case.case))))
        .collect();
    sort(&mut all);
    all.into_iter().partition(|view| view.sense != "same")
}

/// Why times have no verdict: each reason once, with how many times it holds for.
pub(super) fn whys(timings: &[TimingView]) -> Vec<(String, usize)> {
    let mut whys: Vec<(String, usize)> = Vec::new();
    for timing in timings.iter().filter(|timing| !timing.why.is_empty()) {
        match whys.iter_mut().find(|(why, _)| *why == timing.why) {
            Some((_, number)) => *number += 1,
            None => whys.push((timing.why.clone(), 1)),
        }
    }
    whys
}

/// Puts the worst first; what is equally bad stays in its order.
pub(super) fn sort(timings: &mut [TimingView]) {
    timings.sort_by(|a, b| {
        let size = |view: &TimingView| view.chart.log_ratio.unwrap_or(f64::MIN);
        rank(a.sense).cmp(&rank(b.sense)).then(size(b).total_cmp(&size(a)))
    });
}

fn rank(sense: &str) -> u8 {
    match sense {
        "worse" => 0,
        "open" => 1,
        "better" => 2,
        "none" => 3,
        _ => 4,
    }
}

pub(super) fn view(case: &CaseComparison, row: &TimingRow, anchor: &str) -> TimingView {
    let words = timing_row(row);
    let [metric, base, new, change, interval, verdict] = words.cells.map(|cell| line(&cell));
    TimingView {
        case: case_name(&case.case, &case.base_case),
        metric,
        anchor: anchor.to_owned(),
        sense: match (words.tone, row.change) {
            (Tone::Bad, _) => "worse",
            (Tone::Good, _) => "better",
            (_, Change::Same) => "same",
            (_, Change::NoVerdict) => "none",
            _ => "open",
        },
        base,
        new,
        change,
        interval,
        verdict,
        floor: words.floor,
        why: row
            .reason
            .as_ref()
            .map(NoVerdictReason::sentence)
            .map(|why| message(&why))
            .unwrap_or_default(),
        pairs: if is_speed(row) { row.pairs.len() } else { 0 },
        chart: ratio(row),
    }
}

fn ratio(row: &TimingRow) -> Ratio {
    if !is_speed(row) {
        return Ratio {
            unit: row.unit.clone(),
            ..Ratio::default()
        };
    }
    let sign = if row.direction == Direction::Higher { -1.0 } else { 1.0 };
    let log = |ratio: f64| Some(ratio.ln() * sign).filter(|log| log.is_finite());
    let interval = row
        .ratio_interval
        .and_then(|interval| log(interval.low).zip(log(interval.high)));
    Ratio {
        log_ratio: row.ratio.and_then(log),
        interval: interval.map(|(low, high)| (low.min(high), low.max(high))),
        floor: row.floor.log_ratio.abs(),
        margin: row.margin.log_ratio.abs(),
        pairs: row.pairs.iter().map(|pair| (pair.base, pair.new)).collect(),
        unit: row.unit.clone(),
    }
}
