//! From attempts to verdicts. Pure: the same record always gives the same judgement.

pub mod answer;
mod audit;
mod by_text;
#[cfg(test)]
mod by_text_tests;
mod checks;
mod companions;
pub mod compare;
mod engines;
mod forecast;
mod garbage;
mod leak;
mod limits;
mod metrics;
mod neighbours;
mod output;
mod probe;
mod repeats;
mod retries;
mod strikes;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
#[cfg(test)]
mod text_tests;

use std::collections::HashMap;

use crate::exit_code::ExitCode;
use crate::outcome::{Outcome, OutcomeKind};
use crate::record::{
    Attempt, CaseSpec, CaseStatus, CaseVerdict, Finding, FlakyResult, RECORD_VERSION, RunInfo, RunVerdict, TextVerdict,
};

pub use audit::{CaseAudit, audits, case_audit};
pub use forecast::{MemoryForecast, TimeForecast, TimeTerm, shared_forecast};
pub use metrics::{metrics, tpot};
pub use text::Approved;
use text::Beside;

pub use crate::statistics::median;

/// Names of all checks, as `expect.fails` and findings name them.
pub const CHECKS: [&str; 17] = [
    "outcome",
    "killed",
    "faults",
    "leak",
    "limits",
    "realised",
    "forbid_devices",
    "min_devices_used",
    "probe",
    "output",
    "garbage",
    "repeatable",
    "snapshot",
    "agreement",
    "engines",
    "contains",
    // In runs with `--audit` only.
    audit::CHECK,
];

/// What is known of a case's approved snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotState {
    /// It was read.
    Approved(Approved),
    /// There is none; a run may propose one.
    Missing,
    /// It exists but cannot be read.
    Unreadable(String),
}

/// Judges a run. `snapshots` holds the state for each case that compares with one; `complete` is false where the run
/// was interrupted.
#[must_use]
pub fn judge(
    info: &RunInfo,
    attempts: &[Attempt],
    snapshots: &HashMap<String, SnapshotState>,
    complete: bool,
) -> RunVerdict {
    let mut by_case: HashMap<&str, Vec<&Attempt>> = HashMap::new();
    for attempt in attempts {
        by_case.entry(&attempt.case).or_default().push(attempt);
    }
    let cases: Vec<CaseVerdict> = info
        .cases
        .iter()
        .map(|case| {
            let own = by_case.get(case.case.as_str()).map(Vec::as_slice).unwrap_or_default();
            retries::judge(case, own, &|own, retry| {
                let of = |other: &CaseSpec| {
                    let attempts = by_case.get(other.case.as_str()).map(Vec::as_slice);
                    attempts.map(|attempts| retries::as_of(other, attempts, retry))
                };
                let cases = info.cases.iter().filter(|other| is_reference(other, case));
                let beside = Beside {
                    reference: reference_of(info, case).and_then(of),
                    references: companions::references(cases.filter_map(|other| Some((other, of(other)?)))),
                    engine: engines::reference_of(info, case).and_then(of),
                };
                // An audit is not retried, so that all attempts there are belong to it.
                let audited = audit::finding(case, info, attempts);
                let snapshot = audit::approved(case, own, snapshots.get(&case.case));
                let case = audit::shown(case);
                judge_case(&case, own, &beside, snapshot.as_deref(), audited)
            })
        })
        .collect();
    let all_of = |case: &str| by_case.get(case).cloned().unwrap_or_default();
    let answers = answer::answers(info, &all_of, &cases);
    let exit = exit_of(&cases, complete, has_lost_a_device(attempts), info.control.flaky_result);
    RunVerdict {
        schema_version: RECORD_VERSION,
        run_id: info.run_id.clone(),
        exit,
        exit_code: exit.number(),
        complete,
        cases,
        gate: None,
        answers,
    }
}

/// The case this one's text must agree with.
fn reference_of<'a>(info: &'a RunInfo, case: &CaseSpec) -> Option<&'a CaseSpec> {
    info.cases
        .iter()
        .find(|other| is_reference(other, case) && other.prompt == case.prompt)
}

/// A case of the placement that this one's texts must agree with, whatever its prompt.
fn is_reference(other: &CaseSpec, case: &CaseSpec) -> bool {
    let agreement = case.expect.agreement.as_ref();
    other.scenario == case.scenario && agreement.is_some_and(|agreement| agreement.reference == other.placement)
}

fn judge_case(
    case: &CaseSpec,
    attempts: &[&Attempt],
    beside: &Beside<'_>,
    snapshot: Option<&SnapshotState>,
    audited: Option<Finding>,
) -> CaseVerdict {
    let Some(shown) = attempts
        .iter()
        .find(|attempt| attempt.outcome.kind() != case.expect.outcome)
        .or_else(|| attempts.last())
    else {
        return not_run(case);
    };
    let mut findings = Vec::new();
    checks::outcome(case, attempts, &mut findings);
    checks::killed(case, attempts, &mut findings);
    checks::placement(case, attempts, &mut findings);
    let probed = probe::probe(case, attempts, beside.reference.as_deref(), &mut findings);
    output::judge(case, attempts, &mut findings);
    let mut judged = text::judge(case, attempts, beside, snapshot);
    if let Some(verdict) = probed {
        judged.worsen(verdict);
    }
    findings.append(&mut judged.findings);
    let metrics = match case.audit {
        Some(_) => audit::without_times(metrics(attempts)),
        None if neighbours::is_untimed(attempts) => neighbours::without_times(metrics(attempts)),
        None => metrics(attempts),
    };
    judged.notes.extend(neighbours::note(attempts));
    limits::judge(case, attempts, &metrics, judged.verdict, &mut findings);
    leak::judge(attempts, &mut findings);
    // An audit of fewer tokens may end before a fault's turn comes.
    if !case.is_cut_by_audit() {
        strikes::judge(case, attempts, &mut findings);
    }
    let parting_is_expected = audit::is_expected(case, &findings);
    findings.extend(audited);
    let status = match &shown.outcome {
        Outcome::Skipped { .. } => CaseStatus::Skipped,
        Outcome::Failed { failure } if failure.class.is_setup() && case.expect.outcome != OutcomeKind::Failed => {
            CaseStatus::Setup
        }
        _ => CaseStatus::Passed,
    };
    let (findings, expected_findings) = match status {
        CaseStatus::Skipped => (Vec::new(), Vec::new()),
        _ => {
            // Without an audit, and without another engine's text, nothing can be said about their checks.
            let can_fail = |check: &str| match check {
                audit::CHECK => case.audit.is_some(),
                engines::CHECK => judged.is_compared_with_engine,
                _ => true,
            };
            set_expected_aside(case, findings, parting_is_expected, &can_fail)
        }
    };
    let status = match status {
        CaseStatus::Passed if !findings.is_empty() => CaseStatus::Failed,
        CaseStatus::Passed if judged.snapshot_missing => CaseStatus::Pending,
        other => other,
    };
    CaseVerdict {
        case: case.case.clone(),
        status,
        outcome: shown.outcome.kind(),
        sentence: shown.outcome.sentence(),
        text: judged.verdict,
        findings,
        expected_findings,
        metrics,
        attempts: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
        decided_by_retry: 0,
        earlier_tries: Vec::new(),
        divergences: judged.divergences,
        notes: judged.notes,
    }
}

fn not_run(case: &CaseSpec) -> CaseVerdict {
    CaseVerdict {
        case: case.case.clone(),
        status: CaseStatus::Skipped,
        outcome: OutcomeKind::Skipped,
        sentence: "not run: the run ended before it".to_owned(),
        text: TextVerdict::Unchecked,
        findings: Vec::new(),
        expected_findings: Vec::new(),
        metrics: crate::record::CaseMetrics::default(),
        attempts: 0,
        decided_by_retry: 0,
        earlier_tries: Vec::new(),
        divergences: Vec::new(),
        notes: Vec::new(),
    }
}

/// A scenario may say which checks a case fails. One that then passes is the failure.
fn set_expected_aside(
    case: &CaseSpec,
    findings: Vec<Finding>,
    parting_is_expected: bool,
    can_fail: &dyn Fn(&str) -> bool,
) -> (Vec<Finding>, Vec<Finding>) {
    let is_expected = |finding: &Finding| {
        case.expect.fails.contains(&finding.check) || (parting_is_expected && finding.check == audit::CHECK)
    };
    let (expected, mut unexpected): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(is_expected);
    for check in case.expect.fails.iter().filter(|check| can_fail(check)) {
        if !expected.iter().any(|finding| finding.check == *check) {
            unexpected.push(Finding {
                check: check.clone(),
                message: format!("the scenario expects the check `{check}` to fail here, but it passed"),
                hint: Some(
                    "what this case demonstrates no longer happens: look at the placement, or change expect.fails"
                        .into(),
                ),
            });
        }
    }
    (unexpected, expected)
}

/// True where a device kept an attempt's memory, so that cases after it may have been left out.
fn has_lost_a_device(attempts: &[Attempt]) -> bool {
    let recoveries = attempts.iter().filter_map(|attempt| attempt.recovery.as_ref());
    recoveries.into_iter().any(|recovery| !recovery.is_complete())
}

/// A failed case outweighs a set-up error, that an incomplete run, that a pending snapshot. A run in which everything was
/// skipped passed nothing and failed nothing: it is a pass, and the summary says what was skipped. Cases that were not run
/// because a device was lost say nothing, which is no pass.
fn exit_of(cases: &[CaseVerdict], complete: bool, has_lost_a_device: bool, flaky: FlakyResult) -> ExitCode {
    let any = |status: CaseStatus| cases.iter().any(|case| case.status == status);
    if any(CaseStatus::Failed) || (flaky == FlakyResult::Fail && any(CaseStatus::Flaky)) {
        ExitCode::CaseFailed
    } else if any(CaseStatus::Setup) {
        ExitCode::Setup
    } else if !complete || (has_lost_a_device && any(CaseStatus::Skipped)) {
        ExitCode::NoVerdict
    } else if any(CaseStatus::Pending) {
        ExitCode::PendingSnapshots
    } else {
        ExitCode::Passed
    }
}
