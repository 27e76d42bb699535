//! `junit.xml`: a suite for each scenario, a test case for each prompt and placement.
//!
//! Figures are properties of their test case, and so is what has changed against what the run was held against
//! (`gate.ttft_s`). A case that passed but got worse, or slower where that fails the run, is a failure of type `worse` or
//! `slower`; one that nothing can be said of keeps its own result, and says `no_verdict` in its property `gate`.

use std::collections::HashMap;
use std::time::Duration;

use placebench_core::compare::{CaseComparison, Change, CounterChange};
use placebench_core::device::DeviceBytes;
use placebench_core::outcome::Outcome;
use placebench_core::record::{CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, GateVerdict, IndexedRun, RunRecord};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::github::changes::{base_words, counter_words, timing_words, timings_gate};
use crate::RenderError;
use crate::view::case::deciding_attempt;
use crate::view::divergence;
use crate::view::words::{Lines, line, message, visible};

/// The whole file. Control characters, which XML cannot hold, appear as their pictures.
///
/// # Errors
/// When the writer fails.
pub fn render(record: &RunRecord) -> Result<Vec<u8>, RenderError> {
    let mut report = Report::new(line(&record.info.tool.name));
    if let Ok(started) = chrono::DateTime::parse_from_rfc3339(&record.info.started_at) {
        report.set_timestamp(started);
    }
    let record = &IndexedRun::new(record);
    let mut whole = 0.0;
    let mut scenarios: Vec<(&str, Vec<&CaseSpec>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for spec in &record.info.cases {
        let index = *known.entry(&spec.scenario).or_insert(scenarios.len());
        match scenarios.get_mut(index) {
            Some((_, specs)) => specs.push(spec),
            None => scenarios.push((&spec.scenario, vec![spec])),
        }
    }
    for (name, specs) in scenarios {
        let mut suite = TestSuite::new(line(name));
        let mut total = 0.0;
        for spec in specs {
            let wall_s = wall_s(record, spec);
            total += wall_s;
            suite.add_test_case(test_case(record, spec, wall_s));
        }
        whole += total;
        suite.set_time(duration(total));
        suite.add_property(Property::new("run_id", line(&record.info.run_id)));
        suite.add_property(Property::new("build_profile", line(&record.info.tool.profile)));
        suite.add_property(Property::new("platform", line(&record.info.environment.platform)));
        if let Some(gate) = &record.verdict.gate {
            suite.add_property(Property::new("gate.base", base_words(&gate.base)));
            suite.add_property(Property::new("gate.exit_code", gate.exit_code.to_string()));
        }
        report.add_test_suite(suite);
    }
    report.set_time(duration(whole));
    let mut bytes = Vec::new();
    report.serialize(&mut bytes)?;
    Ok(bytes)
}

fn test_case(record: &IndexedRun<'_>, spec: &CaseSpec, wall_s: f64) -> TestCase {
    let verdict = record.verdict_of(&spec.case);
    let attempt = deciding_attempt(record, spec, verdict);
    let held = held_against(record, spec);
    let own = status(verdict, attempt.map(|attempt| &attempt.outcome));
    let passed = verdict.is_some_and(|verdict| matches!(verdict.status, CaseStatus::Passed | CaseStatus::Flaky));
    let worse = held.filter(|_| passed).and_then(|(gate, case)| got_worse(gate, case));
    let mut case = TestCase::new(
        line(&format!("{}/{}", spec.prompt, spec.placement)),
        worse.unwrap_or(own),
    );
    case.set_classname(line(&spec.scenario));
    case.set_time(duration(wall_s));
    case.extra.insert("file".into(), line(&spec.file).into());
    case.extra.insert("line".into(), spec.line.to_string().into());
    for (name, value) in properties(spec, verdict) {
        case.add_property(Property::new(name, value));
    }
    for (name, value) in held.map(|(_, case)| changes(case)).unwrap_or_default() {
        case.add_property(Property::new(name, value));
    }
    if let Some(attempt) = attempt.filter(|attempt| !attempt.stderr_tail.is_empty()) {
        case.set_system_err(visible(&attempt.stderr_tail, Lines::Keep, 4000));
    }
    case
}

fn status(verdict: Option<&CaseVerdict>, outcome: Option<&Outcome>) -> TestCaseStatus {
    let Some(verdict) = verdict else {
        let mut skipped = TestCaseStatus::skipped();
        skipped.set_message("not judged: the run ended before this case");
        return skipped;
    };
    let (kind, ty) = match verdict.status {
        CaseStatus::Passed | CaseStatus::Flaky => return with_earlier_tries(TestCaseStatus::success(), verdict),
        CaseStatus::Skipped => {
            let hint = match outcome {
                Some(Outcome::Skipped { hint: Some(hint), .. }) => format!("; {}", message(hint)),
                _ => String::new(),
            };
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(format!("{}{hint}", message(&verdict.sentence)));
            return skipped;
        }
        CaseStatus::Setup => (NonSuccessKind::Error, "setup".to_owned()),
        CaseStatus::Pending => (NonSuccessKind::Failure, "pending_snapshot".to_owned()),
        CaseStatus::Failed => {
            let check = verdict.findings.first().map(|finding| line(&finding.check));
            (
                NonSuccessKind::Failure,
                check.unwrap_or_else(|| verdict.outcome.as_str().to_owned()),
            )
        }
    };
    let mut status = TestCaseStatus::non_success(kind);
    let first = verdict
        .findings
        .first()
        .map_or(verdict.sentence.as_str(), |finding| &finding.message);
    status
        .set_type(ty)
        .set_message(message(first))
        .set_description(description(verdict));
    with_earlier_tries(status, verdict)
}

/// Tries before the one that decided: `flakyFailure` beside a success, `rerunFailure` beside a failure.
fn with_earlier_tries(mut status: TestCaseStatus, verdict: &CaseVerdict) -> TestCaseStatus {
    let runs = verdict.earlier_tries.iter().map(|earlier| {
        let mut run = TestRerun::new(NonSuccessKind::Failure);
        let check = earlier.findings.first().map(|finding| line(&finding.check));
        run.set_type(check.unwrap_or_else(|| earlier.outcome.as_str().to_owned()))
            .set_message(message(&earlier.reason()))
            .set_description(message(&earlier.sentence));
        run
    });
    status.add_reruns(runs);
    status
}

/// The sentence, then each finding with its hint.
fn description(verdict: &CaseVerdict) -> String {
    let mut lines = vec![message(&verdict.sentence)];
    for finding in &verdict.findings {
        lines.push(format!("{}: {}", line(&finding.check), message(&finding.message)));
        lines.extend(finding.hint.as_deref().map(|hint| format!("  hint: {}", message(hint))));
    }
    lines.extend(verdict.divergences.iter().flat_map(divergence::lines));
    lines.extend(verdict.notes.iter().map(|note| message(note)));
    lines.join("\n")
}

fn properties(spec: &CaseSpec, verdict: Option<&CaseVerdict>) -> Vec<(String, String)> {
    let mut all = vec![
        ("engine".to_owned(), line(&spec.engine)),
        ("model".to_owned(), line(&spec.model.label())),
        ("placement".to_owned(), line(&spec.placement)),
    ];
    let Some(verdict) = verdict else { return all };
    all.push(("outcome".to_owned(), verdict.outcome.as_str().to_owned()));
    all.push(("text_verdict".to_owned(), verdict.text.as_str().to_owned()));
    all.push(("samples".to_owned(), verdict.metrics.samples.to_string()));
    for finding in &verdict.expected_findings {
        all.push((
            "expected_finding".to_owned(),
            message(&format!("{}: {}", finding.check, finding.message)),
        ));
    }
    all.extend(metrics(&verdict.metrics, verdict.text.timing_is_valid()));
    all
}

fn metrics(metrics: &CaseMetrics, valid: bool) -> Vec<(String, String)> {
    let speeds = [
        ("ttft_s", metrics.ttft_s),
        ("tpot_s", metrics.tpot_s),
        ("e2e_s", metrics.e2e_s),
        ("prefill_tokens_per_s", metrics.prefill_tokens_per_s),
        ("decode_tokens_per_s", metrics.decode_tokens_per_s),
    ];
    let others = [
        ("load_s", metrics.load_s),
        ("hops_per_token", metrics.hops_per_token),
        ("transfer_bytes_per_token", metrics.transfer_bytes_per_token),
        ("exact_match_rate", metrics.exact_match_rate),
    ];
    let mut all = Vec::new();
    if !valid && speeds.iter().any(|(_, value)| value.is_some()) {
        all.push(("timing".to_owned(), "invalid: the text is wrong".to_owned()));
    }
    let shown = speeds.iter().filter(|_| valid).chain(&others);
    all.extend(
        shown.filter_map(|(name, value)| Some(((*name).to_owned(), (*value).filter(|v| v.is_finite())?.to_string()))),
    );
    let per_device = [
        ("weights_bytes", &metrics.weights_bytes),
        ("kv_cache_bytes", &metrics.kv_cache_bytes),
        ("peak_memory_bytes", &metrics.peak_memory_bytes),
    ];
    for (name, figures) in per_device {
        let property = |figure: &DeviceBytes| (format!("{name}{{{}}}", figure.device), figure.bytes.0.to_string());
        all.extend(figures.iter().map(property));
    }
    all
}

/// What a case was held against, where it was.
fn held_against<'a>(record: &'a RunRecord, spec: &CaseSpec) -> Option<(&'a GateVerdict, &'a CaseComparison)> {
    let gate = record.verdict.gate.as_ref()?;
    let case = gate.comparison.cases.iter().find(|case| case.case == spec.case)?;
    Some((gate, case))
}

/// The failure of a case that is right but worse than before.
fn got_worse(gate: &GateVerdict, case: &CaseComparison) -> Option<TestCaseStatus> {
    let is_worse = |change| matches!(change, CounterChange::Worse | CounterChange::Differs);
    let counters: Vec<String> = (case.counters.iter())
        .filter(|row| is_worse(row.change))
        .map(counter_words)
        .collect();
    let timings: Vec<String> = (case.timings.iter())
        .filter(|row| row.change == Change::Slower && timings_gate(&gate.comparison))
        .map(timing_words)
        .collect();
    let ty = if counters.is_empty() { "slower" } else { "worse" };
    let all = [counters, timings].concat();
    let first = all.first()?;
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type(ty)
        .set_message(format!("compared with {}: {first}", base_words(&gate.base)))
        .set_description(all.join("\n"));
    Some(status)
}

/// `gate`: the judgement on the times of the case; `gate.NAME`: each figure that is not the same, in words.
fn changes(case: &CaseComparison) -> Vec<(String, String)> {
    let mut all = Vec::new();
    if let Some(change) = case.change {
        all.push(("gate".to_owned(), change.as_str().to_owned()));
    }
    for row in case.counters.iter().filter(|row| row.change != CounterChange::Same) {
        all.push((format!("gate.{}", row.counter.as_str()), counter_words(row)));
    }
    for row in case.timings.iter().filter(|row| row.change != Change::Same) {
        let words = format!("{}, {}", row.change.as_str(), timing_words(row));
        all.push((format!("gate.{}", row.metric.as_str()), words));
    }
    all
}

fn wall_s(record: &IndexedRun<'_>, spec: &CaseSpec) -> f64 {
    record
        .attempts_of(&spec.case)
        .map(|attempt| attempt.wall_s)
        .filter(|wall_s| wall_s.is_finite())
        .sum()
}

/// A duration from untrusted seconds: nothing for negative or absurd ones.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
