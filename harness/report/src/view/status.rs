//! How a case ended, in words.

use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, EarlierTry, IndexedRun, TextVerdict};

use super::words::{count, line, list, message};

/// Why a case has no figure, as a short phrase.
pub(super) fn why_missing(
    record: &IndexedRun<'_>,
    spec: &CaseSpec,
    verdict: Option<&CaseVerdict>,
    attempt: Option<&Attempt>,
) -> String {
    let Some(outcome) = attempt.map(|attempt| &attempt.outcome) else {
        return match verdict.map(|verdict| verdict.outcome) {
            Some(OutcomeKind::Skipped) => "skipped".into(),
            _ => "no attempt on record".into(),
        };
    };
    let phase = outcome.phase().map(|phase| format!(" in {phase}")).unwrap_or_default();
    match outcome {
        Outcome::Completed if spec.audit.is_some() => "an audit is not timed".into(),
        Outcome::Completed => match beside_others(record, spec) {
            (0, _) => "not measured".into(),
            (some, all) if some < all => format!("not measured: {some} of {all} attempts ran beside others"),
            _ => "not measured: ran beside others".into(),
        },
        Outcome::Timeout { .. } => format!("timed out{phase}"),
        Outcome::Stalled { tokens, .. } => {
            format!("stalled{phase} after {}", count(*tokens as usize, "token", "tokens"))
        }
        Outcome::OutOfMemory { .. } => format!("out of memory{phase}"),
        Outcome::Crashed { .. } => format!("crashed{phase}"),
        Outcome::Failed { .. } => format!("failed{phase}"),
        Outcome::Skipped { .. } => "skipped".into(),
    }
}

/// Whether the times of a case are speeds, as far as the way it was run goes: an audit's are none, nor are those of attempts
/// beside others.
pub(super) fn is_timed(record: &IndexedRun<'_>, spec: &CaseSpec) -> bool {
    spec.audit.is_none() && beside_others(record, spec).0 == 0
}

/// How many of the attempts that decided on a case ran beside others, and how many there are.
fn beside_others(record: &IndexedRun<'_>, spec: &CaseSpec) -> (usize, usize) {
    let attempts = || record.deciding_attempts(spec);
    (
        attempts().filter(|attempt| attempt.concurrent > 0).count(),
        attempts().count(),
    )
}

/// A finding usually quotes the sentence, and `completed` is no news.
pub(crate) fn says_more(verdict: Option<&CaseVerdict>) -> bool {
    verdict.is_none_or(|verdict| {
        verdict.outcome != OutcomeKind::Completed
            && verdict
                .findings
                .iter()
                .all(|finding| !finding.message.contains(&verdict.sentence))
    })
}

/// The judgement as a reader wants it: `passed`, `stalled, as expected`, `not judged`.
pub(crate) fn status_words(verdict: Option<&CaseVerdict>) -> String {
    let Some(verdict) = verdict else {
        return "not judged".into();
    };
    if verdict.goes_wrong_as_expected() {
        return format!("{}, as expected", what_went_wrong(verdict));
    }
    match verdict.status {
        CaseStatus::Flaky => format!("flaky: passed on retry {}", verdict.decided_by_retry),
        CaseStatus::Failed if verdict.outcome != OutcomeKind::Completed => {
            format!("failed: {}", outcome_words(verdict.outcome))
        }
        CaseStatus::Setup => "set-up error".into(),
        CaseStatus::Pending => "waits for review".into(),
        status @ (CaseStatus::Passed | CaseStatus::Failed | CaseStatus::Skipped) => status.as_str().into(),
    }
}

/// `stalled`, or `fails text and hops`.
fn what_went_wrong(verdict: &CaseVerdict) -> String {
    match verdict.outcome {
        OutcomeKind::Completed => {
            let checks = verdict.expected_findings.iter().map(|finding| line(&finding.check));
            format!("fails {}", list(&checks.collect::<Vec<_>>()))
        }
        outcome => outcome_words(outcome).to_owned(),
    }
}

/// What was wrong with each try before the one that decided.
pub(crate) fn earlier_words(verdict: &CaseVerdict) -> Vec<String> {
    let words = |earlier: &EarlierTry| {
        let which = match earlier.retry {
            0 => "first try".to_owned(),
            retry => format!("retry {retry}"),
        };
        format!("{which}: {}", message(&earlier.reason()))
    };
    verdict.earlier_tries.iter().map(words).collect()
}

/// An outcome as people say it.
#[must_use]
pub fn outcome_words(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Timeout => "timed out",
        OutcomeKind::OutOfMemory => "out of memory",
        other => other.as_str(),
    }
}

/// Phase and place an attempt ended in.
pub(super) fn ended_words(attempt: Option<&Attempt>) -> String {
    let Some(outcome) = attempt.map(|attempt| &attempt.outcome) else {
        return String::new();
    };
    let phase = outcome.phase().map(|phase| format!("in {phase}"));
    let place = outcome.place().map(|place| format!("at {}", line(&place.to_string())));
    [phase, place].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The judgement on a text as a reader wants it.
pub(super) fn text_words(verdict: Option<&CaseVerdict>) -> String {
    match verdict {
        Some(verdict) if matches!(verdict.status, CaseStatus::Skipped | CaseStatus::Setup) => "–".into(),
        Some(verdict) => match verdict.text {
            TextVerdict::NearTie => "near tie".into(),
            TextVerdict::Unchecked if verdict.outcome != OutcomeKind::Completed => "no text".into(),
            other => other.as_str().into(),
        },
        None => "–".into(),
    }
}

/// Why a timing is no speed.
pub(super) fn invalid(text: TextVerdict) -> String {
    let text = if text == TextVerdict::Garbage {
        "is garbage"
    } else {
        text.as_str()
    };
    format!("invalid: text {text}")
}
