//! The page of the worker protocol says what the types say, and its transcript is one that the supervisor accepts.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeSet;

use placebench_core::breadcrumb::{PAGE_BYTES, word};
use placebench_core::device::DeviceId;
use placebench_core::fault::{Fault, FaultKind};
use placebench_core::outcome::{FailureClass, Phase, Place};
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, StrategyName, Transfer};
use placebench_core::planner::{Dialect, Objective, Rates};
use placebench_core::protocol::{
    BREADCRUMB_ENV, Dtype, EventKind, FinishReason, GenerationSpec, MemoryKind, ModelSource, PROTOCOL_VERSION, Prompt,
    STACKS_ENV, SUPERVISOR_PID_ENV, WorkerEvent, WorkerRequest,
};
use placebench_runner::worker_env;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::env::TestEnv;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../workers/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The content of the one fenced block with that info string.
fn block(info: &str) -> String {
    let page = page();
    let fence = format!("```{info}\n");
    let mut found = page.split(fence.as_str()).skip(1);
    let block = found.next().unwrap_or_else(|| panic!("no block `{info}`"));
    assert_eq!(found.next(), None, "two blocks `{info}`");
    block.split("```").next().unwrap().trim_end().to_owned()
}

/// Paths of all keys in a value; lists count as their elements.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}.{key}");
                found.insert(path.clone());
                keys(value, &path, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| keys(element, path, found)),
        _ => {}
    }
}

/// Reads an example as its type, which must know every key of it, and of whose keys it must lack none.
fn example<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let written: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let read: T = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let (mut in_page, mut in_type) = (BTreeSet::new(), BTreeSet::new());
    keys(&written, "", &mut in_page);
    keys(&serde_json::to_value(&read).unwrap(), "", &mut in_type);
    let unknown: Vec<&String> = in_page.difference(&in_type).collect();
    assert!(unknown.is_empty(), "{unknown:?} mean nothing: {text}");
    let missing: Vec<&String> = in_type.difference(&in_page).collect();
    assert!(missing.is_empty(), "{missing:?} are not shown: {text}");
    read
}

fn examples<T: DeserializeOwned + Serialize>(info: &str) -> Vec<T> {
    block(info).lines().map(|line| example(line)).collect()
}

/// The names an enum has on the wire, as its own deserialiser tells them to somebody who guesses wrong.
fn names_of<T: DeserializeOwned>(wrong: Value) -> Vec<String> {
    let error = serde_json::from_value::<T>(wrong).err().unwrap().to_string();
    let (_, expected) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
    let names: Vec<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!names.is_empty(), "{error}");
    names
}

fn assert_named(what: &str, names: &[String]) {
    let page = page();
    for name in names {
        let spellings = [format!("`{name}`"), format!("\"{name}\"")];
        assert!(
            spellings.iter().any(|spelling| page.contains(spelling.as_str())),
            "the page does not name {what} `{name}`"
        );
    }
}

#[test]
fn the_request_is_all_there() {
    let request: WorkerRequest = example(&block("json request"));
    assert_eq!(request.protocol, PROTOCOL_VERSION);
    let page = page();
    for (key, _) in serde_json::to_value(&request).unwrap().as_object().unwrap() {
        assert!(
            page.contains(&format!("\n| `{key}` | ")),
            "no row for `{key}` of the request"
        );
    }
    for (key, _) in serde_json::to_value(&request.placement).unwrap().as_object().unwrap() {
        assert!(
            page.contains(&format!("\n| `{key}` | ")),
            "no row for `{key}` of the placement"
        );
    }
    assert_eq!(examples::<ModelSource>("json model").len(), 3);
    assert_eq!(examples::<Prompt>("json prompt").len(), 3);
    assert!(examples::<GenerationSpec>("json generation")[0].sampling.is_some());
    examples::<Rates<DeviceId>>("json rates")[0].check().unwrap();
    examples::<Fault>("json fault");
}

#[test]
fn every_name_on_the_wire_is_explained() {
    let wrong = || json!("nonsense");
    let table = || json!({"nonsense": 0});
    assert_named("model", &names_of::<ModelSource>(table()));
    assert_named("prompt", &names_of::<Prompt>(table()));
    assert_named("device map", &names_of::<DeviceMapRequest>(table()));
    assert_named("strategy", &names_of::<StrategyName>(wrong()));
    assert_named("objective", &names_of::<Objective>(wrong()));
    assert_named("transfer", &names_of::<Transfer>(wrong()));
    assert_named("offload", &names_of::<Offload>(wrong()));
    assert_named("planner", &names_of::<Dialect>(wrong()));
    assert_named("concurrency", &names_of::<Concurrency>(table()));
    assert_named("dtype", &names_of::<Dtype>(wrong()));
    assert_named("fault", &names_of::<FaultKind>(wrong()));
    assert_named("memory", &names_of::<MemoryKind>(wrong()));
    assert_named("finish reason", &names_of::<FinishReason>(wrong()));
    assert_named("place", &names_of::<Place>(table()));
}

#[test]
fn every_event_has_an_example_with_all_its_keys() {
    let mut shown = BTreeSet::new();
    for line in block("json events").lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let event: WorkerEvent = example(line);
        assert!(event.t_s > 0.0);
        shown.insert(value["event"].as_str().unwrap().to_owned());
        assert!(
            page().contains(&format!("\n| `{}` | ", value["event"].as_str().unwrap())),
            "no row for {line}"
        );
        if let EventKind::Finished { result, .. } = &event.kind {
            for (key, _) in serde_json::to_value(result).unwrap().as_object().unwrap() {
                assert!(
                    page().contains(&format!("`{key}`")),
                    "`{key}` of a result is not explained"
                );
            }
        }
    }
    let all = names_of::<WorkerEvent>(json!({"t_s": 0, "event": "nonsense"}));
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), {
        let mut all = all;
        all.sort();
        all
    });
}

#[test]
fn classes_phases_page_and_environment_are_as_in_the_program() {
    let page = page();
    for name in names_of::<FailureClass>(json!("nonsense")) {
        let class: FailureClass = serde_json::from_value(json!(name)).unwrap();
        let code = if class.is_setup() { 96 } else { 100 };
        let is_row =
            |line: &str| line.starts_with(&format!("| `{name}` | ")) && line.ends_with(&format!(" | {code} |"));
        assert!(
            page.lines().any(is_row),
            "no row for class {name} with exit code {code}"
        );
    }
    for phase in Phase::ALL {
        let row = format!("\n| {} | `{phase}` | ", phase.index());
        assert!(page.contains(&row), "no row{row}");
    }
    let words = [
        (word::MAGIC, "magic"),
        (word::SEQUENCE, "sequence"),
        (word::PHASE, "phase"),
        (word::GENERATION, "generation"),
        (word::TOKEN, "token"),
        (word::PLACE_KIND, "place kind"),
        (word::PLACE_INDEX, "place index"),
        (word::STAMP_NS, "stamp"),
    ];
    assert_eq!(words.len(), word::COUNT);
    for (index, name) in words {
        let row = format!("\n| {} | {name} | ", index * 8);
        assert!(page.contains(&row), "no row{row}");
    }
    assert!(page.contains(&format!("a file of {PAGE_BYTES} bytes")) && page.contains("`placebc1`"));
    for name in [BREADCRUMB_ENV, STACKS_ENV, SUPERVISOR_PID_ENV] {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for name in worker_env::NAMES.iter().chain(&worker_env::PREFIXES) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    assert!(page.starts_with(&format!("# Worker protocol, version {PROTOCOL_VERSION}\n")));
}

/// An engine that says just what stands in the page: `cat`.
#[test]
fn the_transcript_of_the_page_is_a_run_that_completes() {
    let env = TestEnv::new();
    env.write("suite/transcript.ndjson", &(block("ndjson transcript") + "\n"));
    env.scenario(
        "said",
        r#"[placement.manual]
device_map = "sim:0"
[measure]
warmup = 0
[expect]
contains = ["aba"]
min_devices_used = 2
[program]
command = ["cat", "transcript.ndjson"]
"#,
    );
    let path = env.path("suite/said.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replacen("max_new_tokens = 12", "max_new_tokens = 3", 1);
    std::fs::write(&path, text.replacen('\n', "\nengine = \"program\"\n", 1)).unwrap();
    let ran = env.run(&["run", "suite", "--allow-exec"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempt = &env.attempts()[0];
    let result = &attempt.generations[0];
    assert_eq!(
        (result.text.as_str(), result.output_ids.as_slice()),
        ("aba", [97, 98, 97].as_slice())
    );
    assert_eq!(attempt.phases.len(), 8, "every phase is in it");
}
