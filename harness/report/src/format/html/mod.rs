//! `report.html`: one file that needs nothing else, not even a script.

pub mod compare;
mod document;
pub mod trend;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::RenderError;
use crate::parallel;
use crate::plot::Chart;
use crate::view::first_token::PHASES;
use crate::view::{CaseView, Figure, PromptView, ReportView};
use document::Shell;

/// The charts of a prompt by name; empty for one that would only say that there is nothing.
type Pictures = BTreeMap<&'static str, String>;

/// The page.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &ReportView) -> Result<String, RenderError> {
    let cases =
        |wanted: &dyn Fn(&CaseView) -> bool| -> Vec<&CaseView> { view.cases().filter(|case| wanted(case)).collect() };
    let page = Page {
        shell: Shell::new(),
        report: view,
        problems: cases(&|case| matches!(case.status, "failed" | "setup")),
        flaky: cases(&|case| case.status == "flaky"),
        pending: cases(&|case| case.status == "pending"),
        expected: cases(&|case| {
            case.status == "passed" && (case.outcome != "completed" || !case.expected_findings.is_empty())
        }),
        not_run: cases(&|case| matches!(case.status, "skipped" | "unjudged")),
        matrix: matrix(view),
        charts: charts(view),
        first_token_phases: PHASES,
        captions: Chart::ALL.map(|chart| (chart.name(), chart.caption())).into(),
    };
    document::fill("report/report.html.jinja", page)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    shell: Shell,
    report: &'a ReportView,
    problems: Vec<&'a CaseView>,
    flaky: Vec<&'a CaseView>,
    pending: Vec<&'a CaseView>,
    expected: Vec<&'a CaseView>,
    not_run: Vec<&'a CaseView>,
    matrix: Vec<MatrixRow<'a>>,
    /// By the prompt's slug.
    charts: BTreeMap<&'a str, Pictures>,
    captions: BTreeMap<&'static str, &'static str>,
    first_token_phases: [&'static str; 5],
}

/// A row of the overview: a prompt, and under each placement its case.
#[derive(Serialize)]
struct MatrixRow<'a> {
    scenario: &'a str,
    prompt: &'a str,
    slug: &'a str,
    cells: Vec<Option<Cell<'a>>>,
}

#[derive(Serialize)]
struct Cell<'a> {
    placement: &'a str,
    anchor: &'a str,
    status: &'a str,
    words: &'a str,
    text: &'a str,
    figures: [(&'static str, &'a Figure); 3],
    /// Why a timing is missing or invalid, said once instead of in every line.
    why: &'a str,
}

fn matrix(view: &ReportView) -> Vec<MatrixRow<'_>> {
    let row = |prompt: &'_ PromptView| -> Vec<Option<usize>> {
        let position = |name: &String| prompt.cases.iter().position(|case| case.placement == *name);
        view.placements.iter().map(position).collect()
    };
    let prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    prompts
        .map(|prompt| MatrixRow {
            scenario: &prompt.scenario,
            prompt: &prompt.name,
            slug: &prompt.slug,
            cells: row(prompt)
                .into_iter()
                .map(|index| index.map(|index| cell(&prompt.cases[index])))
                .collect(),
        })
        .collect()
}

fn cell(case: &CaseView) -> Cell<'_> {
    let why = match &case.ttft {
        Figure::Measured(_) => "",
        Figure::Invalid(why) | Figure::Missing(why) => why,
    };
    Cell {
        placement: &case.placement,
        anchor: &case.anchor,
        status: case.status,
        words: &case.status_words,
        text: &case.text_words,
        figures: [("TTFT", &case.ttft), ("TPOT", &case.tpot), ("peak", &case.peak)],
        why,
    }
}

/// For each prompt its charts.
fn charts(view: &ReportView) -> BTreeMap<&str, Pictures> {
    let prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    let prompts: Vec<&PromptView> = prompts.collect();
    let draw = |prompt: &&PromptView| -> Pictures {
        let chart = |chart: Chart| match chart.has_data(prompt) {
            true => document::chart(|width| chart.bare(view, prompt, width)),
            false => String::new(),
        };
        Chart::ALL.map(|kind| (kind.name(), chart(kind))).into()
    };
    let slugs = prompts.iter().map(|prompt| prompt.slug.as_str());
    slugs.zip(parallel::map(&prompts, draw)).collect()
}
