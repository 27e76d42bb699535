//! What injected faults were detected as, where they were named, and how soon.

use placebench_core::outcome::{LastSeen, Outcome};
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, Finding, IndexedRun};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::CaseView;
use super::case::deciding_attempt;
use super::status::outcome_words;
use super::words::{line, message};

/// A case with injected faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultRow {
    /// The faults in words.
    pub faults: String,
    /// Its case.
    pub case: String,
    /// Where the page speaks of the case.
    pub anchor: String,
    /// The outcome or the checks that noticed it.
    pub detected_as: String,
    /// What they name: phase, token, module, hop or device.
    pub named: String,
    /// How long it took until that was known.
    pub time: String,
    /// The same in milliseconds, to sort by.
    pub milliseconds: u64,
}

/// One row for each case with faults that was run.
pub(super) fn rows<'a>(record: &IndexedRun<'_>, cases: impl Iterator<Item = &'a CaseView>) -> Vec<FaultRow> {
    let views: Vec<&CaseView> = cases.collect();
    let with_faults = record.info.cases.iter().filter(|spec| !spec.faults.is_empty());
    with_faults
        .filter_map(|spec| {
            let name = line(&spec.case);
            let view = views.iter().find(|view| view.case == name)?;
            row(record, spec, view)
        })
        .collect()
}

fn row(record: &IndexedRun<'_>, spec: &CaseSpec, view: &CaseView) -> Option<FaultRow> {
    let verdict = record.verdict_of(&spec.case)?;
    if matches!(verdict.status, CaseStatus::Skipped | CaseStatus::Setup) {
        return None;
    }
    let attempt = deciding_attempt(record, spec, Some(verdict))?;
    let findings: Vec<&Finding> = verdict.expected_findings.iter().chain(&verdict.findings).collect();
    let (time, seconds) = time_to_verdict(attempt);
    Some(FaultRow {
        faults: view.faults.clone(),
        case: view.case.clone(),
        anchor: view.anchor.clone(),
        detected_as: detected_as(verdict, attempt, &findings),
        named: named(attempt, &findings),
        time,
        milliseconds: milliseconds(seconds),
    })
}

fn detected_as(verdict: &CaseVerdict, attempt: &Attempt, findings: &[&Finding]) -> String {
    if attempt.outcome != Outcome::Completed {
        let killed = attempt.killed_after_s.map_or("", |_| ", killed");
        return format!("{}{killed}", outcome_words(verdict.outcome));
    }
    let checks: Vec<String> = findings.iter().map(|finding| line(&finding.check)).collect();
    match checks.as_slice() {
        [] => "nothing".to_owned(),
        checks => checks.join(", "),
    }
}

fn named(attempt: &Attempt, findings: &[&Finding]) -> String {
    match &attempt.outcome {
        Outcome::Timeout { last, .. } | Outcome::Stalled { last, .. } | Outcome::Crashed { last, .. } => seen(last),
        Outcome::OutOfMemory { failure } | Outcome::Failed { failure } => message(&failure.message),
        Outcome::Completed | Outcome::Skipped { .. } => {
            let messages: Vec<String> = findings.iter().map(|finding| message(&finding.message)).collect();
            messages.join("; ")
        }
    }
}

fn seen(last: &LastSeen) -> String {
    let parts = [
        last.phase.map(|phase| phase.to_string()),
        last.token.map(|token| format!("token {token}")),
        last.place.as_ref().map(|place| line(&place.to_string())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What hangs is known to hang when its deadline has passed; all else when its process has ended.
fn time_to_verdict(attempt: &Attempt) -> (String, f64) {
    match (&attempt.outcome, &attempt.evidence) {
        (Outcome::Stalled { limit_s, .. } | Outcome::Timeout { limit_s, .. }, Some(evidence)) => {
            let seconds = limit_s + evidence.judged_after_s;
            let words = format!(
                "{}: {} after the deadline of {}",
                human_seconds(seconds),
                human_seconds(evidence.judged_after_s),
                human_seconds(*limit_s)
            );
            (words, seconds)
        }
        _ => (human_seconds(attempt.wall_s), attempt.wall_s),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only to sort by; the cast saturates"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1e3) as u64
}
