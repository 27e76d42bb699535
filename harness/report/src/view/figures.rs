//! The figures of a case in words, or why they are none.

use placebench_core::record::{CaseMetrics, TextVerdict};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::Figure;
use super::memory::MemoryView;
use super::status;
use super::words::{line, number, rate};

/// A figure with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedFigure {
    /// What it is.
    pub name: &'static str,
    /// Its value, or why there is none.
    pub figure: Figure,
}

/// A figure, unless the text was wrong.
pub(super) fn figure(value: Option<String>, text: TextVerdict, why: &str) -> Figure {
    match value {
        Some(_) if !text.timing_is_valid() => Figure::Invalid(status::invalid(text)),
        Some(value) => Figure::Measured(value),
        None => Figure::Missing(why.to_owned()),
    }
}

/// The largest peak of a device.
pub(super) fn peak(memory: &[MemoryView], why: &str) -> Figure {
    let largest = memory
        .iter()
        .filter(|device| device.peak.is_some())
        .max_by_key(|device| device.peak);
    match largest {
        Some(device) => Figure::Measured(format!("{} on {}", device.words[2], device.device)),
        None => Figure::Missing(why.to_owned()),
    }
}

/// `1 hop and 24.0 KiB per token`.
pub(super) fn traffic(metrics: &CaseMetrics) -> String {
    let hops = metrics.hops_per_token.map(|hops| {
        let noun = if (hops - 1.0).abs() < f64::EPSILON {
            "hop"
        } else {
            "hops"
        };
        if hops == 0.0 {
            "no hop".into()
        } else {
            format!("{} {noun}", number(hops))
        }
    });
    let bytes = metrics
        .transfer_bytes_per_token
        .filter(|bytes| *bytes > 0.0)
        .map(bytes_words);
    match (hops, bytes) {
        (Some(hops), Some(bytes)) => format!("{hops}, {bytes} per token"),
        (Some(hops), None) => format!("{hops} per token"),
        (None, _) => String::new(),
    }
}

/// A mean number of bytes, rounded to whole ones.
fn bytes_words(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded byte count; the cast saturates"
    )]
    let whole = bytes.round() as u64;
    placebench_core::units::Bytes(whole).to_string()
}

/// All figures, in the order in which they are read.
pub(super) fn figures(metrics: &CaseMetrics, text: TextVerdict, why: &str) -> Vec<NamedFigure> {
    let speed = |value: Option<String>| figure(value, text, why);
    let plain = |value: Option<String>| value.map_or_else(|| Figure::Missing(why.to_owned()), Figure::Measured);
    let seconds = |value: Option<f64>| value.map(human_seconds);
    let named = |name: &'static str, figure: Figure| NamedFigure { name, figure };
    vec![
        named("load", plain(seconds(metrics.load_s))),
        named("time to first token", speed(seconds(metrics.ttft_s))),
        named("time per token", speed(seconds(metrics.tpot_s))),
        named("end to end", speed(seconds(metrics.e2e_s))),
        named("prefill", speed(metrics.prefill_tokens_per_s.map(rate))),
        named("decode", speed(metrics.decode_tokens_per_s.map(rate))),
        named("tokens in", plain(metrics.input_tokens.map(|n| n.to_string()))),
        named("tokens out", plain(metrics.output_tokens.map(|n| n.to_string()))),
        named("ended by", plain(metrics.finish_reason.as_deref().map(line))),
        named(
            "moved between devices",
            plain(Some(traffic(metrics)).filter(|words| !words.is_empty())),
        ),
        named("samples", plain(Some(metrics.samples.to_string()))),
        named("exact match", exact_match(metrics)),
    ]
}

/// How many generations say the same: `6 of 6`, `4 of 6 (2 different texts)`.
fn exact_match(metrics: &CaseMetrics) -> Figure {
    let (Some(matching), Some(distinct)) = (metrics.matching_generations, metrics.distinct_texts) else {
        return Figure::Missing("not repeated".into());
    };
    let texts = match distinct {
        0 | 1 => String::new(),
        distinct => format!(" ({distinct} different texts)"),
    };
    Figure::Measured(format!("{matching} of {}{texts}", metrics.samples))
}
