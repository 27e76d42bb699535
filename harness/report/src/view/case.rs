//! One case: how it ended, what it measured, and where everything was.

use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{
    Attempt, CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, Finding, IndexedRun, TextVerdict,
};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::audit::{self, AuditView};
use super::divergence::{self, DivergenceView};
use super::evidence::{self, EvidenceView};
use super::forecast::{self, ForecastView};
use super::memory::{self, MemoryView};
use super::modules::{self, PlacementView};
use super::overview::{self, CaseOverview};
use super::status;
use super::steps::{self, StepView};
use super::text::{self, OutputView};
use super::timing::Timing;
use super::words::{Lines, line, list, message, number, rate, visible};
use super::{Fact, Figure};

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// Name of the check.
    pub check: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty where nobody knows.
    pub hint: String,
}

/// A figure with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedFigure {
    /// What it is.
    pub name: &'static str,
    /// Its value, or why there is none.
    pub figure: Figure,
}

/// A case beside its siblings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseView {
    /// Its anchor in the page.
    pub anchor: String,
    /// Its whole name.
    pub case: String,
    /// Its scenario.
    pub scenario: String,
    /// Its prompt.
    pub prompt: String,
    /// Its placement.
    pub placement: String,
    /// Where it is written, with the line.
    pub source: String,
    /// The judgement; absent where there is none.
    #[serde(skip)]
    pub status_kind: Option<CaseStatus>,
    /// The judgement as a word of the record.
    pub status: &'static str,
    /// The judgement as a reader wants it: `passed`, `stalled, as expected`, `not judged`.
    pub status_words: String,
    /// What happened.
    #[serde(skip)]
    pub outcome_kind: Option<OutcomeKind>,
    /// What happened, as a word of the record.
    pub outcome: &'static str,
    /// Phase and place it ended in; empty where it completed.
    pub ended: String,
    /// Module or hop it ended at.
    pub place: Option<String>,
    /// One sentence on what happened.
    pub sentence: String,
    /// The sentence says something that neither the status nor a finding says.
    pub says_more: bool,
    /// What would make a skipped case run.
    pub skip_hint: String,
    /// The judgement on its text, as a word of the record.
    pub text_verdict: &'static str,
    /// The same, as a reader wants it.
    pub text_words: String,
    /// What is wrong.
    pub findings: Vec<FindingView>,
    /// What is wrong as expected.
    pub expected_findings: Vec<FindingView>,
    /// What was wrong with the tries before the one that decided, in words: `first try: …`.
    pub earlier_tries: Vec<String>,
    /// Median time to first token.
    pub ttft: Figure,
    /// Median time per token after the first.
    pub tpot: Figure,
    /// Largest peak of a device, with the device.
    pub peak: Figure,
    /// All figures in words.
    pub figures: Vec<NamedFigure>,
    /// Number of measured generations.
    pub samples: u32,
    /// Hops of a decode step.
    #[serde(skip)]
    pub hops_per_token: Option<f64>,
    /// Hops and bytes in words.
    pub traffic: String,
    /// Raw latencies.
    #[serde(skip)]
    pub timing: Timing,
    /// Median time to first token in seconds; absent where it is no speed.
    #[serde(skip)]
    pub ttft_s: Option<f64>,
    /// Where its modules were.
    pub placed: PlacementView,
    /// Its memory.
    pub memory: Vec<MemoryView>,
    /// The first token and a token after it, by stages and hops.
    #[serde(skip)]
    pub steps: [StepView; 2],
    /// What was foreseen beside what was measured; absent where nothing was foreseen and stages were not measured.
    pub forecast: Option<ForecastView>,
    /// Its output.
    pub output: OutputView,
    /// Phases with their durations.
    pub phases: Vec<Fact>,
    /// Injected faults in words; empty for none.
    pub faults: String,
    /// Last lines of the worker's log.
    pub log: String,
    /// What was seen of the worker when its deadline had passed.
    pub evidence: Option<EvidenceView>,
    /// What did not come back after the attempt; empty where all did.
    pub not_recovered: String,
    /// How its modules compare with those of the reference; only where that was looked at.
    pub audit: Option<AuditView>,
    /// Where its text parts from others.
    pub divergences: Vec<DivergenceView>,
    /// What has to be known of the comparison.
    pub notes: Vec<String>,
    /// What the overview says of it.
    pub overview: CaseOverview,
}

/// The attempt a verdict speaks of: the first with its outcome, preferring the one with its very sentence.
#[must_use]
pub fn deciding_attempt<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    verdict: Option<&CaseVerdict>,
) -> Option<&'a Attempt> {
    let Some(verdict) = verdict else {
        return record.deciding_attempts(spec).last();
    };
    record
        .deciding_attempts(spec)
        .find(|attempt| attempt.outcome.kind() == verdict.outcome && attempt.outcome.sentence() == verdict.sentence)
        .or_else(|| {
            record
                .deciding_attempts(spec)
                .find(|attempt| attempt.outcome.kind() == verdict.outcome)
        })
        .or_else(|| record.deciding_attempts(spec).last())
}

/// The attempt whose placement is shown: a case can end before it has loaded while an earlier attempt got further.
fn placed_attempt<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    deciding: Option<&'a Attempt>,
) -> Option<&'a Attempt> {
    let got_further = || {
        record
            .deciding_attempts(spec)
            .find(|attempt| attempt.realised.is_some())
    };
    deciding
        .filter(|attempt| attempt.realised.is_some() || attempt.planned.is_some())
        .or_else(got_further)
        .or(deciding)
}

/// Everything a report says of a case.
#[must_use]
pub fn view(
    record: &IndexedRun<'_>,
    spec: &CaseSpec,
    reference: Option<&CaseSpec>,
    devices: &[String],
    number: usize,
) -> CaseView {
    let verdict = record.verdict_of(&spec.case);
    let attempt = deciding_attempt(record, spec, verdict);
    let placed = placed_attempt(record, spec, attempt);
    let unmeasured = CaseMetrics::default();
    let metrics = verdict.map_or(&unmeasured, |verdict| &verdict.metrics);
    let why = status::why_missing(spec, verdict, attempt);
    let text = verdict.map_or(TextVerdict::Unchecked, |verdict| verdict.text);
    let memory = memory::view(spec, metrics, placed, devices);
    let timing = timing(record, spec, text, &why);
    let is_timed = status::is_timed(record, spec);
    // Of a case that is not timed, no time is foreseen either.
    let foreseen = forecast::shared(record, spec).filter(|_| is_timed);
    let steps = steps::view(&steps::Source {
        attempts: &record
            .deciding_attempts(spec)
            .filter(|_| is_timed)
            .collect::<Vec<&Attempt>>(),
        metrics,
        prediction: foreseen.and_then(|forecast| forecast.prediction.as_ref()),
        text,
        why_missing: &why,
        devices,
    });
    let seconds = |value: Option<f64>| figure(value.map(human_seconds), text, &why);
    let skip_hint = attempt.and_then(|attempt| match &attempt.outcome {
        Outcome::Skipped { hint, .. } => hint.as_deref(),
        _ => None,
    });
    CaseView {
        anchor: format!("case-{number}"),
        case: line(&spec.case),
        scenario: line(&spec.scenario),
        prompt: line(&spec.prompt),
        placement: line(&spec.placement),
        source: line(&format!("{}:{}", spec.file, spec.line)),
        status_kind: verdict.map(|verdict| verdict.status),
        status: verdict.map_or("unjudged", |verdict| verdict.status.as_str()),
        status_words: status::status_words(verdict),
        outcome_kind: verdict.map(|verdict| verdict.outcome),
        outcome: verdict.map_or("", |verdict| verdict.outcome.as_str()),
        ended: status::ended_words(attempt),
        place: attempt
            .and_then(|attempt| attempt.outcome.place())
            .map(|place| line(&place.name()).replace("->", "→")),
        sentence: message(verdict.map_or(why.as_str(), |verdict| &verdict.sentence)),
        says_more: status::says_more(verdict),
        skip_hint: skip_hint.map(message).unwrap_or_default(),
        text_verdict: verdict.map_or("", |verdict| verdict.text.as_str()),
        text_words: status::text_words(verdict),
        findings: verdict.map(|verdict| findings(&verdict.findings)).unwrap_or_default(),
        expected_findings: verdict
            .map(|verdict| findings(&verdict.expected_findings))
            .unwrap_or_default(),
        earlier_tries: verdict.map(status::earlier_words).unwrap_or_default(),
        ttft: seconds(metrics.ttft_s),
        tpot: seconds(metrics.tpot_s),
        peak: peak(&memory, &why),
        figures: figures(metrics, text, &why),
        samples: metrics.samples,
        hops_per_token: metrics.hops_per_token,
        traffic: traffic(metrics),
        timing,
        ttft_s: metrics.ttft_s.filter(|_| text.timing_is_valid()),
        placed: modules::view(&spec.request, placed, devices, &why),
        memory,
        forecast: match is_timed {
            false => None,
            true => forecast::view(record, spec, metrics, &steps, devices),
        },
        steps,
        output: text::output(record, spec, reference, &why),
        phases: attempt.filter(|_| is_timed).map(phases).unwrap_or_default(),
        faults: faults(spec),
        log: attempt.map(log).unwrap_or_default(),
        evidence: attempt
            .and_then(|attempt| attempt.evidence.as_ref())
            .map(evidence::view),
        not_recovered: attempt
            .and_then(|attempt| attempt.recovery.as_ref())
            .map(evidence::not_recovered)
            .unwrap_or_default(),
        audit: audit::view(record, spec, devices),
        divergences: verdict
            .map(|verdict| verdict.divergences.iter().map(divergence::view).collect())
            .unwrap_or_default(),
        notes: verdict
            .map(|verdict| verdict.notes.iter().map(|note| message(note)).collect())
            .unwrap_or_default(),
        overview: overview::case(spec, metrics, text, is_timed, devices),
    }
}

fn log(attempt: &Attempt) -> String {
    visible(&attempt.stderr_tail, Lines::Keep, 4000)
}

fn findings(findings: &[Finding]) -> Vec<FindingView> {
    let one = |finding: &Finding| FindingView {
        check: line(&finding.check),
        message: message(&finding.message),
        hint: finding.hint.as_deref().map(message).unwrap_or_default(),
    };
    findings.iter().map(one).collect()
}

fn figure(value: Option<String>, text: TextVerdict, why: &str) -> Figure {
    match value {
        Some(_) if !text.timing_is_valid() => Figure::Invalid(status::invalid(text)),
        Some(value) => Figure::Measured(value),
        None => Figure::Missing(why.to_owned()),
    }
}

fn timing(record: &IndexedRun<'_>, spec: &CaseSpec, text: TextVerdict, why: &str) -> Timing {
    if !status::is_timed(record, spec) {
        Timing::Missing(why.to_owned())
    } else if text.timing_is_valid() {
        Timing::of(
            record.deciding_attempts(spec).flat_map(|attempt| &attempt.generations),
            why,
        )
    } else {
        Timing::Invalid(status::invalid(text))
    }
}

fn peak(memory: &[MemoryView], why: &str) -> Figure {
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
fn traffic(metrics: &CaseMetrics) -> String {
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

fn figures(metrics: &CaseMetrics, text: TextVerdict, why: &str) -> Vec<NamedFigure> {
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

fn phases(attempt: &Attempt) -> Vec<Fact> {
    let one = |span: &placebench_core::record::PhaseSpan| {
        let words = span.end_s.map_or_else(
            || "never ended".into(),
            |end| human_seconds((end - span.start_s).max(0.0)),
        );
        Fact::new(span.phase.as_str(), words)
    };
    let mut phases: Vec<Fact> = attempt.phases.iter().map(one).collect();
    phases.push(Fact::new("whole process", human_seconds(attempt.wall_s)));
    phases
}

fn faults(spec: &CaseSpec) -> String {
    let words: Vec<String> = spec
        .faults
        .iter()
        .map(|fault| {
            let at = &fault.at;
            let place = at
                .hop
                .as_ref()
                .or(at.module.as_ref())
                .map(|place| format!(" at {}", line(place)));
            let phase = at.phase.map(|phase| format!(" in {phase}"));
            let token = at.token.map(|token| format!(", token {token}"));
            let point: String = [place, phase, token].into_iter().flatten().collect();
            let bytes = at.bytes.map(|bytes| format!(", {bytes}")).unwrap_or_default();
            format!("{}{point}{bytes}", fault.kind.as_str())
        })
        .collect();
    list(&words)
}
