//! The page of a trend: one file that needs nothing else. A script only adds to it.

use serde::Serialize;

use super::document::{self, Shell};
use crate::RenderError;
use crate::plot::trend::{Detail, chart, spark};
use crate::view::trend::{FigureView, TrendView};

/// Series whose charts are there at once; the others are folded.
const MOST_OPEN: usize = 40;

/// Series on the page at all: 2 MiB hold them with a hundred runs each.
const MOST_SERIES: usize = 220;

/// Series whose charts tell of every run and of its attempts.
const MOST_FULL: usize = 20;

/// States on the page.
const MOST_STATES: usize = 100;

/// Newest runs in the table of a series.
const MOST_ROWS: usize = 40;

/// The page of a trend.
///
/// # Errors
/// When the template does not fit the view.
pub fn render(view: &TrendView) -> Result<String, RenderError> {
    let changed = view.figures.iter().filter(|figure| figure.sense != "quiet").count();
    // Where nothing changed, some charts are there all the same.
    let open = match changed {
        0 => view.figures.len().min(3),
        changed => changed.min(MOST_OPEN),
    };
    let detail = |index: usize| {
        if index < open.min(MOST_FULL) {
            Detail::Full
        } else {
            Detail::Plain
        }
    };
    let figures = view.figures.iter().take(MOST_SERIES).enumerate();
    let shown: Vec<Shown<'_>> = figures
        .map(|(index, figure)| shown(index, figure, detail(index)))
        .collect();
    let (first, folded) = shown.split_at(open.min(shown.len()));
    let page = Page {
        shell: Shell::new(),
        trend: view,
        states: view.states.get(..MOST_STATES).unwrap_or(&view.states),
        more_states: view.states.len().saturating_sub(MOST_STATES),
        open: first,
        folded,
        all: &shown,
        more_series: view.figures.len().saturating_sub(MOST_SERIES),
        most_rows: MOST_ROWS,
    };
    document::fill("trend/trend.html.jinja", page)
}

/// All that the template asks for.
#[derive(Serialize)]
struct Page<'a> {
    shell: Shell,
    trend: &'a TrendView,
    states: &'a [crate::view::trend::StateView],
    more_states: usize,
    open: &'a [Shown<'a>],
    folded: &'a [Shown<'a>],
    all: &'a [Shown<'a>],
    more_series: usize,
    most_rows: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    figure: &'a FigureView,
    anchor: String,
    charts: String,
    /// The series as a line in a table.
    spark: String,
    /// What the columns of that table are sorted by.
    last: Option<f64>,
    ratio: Option<f64>,
}

fn shown(index: usize, figure: &FigureView, detail: Detail) -> Shown<'_> {
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
    Shown {
        figure,
        anchor: format!("series-{index}"),
        charts: document::chart(|width| chart(&figure.chart, &title, detail, width)),
        spark: spark(&figure.chart.values),
        last: figure.chart.values.last().copied().filter(|last| last.is_finite()),
        ratio: figure.chart.ratio.filter(|ratio| ratio.is_finite()),
    }
}
