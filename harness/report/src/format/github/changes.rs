//! What a comparison has to say: of each case what got worse, what got better, and what cannot be said and why.

use placebench_core::compare::{
    Arrangement, CaseComparison, Change, Comparison, Counter, CounterChange, CounterRow, TimingRow,
};
use placebench_core::record::{GateBase, GateVerdict};
use placebench_core::units::{Bytes, human_seconds};

use super::{Annotation, Level, Place};
use crate::view::words::{line, message, number};

/// What was compared with, in words: `baseline main`, `the program ./old (0.1.0)`.
#[must_use]
pub fn base_words(base: &GateBase) -> String {
    match base {
        GateBase::Baseline { name, .. } => format!("baseline {}", line(name)),
        GateBase::Program { program, version } => format!("the program {} ({})", line(program), line(version)),
    }
}

/// Remarks on what a run was held against, the worst first. `place` finds the line of a case.
#[must_use]
pub fn of_gate(gate: &GateVerdict, place: &dyn Fn(&str) -> Option<Place>) -> Vec<Annotation> {
    let base = base_words(&gate.base);
    let mut all = of_comparison(&gate.comparison, &base, place);
    all.extend(gate.notes.iter().map(|note| Annotation {
        level: Level::Warning,
        title: format!("placebench: compared with {base}"),
        message: message(note),
        place: None,
    }));
    all
}

/// Remarks on a comparison with `base`, the worst first: counters, then the times that changed most.
#[must_use]
pub fn of_comparison(comparison: &Comparison, base: &str, place: &dyn Fn(&str) -> Option<Place>) -> Vec<Annotation> {
    let mut worse: Vec<(f64, Annotation)> = Vec::new();
    let mut better = Vec::new();
    for case in &comparison.cases {
        let mut add = |level, word: &str, lines: Vec<String>| {
            if lines.is_empty() {
                return;
            }
            let annotation = Annotation {
                level,
                title: format!("{}: {word} {base}", line(&case.case)),
                message: lines.join("\n"),
                place: place(&case.case),
            };
            match level {
                Level::Notice => better.push(annotation),
                Level::Error | Level::Warning => worse.push((weight(case), annotation)),
            }
        };
        let counters = |wanted: fn(CounterChange) -> bool| {
            let rows = case.counters.iter().filter(move |row| wanted(row.change));
            rows.map(counter_words).collect::<Vec<String>>()
        };
        let timings = |wanted: Change| {
            let rows = case.timings.iter().filter(move |row| row.change == wanted);
            rows.map(timing_words).collect::<Vec<String>>()
        };
        add(
            Level::Error,
            "differs from",
            counters(|change| change == CounterChange::Differs),
        );
        add(
            Level::Error,
            "worse than",
            counters(|change| change == CounterChange::Worse),
        );
        let level = if timings_gate(comparison) {
            Level::Error
        } else {
            Level::Warning
        };
        add(level, "slower than", timings(Change::Slower));
        let good_news = [
            counters(|change| change == CounterChange::Better),
            timings(Change::Faster),
        ];
        add(Level::Notice, "better than", good_news.concat());
    }
    // The sort keeps the order of the run among equals.
    worse.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut all: Vec<Annotation> = worse.into_iter().map(|(_, annotation)| annotation).collect();
    all.extend(of_undecided(comparison, base, place));
    all.append(&mut better);
    all
}

/// Whether a slower time alone fails the gate.
#[must_use]
pub fn timings_gate(comparison: &Comparison) -> bool {
    comparison.spec.arrangement == Arrangement::Interleaved || comparison.spec.separate_timings_gate
}

/// How bad a case is: what can be counted outweighs times, and they by how much they changed.
fn weight(case: &CaseComparison) -> f64 {
    let is_wrong = |row: &&CounterRow| matches!(row.change, CounterChange::Differs | CounterChange::Worse);
    if case.counters.iter().any(|row| is_wrong(&row)) {
        return f64::INFINITY;
    }
    let slower = case.timings.iter().filter(|row| row.change == Change::Slower);
    let change = slower.filter_map(|row| row.ratio).map(|ratio| ratio.ln().abs());
    change.fold(0.0, f64::max)
}

/// Why something of some cases has no verdict, or is unclear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided<'a> {
    /// The reason. May hold any text.
    pub reason: String,
    /// Names of the figures that it holds for.
    pub figures: Vec<&'static str>,
    /// Names of the cases.
    pub cases: Vec<&'a str>,
}

impl Undecided<'_> {
    /// `load_s, ttft_s: measured on unlike machines`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.figures.join(", "), message(&self.reason))
    }
}

/// What nothing can be said of: each reason once, however many cases it holds for.
#[must_use]
pub fn undecided(comparison: &Comparison) -> Vec<Undecided<'_>> {
    let mut all: Vec<Undecided<'_>> = Vec::new();
    for case in &comparison.cases {
        let mut note = |reason: String, figure: &'static str| {
            let at = all.iter().position(|known| known.reason == reason);
            let at = at.unwrap_or_else(|| {
                all.push(Undecided {
                    reason,
                    figures: Vec::new(),
                    cases: Vec::new(),
                });
                all.len() - 1
            });
            let Some(known) = all.get_mut(at) else { return };
            if !known.figures.contains(&figure) {
                known.figures.push(figure);
            }
            if known.cases.last() != Some(&case.case.as_str()) {
                known.cases.push(&case.case);
            }
        };
        let open = case
            .counters
            .iter()
            .filter(|row| row.change == CounterChange::NoVerdict);
        for row in open {
            let reason = row.reason.as_ref().map(|reason| reason.sentence());
            note(
                reason.unwrap_or_else(|| "nothing can be said".to_owned()),
                row.counter.as_str(),
            );
        }
        for row in &case.timings {
            match (row.change, &row.reason) {
                (Change::NoVerdict, Some(reason)) => note(reason.sentence(), row.metric.as_str()),
                (Change::NoVerdict, None) => note("nothing can be said".to_owned(), row.metric.as_str()),
                (Change::Unclear, _) => {
                    let more = case
                        .pairs_wanted
                        .map(|pairs| format!(": run it with repetitions = {pairs} to know more"));
                    note(format!("unclear{}", more.unwrap_or_default()), row.metric.as_str());
                }
                (Change::Same | Change::Faster | Change::Slower, _) => {}
            }
        }
    }
    all
}

/// A remark for each reason.
fn of_undecided(comparison: &Comparison, base: &str, place: &dyn Fn(&str) -> Option<Place>) -> Vec<Annotation> {
    let remark = |open: Undecided<'_>| {
        let names: Vec<String> = open.cases.iter().map(|case| line(case)).collect();
        match names.as_slice() {
            [only] => Annotation {
                level: Level::Warning,
                title: format!("{only}: no verdict against {base}"),
                message: open.words(),
                place: open.cases.first().and_then(|case| place(case)),
            },
            all => Annotation {
                level: Level::Warning,
                title: format!("placebench: no verdict on {} cases against {base}", all.len()),
                message: format!("{}\n{}", open.words(), super::named(all)),
                place: None,
            },
        }
    };
    undecided(comparison).into_iter().map(remark).collect()
}

/// `ttft_s: 30.1 ms to 35.2 ms, +17 % (+15 % to +19 %), 6 of 6 pairs`.
#[must_use]
pub fn timing_words(row: &TimingRow) -> String {
    let shown = |value: Option<f64>| match value {
        None => "unknown".to_owned(),
        Some(value) if row.unit == "s" => human_seconds(value),
        Some(value) => format!("{} {}", number(value), line(&row.unit)),
    };
    let mut words = format!("{}: {} to {}", row.metric.as_str(), shown(row.base), shown(row.new));
    if let Some(ratio) = row.ratio {
        words.push_str(&format!(", {}", percent(ratio)));
    }
    if let Some(interval) = row.ratio_interval {
        words.push_str(&format!(" ({} to {})", percent(interval.low), percent(interval.high)));
    }
    let pairs = match row.change {
        Change::Slower => Some(row.pairs_slower),
        Change::Faster => Some(row.pairs_faster),
        Change::Same | Change::Unclear | Change::NoVerdict => None,
    };
    if let Some(pairs) = pairs {
        words.push_str(&format!(", {pairs} of {} pairs", row.pairs.len()));
    }
    if let Some(reason) = &row.reason {
        words.push_str(&format!(", {}", message(&reason.sentence())));
    }
    words
}

/// `peak_bytes (sim:0): 1.00 MiB to 1.50 MiB, +50 %`, or what differs.
#[must_use]
pub fn counter_words(row: &CounterRow) -> String {
    let is_bytes = row.unit == Counter::PeakBytes.unit();
    let shown = |value: u64| {
        if is_bytes {
            Bytes(value).to_string()
        } else {
            value.to_string()
        }
    };
    let name = match row.of.as_str() {
        "" => row.counter.as_str().to_owned(),
        of => format!("{} ({})", row.counter.as_str(), line(of)),
    };
    let mut parts = Vec::new();
    if let (Some(base), Some(new)) = (row.base, row.new) {
        let (mut before, mut now) = (shown(base), shown(new));
        // A few bytes more vanish in rounding.
        if before == now && base != new {
            (before, now) = (format!("{base} B"), format!("{new} B"));
        }
        parts.push(format!("{before} to {now}"));
        if base > 0 && base != new {
            parts.push(percent(new as f64 / base as f64));
        }
    }
    // Where there are numbers, the detail repeats them.
    if parts.is_empty() {
        parts.extend(row.detail.as_deref().map(message));
    }
    parts.extend(row.reason.as_ref().map(|reason| message(&reason.sentence())));
    if parts.is_empty() {
        parts.push("another one".to_owned());
    }
    format!("{name}: {}", parts.join(", "))
}

/// The change that a ratio is: `+17 %`.
fn percent(ratio: f64) -> String {
    let change = (ratio - 1.0) * 100.0;
    let decimals = if change.abs() < 10.0 { 1 } else { 0 };
    let text = format!("{change:+.decimals$}");
    match text.as_str() {
        "+0.0" | "-0.0" => "0 %".to_owned(),
        text => format!("{text} %"),
    }
}
