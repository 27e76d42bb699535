//! Retries, and runs that stop when too much has failed.

use std::cell::RefCell;
use std::path::Path;

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{Attempt, CaseSpec, CaseStatus};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::{FailurePolicy, RunEvent, RunPlan, RunSummary, run, unfinished};
use placebench_runner::store::{self, RunFolder};
use placebench_runner::supervisor::WorkerCommand;

use crate::fake::command;
use crate::run::{behaving, info};

/// A stand-in for the judge: a case fails where its last try did not complete.
fn status(case: &CaseSpec, attempts: &[Attempt]) -> CaseStatus {
    let own = attempts.iter().filter(|attempt| attempt.case == case.case);
    let last = own.clone().map(|attempt| case.retry_of(attempt.attempt)).max();
    let mut of_last = own.filter(|attempt| Some(case.retry_of(attempt.attempt)) == last);
    if of_last.all(|attempt| attempt.outcome.kind() == OutcomeKind::Completed) {
        CaseStatus::Passed
    } else {
        CaseStatus::Failed
    }
}

/// Cases by name, one scenario each, or all in one.
fn cases(names: &[&str], one_scenario: bool, repetitions: u32) -> Vec<CaseSpec> {
    let case = |name: &&str| CaseSpec {
        case: format!("{name}/p/x"),
        scenario: if one_scenario { "all".into() } else { (*name).to_owned() },
        placement: (*name).to_owned(),
        ..behaving("ok", repetitions)
    };
    names.iter().map(case).collect()
}

struct Made {
    summary: RunSummary,
    /// `case#attempt outcome` for each attempt, and what else was told.
    log: Vec<String>,
    attempts: Vec<Attempt>,
}

/// Runs with workers that misbehave as the list says, one entry for each process of a case of that name; then they are well.
fn make(
    dir: &Path,
    cases: &[CaseSpec],
    retries: u32,
    max_fail: Option<u32>,
    script: &[(&str, &[&str])],
    resume: bool,
) -> Made {
    let (mut folder, previous) = if resume {
        let (folder, parts) = RunFolder::resume(&dir.join("latest")).unwrap();
        (folder, parts.attempts)
    } else {
        (RunFolder::create(dir, &info(cases)).unwrap(), Vec::new())
    };
    let spawned: RefCell<Vec<String>> = RefCell::default();
    let worker = |case: &CaseSpec| -> WorkerCommand {
        let before = spawned.borrow().iter().filter(|name| **name == case.placement).count();
        spawned.borrow_mut().push(case.placement.clone());
        let modes = script
            .iter()
            .find(|(name, _)| *name == case.placement)
            .map(|(_, modes)| *modes);
        command(modes.and_then(|modes| modes.get(before)).copied().unwrap_or("ok"))
    };
    let plan = RunPlan {
        cases,
        seed: 1,
        worker: &worker,
        cuda_devices: 0,
        previous: &previous,
        policy: FailurePolicy {
            retries,
            max_fail,
            status: &status,
        },
    };
    let mut log = Vec::new();
    let summary = run(&plan, &mut folder, &Cancel::new(), &mut |event| match event {
        RunEvent::AttemptFinished { case, attempt } => {
            log.push(format!(
                "{}#{} {}",
                case.placement,
                attempt.attempt,
                attempt.outcome.kind()
            ));
        }
        RunEvent::CaseRetried { case, retry } => log.push(format!("{} retry {retry}", case.placement)),
        RunEvent::CaseFinished { case } => log.push(format!("{} over", case.placement)),
        RunEvent::AttemptStarted { .. }
        | RunEvent::Worker { .. }
        | RunEvent::BaseAttemptStarted { .. }
        | RunEvent::BaseWorker { .. }
        | RunEvent::BaseAttemptFinished { .. } => {}
    });
    let attempts = store::read(&dir.join("latest")).unwrap().attempts;
    Made {
        summary: summary.unwrap(),
        log,
        attempts,
    }
}

#[test]
fn a_failed_case_is_tried_again_after_its_siblings_until_it_passes() {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases(&["a", "b"], true, 2);
    let made = make(
        dir.path(),
        &cases,
        3,
        None,
        &[("b", &["exit:3", "ok", "exit:3"])],
        false,
    );
    assert!(!made.summary.interrupted);
    let of_b: Vec<&str> = made
        .log
        .iter()
        .filter(|line| line.starts_with('b'))
        .map(String::as_str)
        .collect();
    assert_eq!(
        of_b,
        [
            "b#0 crashed",
            "b retry 1",
            "b#2 completed",
            "b#3 crashed",
            "b retry 2",
            "b#4 completed",
            "b#5 completed",
            "b over"
        ]
    );
    let position = |wanted: &str| made.log.iter().position(|line| line == wanted).unwrap();
    assert!(position("a#1 completed") < position("b retry 1"), "{:?}", made.log);
    assert_eq!(made.log.iter().filter(|line| *line == "a over").count(), 1);
    assert_eq!(unfinished(&cases, &made.attempts), Vec::<String>::new());
}

#[test]
fn retries_end_and_are_not_made_for_cases_that_pass() {
    let dir = tempfile::tempdir().unwrap();
    let made = make(
        dir.path(),
        &cases(&["a", "b"], true, 1),
        2,
        None,
        &[("a", &["exit:3"; 9])],
        false,
    );
    let attempts = |name: &str| {
        made.log
            .iter()
            .filter(|line| line.starts_with(&format!("{name}#")))
            .count()
    };
    assert_eq!((attempts("a"), attempts("b")), (3, 1), "{:?}", made.log);
    assert_eq!(made.summary.attempts, 4);
    let dir = tempfile::tempdir().unwrap();
    let made = make(
        dir.path(),
        &cases(&["a"], true, 1),
        0,
        None,
        &[("a", &["exit:3"; 9])],
        false,
    );
    assert_eq!(made.log, ["a#0 crashed", "a over"]);
}

#[test]
fn a_run_stops_after_so_many_failures_and_goes_on_when_resumed() {
    let names = ["a", "b", "c", "d", "e"];
    let script: &[(&str, &[&str])] = &[("b", &["exit:3"]), ("c", &["exit:3"]), ("d", &["exit:3"])];
    let dir = tempfile::tempdir().unwrap();
    let suite = cases(&names, false, 1);
    let first = make(dir.path(), &suite, 0, Some(2), script, false);
    assert!(first.summary.interrupted);
    assert_eq!(
        first.log,
        [
            "a#0 completed",
            "a over",
            "b#0 crashed",
            "b over",
            "c#0 crashed",
            "c over"
        ]
    );
    assert_eq!(unfinished(&suite, &first.attempts), ["d/p/x", "e/p/x"]);
    let second = make(dir.path(), &suite, 0, Some(2), script, true);
    assert_eq!(
        second.log,
        ["d#0 crashed", "d over", "e#0 completed", "e over"],
        "what failed before does not count again"
    );
    assert!(!second.summary.interrupted);
}

/// What ended badly has failed whatever its siblings say, so nobody waits for those.
#[test]
fn a_crash_stops_the_run_in_the_middle_of_a_group_and_a_retry_delays_that() {
    let dir = tempfile::tempdir().unwrap();
    let group = cases(&["a", "b", "c"], true, 2);
    let script: &[(&str, &[&str])] = &[("a", &["exit:3"; 9]), ("b", &["exit:3"; 9]), ("c", &["exit:3"; 9])];
    let made = make(dir.path(), &group, 0, Some(1), script, false);
    assert_eq!(made.summary.attempts, 1);
    assert!(made.summary.interrupted);
    let dir = tempfile::tempdir().unwrap();
    let made = make(dir.path(), &group, 1, Some(1), script, false);
    assert_eq!(made.summary.attempts, 6, "{:?}", made.log);
    assert!(made.summary.interrupted);
}

#[test]
fn a_run_that_was_killed_during_a_retry_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let suite = cases(&["a", "b"], true, 2);
    let whole = make(
        dir.path(),
        &suite,
        2,
        None,
        &[("a", &["exit:3", "ok", "exit:3"])],
        false,
    );
    let lines = std::fs::read_to_string(dir.path().join("latest/attempts.jsonl")).unwrap();
    let expected: Vec<(String, u32)> = whole
        .attempts
        .iter()
        .map(|made| (made.case.clone(), made.attempt))
        .collect();
    let mut resumed_runs = 0;
    for kept in 1..expected.len() {
        let text: String = lines.lines().take(kept).map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.path().join("latest/attempts.jsonl"), text).unwrap();
        // Workers of `a` do what they would have done at that point.
        let made_of_a = whole.attempts[..kept]
            .iter()
            .filter(|made| made.case.starts_with('a'))
            .count();
        let modes = ["exit:3", "ok", "exit:3"];
        let rest: &[&str] = modes.get(made_of_a..).unwrap_or_default();
        let is_torn = |made: &Attempt| made.case.starts_with('a') && matches!(made.attempt, 2 | 4);
        let open = unfinished(&suite, &whole.attempts[..kept]);
        let in_a_try = whole.attempts[..kept].last().is_some_and(is_torn);
        assert_eq!(
            open.contains(&"a/p/x".to_owned()),
            in_a_try,
            "after {kept} attempts: {open:?}"
        );
        let resumed = make(dir.path(), &suite, 2, None, &[("a", rest)], true);
        let made: Vec<(String, u32)> = resumed
            .attempts
            .iter()
            .map(|made| (made.case.clone(), made.attempt))
            .collect();
        assert_eq!(made, expected, "killed after {kept} attempts");
        resumed_runs += 1;
    }
    assert_eq!(resumed_runs, expected.len() - 1);
}
