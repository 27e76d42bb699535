//! Snapshots through the whole tool: proposed, approved, compared, never written by a build machine.

use placebench_core::record::CaseStatus;
use serde_json::Value;

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

const TWO_PROMPTS: &str = "[placement.single]\ndevice_map = \"sim:0\"\n[placement.auto]\ndevice_map = \"auto\"\n\
     [expect]\nsnapshot = true\n[[prompt]]\nname = \"q\"\ntext = \"Why\"\n";

fn pending(env: &TestEnv, args: &[&str]) -> Value {
    let ran = env.run(&[&["pending", "suite", "--format", "json"], args].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn what_waits_is_listed_with_what_differs() {
    let env = TestEnv::new();
    assert_eq!(env.run(&["pending", "suite"]).stdout.trim(), "no pending snapshots");
    env.scenario("s", TWO_PROMPTS);
    env.run_suite();
    env.run(&["accept", "suite", "-E", "prompt(p)"]);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("\"Hello\"", "\"Goodbye\""));
    env.run_suite();
    let ran = env.run(&["pending", "suite"]);
    assert_eq!(ran.code, Some(0), "something to review is no failure of the list");
    for words in [
        "s/p/single (changed, cpu)",
        "at token 0",
        "s/q/single (new, cpu)",
        "2 pending snapshots",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }
    let list = pending(&env, &[]);
    assert_eq!(
        (&list["schema_version"], &list["unreferenced"]),
        (&1.into(), &Value::Array(Vec::new()))
    );
    let [changed, new] = list["pending"].as_array().unwrap().as_slice() else {
        panic!("{list}")
    };
    assert_eq!((&changed["change"], &new["change"]), (&"changed".into(), &"new".into()));
    assert_eq!(changed["run"], env.latest().file_name().unwrap().to_str().unwrap());
    let first = &changed["first_difference"];
    assert_eq!(first["token"], 0);
    let piece = first["new"]["text"].as_str().unwrap();
    assert!(changed["new"]["text"].as_str().unwrap().starts_with(piece), "{changed}");
    assert_ne!(first["new"]["id"], first["approved"]["id"]);
    assert_eq!(new["first_difference"], Value::Null);
    assert_eq!(new["referenced"], true);
}

#[test]
fn a_filter_decides_on_the_snapshots_of_its_cases() {
    let env = TestEnv::new();
    env.scenario("s", TWO_PROMPTS);
    env.run_suite();
    let ran = env.run(&["reject", "suite", "-E", "prompt(q)"]);
    assert!(
        ran.code == Some(0) && ran.stdout.lines().count() == 1 && ran.stdout.contains("q@cpu"),
        "{ran:?}"
    );
    assert_eq!(pending(&env, &["-E", "prompt(q)"])["pending"], Value::Array(Vec::new()));
    assert_eq!(
        pending(&env, &["-E", "prompt(p)"])["unreferenced"],
        Value::Null,
        "a filter asks about some"
    );
    // Any placement of the prompt stands for its snapshot.
    let ran = env.run(&["accept", "suite", "-E", "placement(auto) and prompt(p)"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("accepted"), "{ran:?}");
    assert_eq!(env.run(&["accept", "suite", "-E", "prompt(("]).code, Some(94));
    assert_eq!(env.run(&["accept", "suite", "-E", "prompt(nothing)"]).code, Some(4));
    assert_eq!(
        env.run(&["accept", "suite/snapshots", "-E", "prompt(p)"]).code,
        Some(4),
        "no scenarios there"
    );
    let ran = env.run(&["accept", "nowhere"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("no such file or folder"),
        "{ran:?}"
    );
}

#[test]
fn approved_snapshots_nobody_refers_to_are_named_and_removed_on_request() {
    let env = TestEnv::new();
    env.scenario("s", TWO_PROMPTS);
    env.scenario("part/t", SCENARIO);
    env.write("suite/part/models/m/config.json", "{\"num_hidden_layers\": 8}");
    env.run_suite();
    env.run(&["accept", "suite"]);
    let names = |env: &TestEnv| env.run(&["run", "suite"]).stderr;
    assert!(!names(&env).contains("no case refers to"));
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("name = \"q\"", "name = \"other\""));
    let gone = env.path("suite/snapshots/s/q@cpu.snap");
    let said = names(&env);
    assert!(said.contains("s/q@cpu.snap") && !said.contains("p@cpu.snap"), "{said}");
    // Whoever runs some of the cases cannot know.
    for args in [
        &["run", "suite/s.toml"][..],
        &["run", "suite", "-E", "prompt(p)"],
        &["run", "suite/part"],
    ] {
        let ran = env.run(args);
        assert!(!ran.stderr.contains("no case refers to"), "{args:?}: {ran:?}");
    }
    let list = pending(&env, &[]);
    assert_eq!(list["unreferenced"][0]["case"], "s/q/single");
    assert_eq!(list["unreferenced"].as_array().unwrap().len(), 1);
    let ran = env.run(&["accept", "suite", "--unreferenced", "reject"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("nothing was accepted"),
        "{ran:?}"
    );
    assert!(env.path("suite/snapshots/s/other@cpu.snap.new").exists());
    let ran = env.run(&["accept", "suite/part", "--unreferenced", "delete"]);
    assert!(ran.code == Some(96) && ran.stderr.contains("whole suites"), "{ran:?}");
    let ran = env.run(&["accept", "suite", "--unreferenced", "warn"]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("q@cpu.snap") && gone.exists(),
        "{ran:?}"
    );
    let ran = env.run(&["accept", "suite", "--unreferenced", "delete"]);
    assert!(
        ran.code == Some(0) && ran.stdout.contains("removed suite/snapshots/s/q@cpu.snap"),
        "{ran:?}"
    );
    assert!(!gone.exists() && env.path("suite/snapshots/s/p@cpu.snap").exists());
    let ran = env.run(&["run", "suite"]);
    assert!(
        ran.code == Some(0) && !ran.stderr.contains("no case refers to"),
        "{ran:?}"
    );
}

#[test]
fn a_proposal_of_a_case_that_is_gone_is_told() {
    let env = TestEnv::new();
    env.scenario("s", TWO_PROMPTS);
    env.run_suite();
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("name = \"q\"", "name = \"other\""));
    let list = pending(&env, &[]);
    let referenced: Vec<&Value> = list["pending"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["referenced"])
        .collect();
    assert_eq!(referenced, [true, false]);
    assert!(
        env.run(&["pending", "suite"])
            .stdout
            .contains("no case refers to it any more")
    );
}

#[test]
fn what_cannot_be_reviewed_is_named_beside_what_can() {
    let env = TestEnv::new();
    env.scenario("s", SCENARIO);
    env.run_suite();
    env.write("suite/snapshots/s/broken@cpu.snap.new", "\u{1b}[2J no snapshot");
    std::fs::write(env.path("suite/snapshots/s/bytes@cpu.snap.new"), [0xff, 0xfe]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", env.path("suite/snapshots/s/link@cpu.snap.new")).unwrap();
    std::fs::create_dir(env.path("suite/snapshots/s/folder@cpu.snap.new")).unwrap();
    for command in ["pending", "accept"] {
        let ran = env.run(&[command, "suite"]);
        assert_eq!(ran.code, Some(96), "{command}: {ran:?}");
        for name in ["broken@cpu", "bytes@cpu", "link@cpu"] {
            assert!(ran.stderr.contains(name), "{command}, {name}: {ran:?}");
        }
        assert!(
            !ran.stderr.contains("folder@cpu") && ran.stdout.contains("p@cpu"),
            "{command}: {ran:?}"
        );
    }
    assert!(
        env.path("suite/snapshots/s/p@cpu.snap").exists(),
        "the sound one is accepted"
    );
    let ran = env.run(&["accept", "suite/snapshots/s/link@cpu.snap.new"]);
    assert!(ran.code == Some(96) && ran.stderr.contains("symbolic link"), "{ran:?}");
    let ran = env.run(&["pending", "suite", "--format", "json"]);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, list["refused"].as_array().unwrap().len()), (Some(96), 3));
}

#[test]
fn broken_scenarios_do_not_hide_what_waits() {
    let env = TestEnv::new();
    env.scenario("s", SCENARIO);
    env.run_suite();
    env.write("suite/broken.toml", "schema_version = 1\nnonsense = 1\n");
    let ran = env.run(&["pending", "suite", "--format", "json"]);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, list["pending"].as_array().unwrap().len()), (Some(0), 1));
    assert_eq!(
        (&list["unreferenced"], &list["pending"][0]["referenced"]),
        (&Value::Null, &Value::Null)
    );
    assert!(ran.stderr.contains("the scenarios cannot be read"), "{ran:?}");
}
