//! Cases that were tried again: the last try decides, and what came before it stays in the verdict.

use std::collections::BTreeMap;

use crate::outcome::OutcomeKind;
use crate::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, EarlierTry};

/// Judges the tries of a case one by one. `judge` judges the attempts of one try against what references had said by then;
/// the deciding try is held against the references' last word, which is asked for as that of retry [`u32::MAX`].
pub(super) fn judge(
    case: &CaseSpec,
    attempts: &[&Attempt],
    judge: &dyn Fn(&[&Attempt], u32) -> CaseVerdict,
) -> CaseVerdict {
    let tries = tries_of(case, attempts);
    if tries.len() < 2 {
        return judge(attempts, u32::MAX);
    }
    // A retry that was interrupted or left out because a device was lost takes nothing back.
    let says_something = |attempts: &[&Attempt]| judge(attempts, u32::MAX).status != CaseStatus::Skipped;
    let deciding = tries
        .iter()
        .rev()
        .find(|(_, attempts)| says_something(attempts))
        .map_or(0, |(&retry, _)| retry);
    let own = tries.get(&deciding).map(Vec::as_slice).unwrap_or_default();
    let mut verdict = judge(own, u32::MAX);
    verdict.decided_by_retry = deciding;
    verdict.attempts = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    verdict.earlier_tries = tries
        .range(..deciding)
        .map(|(&retry, attempts)| earlier(retry, judge(attempts, retry)))
        .collect();
    let has_failed = verdict
        .earlier_tries
        .iter()
        .any(|earlier| !matches!(earlier.status, CaseStatus::Passed | CaseStatus::Skipped));
    if verdict.status == CaseStatus::Passed && has_failed {
        verdict.status = CaseStatus::Flaky;
    }
    verdict
}

fn earlier(retry: u32, judged: CaseVerdict) -> EarlierTry {
    EarlierTry {
        retry,
        status: judged.status,
        outcome: judged.outcome,
        sentence: judged.sentence,
        text: judged.text,
        findings: judged.findings,
    }
}

fn tries_of<'a>(case: &CaseSpec, attempts: &[&'a Attempt]) -> BTreeMap<u32, Vec<&'a Attempt>> {
    let mut tries: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        tries.entry(case.retry_of(attempt.attempt)).or_default().push(attempt);
    }
    tries
}

/// The attempts of the last try up to a retry that was really made.
pub(super) fn as_of<'a>(case: &CaseSpec, attempts: &[&'a Attempt], retry: u32) -> Vec<&'a Attempt> {
    let tries = tries_of(case, attempts);
    let is_made = |attempts: &&Vec<&Attempt>| {
        attempts
            .iter()
            .any(|attempt| attempt.outcome.kind() != OutcomeKind::Skipped)
    };
    let mut until = tries.range(..=retry).rev().map(|(_, attempts)| attempts);
    until
        .clone()
        .find(is_made)
        .or(until.next())
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "retries_tests.rs"]
mod tests;
