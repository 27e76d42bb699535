//! `results.csv`: one row a case, flat, the same columns in every run.
//!
//! Seconds, bytes and tokens per second; an empty cell is a figure that was not measured. Where `timing_valid` is
//! `false` the text was wrong: the five columns that would be read as speeds are empty then, and the raw stamps are in
//! `attempts.jsonl`. What the plan predicted is in two columns, empty where no rates were stated; it is no
//! measurement, so that a wrong text does not empty it. `exact_match_rate` is the share of generations that say the same,
//! empty where nothing was repeated. Columns are only ever added at the end.

use placebench_core::device::DeviceBytes;
use placebench_core::record::{CaseSpec, CaseVerdict, Finding, IndexedRun, RunRecord};

use crate::RenderError;
use crate::view::case::deciding_attempt;
use crate::view::forecast::shared;
use crate::view::words::{Lines, visible};

/// The columns, in order.
pub const COLUMNS: [&str; 35] = [
    "case",
    "scenario",
    "prompt",
    "placement",
    "engine",
    "model",
    "status",
    "outcome",
    "phase",
    "at",
    "text_verdict",
    "timing_valid",
    "attempts",
    "samples",
    "load_s",
    "ttft_s",
    "tpot_s",
    "e2e_s",
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "input_tokens",
    "output_tokens",
    "finish_reason",
    "hops_per_token",
    "transfer_bytes_per_token",
    "weights_bytes",
    "kv_cache_bytes",
    "peak_memory_bytes",
    "devices_used",
    "findings",
    "expected_findings",
    "sentence",
    "predicted_ttft_s",
    "predicted_tpot_s",
    "exact_match_rate",
];

/// The whole table.
///
/// # Errors
/// When the writer fails.
pub fn render(record: &RunRecord) -> Result<Vec<u8>, RenderError> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    let record = &IndexedRun::new(record);
    for spec in &record.info.cases {
        writer.write_record(row(record, spec))?;
    }
    writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()).into())
}

fn row(record: &IndexedRun<'_>, spec: &CaseSpec) -> [String; 35] {
    let verdict = record.verdict_of(&spec.case);
    let attempt = deciding_attempt(record, spec, verdict);
    let outcome = attempt.map(|attempt| &attempt.outcome);
    let unmeasured = placebench_core::record::CaseMetrics::default();
    let metrics = verdict.map_or(&unmeasured, |verdict| &verdict.metrics);
    let valid = verdict.is_none_or(|verdict| verdict.text.timing_is_valid());
    let speed = |value: Option<f64>| float(value.filter(|_| valid));
    let predicted = shared(record, spec).and_then(|forecast| forecast.prediction.as_ref());
    let timed = metrics.ttft_s.is_some() || metrics.e2e_s.is_some();
    [
        cell(&spec.case),
        cell(&spec.scenario),
        cell(&spec.prompt),
        cell(&spec.placement),
        cell(&spec.engine),
        cell(&spec.model.label()),
        verdict
            .map(|verdict| verdict.status.as_str().to_owned())
            .unwrap_or_default(),
        verdict
            .map(|verdict| verdict.outcome.as_str().to_owned())
            .unwrap_or_default(),
        outcome
            .and_then(|outcome| outcome.phase())
            .map(|phase| phase.to_string())
            .unwrap_or_default(),
        outcome
            .and_then(|outcome| outcome.place())
            .map(|place| cell(&place.name()))
            .unwrap_or_default(),
        verdict
            .map(|verdict| verdict.text.as_str().to_owned())
            .unwrap_or_default(),
        if timed { valid.to_string() } else { String::new() },
        verdict.map(|verdict| verdict.attempts.to_string()).unwrap_or_default(),
        verdict.map(|_| metrics.samples.to_string()).unwrap_or_default(),
        float(metrics.load_s),
        speed(metrics.ttft_s),
        speed(metrics.tpot_s),
        speed(metrics.e2e_s),
        speed(metrics.prefill_tokens_per_s),
        speed(metrics.decode_tokens_per_s),
        whole(metrics.input_tokens),
        whole(metrics.output_tokens),
        metrics.finish_reason.as_deref().map(cell).unwrap_or_default(),
        float(metrics.hops_per_token),
        float(metrics.transfer_bytes_per_token),
        per_device(&metrics.weights_bytes),
        per_device(&metrics.kv_cache_bytes),
        per_device(&metrics.peak_memory_bytes),
        devices_used(&metrics.weights_bytes),
        verdict.map(|verdict| findings(&verdict.findings)).unwrap_or_default(),
        verdict
            .map(|verdict| findings(&verdict.expected_findings))
            .unwrap_or_default(),
        verdict.map(sentence).unwrap_or_default(),
        float(predicted.map(|prediction| prediction.ttft.time_s)),
        float(predicted.map(|prediction| prediction.tpot.time_s)),
        float(metrics.exact_match_rate),
    ]
}

fn sentence(verdict: &CaseVerdict) -> String {
    cell(&verdict.sentence)
}

/// Untrusted text as a cell: visible, bounded, and never a formula when a spreadsheet opens the file.
///
/// A quotation mark goes in front of what would begin one (OWASP, "CSV Injection"): at the start, and after a `;`, which
/// separates cells where the comma is the decimal sign.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    let mut at_start = true;
    for c in visible(text, Lines::Join, 1000).chars() {
        // Pictures of tab, line feed and carriage return: some spreadsheets pass over the real ones.
        if at_start && "=+-@␉␊␍＝＋－＠".contains(c) {
            cell.push('\'');
        }
        at_start = c == ';' || (at_start && (c.is_whitespace() || c == '"'));
        cell.push(c);
    }
    cell
}

fn float(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map(|value| value.to_string())
        .unwrap_or_default()
}

fn whole(value: Option<u32>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// `sim:0=1048576;sim:1=2097152`.
fn per_device(figures: &[DeviceBytes]) -> String {
    let words: Vec<String> = figures
        .iter()
        .map(|figure| format!("{}={}", figure.device, figure.bytes.0))
        .collect();
    words.join(";")
}

fn devices_used(weights: &[DeviceBytes]) -> String {
    if weights.is_empty() {
        return String::new();
    }
    weights.iter().filter(|figure| figure.bytes.0 > 0).count().to_string()
}

/// `check: message | check: message`.
fn findings(findings: &[Finding]) -> String {
    let words: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}: {}", finding.check, finding.message))
        .collect();
    cell(&words.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a spreadsheet sees in a cell once it has passed over what it passes over.
    fn is_formula(cell: &str) -> bool {
        let seen = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '"');
        seen.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_formula_wherever_cells_part(text in "([=+@; \"\t\r\n＝\u{a0}\u{2003}-]|[a-c]|\\PC){0,12}") {
            let cell = cell(&text);
            proptest::prop_assert!(!is_formula(&cell), "{cell:?}");
            proptest::prop_assert!(cell.split(';').all(|part| !is_formula(part)), "{cell:?}");
            proptest::prop_assert!(!cell.contains(['\t', '\r', '\n']));
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in [
            "=cmd|' /C calc'!A0",
            "+1",
            "-1",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            " =1",
            "＝1",
            "\u{2003}=1",
            "\"=1",
        ] {
            assert!(!is_formula(&cell(text)), "{text:?}");
        }
        assert_eq!(cell("-1"), "'-1");
        assert_eq!(cell("a; =b;c=d"), "a; '=b;c=d");
        assert_eq!(cell("plain = text"), "plain = text");
    }
}
