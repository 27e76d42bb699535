//! `run --audit`: where placements part, told by the real binary on the mock engine.

use placebench_core::exit_code::ExitCode;
use placebench_core::record::{CaseStatus, CaseVerdict, RunVerdict, TextVerdict};

use crate::env::{Ran, TestEnv, failed_checks, of};

const SPLIT: &str = r#"device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:0" }"#;
const HOP: &str = "model.layers.3 -> model.layers.4";

/// `single` and `split`, whose text must agree, and whatever else.
fn two(env: &TestEnv, rest: &str) {
    env.scenario(
        "s",
        &format!(
            "[placement.single]\ndevice_map = \"sim:2\"\n[placement.split]\n{SPLIT}\n[expect]\nagreement = {{ reference = \"single\" }}\n{rest}"
        ),
    );
}

fn fault(kind: &str, at: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\nat = {at}\nplacements = [\"split\"]\n")
}

fn audit(env: &TestEnv, more: &[&str]) -> (Ran, RunVerdict) {
    let mut args = vec!["run", "suite", "--audit"];
    args.extend(more);
    let ran = env.run(&args);
    let verdict = env.verdict();
    assert_eq!(ran.code, Some(i32::from(verdict.exit_code)), "{ran:?}");
    (ran, verdict)
}

fn audit_message(judged: &CaseVerdict) -> &str {
    let all = judged.findings.iter().chain(&judged.expected_findings);
    let found = all.filter(|finding| finding.check == "audit").collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{judged:?}");
    &found[0].message
}

#[test]
fn healthy_placements_agree_and_nothing_is_timed() {
    let env = TestEnv::new();
    two(&env, "[measure]\nwarmup = 1\nrepetitions = 6\n");
    let (ran, verdict) = audit(&env, &[]);
    assert_eq!(verdict.exit, ExitCode::Passed, "{ran:?}");
    assert!(
        ran.stdout
            .contains("AUDIT s/p/split  agrees with single bit for bit at all 11 modules × 12 steps"),
        "{}",
        ran.stdout
    );
    let attempts = env.attempts();
    assert_eq!(
        attempts.len(),
        2,
        "one generation a placement, whatever the scenario measures"
    );
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.audit.len() == 12 && attempt.generations.len() == 1)
    );
    let metrics = &of(&verdict, "s/p/split").metrics;
    assert_eq!(
        (metrics.ttft_s, metrics.tpot_s, metrics.load_s, metrics.samples),
        (None, None, None, 0)
    );
    assert_eq!(metrics.output_tokens, Some(12));
    assert!(!ran.stdout.contains("ttft"), "{}", ran.stdout);
    let events = std::fs::read_to_string(env.latest().join("events/s__p__split.ndjson")).unwrap();
    // One part before each of two hops, one at the end of the step.
    assert_eq!(events.matches("\"event\":\"audited\"").count(), 3 * 12);
}

#[test]
fn a_run_without_audit_leaves_no_trail() {
    let env = TestEnv::new();
    two(&env, "");
    let (ran, verdict) = env.run_suite();
    assert!(env.attempts().iter().all(|attempt| attempt.audit.is_empty()));
    assert!(of(&verdict, "s/p/split").metrics.ttft_s.is_some());
    assert!(!ran.stdout.contains("AUDIT"));
    let text = std::fs::read_to_string(env.latest().join("attempts.jsonl")).unwrap();
    assert!(!text.contains("\"audit\""));
}

#[test]
fn each_wrong_copy_is_found_at_its_hop_and_token() {
    for (kind, token, step, became) in [
        (
            "zero_copy",
            0,
            "prefill token 0",
            "what arrived is all zeros; it was sent with l2 ",
        ),
        (
            "zero_copy",
            5,
            "decode token 5",
            "what arrived is all zeros; it was sent with l2 ",
        ),
        (
            "stale_copy",
            4,
            "decode token 4",
            "what arrived is stale: the same as at decode token 3 (",
        ),
        (
            "corrupt_copy",
            2,
            "decode token 2",
            "what arrived differs in 8 of 64 values, the first at position 0; ",
        ),
    ] {
        let env = TestEnv::new();
        two(&env, &fault(kind, &format!("{{ hop = \"{HOP}\", token = {token} }}")));
        let (ran, verdict) = audit(&env, &[]);
        assert_eq!(verdict.exit, ExitCode::CaseFailed);
        let judged = of(&verdict, "s/p/split");
        assert_eq!(failed_checks(judged), ["agreement", "audit"], "{kind}");
        let wanted = format!("parts from single at {step}, hop {HOP} (sim:0 -> sim:1): {became}");
        assert!(
            audit_message(judged).starts_with(&wanted),
            "{kind}: {}",
            audit_message(judged)
        );
        assert!(ran.stdout.contains(&wanted), "{}", ran.stdout);
        assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
    }
}

#[test]
fn a_module_that_makes_nan_is_named() {
    let env = TestEnv::new();
    two(&env, &fault("nan", "{ module = \"model.layers.5\", token = 1 }"));
    let (_, verdict) = audit(&env, &[]);
    let judged = of(&verdict, "s/p/split");
    assert_eq!(failed_checks(judged), ["outcome", "audit"]);
    assert_eq!(
        audit_message(judged),
        "parts from single at decode token 1, module model.layers.5 (sim:1): its input is finite, its output is NaN or \
         infinite in 64 of 64 values"
    );
}

#[test]
fn an_attempt_that_stalls_keeps_what_it_had_made() {
    let env = TestEnv::new();
    let stall = fault("stall", "{ hop = \"model.norm -> lm_head\", token = 3 }");
    two(&env, &format!("[timeout]\ntoken = \"400ms\"\n{stall}"));
    let (ran, verdict) = audit(&env, &[]);
    assert_eq!(failed_checks(of(&verdict, "s/p/split")), ["outcome"]);
    let attempts = env.attempts();
    let stalled = attempts.iter().find(|attempt| attempt.case == "s/p/split").unwrap();
    let last = stalled.audit.last().unwrap();
    // Everything but the head, two hops of which the second was begun.
    assert_eq!((last.token, last.entries.len()), (3, 10 + 2 + 1));
    assert!(
        ran.stdout
            .contains("agrees with single bit for bit as far as it goes: it ends in decode token 3"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_stored_audit_is_judged_again_by_report() {
    let env = TestEnv::new();
    two(&env, &fault("zero_copy", &format!("{{ hop = \"{HOP}\", token = 1 }}")));
    audit(&env, &[]);
    let again = env.run(&["report", "reports/latest", "--output-dir", "again"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let page = std::fs::read_to_string(env.path("again/report.html")).unwrap();
    assert!(page.contains("class=\"audit\"") && page.contains("what arrived is all zeros"));
    assert!(env.path("again/plots/s--p-audit.png").is_file());
    let markdown = env.run(&["report", "reports/latest", "--markdown"]);
    assert!(
        markdown
            .stdout
            .contains("s/p/split: parts from single at decode token 1"),
        "{}",
        markdown.stdout
    );
}

#[test]
fn a_scenario_may_expect_to_part_and_an_ordinary_run_does_not_ask() {
    let broken = fault("zero_copy", &format!("{{ hop = \"{HOP}\", token = 1 }}"));
    for fails in ["\"agreement\", \"audit\"", "\"agreement\""] {
        let env = TestEnv::new();
        two(&env, &format!("[placement.split.expect]\nfails = [{fails}]\n{broken}"));
        let (ran, verdict) = audit(&env, &[]);
        assert_eq!(verdict.exit, ExitCode::Passed, "{fails}: {ran:?}");
        assert!(audit_message(of(&verdict, "s/p/split")).contains("all zeros"));
        let (ran, verdict) = env.run_suite();
        assert_eq!(verdict.exit, ExitCode::Passed, "{fails}: {ran:?}");
    }
    let env = TestEnv::new();
    two(&env, "[placement.split.expect]\nfails = [\"audit\"]\n");
    let (_, verdict) = audit(&env, &[]);
    let judged = of(&verdict, "s/p/split");
    assert_eq!(
        (verdict.exit, failed_checks(judged)),
        (ExitCode::CaseFailed, vec!["audit"])
    );
    assert!(judged.findings[0].message.contains("but it passed"), "{judged:?}");
    assert_eq!(env.run_suite().1.exit, ExitCode::Passed);
}

#[test]
fn fewer_tokens_are_compared_with_as_much_of_the_snapshot_and_propose_none() {
    let env = TestEnv::new();
    two(&env, "snapshot = true\n");
    // Nothing is approved yet, and an audit is not where texts are proposed.
    let (_, verdict) = audit(&env, &["--audit-tokens", "3"]);
    assert_eq!(verdict.exit, ExitCode::Passed);
    assert_eq!(env.run(&["run", "suite"]).code, Some(113));
    assert_eq!(env.run(&["accept", "suite"]).code, Some(0));
    let (_, verdict) = audit(&env, &["--audit-tokens", "3"]);
    assert_eq!(verdict.exit, ExitCode::Passed);
    let judged = of(&verdict, "s/p/split");
    assert_eq!(
        (judged.text, judged.metrics.output_tokens),
        (TextVerdict::Exact, Some(3))
    );
    assert!(env.attempts().iter().all(|attempt| attempt.audit.len() == 3));
    // A text that differs within those tokens is still found.
    two(
        &env,
        &format!("snapshot = true\n{}", fault("zero_copy", "{ token = 1 }")),
    );
    let (_, verdict) = audit(&env, &["--audit-tokens", "3"]);
    assert_eq!(
        failed_checks(of(&verdict, "s/p/split")),
        ["snapshot", "agreement", "audit"]
    );
}

#[test]
fn what_cannot_be_audited_is_left_out_and_named() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        // The others are not held to a text that is not there.
        &format!(
            "[placement.single]\ndevice_map = \"sim:2\"\n[placement.batch]\n{SPLIT}\nbatch = 2\n[expect]\nagreement = {{ reference = \"batch\" }}\n"
        ),
    );
    let (ran, verdict) = audit(&env, &[]);
    assert_eq!((verdict.cases.len(), verdict.exit), (1, ExitCode::Passed), "{ran:?}");
    assert!(
        ran.stderr
            .contains("1 case left out of the audit: sequences that are generated together"),
        "{}",
        ran.stderr
    );
    env.scenario("s", &format!("[placement.batch]\n{SPLIT}\nbatch = 2\n"));
    let ran = env.run(&["run", "suite", "--audit"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("no case can be audited"), "{}", ran.stderr);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let env = TestEnv::new();
    two(&env, "");
    for args in [
        &["run", "suite", "--audit-tokens", "3"][..],
        &["run", "suite", "--audit", "--audit-tokens", "0"],
        &["run", "--audit", "--resume", "latest"],
    ] {
        assert_eq!(env.run(args).code, Some(2), "{args:?}");
    }
}
