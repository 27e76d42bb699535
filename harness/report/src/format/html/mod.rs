//! `report.html`: one file that needs nothing else. A script only adds to it.

pub mod compare;
mod document;
mod prose;
mod script;
pub mod trend;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::RenderError;
use crate::parallel;
use crate::plot::Chart;
use crate::view::first_token::PHASES;
use crate::view::overview::problems::{self, Entry};
use crate::view::words::count;
use crate::view::{CaseView, PromptView, ReportView, overview};
use document::Shell;

/// The charts of a prompt by name; empty for one that would only say that there is nothing.
type Pictures = BTreeMap<&'static str, String>;

/// Up to as many prompts all are open from the start.
const FEW_PROMPTS: usize = 6;

/// Up to as many placements have a column each; more would leave the screen, or be mostly empty.
const MOST_COLUMNS: usize = 4;

/// The page.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &ReportView) -> Result<String, RenderError> {
    let entries = |wanted: &dyn Fn(&CaseView) -> bool| problems::entries(view.cases().filter(|case| wanted(case)));
    let is_not_run = |case: &CaseView| matches!(case.status, "skipped" | "unjudged");
    let how_many =
        |wanted: &dyn Fn(&CaseView) -> bool| count(view.cases().filter(|case| wanted(case)).count(), "case", "cases");
    let is_wide = view.placements.len() > MOST_COLUMNS;
    let page = Page {
        shell: Shell::new(),
        report: view,
        case_count: how_many(&|_| true),
        problems: entries(&|case| matches!(case.status, "failed" | "setup")),
        flaky: entries(&|case| case.status == "flaky"),
        pending: entries(&|case| case.status == "pending"),
        expected: entries(&|case| case.goes_wrong_as_expected),
        expected_cases: how_many(&|case| case.goes_wrong_as_expected),
        not_run: entries(&is_not_run),
        not_run_cases: how_many(&is_not_run),
        anchors: view
            .cases()
            .map(|case| (case.case.as_str(), case.anchor.as_str()))
            .collect(),
        matrix: matrix(view),
        columns: match is_wide {
            true => BTreeMap::new(),
            false => columns(view),
        },
        is_wide,
        opens_all: prompts(view).count() <= FEW_PROMPTS,
        charts: charts(view),
        first_token_phases: PHASES,
        captions: Chart::ALL.map(|chart| (chart.name(), chart.caption())).into(),
        data: script::json_in_page(&overview::data(view))?,
    };
    document::fill("report/report.html.jinja", page)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    shell: Shell,
    report: &'a ReportView,
    case_count: String,
    problems: Vec<Entry<'a>>,
    flaky: Vec<Entry<'a>>,
    pending: Vec<Entry<'a>>,
    expected: Vec<Entry<'a>>,
    expected_cases: String,
    not_run: Vec<Entry<'a>>,
    not_run_cases: String,
    /// By the case's name.
    anchors: BTreeMap<&'a str, &'a str>,
    matrix: Vec<MatrixRow<'a>>,
    /// By the prompt's slug: under each placement of the run the position of its case.
    columns: BTreeMap<&'a str, Vec<Option<usize>>>,
    /// A row for each case instead of a column for each placement.
    is_wide: bool,
    opens_all: bool,
    /// By the prompt's slug.
    charts: BTreeMap<&'a str, Pictures>,
    captions: BTreeMap<&'static str, &'static str>,
    first_token_phases: [&'static str; 5],
    /// The figures as JSON that is safe in a page.
    data: String,
}

/// A prompt in a list of all.
#[derive(Serialize)]
struct MatrixRow<'a> {
    scenario: &'a str,
    prompt: &'a str,
    slug: &'a str,
    /// The status that wants a look most.
    status: &'static str,
}

fn prompts(view: &ReportView) -> impl Iterator<Item = &PromptView> {
    view.scenarios.iter().flat_map(|scenario| &scenario.prompts)
}

fn matrix(view: &ReportView) -> Vec<MatrixRow<'_>> {
    prompts(view).map(MatrixRow::of).collect()
}

impl<'a> MatrixRow<'a> {
    fn of(prompt: &'a PromptView) -> Self {
        Self {
            scenario: &prompt.scenario,
            prompt: &prompt.name,
            slug: &prompt.slug,
            status: most_pressing(&prompt.cases),
        }
    }
}

fn columns(view: &ReportView) -> BTreeMap<&str, Vec<Option<usize>>> {
    let of = |prompt: &PromptView| -> Vec<Option<usize>> {
        let position = |name: &String| prompt.cases.iter().position(|case| case.placement == *name);
        view.placements.iter().map(position).collect()
    };
    prompts(view).map(|prompt| (prompt.slug.as_str(), of(prompt))).collect()
}

/// The status of a prompt in a list of many.
fn most_pressing(cases: &[CaseView]) -> &'static str {
    let order = ["failed", "setup", "pending", "flaky", "unjudged", "passed", "skipped"];
    let met = order
        .into_iter()
        .find(|status| cases.iter().any(|case| case.status == *status));
    met.unwrap_or("unjudged")
}

/// For each prompt its charts.
fn charts(view: &ReportView) -> BTreeMap<&str, Pictures> {
    let prompts: Vec<&PromptView> = prompts(view).collect();
    let draw = |prompt: &&PromptView| -> Pictures {
        let chart = |chart: Chart| match chart.has_data(prompt) {
            true => document::named_chart(chart.name(), |width| chart.bare(view, prompt, width)),
            false => String::new(),
        };
        Chart::ALL.map(|kind| (kind.name(), chart(kind))).into()
    };
    let slugs = prompts.iter().map(|prompt| prompt.slug.as_str());
    slugs.zip(parallel::map(&prompts, draw)).collect()
}
