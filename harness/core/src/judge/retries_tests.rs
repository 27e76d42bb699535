//! The last try decides, and nothing it follows is forgotten.

use std::collections::HashMap;

use crate::exit_code::ExitCode;
use crate::judge::judge;
use crate::outcome::{Outcome, OutcomeKind, Phase};
use crate::record::*;
use crate::selection::testing::{attempt_with, run_of};

fn crashed() -> Outcome {
    Outcome::Crashed {
        phase: Phase::Decode,
        signal: Some(6),
        exit_code: None,
        last: Default::default(),
        message: "the worker died of signal 6".into(),
    }
}

fn skipped() -> Outcome {
    Outcome::Skipped {
        reason: "interrupted".into(),
        hint: None,
    }
}

/// A run of `single` and `auto`, of which `auto` must agree with `single`, each of two repetitions.
fn verdict(attempts: &[(&str, u32, Outcome, &[u32])], flaky: FlakyResult) -> RunVerdict {
    let mut info = run_of(&["single", "auto"], 2);
    info.control.flaky_result = flaky;
    let attempts: Vec<Attempt> = attempts
        .iter()
        .map(|(placement, number, outcome, ids)| {
            attempt_with(&format!("s/p/{placement}"), *number, outcome.clone(), ids)
        })
        .collect();
    judge(&info, &attempts, &HashMap::new(), true)
}

const GOOD: &[u32] = &[1, 2, 3];
const BAD: &[u32] = &[1, 9, 3];

#[test]
fn a_case_that_passes_only_on_a_retry_is_flaky() {
    let attempts = [
        ("single", 0, Outcome::Completed, GOOD),
        ("auto", 0, crashed(), &[][..]),
        ("single", 1, Outcome::Completed, GOOD),
        ("auto", 2, Outcome::Completed, GOOD),
        ("auto", 3, Outcome::Completed, GOOD),
    ];
    let judged = verdict(&attempts, FlakyResult::Pass);
    assert_eq!(judged.exit, ExitCode::Passed);
    let [single, auto] = judged.cases.as_slice() else {
        panic!()
    };
    assert_eq!((single.status, single.earlier_tries.len()), (CaseStatus::Passed, 0));
    assert_eq!(
        (auto.status, auto.decided_by_retry, auto.attempts),
        (CaseStatus::Flaky, 1, 3)
    );
    assert_eq!(
        (auto.outcome, auto.text, auto.metrics.samples),
        (OutcomeKind::Completed, TextVerdict::Exact, 2)
    );
    let [first] = auto.earlier_tries.as_slice() else {
        panic!()
    };
    assert_eq!(
        (first.retry, first.status, first.outcome),
        (0, CaseStatus::Failed, OutcomeKind::Crashed)
    );
    assert!(
        first.reason().starts_with("outcome: the worker died of signal 6"),
        "{}",
        first.reason()
    );
    assert_eq!(verdict(&attempts, FlakyResult::Fail).exit, ExitCode::CaseFailed);
}

#[test]
fn a_wrong_text_stays_on_record_when_the_next_one_is_right() {
    let judged = verdict(
        &[
            ("single", 0, Outcome::Completed, GOOD),
            ("single", 1, Outcome::Completed, GOOD),
            ("auto", 0, Outcome::Completed, BAD),
            ("auto", 1, Outcome::Completed, BAD),
            ("auto", 2, Outcome::Completed, GOOD),
            ("auto", 3, Outcome::Completed, GOOD),
        ],
        FlakyResult::Pass,
    );
    let auto = &judged.cases[1];
    assert_eq!((auto.status, auto.text), (CaseStatus::Flaky, TextVerdict::Exact));
    assert_eq!(auto.earlier_tries[0].text, TextVerdict::Diverged);
    assert_eq!(auto.earlier_tries[0].findings[0].check, "agreement");
}

#[test]
fn a_case_that_fails_every_time_has_failed() {
    let judged = verdict(
        &[
            ("single", 0, Outcome::Completed, GOOD),
            ("single", 1, Outcome::Completed, GOOD),
            ("auto", 0, crashed(), &[]),
            ("auto", 2, Outcome::Completed, GOOD),
            ("auto", 3, Outcome::Completed, BAD),
            ("auto", 4, crashed(), &[]),
        ],
        FlakyResult::Pass,
    );
    let auto = &judged.cases[1];
    assert_eq!((auto.status, auto.decided_by_retry), (CaseStatus::Failed, 2));
    let reasons: Vec<&str> = auto
        .earlier_tries
        .iter()
        .map(|earlier| earlier.findings[0].check.as_str())
        .collect();
    assert_eq!(reasons, ["outcome", "repeatable"]);
    assert_eq!(judged.exit, ExitCode::CaseFailed);
}

/// What was interrupted says nothing, and takes nothing back.
#[test]
fn a_retry_that_was_not_made_does_not_hide_the_failure() {
    let judged = verdict(
        &[
            ("single", 0, Outcome::Completed, GOOD),
            ("single", 1, Outcome::Completed, GOOD),
            ("auto", 0, crashed(), &[]),
            ("auto", 2, skipped(), &[]),
        ],
        FlakyResult::Pass,
    );
    let auto = &judged.cases[1];
    assert_eq!(
        (auto.status, auto.outcome, auto.decided_by_retry),
        (CaseStatus::Failed, OutcomeKind::Crashed, 0)
    );
    assert_eq!(judged.exit, ExitCode::CaseFailed);
}

/// A reference that was wrong at first made others wrong then; what it says in the end counts for them in the end.
#[test]
fn tries_are_held_against_what_their_reference_had_said_by_then() {
    let judged = verdict(
        &[
            ("single", 0, Outcome::Completed, BAD),
            ("single", 1, Outcome::Completed, GOOD),
            ("auto", 0, Outcome::Completed, GOOD),
            ("auto", 1, Outcome::Completed, GOOD),
            ("single", 2, Outcome::Completed, GOOD),
            ("single", 3, Outcome::Completed, GOOD),
            ("auto", 2, Outcome::Completed, GOOD),
            ("auto", 3, Outcome::Completed, GOOD),
        ],
        FlakyResult::Pass,
    );
    let [single, auto] = judged.cases.as_slice() else {
        panic!()
    };
    assert_eq!(single.earlier_tries[0].findings[0].check, "repeatable");
    assert_eq!(auto.earlier_tries[0].findings[0].check, "agreement");
    assert_eq!((single.status, auto.status), (CaseStatus::Flaky, CaseStatus::Flaky));
}
