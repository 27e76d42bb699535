//! The page of a trend: one file that needs nothing else, not even a script.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::RenderError;
use crate::plot::palette::{Scheme, css_classes, css_variables};
use crate::plot::svg::svg;
use crate::plot::trend::chart;
use crate::view::trend::{FigureView, TrendView};

const TEMPLATE: &str = include_str!("../../assets/trend.html.jinja");
const STYLE: &str = include_str!("../../assets/report.css");

/// Widths at which every chart is laid out: one for reading at a desk and on paper, one for a phone.
const WIDTHS: [(f64, &str); 2] = [(920.0, "wide"), (320.0, "narrow")];

/// Series whose charts are there at once; the others are folded.
const MOST_OPEN: usize = 40;

/// Series on the page at all: 2 MiB hold them with a hundred runs each.
const MOST_SERIES: usize = 240;

/// States on the page.
const MOST_STATES: usize = 100;

/// Newest runs in the table of a series.
const MOST_ROWS: usize = 40;

/// The page of a trend.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &TrendView) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("trend", TEMPLATE)?;
    let changed = view.figures.iter().filter(|figure| figure.sense != "quiet").count();
    // Where nothing changed, some charts are there all the same.
    let open = match changed {
        0 => view.figures.len().min(3),
        changed => changed.min(MOST_OPEN),
    };
    let shown: Vec<Shown<'_>> = view.figures.iter().take(MOST_SERIES).enumerate().map(shown).collect();
    let (first, folded) = shown.split_at(open.min(shown.len()));
    let page = Page {
        trend: view,
        style: STYLE,
        paints: css_classes(),
        light: css_variables(Scheme::Light),
        dark: css_variables(Scheme::Dark),
        states: view.states.get(..MOST_STATES).unwrap_or(&view.states),
        more_states: view.states.len().saturating_sub(MOST_STATES),
        open: first,
        folded,
        more_series: view.figures.len().saturating_sub(MOST_SERIES),
        most_rows: MOST_ROWS,
    };
    Ok(environment.get_template("trend")?.render(Value::from(Serde(page)))?)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    trend: &'a TrendView,
    style: &'static str,
    paints: String,
    light: String,
    dark: String,
    states: &'a [crate::view::trend::StateView],
    more_states: usize,
    open: &'a [Shown<'a>],
    folded: &'a [Shown<'a>],
    more_series: usize,
    most_rows: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    figure: &'a FigureView,
    anchor: String,
    charts: String,
}

fn shown((index, figure): (usize, &FigureView)) -> Shown<'_> {
    let title = format!(
        "{} of {} over {} runs, now {}. {}",
        figure.metric,
        figure.case,
        figure.runs,
        figure.last,
        figure
            .changes
            .first()
            .map_or("No change.", |change| change.size.as_str())
    );
    let charts = WIDTHS
        .iter()
        .map(|(width, class)| svg(&chart(&figure.chart, &title, *width), class));
    Shown {
        figure,
        anchor: format!("series-{index}"),
        charts: charts.collect(),
    }
}
