//! Text of strangers, in every place that can hold some, comes out of every output as text.

mod baselines;
mod payloads;
mod readers;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use placebench_core::record::{Attempt, RunInfo};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::payloads::{MARK, PAYLOADS};
use crate::env::{Ran, TestEnv};
use crate::review::answered;

fn assert_terminal(ran: &Ran) {
    readers::assert_plain_lines("standard output", &ran.stdout);
    readers::assert_plain_lines("standard error", &ran.stderr);
}

/// Everything a run or a report leaves below a folder, by name.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, path));
            }
        }
    }
    found
}

/// Looks at every file of a report; `benign` is the page of the same run before strangers wrote in it.
fn assert_artifacts(folder: &Path, benign: &str) {
    let mut kinds = [0_usize; 4];
    for (name, path) in files(folder) {
        readers::assert_plain_name(&name);
        let text = || std::fs::read_to_string(&path).unwrap();
        match name.as_str() {
            "report.html" => {
                readers::assert_same_markup(&text(), benign);
                assert!(text().contains(MARK), "the page shows nothing of it");
                kinds[0] += 1;
            }
            "results.csv" => {
                readers::assert_no_formulas(&text());
                assert!(text().contains(MARK));
                kinds[1] += 1;
            }
            "junit.xml" => {
                readers::assert_xml(&text());
                assert!(text().contains(MARK));
                kinds[2] += 1;
            }
            "verdict.json" => {
                assert!(serde_json::from_str::<Value>(&text()).unwrap().is_object());
                kinds[3] += 1;
            }
            _ => {}
        }
    }
    assert_eq!(&kinds[..3], [1, 1, 1], "every format was looked at");
}

/// Looks at what services of others get of the run in `run`.
fn assert_ci_formats(env: &TestEnv) {
    let made = |format: &str| {
        let mut command = env.command(&["report", "run", "--format", format]);
        let ran = Ran::of(
            command
                .env("GITHUB_STEP_SUMMARY", env.path("summary.md"))
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, Some(0), "{format}: {ran:?}");
        readers::assert_plain_lines("standard error", &ran.stderr);
        assert!(ran.stdout.contains(MARK), "{format}: {ran:?}");
        ran.stdout
    };
    readers::assert_commands(&made("github"));
    let written = std::fs::read_to_string(env.path("summary.md")).unwrap();
    std::fs::remove_file(env.path("summary.md")).unwrap();
    for summary in [written, made("github-summary")] {
        readers::assert_plain_lines("the summary", &summary);
        readers::assert_step_summary(&summary);
    }
    readers::assert_figures(&made("bencher"), false);
    readers::assert_figures(&made("github-benchmark"), true);
    readers::assert_figures(&made("github-benchmark-bigger"), true);
    readers::assert_xml(&made("junit"));
    readers::assert_no_formulas(&made("csv"));
}

/// Puts hostile text in front of every string of a record that may be any text. Names stay what they are among
/// themselves: the same string becomes the same everywhere.
struct Spoiler {
    turn: usize,
    /// Whether the strings at a path (positions in lists left out) may be anything.
    free: HashMap<String, bool>,
}

impl Spoiler {
    fn spoilt(&self, text: &str) -> String {
        let sum: usize = text.bytes().map(usize::from).sum();
        format!("{}{text}", PAYLOADS[(sum + self.turn) % PAYLOADS.len()])
    }

    fn spoil<T: DeserializeOwned>(&mut self, kind: &str, record: &mut Value) {
        let mut paths = Vec::new();
        strings(record, String::new(), &mut paths);
        for path in paths {
            // The last position stays: lists of pairs hold a name and a device.
            let parts: Vec<&str> = path.split('/').collect();
            let is_kept = |(at, part): &(usize, &&str)| part.parse::<usize>().is_err() || at + 1 == parts.len();
            let place: String = parts
                .iter()
                .enumerate()
                .filter(is_kept)
                .map(|(_, part)| *part)
                .collect();
            let key = format!("{kind}{place}");
            let Some(old) = record.pointer(&path).and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            if self.free.get(&key) == Some(&false) || old.is_empty() {
                continue;
            }
            *record.pointer_mut(&path).unwrap() = self.spoilt(&old).into();
            let fits = *self
                .free
                .entry(key)
                .or_insert_with(|| serde_json::from_value::<T>(record.clone()).is_ok());
            if !fits {
                *record.pointer_mut(&path).unwrap() = old.into();
            }
        }
        let read = serde_json::from_value::<T>(record.clone());
        assert!(read.is_ok(), "{kind}: {:?}", read.err());
    }
}

fn strings(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                strings(element, format!("{path}/{index}"), found);
            }
        }
        Value::Object(entries) => {
            for (key, element) in entries {
                strings(
                    element,
                    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        _ => {}
    }
}

/// The same run as if it had been merged from a shard that was gone on with on another machine.
fn on_several_machines(info: &str) -> String {
    let mut run: Value = serde_json::from_str(info).unwrap();
    let environment = run["environment"].clone();
    let cases: Vec<Value> = run["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["case"].clone())
        .collect();
    run["shards"] = serde_json::json!([{
        "run_id": "shard-1", "started_at": run["started_at"], "tool": run["tool"], "environment": environment,
        "arguments": ["run"], "seed": 1, "cases": cases,
        "control": {"resumptions": [{"resumed_at": run["started_at"], "environment": environment}]},
    }]);
    run.to_string()
}

#[test]
fn a_record_of_a_stranger_is_shown_as_text() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../report/tests/data/sample-run");
    let env = TestEnv::new();
    let read = |name: &str| std::fs::read_to_string(sample.join(name)).unwrap();
    let (info, attempts) = (on_several_machines(&read("run.json")), read("attempts.jsonl"));
    env.write("run/run.json", &info);
    env.write("run/attempts.jsonl", &attempts);
    env.write("plain/run.json", &info);
    env.write("plain/attempts.jsonl", &attempts);
    let ran = env.run(&["report", "run", "--output-dir", "benign"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let benign = std::fs::read_to_string(env.path("benign/report.html")).unwrap();
    let mut spoiler = Spoiler {
        turn: 0,
        free: HashMap::new(),
    };
    for turn in 0..3 {
        spoiler.turn = turn;
        let mut value: Value = serde_json::from_str(&info).unwrap();
        spoiler.spoil::<RunInfo>("run", &mut value);
        env.write("run/run.json", &value.to_string());
        let mut lines = String::new();
        for line in attempts.lines() {
            let mut value: Value = serde_json::from_str(line).unwrap();
            spoiler.spoil::<Attempt>("attempt", &mut value);
            lines.push_str(&format!("{value}\n"));
        }
        env.write("run/attempts.jsonl", &lines);
        let out = format!("out{turn}");
        let ran = env.run(&["report", "run", "--output-dir", &out]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_terminal(&ran);
        assert_artifacts(&env.path(&out), &benign);
        assert_ci_formats(&env);
        for format in ["human", "json", "markdown", "github"] {
            for base in ["plain", "run"] {
                let ran = env.run(&["compare", base, "run", "--all", "--format", format]);
                assert!(matches!(ran.code, Some(100 | 112)), "{ran:?}");
                if format == "github" {
                    readers::assert_commands(&ran.stdout);
                    continue;
                }
                assert_terminal(&ran);
                assert!(ran.stdout.contains(MARK), "{ran:?}");
                if (format, base) == ("markdown", "run") {
                    readers::assert_markdown(&ran.stdout);
                }
            }
        }
        assert_comparison_page(&env);
        assert_history(&env, turn);
        let ran = env.run(&["report", "run", "--markdown"]);
        assert_terminal(&ran);
        readers::assert_markdown(&ran.stdout);
        assert!(ran.stdout.contains(MARK));
    }
    let places = [
        "runcasesdescription",
        "runcasescase",
        "runshardsenvironmentcpu",
        "runshardscontrolresumptionsresumed_at",
        "attemptstderr_tail",
        "attemptgenerationstext",
        "attemptdevicesname",
    ];
    for place in places {
        assert_eq!(
            spoiler.free.get(place),
            Some(&true),
            "{place} was not tried: {:?}",
            spoiler.free
        );
    }
}

/// The stranger's run compared with itself and with the other one, as pages.
fn assert_comparison_page(env: &TestEnv) {
    let page = |base: &str, new: &str| {
        let ran = env.run(&["compare", base, new, "--format", "html"]);
        assert!(matches!(ran.code, Some(0 | 100 | 112)), "{ran:?}");
        assert_terminal(&ran);
        ran.stdout
    };
    let (stranger, between) = (page("run", "run"), page("plain", "run"));
    assert!(stranger.contains(MARK) && between.contains(MARK));
    readers::assert_same_markup(&stranger, &page("plain", "plain"));
}

/// The stranger's run in a history, and that history in every format.
fn assert_history(env: &TestEnv, turn: usize) {
    let history = |run: &str, words: &[&str]| {
        let database = format!("history-{run}-{turn}.sqlite");
        let mut all = vec!["history"];
        all.extend(words);
        all.extend(["--database", database.as_str()]);
        let ran = env.run(&all);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_terminal(&ran);
        ran
    };
    for run in ["plain", "run"] {
        history(run, &["import", run]);
        let page = format!("trend-{run}-{turn}.html");
        history(
            run,
            &["trend", "--metric", "all", "--format", "html", "--output", &page],
        );
    }
    let page = |run: &str| std::fs::read_to_string(env.path(&format!("trend-{run}-{turn}.html"))).unwrap();
    readers::assert_same_markup(&page("run"), &page("plain"));
    assert!(page("run").contains(MARK));
    for words in [
        &["list"][..],
        &["list", "--format", "json"],
        &["trend", "--metric", "all"],
        &["trend", "--format", "json"],
        &["prune", "--keep-last", "1"],
    ] {
        let ran = history("run", words);
        assert!(ran.stdout.contains(MARK) || words[0] == "prune", "{ran:?}");
    }
}

/// A suite whose scenario, model's folder and engine say hostile things.
fn hostile_suite(payload: &str) -> TestEnv {
    let env = TestEnv::new();
    let quoted = |text: &str| Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    let name = payload.replace(['/', '\0'], "_");
    env.write(
        &format!("suite/models/m{name}/config.json"),
        "{\"num_hidden_layers\": 8}",
    );
    let event = |fields: &str| format!("{{\"t_s\": 0.1, {}}}\n", fields.replace("PAYLOAD", &quoted(payload)));
    let said = [
        r#""event": "hello", "protocol": 1, "engine": PAYLOAD, "versions": [PAYLOAD], "profile": "release""#,
        r#""event": "phase", "phase": "load""#,
        r#""event": "fetching", "file": PAYLOAD, "done_bytes": 1, "total_bytes": 2"#,
        r#""event": "devices", "devices": [{"id": "sim:0", "on": "cpu", "name": PAYLOAD, "memory_bytes": 1, "architecture": PAYLOAD}]"#,
        r#""event": "planned", "device_map": [[PAYLOAD, "sim:0"]], "budgets": [], "weights_bytes": [], "warnings": [PAYLOAD]"#,
        r#""event": "places", "modules": [[PAYLOAD, "sim:0"]], "hops": []"#,
        r#""event": "loaded", "realised": [{"module": PAYLOAD, "device": "sim:1", "bytes": 8}], "unused_tensors": [PAYLOAD]"#,
        r#""event": "started", "generation": 0, "warmup": false"#,
        r#""event": "phase", "phase": "prefill""#,
        r#""event": "token", "generation": 0, "index": 0, "id": 1, "top2_gap": 0.5"#,
        r#""event": "finished", "generation": 0, "warmup": false, "result": {"input_ids": [1], "output_ids": [1], "text": PAYLOAD, "finish_reason": "eos", "start_s": 0.1, "token_stamps_s": [0.1], "top2_gaps": [0.5], "top5": [], "hops": [0], "transfer_bytes": [0]}"#,
    ];
    let said: String = said.iter().map(|fields| event(fields)).collect();
    env.write("suite/said.ndjson", &said);
    env.write("suite/done.ndjson", &event(r#""event": "done""#));
    let failure = r#""event": "error", "failure": {"class": "internal", "message": PAYLOAD, "phase": "finish"}"#;
    env.write("suite/error.ndjson", &event(failure));
    // As bytes: a log may hold anything but what ends a text in Rust.
    env.write("suite/log.txt", &format!("{payload}\n"));
    let scenario = |command: &str| {
        format!(
            r#"schema_version = 1
description = {text}
tags = [{text}]
engine = "program"
[program]
command = ["sh", "-c", "{command}", {argument}]
[model]
path = {model}
[devices]
"sim:0" = {{ on = "cpu", memory = "1MiB" }}
"sim:1" = {{ on = "cpu", memory = "1MiB" }}
[[prompt]]
name = "p"
text = {text}
[generation]
stop = [{stop}]
[placement.single]
device_map = "sim:0"
[measure]
warmup = 0
[expect]
snapshot = true
contains = [{text}]
"#,
            text = quoted(payload),
            // A text holds no stop text.
            stop = quoted(&format!("{payload}!")),
            argument = quoted(&payload.replace('\0', "").replace("../", "_")),
            model = quoted(&format!("models/m{name}")),
        )
    };
    // The realised map, which has the hostile names, is another than the planned one; here that is expected, so that the
    // text waits for review.
    let done = scenario("cat log.txt >&2; cat said.ndjson done.ndjson");
    env.write(
        &format!("suite/done{name}.toml"),
        &format!(
            "{done}fails = [\"realised\"]
"
        ),
    );
    env.write(
        "suite/error.toml",
        &scenario("cat log.txt >&2; cat said.ndjson error.ndjson"),
    );
    env.write(
        "suite/crash.toml",
        &scenario("cat log.txt >&2; cat said.ndjson; exit 3"),
    );
    env.write("suite/breach.toml", &scenario("cat log.txt said.ndjson"));
    env
}

#[test]
fn a_suite_and_an_engine_of_a_stranger_are_shown_as_text() {
    let benign = hostile_suite(&format!("{MARK} fine"));
    let ran = benign.run(&["run", "suite", "--allow-exec"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let page = std::fs::read_to_string(benign.latest().join("report.html")).unwrap();
    // TOML, unlike JSON, cannot hold a lone surrogate; records cannot either.
    for payload in PAYLOADS {
        let env = hostile_suite(payload);
        let refused = env.run(&["run", "suite"]);
        assert_eq!(refused.code, Some(96), "{payload:?}: {refused:?}");
        assert_terminal(&refused);
        let ran = env.run(&["run", "suite", "--allow-exec"]);
        assert_eq!(ran.code, Some(100), "{payload:?}: {ran:?}");
        assert_terminal(&ran);
        assert_artifacts(&env.latest(), &page);
        for (name, path) in files(&env.path("suite/snapshots")) {
            readers::assert_plain_name(&name);
            readers::assert_plain_text(&name, &std::fs::read_to_string(path).unwrap());
        }
        for command in [
            &["list", "suite"][..],
            &["list", "suite", "--format", "json"],
            &["validate", "suite"],
        ] {
            let ran = env.run(command);
            assert_eq!(ran.code, Some(0), "{payload:?}: {ran:?}");
            assert_terminal(&ran);
        }
        for args in [&["pending", "suite"][..], &["pending", "suite", "--format", "json"]] {
            let ran = env.run(args);
            assert!(
                ran.code == Some(0) && ran.stdout.contains("done"),
                "{payload:?}: {ran:?}"
            );
            assert_terminal(&ran);
        }
        let ran = answered(&env, "d\nd\ns\n");
        assert!(ran.code == Some(0) && ran.stdout.contains(MARK), "{payload:?}: {ran:?}");
        assert_terminal(&ran);
        // Cases that are left out of a comparison are named with their reasons, and its document is one file more.
        let own = env!("CARGO_BIN_EXE_placebench");
        let ran = env.run(&[
            "run",
            "suite",
            "--allow-exec",
            "--against",
            own,
            "--pairs",
            "6",
            "--max-pairs",
            "6",
        ]);
        assert!(matches!(ran.code, Some(96 | 100)), "{payload:?}: {ran:?}");
        assert_terminal(&ran);
        assert_artifacts(&env.latest(), &page);
        let ran = env.run(&["reject", "suite"]);
        assert!(
            ran.code == Some(0) && ran.stdout.contains("rejected"),
            "{payload:?}: {ran:?}"
        );
        assert_terminal(&ran);
        let ran = env.run(&["run", "suite/error.toml", "--allow-exec", "--message-format", "ndjson"]);
        assert_eq!(ran.code, Some(100), "{payload:?}: {ran:?}");
        assert_terminal(&ran);
        for line in ran.stdout.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object());
        }
    }
}

#[test]
fn a_broken_file_of_a_stranger_is_quoted_as_text() {
    for payload in PAYLOADS {
        let env = TestEnv::new();
        let name = format!("x{}", payload.replace(['/', '\0'], "_"));
        let quoted = Value::from(*payload).to_string().replace('\u{7f}', "\\u007f");
        let text = format!(
            "schema_version = 1\nengine = {quoted}\n{quoted} = 1 # {payload}\n[model]\npath = {quoted}\nrepo = {quoted}\n[[prompt]]\nname = {quoted}\nfile = {quoted}\n[placement.{quoted}]\ndevice_map = {quoted}\n[env]\n{quoted} = 1\n[expect]\nfails = [{quoted}]\n"
        );
        env.write(&format!("suite/{name}.toml"), &text);
        for command in ["validate", "run", "list", "plan"] {
            let ran = env.run(&[command, "suite"]);
            assert_eq!(ran.code, Some(96), "{payload:?}: {ran:?}");
            assert_terminal(&ran);
        }
        let ran = env.run(&["run", &payload.replace('\0', "")]);
        assert_terminal(&ran);
        let ran = env.run(&["report", &payload.replace('\0', "")]);
        assert_terminal(&ran);
        let ran = env.run(&["run", "--resume", &payload.replace('\0', "")]);
        assert_terminal(&ran);
    }
}

#[test]
fn a_line_that_is_no_text_is_named_and_harmless() {
    for line in [
        r#"{"t_s": 1, "event": "\ud800"}"#,
        r#"{"t_s": 1, "event": "\u001b[2J"}"#,
        "\u{1b}]0;x\u{7}",
    ] {
        let env = hostile_suite("fine");
        env.write("suite/log.txt", &format!("{line}\n"));
        let ran = env.run(&["run", "suite/breach.toml", "--allow-exec"]);
        assert_eq!(ran.code, Some(100), "{ran:?}");
        assert!(ran.stdout.contains("a line that is no event"), "{ran:?}");
        assert_terminal(&ran);
    }
}
