//! The page of a comparison: one file that needs nothing else. A script only adds to it.

use serde::Serialize;

use super::document::{self, Shell};
use crate::RenderError;
use crate::plot::{forest, moved, sides};
use crate::view::comparison::cases::MOST_SECTIONS;
use crate::view::comparison::{CaseSection, ComparisonView, TimingView};

/// Rows of the table of everything: 2 MiB hold them.
const MOST_ROWS: usize = 3000;

/// Sentences of a list.
const MOST_SENTENCES: usize = 100;

/// The page of a comparison.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &ComparisonView) -> Result<String, RenderError> {
    let names = match view.is_of_placements {
        true => ["reference", "placement"],
        false => ["base", "new"],
    };
    let first = |list: &[TimingView]| list.len().saturating_sub(forest::MOST_ROWS);
    let page = Page {
        shell: Shell::new(),
        comparison: view,
        loud: forest_of(&view.loud, "Times that changed or are not clear"),
        more_loud: first(&view.loud),
        quiet: forest_of(&view.quiet, "Times that are the same"),
        more_quiet: first(&view.quiet),
        cases: view
            .cases
            .iter()
            .take(MOST_SECTIONS)
            .map(|case| shown(case, names))
            .collect(),
        more_cases: view.cases.len().saturating_sub(MOST_SECTIONS),
        facts: view.facts.iter().take(MOST_SENTENCES).collect(),
        more_facts: view.facts.len().saturating_sub(MOST_SENTENCES),
        not_compared: view.not_compared.get(..MOST_SENTENCES).unwrap_or(&view.not_compared),
        more_not_compared: view.not_compared.len().saturating_sub(MOST_SENTENCES),
        rows: view.table.get(..MOST_ROWS).unwrap_or(&view.table),
        more_rows: view.table.len().saturating_sub(MOST_ROWS),
    };
    document::fill("compare/compare.html.jinja", page)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    shell: Shell,
    comparison: &'a ComparisonView,
    loud: String,
    more_loud: usize,
    quiet: String,
    more_quiet: usize,
    cases: Vec<Shown<'a>>,
    more_cases: usize,
    facts: Vec<&'a crate::view::comparison::FactView>,
    more_facts: usize,
    not_compared: &'a [String],
    more_not_compared: usize,
    rows: &'a [crate::view::comparison::TableRow],
    more_rows: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    case: &'a CaseSection,
    moved: String,
    timings: Vec<(&'a TimingView, String)>,
}

fn forest_of(rows: &[TimingView], title: &str) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => document::chart(|width| forest::chart(rows, title, width)),
    }
}

fn shown<'a>(case: &'a CaseSection, names: [&str; 2]) -> Shown<'a> {
    let moved = case.moved.as_ref().map(|moved| {
        let title = format!("Placement of {}. {}", case.case, moved.sentence);
        document::chart(|width| moved::chart(moved, names, &title, width))
    });
    let points = |timing: &'a TimingView| {
        let title = format!(
            "{} of {}: {} → {}, {}",
            timing.metric, case.case, timing.base, timing.new, timing.verdict
        );
        let chart = match timing.pairs {
            0 => String::new(),
            _ => document::chart(|width| sides::chart(&timing.chart, names, &title, width)),
        };
        (timing, chart)
    };
    let changed = case.timings.iter().filter(|timing| timing.sense != "same");
    Shown {
        case,
        moved: moved.unwrap_or_default(),
        timings: changed.map(points).collect(),
    }
}
