//! The event stream and `verdict.json` of real runs are what their schemas say, line by line.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

mod schema;

use placebench_core::record::RunVerdict;
use placebench_core::stream::{STREAM_VERSION, StreamEvent};
use serde_json::{Value, json};

use self::schema::Schema;
use crate::env::{Ran, TestEnv};

const GOOD: &str = "[placement.single]\ndevice_map = \"sim:2\"\n[placement.auto]\ndevice_map = \"auto\"\n\
                    [expect]\nagreement = { reference = \"single\" }\n";

/// Faults of many kinds: their events and outcomes have parts that those of a good case lack.
const FAULTS: [(&str, &str); 6] = [
    ("stall", "kind = \"stall\"\nat = { token = 2 }"),
    ("crash", "kind = \"crash\""),
    ("memory", "kind = \"out_of_memory\""),
    ("nan", "kind = \"nan\""),
    ("garbage", "kind = \"garbage\""),
    ("leak", "kind = \"leak\""),
];

fn printed(args: &[&str]) -> Schema {
    let ran = TestEnv::new().run(args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Schema::new(serde_json::from_str(&ran.stdout).unwrap())
}

fn suite() -> TestEnv {
    let env = TestEnv::new();
    env.scenario("good", GOOD);
    for (name, fault) in FAULTS {
        env.scenario(
            name,
            &format!(
                "[placement.single]\ndevice_map = \"sim:2\"\n[timeout]\ntoken = \"500ms\"\n[measure]\nwarmup = 0\n[[fault]]\n{fault}\n"
            ),
        );
    }
    env.scenario(
        "skipped",
        "[placement.single]\ndevice_map = \"sim:2\"\n[requires]\ncuda = 9\n",
    );
    env.scenario(
        "pending",
        "[placement.single]\ndevice_map = \"sim:2\"\n[expect]\nsnapshot = true\n",
    );
    env
}

/// Every line is valid, and says nothing that its type does not know.
fn lines(ran: &Ran) -> Vec<Value> {
    let schema = printed(&["schema", "--events"]);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        let problems = schema.problems(line);
        assert!(problems.is_empty(), "{line}\n{problems:#?}");
        let event: StreamEvent<'_> = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(&serde_json::to_value(&event).unwrap(), line, "a key is lost");
    }
    lines
}

fn of_type<'a>(lines: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == wanted).collect()
}

#[test]
fn every_line_of_a_run_is_what_the_schema_says() {
    let env = suite();
    let ran = env.run(&["run", "suite", "--message-format", "ndjson", "--retries", "1"]);
    assert_eq!(ran.code, Some(100), "{}", ran.stderr);
    let lines = lines(&ran);
    let first = lines.first().unwrap();
    assert_eq!(
        (&first["type"], &first["format_version"], &first["cases"]),
        (&json!("run-started"), &json!(STREAM_VERSION), &json!(10))
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["type"], &last["exit"], &last["exit_code"], &last["complete"]),
        (&json!("run-finished"), &json!("case_failed"), &json!(100), &json!(true))
    );
    assert_eq!(of_type(&lines, "case-finished").len(), 10);
    assert!(of_type(&lines, "case-retried").len() >= 4);
    assert_eq!(of_type(&lines, "attempt-finished").len(), env.attempts().len());
    let mut kinds: Vec<&str> = of_type(&lines, "attempt-finished")
        .into_iter()
        .map(|line| line["outcome"]["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(
        kinds,
        ["completed", "crashed", "failed", "out_of_memory", "skipped", "stalled"]
    );
    // The last word on a case is that of the verdict.
    let verdict = env.verdict();
    for line in of_type(&lines, "case-finished") {
        let case = line["verdict"]["case"].as_str().unwrap();
        let judged = verdict.cases.iter().find(|judged| judged.case == case).unwrap();
        assert_eq!(line["verdict"], serde_json::to_value(judged).unwrap(), "{case}");
    }
}

#[test]
fn a_verdict_is_what_the_schema_says() {
    let env = suite();
    let ran = env.run(&["run", "suite", "--retries", "1"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let text = std::fs::read_to_string(env.latest().join("verdict.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let schema = printed(&["schema", "--verdict"]);
    let problems = schema.problems(&value);
    assert!(problems.is_empty(), "{problems:#?}");
    let read: RunVerdict = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a key is lost");
    // What is wrong is found: a missing key, a value of another type, a word that is none.
    for (path, wrong) in [
        ("/exit_code", json!("100")),
        ("/exit", json!("fine")),
        ("/cases/0/status", json!("good")),
        ("/cases/0/metrics/load_s", json!("fast")),
        ("/cases/0/findings", json!({})),
    ] {
        let mut value = value.clone();
        *value.pointer_mut(path).unwrap() = wrong;
        assert!(!schema.problems(&value).is_empty(), "{path}");
    }
    let mut value = value;
    value.as_object_mut().unwrap().remove("complete");
    assert!(!schema.problems(&value).is_empty());
}

/// The parts of a verdict that only a run that was held against something has.
#[test]
fn a_comparison_is_what_the_schema_says() {
    let env = TestEnv::new();
    env.scenario("good", GOOD);
    for _ in 0..2 {
        let ran = env.run(&["run", "suite"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let runs = env.path("reports");
    let mut names: Vec<String> = std::fs::read_dir(runs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "latest")
        .collect();
    names.sort();
    let ran = env.run(&["compare", &names[0], &names[1], "--all", "--format", "json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut verdict: Value = serde_json::to_value(env.verdict()).unwrap();
    verdict["gate"] = json!({
        "base": { "kind": "baseline", "name": "main", "file": "ci/baselines/main/0.json" },
        "comparison": document["comparison"],
        "notes": ["a sentence"],
        "exit": document["exit"],
        "exit_code": document["exit_code"],
    });
    let schema = printed(&["schema", "--verdict"]);
    let problems = schema.problems(&verdict);
    assert!(problems.is_empty(), "{problems:#?}");
    verdict["gate"]["comparison"]["cases"][0]["counters"][0]["change"] = json!("bad");
    assert!(!schema.problems(&verdict).is_empty());
}
