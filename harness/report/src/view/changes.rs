//! A comparison in words: rows of what has changed, and sentences on what cannot be said. What `compare` and a gate say of the
//! same figures is said here, once. Nothing here is escaped or shortened: names and reasons hold words of scenarios, machines
//! and workers.

use placebench_core::compare::{
    CaseComparison, Change, Comparison, Counter, CounterChange, CounterRow, NoVerdictReason, ThresholdSource,
    TimingMetric, TimingRow, TimingWarning,
};
use placebench_core::exit_code::ExitCode;
use placebench_core::units::{Bytes, human_seconds};

use super::words::{count, number};

/// The columns of a case's table.
pub const COLUMNS: [&str; 6] = ["what", "base", "new", "change", "interval", "verdict"];

/// Cases that a sentence about several names.
const NAMED: usize = 3;

/// How a row is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Worse, or another.
    Bad,
    /// Better.
    Good,
    /// Nobody knows.
    Unknown,
    /// Neither.
    Plain,
}

/// A figure on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One cell for each of [`COLUMNS`].
    pub cells: [String; 6],
    /// What counts as a change: a tolerance, or the floor of a time. Empty where any difference does.
    pub floor: String,
    /// How to look at it.
    pub tone: Tone,
}

/// What is to be said of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseWords {
    /// Its name.
    pub case: String,
    /// Its figures.
    pub rows: Vec<Row>,
    /// What must be known about them, in sentences.
    pub remarks: Vec<String>,
}

/// The figures of a case that have changed, or with `all` all of them.
#[must_use]
pub fn case_words(case: &CaseComparison, all: bool) -> CaseWords {
    let mut rows = Vec::new();
    let mut remarks = Vec::new();
    for counter in &case.counters {
        if all || counter.change != CounterChange::Same {
            rows.push(counter_row(counter));
        }
        let told = counter.reason.as_ref().map(NoVerdictReason::sentence);
        // What the cells of a number say already is not said again.
        let detail = counter.detail.clone().filter(|_| counter.base.is_none());
        if let Some(told) = told.or(detail) {
            remarks.push(format!("{}: {told}", counter_name(counter)));
        }
    }
    for timing in &case.timings {
        // Why there is no verdict is said once for all cases.
        if all || !matches!(timing.change, Change::Same | Change::NoVerdict) {
            rows.push(timing_row(timing));
            remarks.extend(timing.warnings.iter().map(|warning| warning_words(timing, warning)));
            remarks.extend(floor_words(timing));
        }
    }
    if let Some(pairs) = case.pairs_wanted.filter(|_| case.change == Some(Change::Unclear)) {
        remarks.push(format!("unclear: run it with repetitions = {pairs} to know more"));
    }
    CaseWords {
        case: case_name(case),
        rows,
        remarks,
    }
}

/// What a case is called: with the other one where it is held against another placement.
#[must_use]
pub fn case_name(case: &CaseComparison) -> String {
    match case.base_case == case.case {
        true => case.case.clone(),
        false => format!("{} against {}", case.case, case.base_case),
    }
}

fn counter_name(row: &CounterRow) -> String {
    match row.of.as_str() {
        "" => row.counter.as_str().to_owned(),
        of => format!("{} ({of})", row.counter.as_str()),
    }
}

pub(super) fn counter_row(row: &CounterRow) -> Row {
    let is_bytes = row.unit == Counter::PeakBytes.unit();
    let shown = |value: u64| match is_bytes {
        true => Bytes(value).to_string(),
        false => value.to_string(),
    };
    let (mut base, mut new) = (row.base.map(shown), row.new.map(shown));
    // A few bytes more vanish in rounding.
    if base == new && row.base != row.new {
        (base, new) = (row.base.map(|n| format!("{n} B")), row.new.map(|n| format!("{n} B")));
    }
    let change = match (row.base, row.new) {
        (Some(base), Some(new)) if base > 0 && base != new => percent(new as f64 / base as f64),
        _ => String::new(),
    };
    let (word, tone) = match row.change {
        CounterChange::Same => ("same", Tone::Plain),
        CounterChange::Better => ("better", Tone::Good),
        CounterChange::Worse => ("worse", Tone::Bad),
        CounterChange::Differs => ("differs", Tone::Bad),
        CounterChange::NoVerdict => ("no verdict", Tone::Unknown),
    };
    // A map has no number: what differs is said below the table.
    let absent = if row.change == CounterChange::NoVerdict {
        "-"
    } else {
        ""
    };
    let dash = |value: Option<String>| value.unwrap_or_else(|| absent.to_owned());
    Row {
        cells: [
            counter_name(row),
            dash(base),
            dash(new),
            change,
            String::new(),
            word.to_owned(),
        ],
        floor: match row.tolerance > 0.0 {
            true => percent(1.0 + row.tolerance).replace('+', ""),
            false => String::new(),
        },
        tone,
    }
}

pub(super) fn timing_row(row: &TimingRow) -> Row {
    let is_speed = is_speed(row);
    let shown = |value: Option<f64>| match (value, row.unit.as_str()) {
        (None, _) => "-".to_owned(),
        (Some(value), "s") => human_seconds(value),
        (Some(value), unit) => format!("{} {unit}", number(value)),
    };
    let of_pairs = |pairs: u32| format!("{pairs} of {} pairs", row.pairs.len());
    let (word, tone) = match row.change {
        Change::Same => ("same".to_owned(), Tone::Plain),
        Change::Faster => (format!("faster, {}", of_pairs(row.pairs_faster)), Tone::Good),
        Change::Slower => (format!("slower, {}", of_pairs(row.pairs_slower)), Tone::Bad),
        Change::Unclear => ("unclear".to_owned(), Tone::Unknown),
        Change::NoVerdict => ("no verdict".to_owned(), Tone::Unknown),
    };
    let interval = row.ratio_interval.map_or_else(String::new, |interval| {
        format!("{} to {}", percent(interval.low), percent(interval.high))
    });
    Row {
        cells: [
            row.metric.as_str().to_owned(),
            if is_speed {
                shown(row.base)
            } else {
                "invalid".to_owned()
            },
            if is_speed { shown(row.new) } else { "invalid".to_owned() },
            row.ratio.filter(|_| is_speed).map_or_else(String::new, percent),
            if is_speed { interval } else { String::new() },
            word,
        ],
        floor: percent(row.floor.log_ratio.exp()).replace('+', ""),
        tone,
    }
}

/// False where a text is wrong on one of the sides: what was measured is no speed then, and a ratio to it says nothing. Loading
/// comes before any text.
pub(super) fn is_speed(row: &TimingRow) -> bool {
    let is_wrong = matches!(row.reason, Some(NoVerdictReason::TextInvalid { .. }));
    !is_wrong || row.metric == TimingMetric::LoadS
}

/// The change that a ratio is.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let change = (ratio - 1.0) * 100.0;
    let decimals = if change.abs() < 10.0 { 1 } else { 0 };
    let text = format!("{change:+.decimals$}");
    let is_zero = text.chars().all(|c| matches!(c, '+' | '-' | '0' | '.'));
    let text = if is_zero { "0" } else { text.as_str() };
    format!("{text} %")
}

/// A floor that this machine set and not the gate.
fn floor_words(row: &TimingRow) -> Option<String> {
    (row.floor.source == ThresholdSource::Calibrated).then(|| {
        format!(
            "{}: equal sides differ by {} on this machine, so only more counts as a change",
            row.metric.as_str(),
            percent(row.floor.log_ratio.exp())
        )
    })
}

fn warning_words(row: &TimingRow, warning: &TimingWarning) -> String {
    let told = match warning {
        TimingWarning::Outliers { attempts } => {
            let numbers: Vec<String> = attempts.iter().map(u32::to_string).collect();
            format!("far from the others, and kept: attempts {}", numbers.join(", "))
        }
        TimingWarning::FirstStandsApart { side } => format!(
            "the first attempt of the {} side stands apart: more warm-up may be wanted",
            side.as_str()
        ),
        TimingWarning::Unpaired { attempts } => {
            let attempts = count(*attempts as usize, "attempt", "attempts");
            format!("{attempts} without a counterpart left out")
        }
    };
    format!("{}: {told}", row.metric.as_str())
}

/// Why timings have no verdict: each reason once, however many cases it holds for. `hint` adds what to do about it.
#[must_use]
pub fn without_verdict(comparison: &Comparison, hint: &dyn Fn(&NoVerdictReason) -> String) -> Vec<String> {
    struct Open<'a> {
        reason: &'a NoVerdictReason,
        metrics: Vec<&'static str>,
        cases: Vec<String>,
    }
    let mut open: Vec<Open<'_>> = Vec::new();
    for case in &comparison.cases {
        for timing in &case.timings {
            let Some(reason) = &timing.reason else { continue };
            let metric = timing.metric.as_str();
            let at = open.iter().position(|known| known.reason == reason);
            let known = match at.and_then(|at| open.get_mut(at)) {
                Some(known) => known,
                None => {
                    let (metrics, cases) = (Vec::new(), Vec::new());
                    open.push(Open { reason, metrics, cases });
                    let Some(last) = open.last_mut() else { continue };
                    last
                }
            };
            if !known.metrics.contains(&metric) {
                known.metrics.push(metric);
            }
            if known.cases.last() != Some(&case.case) {
                known.cases.push(case.case.clone());
            }
        }
    }
    let sentence = |open: Open<'_>| {
        let hint = hint(open.reason);
        format!(
            "no verdict on {} of {}: {}{hint}",
            open.metrics.join(", "),
            named(&open.cases),
            open.reason.sentence()
        )
    };
    open.into_iter().map(sentence).collect()
}

/// `a, b, c and 4 more`.
#[must_use]
pub fn named(cases: &[String]) -> String {
    let first = cases.get(..NAMED.min(cases.len())).unwrap_or_default().join(", ");
    match cases.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What has become of a case, for counting. The first that is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A counter got worse or is another, or the case broke.
    Worse,
    /// A timing got slower.
    Slower,
    /// Something of it cannot be judged.
    NoVerdict,
    /// A timing might have changed.
    Unclear,
    /// Something got better.
    Better,
    /// Nothing has changed.
    Same,
}

impl Standing {
    /// What the figures of a case say.
    #[must_use]
    pub fn of(case: &CaseComparison) -> Self {
        let counters = case.counters.iter().map(|row| match row.change {
            CounterChange::Worse | CounterChange::Differs => Self::Worse,
            CounterChange::NoVerdict => Self::NoVerdict,
            CounterChange::Better => Self::Better,
            CounterChange::Same => Self::Same,
        });
        let timings = case.timings.iter().map(|row| match row.change {
            Change::Slower => Self::Slower,
            Change::NoVerdict => Self::NoVerdict,
            Change::Unclear => Self::Unclear,
            Change::Faster => Self::Better,
            Change::Same => Self::Same,
        });
        counters.chain(timings).min().unwrap_or(Self::Same)
    }
}

/// `1 worse or different, 2 the same`, and whatever else there is to count.
#[must_use]
pub fn tally(standings: &[Standing], others: &[(usize, &str)]) -> String {
    let count = |wanted: Standing| standings.iter().filter(|standing| **standing == wanted).count();
    let words = [
        (Standing::Worse, "worse or different"),
        (Standing::Slower, "slower"),
        (Standing::NoVerdict, "without a verdict"),
        (Standing::Unclear, "unclear"),
        (Standing::Better, "better"),
        (Standing::Same, "the same"),
    ];
    let counts = words.map(|(standing, word)| (count(standing), word));
    let parts = counts.iter().chain(others).filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| format!("{number} {word}")).collect();
    match parts.is_empty() {
        true => "nothing was compared".to_owned(),
        false => format!(
            "{} compared: {}",
            super::words::count(standings.len(), "case", "cases"),
            parts.join(", ")
        ),
    }
}

/// What an answer means.
#[must_use]
pub fn meaning(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Passed => "nothing got worse",
        ExitCode::CaseFailed => "something that can be counted got worse or is another, or a case broke",
        ExitCode::Slower => "everything is right but slower",
        _ => "nothing can be said of the whole",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_signed_and_no_change_is_not() {
        let shown = [1.0, 1.000_04, 0.999_96, 1.5, 0.5, 1.061, 2.5].map(percent);
        assert_eq!(shown, ["0 %", "0 %", "0 %", "+50 %", "-50 %", "+6.1 %", "+150 %"]);
    }

    #[test]
    fn a_few_cases_are_named_and_the_rest_counted() {
        let cases: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(named(&cases), "a, b, c and 2 more");
        assert_eq!(named(&cases[..3]), "a, b, c");
        assert_eq!(named(&[]), "");
    }
}
