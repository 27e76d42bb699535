//! Bencher Metric Format (<https://bencher.dev/docs/reference/bencher-metric-format>), for `bencher run --adapter json`:
//! benchmark → measure → value.
//!
//! A benchmark is a case, or a case on a device: `smoke/tiny/story/auto {sim:0}`. A measure is called what records call it,
//! with hyphens (`ttft-s`, `peak-memory-bytes`): that is a slug, so that it is found again, and Bencher makes it at the first
//! report. Values are in the unit that the name ends with. Lower and upper values are the smallest and the largest median
//! of an attempt.

use std::collections::BTreeMap;

use placebench_core::record::RunRecord;
use serde::Serialize;

use super::figures::figures;
use crate::RenderError;

/// A value with what it may be.
#[derive(Debug, Serialize)]
struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

/// The whole file; an empty object where nothing can be followed.
///
/// # Errors
/// When the writer fails.
pub fn render(record: &RunRecord) -> Result<String, RenderError> {
    let mut benchmarks: BTreeMap<String, BTreeMap<String, Metric>> = BTreeMap::new();
    for figure in figures(record) {
        let benchmark = match figure.device {
            Some(device) => format!("{} {{{device}}}", figure.case),
            None => figure.case,
        };
        let metric = Metric {
            value: figure.value,
            lower_value: figure.range.map(|(low, _)| low),
            upper_value: figure.range.map(|(_, high)| high),
        };
        let measures = benchmarks.entry(benchmark).or_default();
        measures.insert(figure.metric.replace('_', "-"), metric);
    }
    Ok(serde_json::to_string_pretty(&benchmarks)?)
}
