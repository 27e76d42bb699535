//! The judgement on audits: where the placements of a prompt part.

use std::borrow::Cow;

use super::SnapshotState;
use super::text::{Approved, first_generation};
use crate::audit::{Comparison, Trail, compare};
use crate::outcome::OutcomeKind;
use crate::protocol::{FinishReason, ModelSource};
use crate::record::{Attempt, CaseMetrics, CaseSpec, Finding, RunInfo};

/// The name of the check.
pub(super) const CHECK: &str = "audit";

/// Checks of texts. Where a scenario expects one of them to fail, its placement is expected to part too.
const TEXT_CHECKS: [&str; 4] = ["agreement", "snapshot", "garbage", "contains"];

/// Checks that need times, or more than one generation: an audit neither makes nor expects their findings.
const NOT_LOOKED_AT: [&str; 2] = ["limits", "leak"];

/// The placement that sets the measure is preferred to be the one the scenario names, else this one, else the first.
const USUAL_REFERENCE: &str = "single";

/// An audited case beside the placement it is held to.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseAudit<'a> {
    /// The case.
    pub case: &'a CaseSpec,
    /// How it compares.
    pub comparison: Comparison,
}

/// The audited cases that left a trail, in the order of the run.
#[must_use]
pub fn audits<'a>(info: &'a RunInfo, attempts: &[Attempt]) -> Vec<CaseAudit<'a>> {
    let audited = info.cases.iter().filter(|case| case.audit.is_some());
    let compared = |case: &'a CaseSpec| {
        let comparison = case_audit(case, info, attempts)?;
        Some(CaseAudit { case, comparison })
    };
    audited.filter_map(compared).collect()
}

/// A case beside its reference; absent where it left no trail.
#[must_use]
pub fn case_audit(case: &CaseSpec, info: &RunInfo, attempts: &[Attempt]) -> Option<Comparison> {
    let own = trail_of(case, attempts)?;
    let reference = reference(case, info, attempts).filter(|reference| reference.case != case.case);
    let theirs = reference.and_then(|reference| trail_of(reference, attempts));
    Some(compare(&own, theirs.as_ref()))
}

fn trail_of<'a>(case: &'a CaseSpec, attempts: &'a [Attempt]) -> Option<Trail<'a>> {
    let mut own = attempts.iter().filter(|attempt| attempt.case == case.case);
    let attempt = own.find(|attempt| !attempt.audit.is_empty())?;
    Some(Trail {
        name: &case.placement,
        steps: &attempt.audit,
        devices: &attempt.devices,
        is_quantised: is_quantised(case),
    })
}

/// GGUF files keep their quantisation unless a type is asked for.
fn is_quantised(case: &CaseSpec) -> bool {
    let file = match &case.model {
        ModelSource::Path(path) => Some(path),
        ModelSource::Hub { file, .. } => file.as_ref(),
        ModelSource::Dummy { .. } => None,
    };
    case.dtype.is_none() && file.is_some_and(|file| file.ends_with(".gguf"))
}

/// The case of the same prompt, engine and type that the others are held to: the first of these with a trail.
fn reference<'a>(case: &CaseSpec, info: &'a RunInfo, attempts: &[Attempt]) -> Option<&'a CaseSpec> {
    let named = case
        .expect
        .agreement
        .as_ref()
        .map(|agreement| agreement.reference.as_str());
    // A matrix appends its point: `single[dtype=f16]`.
    let base = |name: &'a str| name.split('[').next().unwrap_or(name);
    let alike = |other: &&CaseSpec| {
        (&other.scenario, &other.prompt, &other.engine, other.dtype)
            == (&case.scenario, &case.prompt, &case.engine, case.dtype)
    };
    let rank = |other: &&'a CaseSpec| {
        if named == Some(other.placement.as_str()) {
            0
        } else if base(&other.placement) == USUAL_REFERENCE {
            1
        } else {
            2
        }
    };
    let with_trail = |other: &&CaseSpec| trail_of(other, attempts).is_some();
    info.cases.iter().filter(alike).filter(with_trail).min_by_key(rank)
}

/// What is wrong with an audited case.
pub(super) fn finding(case: &CaseSpec, info: &RunInfo, attempts: &[Attempt]) -> Option<Finding> {
    case.audit?;
    let found = |message: String, hint: Option<&str>| {
        Some(Finding {
            check: CHECK.into(),
            message,
            hint: hint.map(str::to_owned),
        })
    };
    match case_audit(case, info, attempts) {
        Some(comparison) if comparison.is_blamed() => found(comparison.sentence(), comparison.hint()),
        Some(_) => None,
        None => {
            let completed = |attempt: &&Attempt| attempt.outcome.kind() == OutcomeKind::Completed;
            attempts
                .iter()
                .filter(|attempt| attempt.case == case.case)
                .find(completed)
                .and_then(|_| {
                    let message = format!(
                        "the engine `{}` generated without telling what its modules made",
                        case.engine
                    );
                    found(
                        message,
                        Some("this engine cannot be audited: leave its cases out, or use another"),
                    )
                })
        }
    }
}

/// A placement that is expected to give another text, or to fail, is expected to part.
pub(super) fn is_expected(case: &CaseSpec, findings: &[Finding]) -> bool {
    let text =
        |finding: &Finding| TEXT_CHECKS.contains(&finding.check.as_str()) && case.expect.fails.contains(&finding.check);
    case.expect.outcome != OutcomeKind::Completed || findings.iter().any(text)
}

/// The case with what an audit can still show: it times nothing, generates once, and perhaps fewer tokens.
pub(super) fn shown(case: &CaseSpec) -> Cow<'_, CaseSpec> {
    if case.audit.is_none() {
        return Cow::Borrowed(case);
    }
    let mut case = case.clone();
    case.expect.limits = None;
    case.expect
        .fails
        .retain(|check| !NOT_LOOKED_AT.contains(&check.as_str()));
    if case.is_cut_by_audit() {
        case.expect.contains.clear();
    }
    Cow::Owned(case)
}

/// The approved text as far as an audit of fewer tokens goes. An audit proposes none.
pub(super) fn approved<'a>(
    case: &CaseSpec,
    attempts: &[&Attempt],
    snapshot: Option<&'a SnapshotState>,
) -> Option<Cow<'a, SnapshotState>> {
    let snapshot = snapshot?;
    let made = first_generation(attempts).filter(|generation| generation.finish_reason == FinishReason::Length);
    match (snapshot, made) {
        (SnapshotState::Missing, _) if case.audit.is_some() => None,
        // Of a text that is cut off only tokens can be compared.
        (SnapshotState::Approved(_), Some(made)) if case.is_cut_by_audit() && !made.has_ids() => None,
        (SnapshotState::Approved(approved), Some(made)) if case.is_cut_by_audit() => {
            let shown = approved.token_ids.iter().take(made.output_ids.len());
            Some(Cow::Owned(SnapshotState::Approved(Approved {
                // Of a text that is cut off only the tokens can be compared.
                text: made.text.clone(),
                token_ids: shown.copied().collect(),
                ..approved.clone()
            })))
        }
        _ => Some(Cow::Borrowed(snapshot)),
    }
}

/// Figures without those that are times: an audited generation waits after every module.
pub(super) fn without_times(metrics: CaseMetrics) -> CaseMetrics {
    CaseMetrics {
        samples: 0,
        load_s: None,
        ttft_s: None,
        tpot_s: None,
        e2e_s: None,
        prefill_tokens_per_s: None,
        decode_tokens_per_s: None,
        output_tokens_per_s: None,
        time_forecast: Vec::new(),
        ..metrics
    }
}
