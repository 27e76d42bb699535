//! Snapshots through the whole tool: proposed, approved, compared, never written by a build machine.

use placebench_core::record::CaseStatus;

use crate::env::{TestEnv, failed_checks, of};

const SCENARIO: &str =
    "[placement.single]\ndevice_map = \"sim:0\"\n[placement.auto]\ndevice_map = \"auto\"\n[expect]\nsnapshot = true\n";

#[test]
fn a_new_text_waits_for_review_and_passes_once_approved() {
    let env = TestEnv::new();
    env.scenario("s", SCENARIO);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(113), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Pending);
    let ran = env.run(&["accept", "suite"]);
    assert!(ran.stdout.contains("accepted") && ran.code == Some(0), "{ran:?}");
    assert_eq!(env.run_suite().0.code, Some(0));
}

#[test]
fn another_text_fails_and_is_proposed() {
    let env = TestEnv::new();
    env.scenario("s", SCENARIO);
    env.run_suite();
    env.run(&["accept", "suite"]);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("\"Hello\"", "\"Goodbye\""));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100));
    assert_eq!(failed_checks(of(&verdict, "s/p/single")), ["snapshot"]);
    let ran = env.run(&["reject", "suite"]);
    assert!(ran.stdout.contains("rejected"), "{ran:?}");
    assert_eq!(env.run(&["accept", "suite"]).stdout.trim(), "no pending snapshots");
}

#[test]
fn a_build_machine_writes_no_snapshot() {
    let env = TestEnv::new();
    env.scenario("s", SCENARIO);
    let output = env.command(&["run", "suite"]).env("CI", "true").output().unwrap();
    assert_eq!(output.status.code(), Some(113));
    assert!(!env.path("suite/snapshots").exists());
}
