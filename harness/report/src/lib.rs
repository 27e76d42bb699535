//! Records to bytes: HTML, PNG, CSV, JUnit, Markdown, and what services of others read.
//!
//! [`artifacts`] turns a [`RunRecord`] into the files of a run's folder; [`view::ReportView`] is the type to read
//! first: every rounding, every word and every grouping happens there, once, and the renderers only lay it out.
//! Nothing here measures, reads a clock or writes a file: callers get bytes and decide where they go.
//!
//! Two rules hold in every renderer. Text of models, scenarios and machines is untrusted and is neutralised for the
//! format it goes into. A timing whose text is wrong is no speed: it is shown as invalid and never drawn.

pub mod format;
mod parallel;
pub mod plot;
pub mod slug;
pub mod view;

use placebench_core::record::RunRecord;
use thiserror::Error;

use crate::view::{PromptView, ReportView};

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Relative to the run's folder, with `/`: `results.csv`, `plots/smoke-tiny--story-latency.png`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Why a report could not be made.
#[derive(Debug, Error)]
pub enum RenderError {
    /// The table could not be written.
    #[error("cannot write the table of results: {0}")]
    Csv(#[from] csv::Error),
    /// A list of figures could not be written.
    #[error("cannot write the figures: {0}")]
    Json(#[from] serde_json::Error),
    /// The test report could not be written.
    #[error("cannot write the JUnit report: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The page could not be made.
    #[error("cannot fill the page's template: {0}")]
    Html(#[from] minijinja::Error),
    /// A picture could not be drawn.
    #[error("cannot draw {picture}: {message}")]
    Plot {
        /// Title of the picture.
        picture: String,
        /// What the painter or encoder said.
        message: String,
    },
    /// The embedded font is damaged.
    #[error("the embedded font cannot be read: {0}")]
    Font(#[from] ab_glyph::InvalidFont),
}

/// All files of a run's report: `results.csv`, `junit.xml`, `report.html` and the pictures of each prompt.
///
/// # Errors
/// When a writer or painter fails; nothing in a record by itself is an error.
pub fn artifacts(record: &RunRecord) -> Result<Vec<Artifact>, RenderError> {
    let view = ReportView::new(record);
    // The page of a large run takes a third of what its pictures take.
    let texts = || {
        let page = format::html::render(&view)?.into_bytes();
        Ok::<_, RenderError>([
            ("results.csv", format::csv::render(record)?),
            ("junit.xml", format::junit::render(record)?),
            ("report.html", page),
        ])
    };
    let (texts, pictures) = parallel::both(texts, || plots(&view));
    let mut artifacts: Vec<Artifact> = texts?
        .into_iter()
        .map(|(path, bytes)| Artifact {
            path: path.into(),
            bytes,
        })
        .collect();
    artifacts.extend(pictures?);
    Ok(artifacts)
}

/// The pictures of a report: placement, memory and latency of each prompt, its placements side by side; where they are on
/// record, how placements compare, gaps in the order of the tokens, the time until the first token, and times of stages as
/// measured and predicted; of an audit, how modules compare.
///
/// # Errors
/// When the painter or the encoder fails.
pub fn plots(view: &ReportView) -> Result<Vec<Artifact>, RenderError> {
    let is_always = |chart: plot::Chart| {
        matches!(
            chart,
            plot::Chart::Placement | plot::Chart::Memory | plot::Chart::Latency
        )
    };
    let prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    let of_prompt = |prompt| {
        let wanted = move |chart: &plot::Chart| is_always(*chart) || chart.has_data(prompt);
        let charts = plot::Chart::ALL.into_iter().filter(wanted);
        charts.map(move |chart| (prompt, chart))
    };
    let charts: Vec<(&PromptView, plot::Chart)> = prompts.flat_map(of_prompt).collect();
    let fineness = plot::raster::Fineness::of(charts.len());
    let paint = |(prompt, chart): &(&PromptView, plot::Chart)| {
        Ok(Artifact {
            path: format!("plots/{}-{}.png", prompt.slug, chart.name()),
            bytes: plot::raster::png(&chart.titled(view, prompt, plot::PNG_WIDTH)?, fineness)?,
        })
    };
    parallel::map(&charts, paint).into_iter().collect()
}
