//! The lists that `benchmark-action/github-action-benchmark` reads with `tool: customSmallerIsBetter` and
//! `tool: customBiggerIsBetter`: it follows every entry by its name, and warns of those that got worse.

use placebench_core::compare::Direction;
use placebench_core::record::RunRecord;
use serde::Serialize;

use super::figures::{TrackedFigure, figures};
use crate::RenderError;
use crate::view::words::line;

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// `customSmallerIsBetter`: times, bytes, hops.
    Smaller,
    /// `customBiggerIsBetter`: tokens per second.
    Bigger,
}

/// An entry, with the keys of the action's `BenchmarkResult`.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

/// The whole list.
///
/// # Errors
/// When the writer fails.
pub fn render(record: &RunRecord, better: Better) -> Result<String, RenderError> {
    let is_wanted = |figure: &TrackedFigure<'_>| (figure.direction == Direction::Higher) == (better == Better::Bigger);
    let entries: Vec<Entry> = figures(record).into_iter().filter(is_wanted).map(entry).collect();
    Ok(serde_json::to_string_pretty(&entries)?)
}

fn entry(figure: TrackedFigure<'_>) -> Entry {
    let of_device = figure.device.map(|device| format!("{{{device}}}")).unwrap_or_default();
    // The action reads one number, so that the farther of the two ends stands for both.
    let distance = |(low, high): (f64, f64)| (figure.value - low).max(high - figure.value);
    Entry {
        name: format!("{} {}{of_device}", in_code(&figure.case), figure.metric),
        unit: figure.unit,
        value: figure.value,
        range: figure.range.map(|range| format!("± {}", distance(range))),
        extra: format!(
            "generations: {}\nengine: {}\nmodel: {}",
            figure.samples,
            line(&figure.spec.engine),
            line(&figure.spec.model.label())
        ),
    }
}

/// The action puts names into code spans of a table's cells as they are: what would end either is replaced by its like.
fn in_code(name: &str) -> String {
    name.replace('`', "'").replace('|', "¦")
}
