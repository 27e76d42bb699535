//! The placements of a prompt against its reference: four figures each, their ratios with interval and floor, and the verdict.
//!
//! Everything that is judged here is judged by [`compare_placements`](placebench_core::compare::compare_placements), as `placebench compare RUN` judges it: over all
//! placements of the run as one family, by the defaults of [`GateSpec::placements`](placebench_core::compare::GateSpec::placements) and without a calibration.

use placebench_core::compare::{Change, FEWEST_PAIRS, NoVerdictReason, TimingMetric, TimingRow};
use placebench_core::record::{CaseMetrics, CaseSpec, IndexedRun};
use placebench_core::statistics::Interval;
use placebench_core::units::Bytes;
use serde::Serialize;

use super::compared_run::RunComparison;
use super::compared_title::title;
use super::fastest::{Speeds, speeds};
use super::words::{count, number, rate};
use super::{CaseView, Figure};

/// Cells of a row, in order: their places in [`ComparedRow::cells`].
pub const TTFT: usize = 0;
/// Time per token after the first.
pub const TPOT: usize = 1;
/// Tokens per second.
pub const THROUGHPUT: usize = 2;
/// Peak of the fullest device.
pub const PEAK: usize = 3;

/// A figure of a placement against that of the reference, in numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// Placement / reference: of times the median over pairs of attempts.
    pub ratio: f64,
    /// Bootstrap interval of that median; absent of bytes, and of fewer than [`FEWEST_PAIRS`] pairs.
    pub interval: Option<Interval>,
    /// Pairs of attempts; 0 of bytes, which are counted.
    pub pairs: u32,
    /// The floor as a ratio above 1: a change is called one where it is certain to be larger. 1 of bytes.
    pub floor: f64,
    /// What is called the same differs by no more, as a ratio above 1.
    pub margin: f64,
    /// The judgement; absent of what is not judged: bytes, and rates, which follow from times.
    pub change: Option<Change>,
}

/// A figure of a placement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedCell {
    /// What it is.
    pub what: &'static str,
    /// Its value, or why there is none.
    pub value: Figure,
    /// Generations it is the median of; 0 of bytes.
    pub samples: u32,
    /// Against the reference; absent for the reference itself and where the two cannot be compared.
    #[serde(skip)]
    pub against: Option<Against>,
    /// `1.12 × [1.08, 1.17]`, `1.12 ×`; empty where there is none.
    pub ratio_words: String,
    /// `1.12`, for a table.
    pub ratio: String,
    /// `1.08 to 1.17`, or why there is none.
    pub interval: String,
    /// `2 %`.
    pub floor: String,
    /// `same`, `slower`, `faster`, `unclear`, `no verdict`; empty of what is not judged.
    pub verdict: &'static str,
    /// What else there is to say: the device, its share of a budget.
    pub remark: String,
}

/// A placement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRow {
    /// Its name.
    pub placement: String,
    /// The anchor of its case.
    pub anchor: String,
    /// Whether the others are compared with it.
    pub is_reference: bool,
    /// How it ended, as a word of the record.
    pub status: &'static str,
    /// The same, as a reader wants it.
    pub status_words: String,
    /// The judgement on its text.
    pub text_words: String,
    /// Why it has no speed at all: `invalid: text diverged`, `stalled in decode after 3 tokens`. Empty where it has one.
    pub trouble: String,
    /// Whether that is a wrong text.
    pub is_invalid: bool,
    /// Its figures: [`TTFT`], [`TPOT`], [`THROUGHPUT`], [`PEAK`].
    pub cells: [ComparedCell; 4],
}

/// The placements of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedView {
    /// What they show, in a sentence.
    pub title: String,
    /// Name of the reference.
    pub reference: String,
    /// In the scenario's order.
    pub rows: Vec<ComparedRow>,
    /// Why something is not judged, and what to do about it.
    pub notes: Vec<String>,
    /// The floor of all times, as a ratio above 1.
    #[serde(skip)]
    pub floor: f64,
    /// Who is fastest by [`TTFT`] and by [`TPOT`].
    #[serde(skip)]
    pub fastest: [Speeds; 2],
}

impl ComparedView {
    /// True where there are several placements and a figure of any.
    #[must_use]
    pub fn has_data(&self) -> bool {
        let mut cells = self.rows.iter().flat_map(|row| &row.cells);
        self.rows.len() > 1 && cells.any(|cell| cell.value.measured().is_some())
    }

    /// The time that speaks for a placement, as its place among the cells: of a long text most of the time is that of its
    /// tokens, so it is the one of a token unless only the other can be compared, or is measured.
    #[must_use]
    pub fn lead(&self) -> usize {
        let is_compared = |speeds: &Speeds| speeds.order.iter().any(|(_, ratio)| ratio.is_some());
        let [first, each] = &self.fastest;
        let is_first = match (is_compared(first), is_compared(each)) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => each.order.is_empty() && !first.order.is_empty(),
        };
        if is_first { TTFT } else { TPOT }
    }

    /// Who is fastest, by the time that speaks for a placement.
    #[must_use]
    pub fn speeds(&self) -> &Speeds {
        self.speeds_by(self.lead())
    }

    /// Who is fastest by [`TTFT`], or by [`TPOT`].
    #[must_use]
    pub fn speeds_by(&self, metric: usize) -> &Speeds {
        let [first, each] = &self.fastest;
        if metric == TTFT { first } else { each }
    }

    /// Name and direction of each figure.
    #[must_use]
    pub fn headings(&self) -> [(&'static str, &'static str); 4] {
        let what = |index: usize, otherwise| {
            let cell = self.rows.first().and_then(|row| row.cells.get(index));
            cell.map_or(otherwise, |cell| cell.what)
        };
        [
            (what(TTFT, "time to first token"), "less is better"),
            (what(TPOT, "time per token"), "less is better"),
            (what(THROUGHPUT, "decode rate"), "more is better"),
            (what(PEAK, "peak memory"), "less is better"),
        ]
    }
}

/// What the rows of a prompt are made from.
pub(super) struct Source<'a> {
    pub(super) run: &'a IndexedRun<'a>,
    pub(super) compared: &'a RunComparison,
    pub(super) specs: &'a [&'a CaseSpec],
    pub(super) cases: &'a [CaseView],
    pub(super) reference: &'a str,
}

/// The placements of a prompt beside each other.
#[must_use]
pub(super) fn view(source: &Source<'_>) -> ComparedView {
    let unmeasured = CaseMetrics::default();
    let metrics = |spec: &CaseSpec| {
        let judged = source.run.verdict_of(&spec.case);
        judged.map_or(&unmeasured, |judged| &judged.metrics)
    };
    let several = source
        .specs
        .iter()
        .any(|spec| metrics(spec).sequences.is_some_and(|n| n > 1));
    let cases: Vec<(&CaseSpec, &CaseView)> = source.specs.iter().copied().zip(source.cases).collect();
    let base = cases.iter().find(|(_, view)| view.placement == source.reference);
    let rows: Vec<ComparedRow> = cases
        .iter()
        .map(|(spec, view)| {
            let is_reference = view.placement == source.reference;
            let row = Row {
                compared: source.compared,
                spec,
                view,
                metrics: metrics(spec),
                base: base.filter(|_| !is_reference).map(|(_, view)| *view),
                several,
            };
            row.view(is_reference)
        })
        .collect();
    let by = |cell: usize, metric: TimingMetric| {
        let directly = |first: usize, others: &[usize]| source.directly(metric, first, others);
        speeds(&rows, cell, &directly)
    };
    let mut view = ComparedView {
        title: String::new(),
        reference: source.reference.to_owned(),
        notes: if rows.len() > 1 {
            source.compared.notes(&cases)
        } else {
            Vec::new()
        },
        fastest: [by(TTFT, TimingMetric::TtftS), by(TPOT, TimingMetric::TpotS)],
        rows,
        floor: source.compared.floor(),
    };
    view.title = title(&view, source.cases);
    view
}

impl Source<'_> {
    /// How other placements compare with one that is not the reference.
    fn directly(&self, metric: TimingMetric, first: usize, others: &[usize]) -> Vec<Change> {
        let Some(base) = self.specs.get(first) else {
            return Vec::new();
        };
        let others: Vec<&CaseSpec> = others
            .iter()
            .filter_map(|index| self.specs.get(*index).copied())
            .collect();
        self.compared.directly(self.run, metric, base, &others)
    }
}

/// A placement while its row is made.
struct Row<'a> {
    compared: &'a RunComparison,
    spec: &'a CaseSpec,
    view: &'a CaseView,
    metrics: &'a CaseMetrics,
    /// The reference; absent for the reference itself.
    base: Option<&'a CaseView>,
    /// Whether sequences are generated together.
    several: bool,
}

impl Row<'_> {
    fn view(&self, is_reference: bool) -> ComparedRow {
        let view = self.view;
        let cells = [
            self.time("time to first token", &view.ttft, TimingMetric::TtftS, |base| {
                &base.ttft
            }),
            self.time("time per token", &view.tpot, TimingMetric::TpotS, |base| &base.tpot),
            self.throughput(),
            self.peak(),
        ];
        let speeds = cells.get(..PEAK).unwrap_or_default();
        let has_speed = speeds.iter().any(|cell| cell.value.measured().is_some());
        let is_invalid = matches!(view.ttft, Figure::Invalid(_));
        ComparedRow {
            placement: view.placement.clone(),
            anchor: view.anchor.clone(),
            is_reference,
            status: view.status,
            status_words: view.status_words.clone(),
            text_words: view.text_words.clone(),
            trouble: match has_speed {
                true => String::new(),
                false => view.ttft.words().to_owned(),
            },
            is_invalid,
            cells,
        }
    }

    fn time(
        &self,
        what: &'static str,
        value: &Figure,
        metric: TimingMetric,
        of: fn(&CaseView) -> &Figure,
    ) -> ComparedCell {
        let against = self
            .timing(metric)
            .filter(|_| are_measured(value, self.base.map(of)))
            .and_then(against);
        cell(what, value.clone(), self.metrics.samples, against)
    }

    fn timing(&self, metric: TimingMetric) -> Option<&TimingRow> {
        self.compared.timing(&self.spec.case, metric)
    }

    /// Of one sequence the reciprocal of the time per token, and so is its ratio; of several what all of them got.
    fn throughput(&self) -> ComparedCell {
        let tpot = |case: &CaseView| -> Figure { case.tpot.clone() };
        let (what, value, timing) = match self.several {
            true => {
                let timing = self.timing(TimingMetric::OutputTokensPerS);
                let value = self.metrics.output_tokens_per_s;
                ("rate of all sequences", value, timing.and_then(against))
            }
            false => {
                let timing = self.timing(TimingMetric::TpotS);
                let value = self.metrics.decode_tokens_per_s;
                ("decode rate", value, timing.and_then(against).map(reciprocal))
            }
        };
        // What is no speed as a time is none as a rate.
        let value = match (&self.view.tpot, &self.view.ttft, value) {
            (Figure::Measured(_), _, Some(value)) => Figure::Measured(rate(value)),
            (_, Figure::Measured(_), Some(value)) if self.several => Figure::Measured(rate(value)),
            (Figure::Measured(_), _, None) => Figure::Missing("not measured".into()),
            (why, _, _) => why.clone(),
        };
        let base = self.base.map(tpot);
        let against = timing.filter(|_| are_measured(&value, base.as_ref()));
        // The verdict is one on times.
        let against = against.map(|against| Against {
            change: None,
            ..against
        });
        cell(what, value, self.metrics.samples, against)
    }

    /// Counted, so that there is no interval.
    fn peak(&self) -> ComparedCell {
        let fullest = |case: &CaseView| -> Option<Bytes> { case.memory.iter().filter_map(|device| device.peak).max() };
        let own = fullest(self.view);
        let ratio = self.base.and_then(fullest).and_then(|base| {
            let ratio = own?.as_f64() / base.as_f64();
            (base.0 > 0 && ratio > 0.0).then_some(ratio)
        });
        let against = ratio.map(|ratio| Against {
            ratio,
            interval: None,
            pairs: 0,
            floor: 1.0,
            margin: 1.0,
            change: None,
        });
        let value = match own {
            Some(bytes) => Figure::Measured(bytes.to_string()),
            None => Figure::Missing(self.view.peak.words().to_owned()),
        };
        let device = self
            .view
            .memory
            .iter()
            .find(|device| own.is_some() && device.peak == own);
        ComparedCell {
            remark: device.map_or_else(String::new, |device| match device.share.as_str() {
                "" => format!("on {}", device.device),
                share => format!("{share} of {}", device.device),
            }),
            ..cell("peak memory", value, 0, against)
        }
    }
}

fn are_measured(own: &Figure, base: Option<&Figure>) -> bool {
    own.measured().is_some() && base.is_some_and(|base| base.measured().is_some())
}

/// The numbers of a timing that may be shown: where something is wrong with the figures themselves there are none.
fn against(row: &TimingRow) -> Option<Against> {
    let pairs = u32::try_from(row.pairs.len()).unwrap_or(u32::MAX);
    let may_be_shown = matches!(row.reason, None | Some(NoVerdictReason::TooFewPairs { .. }));
    let ratio = row
        .ratio
        .filter(|ratio| may_be_shown && ratio.is_finite() && *ratio > 0.0)?;
    Some(Against {
        ratio,
        interval: row.ratio_interval.filter(|_| pairs >= FEWEST_PAIRS),
        pairs,
        floor: row.floor.log_ratio.exp(),
        margin: row.margin.log_ratio.exp(),
        change: Some(row.change),
    })
}

/// A rate where there was a time.
fn reciprocal(time: Against) -> Against {
    Against {
        ratio: 1.0 / time.ratio,
        interval: time.interval.map(|interval| Interval {
            low: 1.0 / interval.high,
            high: 1.0 / interval.low,
        }),
        ..time
    }
}

fn cell(what: &'static str, value: Figure, samples: u32, against: Option<Against>) -> ComparedCell {
    let is_measured = value.measured().is_some();
    let words = |of: fn(&Against) -> String| against.as_ref().map(of).unwrap_or_default();
    ComparedCell {
        what,
        value,
        samples: if is_measured { samples } else { 0 },
        against,
        ratio_words: words(ratio_words),
        ratio: words(|against| times(against.ratio)),
        interval: words(|against| match (against.interval, against.pairs) {
            (Some(interval), _) => format!("{} to {}", times(interval.low), times(interval.high)),
            (None, 0) => String::new(),
            (None, pairs) => format!("none of {}", count(pairs as usize, "pair", "pairs")),
        }),
        floor: words(|against| match against.pairs {
            0 => String::new(),
            _ => format!("{} %", number(((against.floor - 1.0) * 1000.0).round() / 10.0)),
        }),
        verdict: against.and_then(|against| against.change).map_or("", verdict),
        remark: String::new(),
    }
}

/// `1.12 × [1.08, 1.17]`; without an interval the number of pairs.
fn ratio_words(against: &Against) -> String {
    let ratio = times(against.ratio);
    match (against.interval, against.pairs) {
        (Some(interval), _) => format!("{ratio} × [{}, {}]", times(interval.low), times(interval.high)),
        (None, 0) => format!("{ratio} ×"),
        (None, pairs) => format!("{ratio} ×, {}", count(pairs as usize, "pair", "pairs")),
    }
}

/// A ratio with three significant digits: `0.985`, `1.12`, `12.3`, `140`.
fn times(ratio: f64) -> String {
    let decimals = match ratio.abs() {
        m if m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.999_5 => 2,
        m if m >= 0.099_95 => 3,
        _ => 4,
    };
    format!("{ratio:.decimals$}")
}

/// The judgement in the words of `compare`.
fn verdict(change: Change) -> &'static str {
    match change {
        Change::NoVerdict => "no verdict",
        change => change.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_three_digits() {
        let shown = [0.005_2, 0.985, 0.999_7, 1.0, 1.123_4, 12.34, 140.4].map(times);
        assert_eq!(shown, ["0.0052", "0.985", "1.00", "1.00", "1.12", "12.3", "140"]);
    }

    #[test]
    fn a_ratio_has_an_interval_or_says_why_not() {
        let against = |pairs, interval| Against {
            ratio: 1.12,
            interval,
            pairs,
            floor: 1.02,
            margin: 1.02,
            change: None,
        };
        let interval = Interval { low: 1.08, high: 1.171 };
        assert_eq!(ratio_words(&against(7, Some(interval))), "1.12 × [1.08, 1.17]");
        assert_eq!(ratio_words(&against(1, None)), "1.12 ×, 1 pair");
        assert_eq!(ratio_words(&against(0, None)), "1.12 ×");
        let rate = reciprocal(against(7, Some(interval)));
        assert_eq!(ratio_words(&rate), "0.893 × [0.854, 0.926]");
    }
}
