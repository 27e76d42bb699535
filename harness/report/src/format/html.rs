//! `report.html`: one file that needs nothing else, not even a script.
//!
//! Everything from a record goes through the template engine's escaping; the only markup that is not escaped again are
//! the charts, which escape their own labels. A content security policy in the page forbids scripts and loading.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::RenderError;
use crate::parallel;
use crate::plot::palette::{Scheme, css_classes, css_variables};
use crate::plot::{Chart, svg::svg};
use crate::view::{CaseView, Figure, PromptView, ReportView};

const TEMPLATE: &str = include_str!("../../assets/report.html.jinja");
const STYLE: &str = include_str!("../../assets/report.css");

/// Widths at which every chart is laid out: one for reading at a desk and on paper, one for a phone.
const WIDTHS: [(f64, &str); 2] = [(920.0, "wide"), (320.0, "narrow")];

/// The page.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &ReportView) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report", TEMPLATE)?;
    let cases =
        |wanted: &dyn Fn(&CaseView) -> bool| -> Vec<&CaseView> { view.cases().filter(|case| wanted(case)).collect() };
    let page = Page {
        report: view,
        style: STYLE,
        paints: css_classes(),
        light: css_variables(Scheme::Light),
        dark: css_variables(Scheme::Dark),
        problems: cases(&|case| matches!(case.status, "failed" | "setup")),
        flaky: cases(&|case| case.status == "flaky"),
        pending: cases(&|case| case.status == "pending"),
        expected: cases(&|case| {
            case.status == "passed" && (case.outcome != "completed" || !case.expected_findings.is_empty())
        }),
        not_run: cases(&|case| matches!(case.status, "skipped" | "unjudged")),
        matrix: matrix(view),
        charts: charts(view),
        captions: Chart::ALL.map(Chart::caption),
    };
    Ok(environment.get_template("report")?.render(Value::from(Serde(page)))?)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    report: &'a ReportView,
    style: &'static str,
    paints: String,
    light: String,
    dark: String,
    problems: Vec<&'a CaseView>,
    flaky: Vec<&'a CaseView>,
    pending: Vec<&'a CaseView>,
    expected: Vec<&'a CaseView>,
    not_run: Vec<&'a CaseView>,
    matrix: Vec<MatrixRow<'a>>,
    charts: Vec<Vec<String>>,
    captions: [&'static str; 5],
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

/// For each prompt its charts, each at every width; nothing for a chart that would only say that there is nothing.
fn charts(view: &ReportView) -> Vec<Vec<String>> {
    let of = |prompt: &&PromptView| {
        let at_width = |chart: Chart, (width, class): (f64, &str)| svg(&chart.bare(view, prompt, width), class);
        let chart = |chart: Chart| -> String {
            let widths = WIDTHS.iter().filter(|_| chart.has_data(prompt));
            widths.map(|width| at_width(chart, *width)).collect()
        };
        Chart::ALL.into_iter().map(chart).collect()
    };
    let prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    parallel::map(&prompts.collect::<Vec<&PromptView>>(), of)
}
