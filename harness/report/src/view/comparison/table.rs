//! Every figure of a comparison, for a table that can be sorted.

use placebench_core::compare::Comparison;
use serde::Serialize;

use super::case_name;
use super::cases::CaseSection;
use crate::view::changes::{Row, Tone, counter_row, is_speed, timing_row};
use crate::view::words::line;

/// A figure on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableRow {
    /// The case.
    pub case: String,
    /// Where the page says more of it; empty where it does not.
    pub anchor: String,
    /// One cell for each of [`COLUMNS`](crate::view::changes::COLUMNS).
    pub cells: [String; 6],
    /// What base, new and change are sorted by; absent sorts last.
    pub values: [Option<f64>; 3],
    /// What counts as a change.
    pub floor: String,
    /// `worse`, `better`, `open`, or nothing: its colour.
    pub sense: &'static str,
}

/// A row for each figure, in the order of the cases.
pub(super) fn rows(comparison: &Comparison, sections: &[CaseSection]) -> Vec<TableRow> {
    let mut rows = Vec::new();
    for case in &comparison.cases {
        let name = case_name(&case.case, &case.base_case);
        let anchor = sections.iter().find(|section| section.case_key == case.case);
        let anchor = anchor.map_or("", |section| section.anchor.as_str());
        let mut push = |row: Row, values: [Option<f64>; 3]| rows.push(table_row(&name, anchor, row, values));
        for counter in &case.counters {
            let value = |value: Option<u64>| value.map(|value| value as f64);
            let (base, new) = (value(counter.base), value(counter.new));
            let ratio = base
                .zip(new)
                .filter(|(base, _)| *base > 0.0)
                .map(|(base, new)| new / base);
            push(counter_row(counter), [base, new, ratio]);
        }
        for timing in &case.timings {
            let values = [timing.base, timing.new, timing.ratio];
            push(
                timing_row(timing),
                values.map(|value| value.filter(|_| is_speed(timing))),
            );
        }
    }
    rows
}

pub(super) fn table_row(case: &str, anchor: &str, row: Row, values: [Option<f64>; 3]) -> TableRow {
    TableRow {
        case: case.to_owned(),
        anchor: anchor.to_owned(),
        cells: row.cells.map(|cell| line(&cell)),
        values: values.map(|value| value.filter(|value| value.is_finite())),
        floor: line(&row.floor),
        sense: sense(row.tone),
    }
}

pub(super) fn sense(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "worse",
        Tone::Good => "better",
        Tone::Unknown => "open",
        Tone::Plain => "",
    }
}
