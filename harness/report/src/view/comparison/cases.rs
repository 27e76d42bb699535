//! The cases of which something changed, each with all that is to be said of it.

use placebench_core::compare::{CaseComparison, Change, Counter, CounterChange, CounterRow};
use serde::Serialize;

use super::moved::{MovedView, moved};
use super::table::{TableRow, table_row};
use super::timings::{self, TimingView};
use super::{FactView, Input, StatusInput, case_name};
use crate::view::changes::{Standing, Tone, case_words, counter_row};
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
    pub status: Option<StatusView>,
    /// What can be counted and is not the same.
    pub counters: Vec<TableRow>,
    /// The same in sentences, with how each is to be looked at.
    #[serde(skip)]
    facts: Vec<(Tone, String)>,
    /// Modules on another device than before.
    pub moved: Option<MovedView>,
    /// Its times, where one of them changed or is not clear.
    pub timings: Vec<TimingView>,
    /// What must be known about them.
    pub remarks: Vec<String>,
}

/// How a case ended before and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// `worse` or `other`.
    pub sense: &'static str,
    /// In a sentence.
    pub sentence: String,
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
        status: Some(status_of(status)),
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
    let moved = maps.and_then(moved);
    // What moved says more than that two maps differ.
    let is_told = |counter: Counter| moved.is_some() && matches!(counter, Counter::Plan | Counter::Realised);
    let counted = CaseComparison {
        counters: case
            .counters
            .iter()
            .filter(|row| !is_told(row.counter))
            .cloned()
            .collect(),
        ..case.clone()
    };
    let mut remarks = case_words(&counted, false).remarks;
    let own = input.remarks.iter().filter(|(name, _)| *name == case.case);
    remarks.extend(own.map(|(_, remark)| remark.clone()));
    let name = case_name(&case.case, &case.base_case);
    let changed = || counted.counters.iter().filter(|row| row.change != CounterChange::Same);
    let counters: Vec<TableRow> = changed()
        .map(|counter| table_row(&name, "", counter_row(counter), [None; 3]))
        .collect();
    let facts: Vec<(Tone, String)> = changed()
        .filter(|row| row.change != CounterChange::NoVerdict)
        .map(fact)
        .collect();
    let placed = moved.iter().map(|moved| (Tone::Bad, moved.sentence.clone()));
    let facts = placed.chain(facts).collect();
    let is_loud = case
        .timings
        .iter()
        .any(|row| !matches!(row.change, Change::Same | Change::NoVerdict));
    let mut timings: Vec<TimingView> = match is_loud {
        true => case.timings.iter().map(|row| timings::view(case, row, "")).collect(),
        false => Vec::new(),
    };
    timings::sort(&mut timings);
    CaseSection {
        case: name.clone(),
        case_key: case.case.clone(),
        anchor: String::new(),
        sense: match standing {
            Standing::Worse | Standing::Slower => "worse",
            Standing::Better => "better",
            _ => "open",
        },
        status: status.map(status_of),
        counters,
        facts,
        moved,
        timings,
        remarks: remarks.iter().map(|remark| message(remark)).collect(),
    }
}

fn fact(counter: &CounterRow) -> (Tone, String) {
    let row = counter_row(counter);
    let [what, base, new, change, _, _] = row.cells;
    let told = counter.detail.clone().filter(|_| counter.base.is_none());
    let sentence = match (told, change.is_empty()) {
        (Some(told), _) => format!("{what}: {told}"),
        (None, true) => format!("{what}: {base} → {new}"),
        (None, false) => format!("{what}: {base} → {new} ({change})"),
    };
    (row.tone, message(&sentence))
}

fn status_of(status: &StatusInput<'_>) -> StatusView {
    let reason = match status.reason.is_empty() {
        true => String::new(),
        false => format!(": {}", status.reason),
    };
    StatusView {
        sense: if status.is_broken { "worse" } else { "other" },
        sentence: message(&format!("{}, was {}{reason}", status.new, status.base)),
    }
}

/// What broke, and what can be counted and is not the same, by case.
pub(super) fn facts(sections: &[CaseSection]) -> Vec<FactView> {
    let of = |section: &CaseSection| {
        let status = section.status.iter().map(|status| status.sentence.clone());
        let counted = section.facts.iter().map(|(_, sentence)| sentence.clone());
        let sentences: Vec<String> = status.chain(counted).collect();
        let is_worse = section.status.as_ref().is_some_and(|status| status.sense == "worse");
        let tones = || section.facts.iter().map(|(tone, _)| *tone);
        let sense = match () {
            () if is_worse || tones().any(|tone| tone == Tone::Bad) => "worse",
            () if !section.facts.is_empty() && tones().all(|tone| tone == Tone::Good) => "better",
            () => "other",
        };
        (!sentences.is_empty()).then(|| FactView {
            case: section.case.clone(),
            anchor: section.anchor.clone(),
            sense,
            sentences,
        })
    };
    sections.iter().filter_map(of).collect()
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
