//! `engine-check`: engines that keep to the protocol pass, and each way of breaking it is found by the check for it.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::env::{Ran, TestEnv};
use crate::foreign::has_python;

mod defects;

/// Checks that any defect could fail by mistake: one or two of each subject, and none that waits for a hang.
const WITNESSES: [&str; 8] = [
    "needed_events",
    "clock",
    "no_breadcrumb",
    "protocol_version",
    "repeatable",
    "split",
    "stop",
    "model_missing",
];

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../workers/README.md")).unwrap()
}

fn example() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../workers/example_engine.py")).unwrap()
}

/// What each check of a report came to.
fn results(document: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap().iter();
    checks
        .map(|check| (text(&check["name"]), text(&check["result"])))
        .collect()
}

fn those<'a>(results: &'a BTreeMap<String, String>, result: &str) -> BTreeSet<&'a str> {
    let of_it = results.iter().filter(|(_, is)| *is == result);
    of_it.map(|(name, _)| name.as_str()).collect()
}

fn checked(env: &TestEnv, args: &[&str], engine: &[&str]) -> (Ran, Value) {
    let mut all = vec!["engine-check", "--format", "json"];
    all.extend(args);
    all.push("--");
    all.extend(engine);
    let ran = env.run(&all);
    let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran, document)
}

#[test]
fn the_example_does_all_that_it_does_not_refuse() {
    if !has_python() {
        return;
    }
    let env = TestEnv::new();
    env.write("example_engine.py", &example());
    let (ran, document) = checked(&env, &[], &["python3", "example_engine.py"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let results = results(&document);
    let refused = [
        "audit",
        "companions",
        "dtype",
        "faults",
        "ignore_eos",
        "probe",
        "sampling",
        "strategy",
    ];
    assert_eq!(
        those(&results, "not_applicable"),
        BTreeSet::from(refused),
        "{}",
        ran.stdout
    );
    assert_eq!(document["passed"], results.len() - refused.len());
}

#[test]
fn the_mock_engine_passes() {
    let env = TestEnv::new();
    let own = env!("CARGO_BIN_EXE_placebench");
    let (ran, document) = checked(&env, &["--engine", "mock"], &[own, "worker"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let refused = ["companions", "dtype", "ignore_eos"];
    assert_eq!(those(&results(&document), "not_applicable"), BTreeSet::from(refused));
    // The same in a table for people, of the checks that are asked for and what they rest on.
    let ran = env.run(&[
        "engine-check",
        "--engine",
        "mock",
        "--only",
        "clock",
        "--",
        own,
        "worker",
    ]);
    insta::assert_snapshot!(ran.stdout.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// The failures of an example engine with one thing changed, among the check for it and the witnesses.
fn failures_of(defect: &defects::Defect) -> Result<(), String> {
    let mut source = example();
    for (old, new) in defect.changes {
        assert!(source.contains(old), "the example has no `{old}` any more");
        source = source.replace(old, new);
    }
    let env = TestEnv::new();
    env.write("defect.py", &source);
    let mut args = vec!["--timeout", defect.timeout];
    for name in WITNESSES.iter().chain([&defect.fails]) {
        args.extend(["--only", name]);
    }
    let (ran, document) = checked(&env, &args, &["python3", "defect.py"]);
    let results = results(&document);
    let failed = those(&results, "failed");
    match (ran.code, failed == BTreeSet::from([defect.fails])) {
        (Some(100), true) => Ok(()),
        _ => Err(format!("{} was to fail, and {failed:?} did: {ran:?}", defect.fails)),
    }
}

#[test]
fn each_defect_is_found_by_the_check_for_it() {
    if !has_python() {
        return;
    }
    let wrong = Mutex::new(Vec::new());
    let open = Mutex::new(defects::DEFECTS.iter());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(defect) = open.lock().unwrap().next() else {
                        return;
                    };
                    if let Err(error) = failures_of(defect) {
                        wrong.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// `--list`, which the page and the defects follow.
fn listed() -> Vec<(String, String, String)> {
    let ran = TestEnv::new().run(&["engine-check", "--list", "--format", "json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap().iter();
    checks
        .map(|check| (text(&check["name"]), text(&check["requires"]), text(&check["page"])))
        .collect()
}

#[test]
fn every_check_can_fail() {
    let can_fail: BTreeSet<&str> = defects::DEFECTS.iter().map(|defect| defect.fails).collect();
    for (name, _, _) in listed() {
        assert!(can_fail.contains(name.as_str()), "nothing shows that `{name}` can fail");
    }
}

#[test]
fn the_page_has_every_check_and_every_section_that_one_names() {
    let page = page();
    let anchors: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .map(|title| title.to_lowercase().replace('`', "").replace(' ', "-"))
        .collect();
    let listed = listed();
    let mut rows = page.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>();
    rows.retain(|line| line.ends_with(") |") && line.contains(" | [page](#"));
    assert_eq!(rows.len(), listed.len(), "rows of checks in the page");
    for ((name, requires, link), row) in listed.iter().zip(rows) {
        let section = link.split_once('#').unwrap().1;
        assert_eq!(row, format!("| `{name}` | {requires} | [page](#{section}) |"));
        assert!(anchors.contains(section), "{name}: the page has no section {section}");
    }
}

#[test]
fn what_cannot_be_started_or_asked_is_said() {
    let env = TestEnv::new();
    let ran = env.run(&["engine-check", "--", "/nowhere/at/all"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr.contains("/nowhere/at/all cannot be started"),
        "{}",
        ran.stderr
    );
    for (args, words) in [
        (["--only", "cloc"], "there is no check `cloc`"),
        (["--timeout", "soon"], "--timeout"),
        (["--with", "[]"], "--with is no JSON object"),
        (["--on", "nowhere"], "--on"),
    ] {
        let mut all = vec!["engine-check"];
        all.extend(args);
        all.extend(["--", "true"]);
        let ran = env.run(&all);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(env.run(&["engine-check"]).code, Some(2));
}

/// Whatever a program says, nothing of it reaches the terminal as a command.
#[test]
fn a_program_that_is_no_engine_fails_and_commands_nothing() {
    let env = TestEnv::new();
    for script in [
        r"printf '\033[2J\n::error::x\n'",
        "true",
        "cat >&2; exit 3",
        r#"printf '<html>\377</html>\n'"#,
        "yes",
    ] {
        let ran = env.run(&["engine-check", "--timeout", "20s", "--", "sh", "-c", script]);
        assert_eq!(ran.code, Some(100), "{ran:?}");
        assert!(ran.stdout.contains("stdout               FAILED"), "{}", ran.stdout);
        assert!(
            !ran.stdout.contains(['\u{1b}', '\u{fffd}']) || script.contains("377"),
            "{}",
            ran.stdout
        );
        assert!(
            !ran.stdout.lines().any(|line| line.trim_start().starts_with("::")),
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains("46 not tried"), "{}", ran.stdout);
    }
}

/// The devices and the keys of a request that an engine needs can be given.
#[test]
fn devices_and_keys_of_requests_can_be_given() {
    let env = TestEnv::new();
    let own = env!("CARGO_BIN_EXE_placebench");
    let given = [
        "--device",
        "sim:7=cpu,1MiB",
        "--device",
        "sim:8=cpu",
        "--on",
        "sim:7",
        "--on",
        "sim:8",
    ];
    let mut args = vec!["--engine", "mock", "--only", "split"];
    args.extend(given);
    let (ran, document) = checked(&env, &args, &[own, "worker"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let single = &document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "single")
        .unwrap();
    assert_eq!(single["seen"], "7 modules on sim:7");
    let with = r#"{"engine": "mock", "placement": {"device_map": {"stated": "as the server likes"}}}"#;
    let (_, document) = checked(&env, &["--with", with, "--only", "same_tokens"], &[own, "worker"]);
    // The mock places itself and takes no such map, so that what is seen is its own word on it.
    assert_eq!(document["checks"][2]["result"], "failed", "{document}");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workers/example_config.json");
    let (ran, _) = checked(
        &env,
        &[
            "--engine",
            "mock",
            "--only",
            "repeatable",
            "--config",
            config.to_str().unwrap(),
        ],
        &[own, "worker"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
