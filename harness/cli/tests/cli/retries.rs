//! Cases that are tried again, and runs that stop early.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{CaseStatus, RunVerdict};

use crate::env::{TestEnv, of};

/// A suite whose model does not fit its device, as long as the model is big.
fn too_big() -> TestEnv {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.host]\ndevice_map = \"cpu\"\n",
    );
    env.write("suite/models/m/config.json", "{\"num_hidden_layers\": 200}");
    env
}

/// Runs the suite, and makes the model small when the first retry is announced.
fn run_and_mend(env: &TestEnv, flags: &[&str]) -> (Option<i32>, Vec<String>) {
    let args = [["run", "suite", "--message-format", "ndjson"].as_slice(), flags].concat();
    let mut child = env.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("\"case-retried\"") {
            // In one step: a worker must not read half a file.
            env.write("suite/models/m/new.json", "{\"num_hidden_layers\": 8}");
            std::fs::rename(
                env.path("suite/models/m/new.json"),
                env.path("suite/models/m/config.json"),
            )
            .unwrap();
        }
        lines.push(line);
    }
    (child.wait().unwrap().code(), lines)
}

#[test]
fn a_case_that_passes_on_a_retry_is_flaky_everywhere_and_its_failure_stays() {
    let env = too_big();
    let (code, lines) = run_and_mend(&env, &["--retries", "100"]);
    assert_eq!(code, Some(0), "{lines:?}");
    let verdict = env.verdict();
    let flaky = of(&verdict, "s/p/single");
    assert_eq!(
        (flaky.status, flaky.outcome),
        (CaseStatus::Flaky, OutcomeKind::Completed)
    );
    assert!(flaky.decided_by_retry >= 1);
    assert_eq!(flaky.earlier_tries[0].outcome, OutcomeKind::OutOfMemory);
    assert_eq!(flaky.earlier_tries[0].findings[0].check, "outcome");
    assert_eq!(of(&verdict, "s/p/host").status, CaseStatus::Passed);
    let retried: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["type"] == "case-retried")
        .collect();
    assert_eq!(
        (&retried[0]["case"], &retried[0]["retry"]),
        (&"s/p/single".into(), &1.into())
    );
    assert_eq!(retried[0]["verdict"]["status"], "failed");
    let attempts = env.attempts();
    let numbers: Vec<u32> = attempts
        .iter()
        .filter(|attempt| attempt.case == "s/p/single")
        .map(|attempt| attempt.attempt)
        .collect();
    assert_eq!(numbers, (0..=flaky.decided_by_retry).collect::<Vec<_>>());

    let read = |name: &str| std::fs::read_to_string(env.latest().join(name)).unwrap();
    let junit = read("junit.xml");
    assert!(
        junit.contains("<flakyFailure") && junit.contains("failures=\"0\""),
        "{junit}"
    );
    let csv = read("results.csv");
    let row = csv.lines().find(|line| line.starts_with("s/p/single")).unwrap();
    assert!(row.contains(",flaky,completed,"), "{row}");
    let html = read("report.html");
    assert!(
        html.contains("1 passed, 1 flaky")
            && html.contains("Passed only on a retry")
            && html.contains("first try: outcome:"),
        "{}",
        &html[..3000]
    );
    let shown = env.run(&["report", "--markdown"]);
    assert!(
        shown.stdout.contains("flaky: passed on retry") && shown.stdout.contains("first try:"),
        "{}",
        shown.stdout
    );
    let again: RunVerdict = serde_json::from_str(&read("verdict.json")).unwrap();
    assert_eq!(again, verdict);
}

#[test]
fn a_flaky_case_can_fail_the_run() {
    let env = too_big();
    let (code, _) = run_and_mend(&env, &["--retries", "100", "--flaky-result", "fail"]);
    assert_eq!(code, Some(100));
    assert_eq!(of(&env.verdict(), "s/p/single").status, CaseStatus::Flaky);
}

#[test]
fn a_case_that_fails_every_time_has_failed_and_says_how_often() {
    let env = too_big();
    let ran = env.run(&["run", "suite", "--retries", "2"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    for words in [
        "RETRY s/p/single  retry 1 of 2, because outcome:",
        "retry 2 of 2",
        "first try: outcome:",
        "1 passed, 1 failed",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let failed = env.verdict();
    let failed = of(&failed, "s/p/single");
    assert_eq!(
        (failed.status, failed.earlier_tries.len(), failed.attempts),
        (CaseStatus::Failed, 2, 3)
    );
    let junit = std::fs::read_to_string(env.latest().join("junit.xml")).unwrap();
    assert_eq!(junit.matches("<rerunFailure").count(), 2, "{junit}");
    assert_eq!(
        env.attempts()
            .iter()
            .filter(|attempt| attempt.case == "s/p/host")
            .count(),
        1,
        "what passed is not repeated"
    );
}

/// Two scenarios with text and set-up failures, and one that is well.
fn failing(first: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("a", first);
    env.scenario(
        "b",
        "[placement.x]\ndevice_map = \"cpu\"\n[expect]\ncontains = [\"no such text\"]\n",
    );
    env.scenario("c", "[placement.x]\ndevice_map = \"cpu\"\n");
    env
}

const WELL: &str = "[placement.x]\ndevice_map = \"cpu\"\n";

#[test]
fn fail_fast_leaves_out_the_rest_and_the_run_goes_on_when_resumed() {
    let env = failing(WELL);
    let ran = env.run(&["run", "suite", "--fail-fast"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(
        ran.stdout
            .contains("stopped after 1 failure, as asked for; go on with: placebench run --resume "),
        "{}",
        ran.stdout
    );
    let verdict = env.verdict();
    assert!(!verdict.complete);
    let statuses: Vec<&str> = verdict.cases.iter().map(|case| case.status.as_str()).collect();
    assert_eq!(statuses, ["passed", "failed", "skipped"]);
    let ran = env.run(&["run", "--resume", "latest"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let verdict = env.verdict();
    assert!(verdict.complete);
    assert_eq!(of(&verdict, "c/p/x").status, CaseStatus::Passed);
    assert_eq!(env.attempts().len(), 3, "nothing is run twice");
}

#[test]
fn set_up_errors_count_and_the_limit_may_be_higher() {
    let env = failing("[placement.x]\ndevice_map = \"cuda:7\"\n");
    let statuses = |flags: &[&str]| {
        let ran = env.run(&[["run", "suite"].as_slice(), flags].concat());
        assert_eq!(
            ran.code,
            Some(if flags == ["--fail-fast"] { 96 } else { 100 }),
            "{ran:?}"
        );
        env.verdict()
            .cases
            .iter()
            .map(|case| case.status.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(statuses(&["--fail-fast"]), "setup skipped skipped");
    assert_eq!(statuses(&["--max-fail", "2"]), "setup failed skipped");
    assert_eq!(statuses(&["--max-fail", "3"]), "setup failed passed");
    assert_eq!(statuses(&["--no-fail-fast"]), "setup failed passed");
    assert_eq!(statuses(&["--retries", "1"]), "setup failed passed");
    assert_eq!(
        env.attempts().len(),
        4,
        "only what failed is tried again, not what must be set up first"
    );
}
