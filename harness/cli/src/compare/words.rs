//! A comparison in words: rows of what has changed, and sentences on what cannot be said. Nothing here is escaped: names and
//! reasons hold words of scenarios, machines and workers.

use placebench_core::compare::{
    CaseComparison, Change, Counter, CounterChange, CounterRow, NoVerdictReason, Relation, ThresholdSource, TimingRow,
    TimingWarning,
};
use placebench_core::units::Bytes;
use placebench_report::view::words::fine_seconds;

use super::document::{Document, RunName};
use super::sentences::{closing, sentences};
use crate::terminal::counted;

/// The columns of a case's table.
pub(crate) const COLUMNS: [&str; 6] = ["what", "base", "new", "change", "interval", "verdict"];

/// How a row is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Good,
    Unknown,
    Plain,
}

/// A figure on both sides.
pub(crate) struct Row {
    pub(crate) cells: [String; 6],
    pub(crate) tone: Tone,
}

/// What is to be said of a case.
pub(crate) struct CaseWords {
    pub(crate) case: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) remarks: Vec<String>,
}

/// What is to be said of a comparison.
pub(crate) struct Words {
    /// The two runs, or the one that holds both sides.
    pub(crate) runs: Vec<String>,
    /// The cases that something is to be said of.
    pub(crate) cases: Vec<CaseWords>,
    /// What was not compared, what has no verdict, and by what it was judged.
    pub(crate) sentences: Vec<String>,
    /// The answer in one line.
    pub(crate) closing: String,
}

/// Puts a comparison into words; with `all`, of what has not changed too.
pub(crate) fn words(document: &Document, all: bool) -> Words {
    let mut cases: Vec<CaseWords> = Vec::new();
    // What broke may have no figures, so that it is no case of the comparison.
    for change in &document.status_changes {
        if !document.comparison.cases.iter().any(|case| case.case == change.case) {
            cases.push(CaseWords {
                case: change.case.clone(),
                rows: Vec::new(),
                remarks: Vec::new(),
            });
        }
    }
    let compared = document.comparison.cases.iter();
    cases.extend(compared.map(|case| case_words(document, case, all)));
    for change in &document.status_changes {
        if let Some(case) = cases.iter_mut().find(|case| case.case == change.case) {
            case.rows.insert(0, status_row(change));
            case.remarks.insert(0, change.reason.clone());
        }
    }
    cases.retain(|case| !case.rows.is_empty() || !case.remarks.is_empty());
    Words {
        runs: match document.comparison.spec.relation {
            Relation::Versions => vec![run_words("base", &document.base), run_words("new", &document.new)],
            Relation::Placements => vec![run_words("placements", &document.new)],
        },
        cases,
        sentences: sentences(document),
        closing: closing(document),
    }
}

fn run_words(side: &str, run: &RunName) -> String {
    let tool = &run.tool;
    format!(
        "{side}: {}, started {} by {} {} ({})",
        run.run_id, run.started_at, tool.name, tool.version, tool.profile
    )
}

fn status_row(change: &super::matching::StatusChange) -> Row {
    let (word, tone) = if change.is_broken {
        ("worse", Tone::Bad)
    } else {
        ("differs", Tone::Plain)
    };
    let (base, new) = (change.base.as_str().to_owned(), change.new.as_str().to_owned());
    Row {
        cells: ["status".into(), base, new, String::new(), String::new(), word.into()],
        tone,
    }
}

fn case_words(document: &Document, case: &CaseComparison, all: bool) -> CaseWords {
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
    let mut asked = document.asked_otherwise.iter();
    if let Some(asked) = asked.find(|asked| asked.case == case.case) {
        remarks.push(format!(
            "the new run asked something else: its {} changed",
            asked.asked_otherwise.join(", ")
        ));
    }
    CaseWords {
        case: match case.base_case == case.case {
            true => case.case.clone(),
            false => format!("{} against {}", case.case, case.base_case),
        },
        rows,
        remarks,
    }
}

fn counter_name(row: &CounterRow) -> String {
    match row.of.as_str() {
        "" => row.counter.as_str().to_owned(),
        of => format!("{} ({of})", row.counter.as_str()),
    }
}

fn counter_row(row: &CounterRow) -> Row {
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
        tone,
    }
}

fn timing_row(row: &TimingRow) -> Row {
    let shown = |value: Option<f64>| match (value, row.unit.as_str()) {
        (None, _) => "-".to_owned(),
        (Some(value), "s") => fine_seconds(value),
        (Some(value), unit) => format!("{} {unit}", placebench_report::view::words::number(value)),
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
            shown(row.base),
            shown(row.new),
            row.ratio.map_or_else(String::new, percent),
            interval,
            word,
        ],
        tone,
    }
}

/// The change that a ratio is.
pub(super) fn percent(ratio: f64) -> String {
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
            format!("{} without a counterpart left out", counted(*attempts, "attempt"))
        }
    };
    format!("{}: {told}", row.metric.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_signed_and_no_change_is_not() {
        let shown = [1.0, 1.000_04, 0.999_96, 1.5, 0.5, 1.061, 2.5].map(percent);
        assert_eq!(shown, ["0 %", "0 %", "0 %", "+50 %", "-50 %", "+6.1 %", "+150 %"]);
    }
}
