//! The cases of which something changed, each with all that is to be said of it.

use placebench_core::compare::{CaseComparison, Change, CounterChange};
use serde::Serialize;

use super::moved::{MovedView, moved};
use super::table::{TableRow, sense, table_row};
use super::timings::{self, TimingView};
use super::{FactView, Input, StatusInput, case_name};
use crate::view::changes::{Standing, case_words, counter_row};
use crate::view::words::message;

/// Cases that a page has a section of; its table has them all.
pub const MOST_SECTIONS: usize = 40;

/// A case of which something changed.
#[derive(Debug, Clone, Serialize)]
pub struct CaseSection {
    /// Its name.
    pub case: String,
    /// Its name as it is in the comparison.
    #[serde(skip)]
    pub case_key: String,
    /// Its place on the page; empty beyond [`MOST_SECTIONS`].
    pub anchor: String,
    /// What became of it: `worse`, `better`, `open`.
    pub sense: &'static str,
    /// How it ended before and now, where that differs.
    pub status: Option<FactView>,
    /// What can be counted and is not the same.
    pub counters: Vec<TableRow>,
    /// The same in sentences.
    #[serde(skip)]
    facts: Vec<(&'static str, String)>,
    /// Modules on another device than before.
    pub moved: Option<MovedView>,
    /// Its times, where one of them changed or is not clear.
    pub timings: Vec<TimingView>,
    /// What must be known about them.
    pub remarks: Vec<String>,
}

/// The sections, the worst first.
pub(super) fn sections(input: &Input<'_>) -> Vec<CaseSection> {
    let mut all: Vec<(Standing, CaseSection)> = Vec::new();
    for status in &input.statuses {
        if !input.comparison.cases.iter().any(|case| case.case == status.case) {
            let standing = if status.is_broken {
                Standing::Worse
            } else {
                Standing::Unclear
            };
            all.push((standing, without_figures(status)));
        }
    }
    for (case, standing) in input.comparison.cases.iter().zip(input.standings) {
        let section = section(input, case, *standing);
        if !section.is_quiet() {
            all.push((*standing, section));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.worst().total_cmp(&a.1.worst())));
    let mut sections: Vec<CaseSection> = all.into_iter().map(|(_, section)| section).collect();
    for (index, section) in sections.iter_mut().enumerate() {
        // A link to a section that is not on the page would lead nowhere.
        if index < MOST_SECTIONS {
            section.anchor = format!("case-{}", index + 1);
        }
        if let Some(status) = &mut section.status {
            status.anchor.clone_from(&section.anchor);
        }
        for timing in &mut section.timings {
            timing.anchor.clone_from(&section.anchor);
        }
    }
    sections
}

fn without_figures(status: &StatusInput<'_>) -> CaseSection {
    CaseSection {
        case: case_name(status.case, status.case),
        case_key: status.case.to_owned(),
        anchor: String::new(),
        sense: if status.is_broken { "worse" } else { "other" },
        status: Some(fact_of(status)),
        counters: Vec::new(),
        facts: Vec::new(),
        moved: None,
        timings: Vec::new(),
        remarks: Vec::new(),
    }
}

fn section(input: &Input<'_>, case: &CaseComparison, standing: Standing) -> CaseSection {
    let status = input.statuses.iter().find(|status| status.case == case.case);
    let maps = input.maps.iter().find(|maps| maps.case == case.case);
    let words = case_words(case, false);
    let mut remarks = words.remarks;
    let own = input.remarks.iter().filter(|(name, _)| *name == case.case);
    remarks.extend(own.map(|(_, remark)| remark.clone()));
    let name = case_name(&case.case, &case.base_case);
    let changed = || case.counters.iter().filter(|row| row.change != CounterChange::Same);
    let counters = changed().map(|counter| table_row(&name, "", counter_row(counter), [None; 3]));
    let facts = changed().map(|counter| {
        let row = counter_row(counter);
        let told = counter.detail.clone().filter(|_| counter.base.is_none());
        let told = told.or_else(|| counter.reason.as_ref().map(|reason| reason.sentence()));
        let [what, base, new, change, _, _] = row.cells;
        let sentence = match told {
            Some(told) => format!("{what}: {told}"),
            None if change.is_empty() => format!("{what}: {base} → {new}"),
            None => format!("{what}: {base} → {new} ({change})"),
        };
        (sense(row.tone), message(&sentence))
    });
    let is_loud = case
        .timings
        .iter()
        .any(|row| !matches!(row.change, Change::Same | Change::NoVerdict));
    CaseSection {
        case: name.clone(),
        case_key: case.case.clone(),
        anchor: String::new(),
        sense: match standing {
            Standing::Worse | Standing::Slower => "worse",
            Standing::Better => "better",
            _ => "open",
        },
        status: status.map(fact_of),
        counters: counters.collect(),
        facts: facts.collect(),
        moved: maps.and_then(moved),
        timings: match is_loud {
            true => case.timings.iter().map(|row| timings::view(case, row, "")).collect(),
            false => Vec::new(),
        },
        remarks: remarks.iter().map(|remark| message(remark)).collect(),
    }
}

fn fact_of(status: &StatusInput<'_>) -> FactView {
    let reason = match status.reason.is_empty() {
        true => String::new(),
        false => format!(": {}", status.reason),
    };
    FactView {
        case: case_name(status.case, status.case),
        anchor: String::new(),
        sense: if status.is_broken { "worse" } else { "other" },
        sentence: message(&format!("{}, was {}{reason}", status.new, status.base)),
    }
}

/// What can be counted and is not the same, and what broke.
pub(super) fn facts(sections: &[CaseSection]) -> Vec<FactView> {
    let of = |section: &CaseSection| -> Vec<FactView> {
        let own = section
            .facts
            .iter()
            .filter(|(sense, _)| *sense != "open")
            .map(|(sense, sentence)| FactView {
                case: section.case.clone(),
                anchor: section.anchor.clone(),
                sense,
                sentence: sentence.clone(),
            });
        section.status.clone().into_iter().chain(own).collect()
    };
    sections.iter().flat_map(of).collect()
}

impl CaseSection {
    fn is_quiet(&self) -> bool {
        self.status.is_none()
            && self.counters.is_empty()
            && self.timings.is_empty()
            && self.remarks.is_empty()
            && self.moved.is_none()
    }

    /// The largest change of a time for the worse.
    fn worst(&self) -> f64 {
        let changes = self.timings.iter().filter(|timing| timing.sense == "worse");
        changes
            .filter_map(|timing| timing.chart.log_ratio)
            .fold(f64::MIN, f64::max)
    }
}
