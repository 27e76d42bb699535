//! One case: how it ended, what it measured, and where everything was.

use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{
    Attempt, CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, Finding, IndexedRun, TextVerdict,
};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::Figure;
use super::audit::{self, AuditView};
use super::deciding::placed_attempt;
use super::details;
use super::evidence::{self, EvidenceView};
use super::figures::{figure, figures, peak, traffic};
use super::forecast::{self, ForecastView};
use super::latencies::{self, LatencyView};
use super::memory::{self, MemoryView};
use super::memory_beside::BesideView;
use super::modules::{self, PlacementView};
use super::narrative::{self, Narrative};
use super::overview::{self, CaseOverview};
use super::status;
use super::steps::{self, StepView};
use super::text::{self, OutputView};
use super::timing::Timing;
use super::words::{Lines, line, message, visible};
use super::work;

pub use super::deciding::deciding_attempt;
pub use super::figures::NamedFigure;

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
    /// It passed because something went wrong as the scenario says.
    #[serde(skip)]
    pub goes_wrong_as_expected: bool,
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
    /// What else is told of it in words.
    #[serde(flatten)]
    pub narrative: Narrative,
    /// Devices that hold nothing, and memory that no engine accounts for.
    pub memory_beside: BesideView,
    /// Sequences that were on their way at once, each by itself; 1 where stages never overlap.
    pub in_flight: u32,
    /// Its latencies in order, by parts, and as percentiles.
    pub latency: LatencyView,
    /// What the overview says of it.
    pub overview: CaseOverview,
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
    let why = status::why_missing(record, spec, verdict, attempt);
    let text = verdict.map_or(TextVerdict::Unchecked, |verdict| verdict.text);
    let (memory, memory_beside) = memory::of_case(record, spec, metrics, [placed, attempt], devices);
    let timing = timing(record, spec, text, &why);
    let is_timed = status::is_timed(record, spec);
    let steps = steps::of_case(record, spec, metrics, (text, &why), devices);
    let latency = latency(record, spec, attempt, (&timing, &why), &steps);
    let audit = audit::view(record, spec, devices);
    let placement = modules::view(&modules::Source {
        spec,
        attempt: placed,
        outcome: attempt.map(|attempt| &attempt.outcome),
        metrics,
        memory: &memory,
        decode: &steps[1],
        audit: audit.as_ref(),
        devices,
        why_missing: &why,
    });
    let figures = figures(metrics, text, &why);
    let narrative = narrative::view(&narrative::Source {
        record,
        spec,
        verdict,
        attempt,
        placed: &placement,
        figures: &figures,
        why_missing: &why,
        is_timed,
    });
    let seconds = |value: Option<f64>| figure(value.map(human_seconds), text, &why);
    let told = |of: fn(&CaseVerdict) -> &[Finding]| verdict.map(|verdict| findings(of(verdict))).unwrap_or_default();
    let foreseen = || forecast::view(record, spec, metrics, &steps, &memory, devices);
    CaseView {
        anchor: format!("case-{number}"),
        case: line(&spec.case),
        scenario: line(&spec.scenario),
        prompt: line(&spec.prompt),
        placement: line(&spec.placement),
        source: line(&format!("{}:{}", spec.file, spec.line)),
        status_kind: verdict.map(|verdict| verdict.status),
        goes_wrong_as_expected: verdict.is_some_and(CaseVerdict::goes_wrong_as_expected),
        status: verdict.map_or("unjudged", |verdict| verdict.status.as_str()),
        status_words: status::status_words(verdict),
        outcome_kind: verdict.map(|verdict| verdict.outcome),
        outcome: verdict.map_or("", |verdict| verdict.outcome.as_str()),
        ended: status::ended_words(attempt),
        place: attempt.and_then(place),
        sentence: message(verdict.map_or(why.as_str(), |verdict| &verdict.sentence)),
        says_more: status::says_more(verdict),
        skip_hint: attempt.map(skip_hint).unwrap_or_default(),
        text_verdict: verdict.map_or("", |verdict| verdict.text.as_str()),
        text_words: status::text_words(verdict),
        findings: told(|verdict| &verdict.findings),
        expected_findings: told(|verdict| &verdict.expected_findings),
        earlier_tries: verdict.map(status::earlier_words).unwrap_or_default(),
        ttft: seconds(metrics.ttft_s),
        tpot: seconds(metrics.tpot_s),
        peak: peak(&memory, &why),
        figures,
        samples: metrics.samples,
        hops_per_token: metrics.hops_per_token,
        traffic: traffic(metrics),
        ttft_s: metrics.ttft_s.filter(|_| text.timing_is_valid()),
        placed: placement,
        memory_beside,
        forecast: is_timed.then(foreseen).flatten(),
        memory,
        in_flight: work::in_flight(spec.request.concurrency),
        steps,
        output: text::output(record, spec, reference, &why),
        faults: details::fault_words(spec),
        log: attempt.map(log).unwrap_or_default(),
        evidence: attempt.and_then(seen),
        not_recovered: attempt.map(not_recovered).unwrap_or_default(),
        audit,
        narrative,
        timing,
        latency,
        overview: overview::case(metrics, text, is_timed, devices),
    }
}

/// The times of a case.
fn latency(
    record: &IndexedRun<'_>,
    spec: &CaseSpec,
    attempt: Option<&Attempt>,
    (timing, why): (&Timing, &str),
    steps: &[steps::StepView; 2],
) -> latencies::LatencyView {
    let is_timed = status::is_timed(record, spec);
    let timed: Vec<&Attempt> = record.deciding_attempts(spec).filter(|_| is_timed).collect();
    latencies::view(&latencies::Source {
        spec,
        timed: &timed,
        attempt,
        timing,
        is_timed,
        steps,
        why,
    })
}

/// The module or hop that an attempt ended at.
fn place(attempt: &Attempt) -> Option<String> {
    let place = attempt.outcome.place()?;
    Some(line(&place.name()).replace("->", "→"))
}

/// What would make a case run that was skipped; empty where nobody knows.
fn skip_hint(attempt: &Attempt) -> String {
    match &attempt.outcome {
        Outcome::Skipped { hint: Some(hint), .. } => message(hint),
        _ => String::new(),
    }
}

fn log(attempt: &Attempt) -> String {
    visible(&attempt.stderr_tail, Lines::Keep, 4000)
}

fn seen(attempt: &Attempt) -> Option<EvidenceView> {
    attempt.evidence.as_ref().map(evidence::view)
}

fn not_recovered(attempt: &Attempt) -> String {
    let recovery = attempt.recovery.as_ref();
    recovery.map(evidence::not_recovered).unwrap_or_default()
}

fn findings(findings: &[Finding]) -> Vec<FindingView> {
    let one = |finding: &Finding| FindingView {
        check: line(&finding.check),
        message: message(&finding.message),
        hint: finding.hint.as_deref().map(message).unwrap_or_default(),
    };
    findings.iter().map(one).collect()
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
