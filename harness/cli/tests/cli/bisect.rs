//! `bisect` end to end on the mock engine: each kind of fault is found, and what cannot be found is said.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::process::Stdio;

use placebench_core::bisect::Culprit;
use placebench_core::bisect::record::{BisectRecord, Progress};
use placebench_core::bisect::{Answer, ObservationKind, ProbeResult};
use placebench_core::placement::Transfer;

use crate::env::{Ran, TestEnv, read_attempts};

/// Hangs are cut short; healthy workers need milliseconds.
const SHORT: &str = "[timeout]\nfirst_token = \"3s\"\ntoken = \"3s\"\n";

/// 24 layers over three devices, `single` beside it.
fn contiguous() -> String {
    split(&[
        ("model.embed_tokens", 0),
        ("model.layers.0-7", 0),
        ("model.layers.8-15", 1),
        ("model.layers.16-23", 2),
        ("model.norm", 2),
        ("lm_head", 2),
    ])
}

/// 24 layers in turn on three devices: 23 hops between them and one more to the norm.
fn in_turn() -> String {
    let layers: Vec<String> = (0..24).map(|layer| format!("model.layers.{layer}")).collect();
    let mut map: Vec<(&str, usize)> = vec![("model.embed_tokens", 0)];
    map.extend(
        layers
            .iter()
            .enumerate()
            .map(|(layer, name)| (name.as_str(), layer % 3)),
    );
    map.extend([("model.norm", 0), ("lm_head", 0)]);
    split(&map)
}

fn split(map: &[(&str, usize)]) -> String {
    let keys: Vec<String> = map
        .iter()
        .map(|(key, device)| format!("\"{key}\" = \"sim:{device}\""))
        .collect();
    format!(
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.split]\ndevice_map = {{ {} }}\n",
        keys.join(", ")
    )
}

fn env(placements: &str, rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.write("suite/models/m/config.json", "{\"num_hidden_layers\": 24}");
    env.scenario("s", &format!("{placements}{rest}"));
    env
}

const AGREE: &str = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";

fn bisect(env: &TestEnv, more: &[&str]) -> (Ran, BisectRecord) {
    let mut args = vec!["bisect", "s/p/split", "suite"];
    args.extend(more);
    let ran = env.run(&args);
    let record = record(env);
    (ran, record)
}

fn record(env: &TestEnv) -> BisectRecord {
    let text = std::fs::read_to_string(env.latest().join("bisect.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn found(ran: &Ran, record: &BisectRecord) -> Answer {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    match &record.progress {
        Progress::Found { answer, sentence } => {
            assert!(ran.stdout.contains(sentence), "{sentence}\n{}", ran.stdout);
            (**answer).clone()
        }
        other => panic!("{other:?}"),
    }
}

fn undecided(ran: &Ran, record: &BisectRecord) -> String {
    assert_eq!(ran.code, Some(112), "{ran:?}");
    match &record.progress {
        Progress::Undecided { reason, .. } => {
            assert!(ran.stdout.contains(reason.as_str()), "{reason}\n{}", ran.stdout);
            reason.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn attempts(record: &BisectRecord) -> u32 {
    record.probes.iter().map(|line| line.attempts).sum()
}

fn hop(answer: &Answer) -> (&str, &str) {
    match &answer.culprit {
        Culprit::Hop {
            from_module, to_module, ..
        } => (from_module, to_module),
        other => panic!("{other:?}"),
    }
}

/// The reproducer is well-formed, fails while the fault is there, and passes without it.
fn check_reproducer(env: &TestEnv) {
    let path = env.latest().join("reproduce.toml");
    let path = path.to_str().unwrap();
    assert_eq!(env.run(&["validate", path]).code, Some(0));
    let ran = env.run(&["run", path, "--output-dir", "again"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(ran.stdout.contains("2 cases: 1 passed, 1 failed"), "{}", ran.stdout);
    let text = std::fs::read_to_string(path).unwrap();
    let at = text.find("[[fault]]").unwrap();
    let mended: String = text[..at].to_owned();
    env.write("mended/reproduce.toml", &mended);
    let ran = env.run(&["run", "mended", "--output-dir", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_stalled_hop_among_24_layers_over_three_devices_is_found() {
    let fault = "[[fault]]\nkind = \"stall\"\nat = { hop = \"model.layers.10 -> model.layers.11\" }\n";
    let env = env(&in_turn(), &format!("{fault}{AGREE}{SHORT}"));
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert_eq!(hop(&answer), ("model.layers.10", "model.layers.11"));
    assert!(attempts(&record) <= 8, "the place was seen: {}", attempts(&record));
    assert!(answer.is_minimal());
    assert_eq!(
        answer.failing.differences(&answer.passing).len(),
        1,
        "one module differs"
    );
    for words in [
        "the first token never comes (stalled in prefill)",
        "transfer = \"host\" does not help",
        "reproduce.toml",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let page = std::fs::read_to_string(env.latest().join("bisect.md")).unwrap();
    assert!(
        page.contains("evidence: stalled") && page.contains("**fails**"),
        "{page}"
    );
    assert_eq!(read_attempts(&env.latest()).len(), attempts(&record) as usize);
    check_reproducer(&env);
    // The folder of a search is that of a run.
    assert_eq!(env.run(&["report", "reports/latest"]).code, Some(0));
}

/// A wrong text names no place, so the hops are halved.
#[test]
fn a_hop_that_delivers_zeros_is_found_without_a_hint_within_12_attempts() {
    for layer in [0, 13, 22] {
        let name = format!("model.layers.{layer} -> model.layers.{}", layer + 1);
        let fault = format!("[[fault]]\nkind = \"zero_copy\"\nat = {{ hop = \"{name}\" }}\n");
        let env = env(&in_turn(), &format!("{fault}{AGREE}"));
        let (ran, record) = bisect(&env, &[]);
        let answer = found(&ran, &record);
        assert_eq!(hop(&answer).0, format!("model.layers.{layer}"));
        assert!(attempts(&record) <= 12, "{}", attempts(&record));
        assert!(ran.stdout.contains("with this hop the text is wrong"), "{}", ran.stdout);
        check_reproducer(&env);
    }
}

#[test]
fn a_broken_link_is_found_with_its_direction_and_the_way_round_it() {
    let fault = "[[fault]]\nkind = \"corrupt_copy\"\nat = { link = \"sim:1 -> sim:2\" }\n";
    let env = env(&contiguous(), &format!("{fault}{AGREE}"));
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert!(
        matches!(&answer.culprit, Culprit::Link { from, to } if from.as_str() == "sim:1" && to.as_str() == "sim:2"),
        "{answer:?}"
    );
    let observed = |kind: ObservationKind| answer.observed(|known| *known == kind);
    assert_eq!(
        observed(ObservationKind::Transfer(Transfer::Host)),
        Some(ProbeResult::Passes)
    );
    assert_eq!(observed(ObservationKind::Exchanged), Some(ProbeResult::Passes));
    assert!(ran.stdout.contains("transfer = \"host\" helps"), "{}", ran.stdout);
    check_reproducer(&env);
}

#[test]
fn a_device_that_computes_nonsense_is_found() {
    let fault = "[[fault]]\nkind = \"nan\"\nat = { device = \"sim:1\" }\n";
    let env = env(&contiguous(), fault);
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert!(
        matches!(&answer.culprit, Culprit::Device { device } if device.as_str() == "sim:1"),
        "{answer:?}"
    );
    check_reproducer(&env);
}

#[test]
fn a_crash_in_a_module_of_one_placement_is_found() {
    let fault = "[[fault]]\nkind = \"crash\"\nat = { module = \"model.layers.9\" }\nplacements = [\"split\"]\n";
    let env = env(&contiguous(), fault);
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert!(
        matches!(&answer.culprit, Culprit::Module { module, device } if module == "model.layers.9" && device.as_str() == "sim:1"),
        "{answer:?}"
    );
    assert!(ran.stdout.contains("the worker dies of signal 6"), "{}", ran.stdout);
}

/// The planner's answer is what is searched, and one device is found where the scenario has no other placement.
#[test]
fn a_strategy_alone_in_its_scenario_is_searched_too() {
    let fault = "[[fault]]\nkind = \"zero_copy\"\nat = { link = \"sim:0 -> sim:1\" }\n";
    let env = env(
        "[placement.split]\ndevice_map = \"auto\"\nmax_memory = { \"sim:0\" = \"400KiB\", \"sim:1\" = \"800KiB\" }\n",
        fault,
    );
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert!(matches!(answer.culprit, Culprit::Link { .. }), "{answer:?}");
    assert!(record.confirmed.unwrap().passing.placement.starts_with("on-sim-"));
}

#[test]
fn a_case_that_passes_and_a_fault_everywhere_are_no_answer() {
    let healthy = env(&contiguous(), AGREE);
    let (ran, record) = bisect(&healthy, &[]);
    assert!(undecided(&ran, &record).contains("s/p/split passes here"));
    assert!(!healthy.latest().join("reproduce.toml").exists());

    let everywhere = env(&contiguous(), &format!("[[fault]]\nkind = \"garbage\"\n{AGREE}"));
    let (ran, record) = bisect(&everywhere, &[]);
    let reason = undecided(&ran, &record);
    assert!(reason.contains("single does not pass either"), "{reason}");
    assert_eq!(attempts(&record), 2);
}

#[test]
fn a_probe_that_fails_in_another_way_is_not_taken_for_the_fault() {
    // Only sim:2 holds more than a third of the model: most simple maps run out of memory.
    let fault = "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.7 -> model.layers.8\" }\n";
    let env = env(
        &contiguous().replace("\"sim:0\"\n[placement.split]", "\"sim:2\"\n[placement.split]"),
        &format!("{fault}{AGREE}"),
    );
    let path = "suite/s.toml";
    let text = std::fs::read_to_string(env.path(path)).unwrap();
    let text = text.replacen("1MiB", "420KiB", 2);
    env.write(path, &text);
    let (ran, record) = bisect(&env, &[]);
    let answer = found(&ran, &record);
    assert!(
        record
            .probes
            .iter()
            .skip(1)
            .all(|line| line.result != ProbeResult::Fails || line.sentence.contains("diverges")),
        "{:?}",
        record.probes
    );
    // What remains puts something between the two modules, and the fault needs it.
    let modules = record.confirmed.as_ref().unwrap().space.modules.clone();
    let at = modules.iter().position(|module| module == "model.layers.7").unwrap();
    assert!(answer.failing.hops().contains(&at), "{answer:?}");
    assert!(!answer.passing.hops().contains(&at), "{answer:?}");
}

#[test]
fn attempts_that_are_used_up_end_the_search_and_more_of_them_go_on() {
    let fault = "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.13 -> model.layers.14\" }\n";
    let env = env(&in_turn(), &format!("{fault}{AGREE}"));
    let (ran, record) = bisect(&env, &["--max-attempts", "5"]);
    let reason = undecided(&ran, &record);
    assert!(reason.contains("the smallest that fails so far"), "{reason}");
    assert_eq!(read_attempts(&env.latest()).len(), 5);
    let first: Vec<String> = read_attempts(&env.latest())
        .iter()
        .map(|attempt| attempt.started_at.clone())
        .collect();
    let ran = env.run(&["bisect", "--resume", &record.run_id, "--max-attempts", "20"]);
    let record = self::record(&env);
    assert_eq!(hop(&found(&ran, &record)), ("model.layers.13", "model.layers.14"));
    let all = read_attempts(&env.latest());
    let kept: Vec<String> = all.iter().take(5).map(|attempt| attempt.started_at.clone()).collect();
    assert_eq!(kept, first, "what is on record is not tried again");
    assert_eq!(all.len(), attempts(&record) as usize);
}

/// Starts a search, sends it a signal when two placements are on record and the third hangs, and goes on with it.
fn interrupt_and_resume(signal: &str) -> (TestEnv, Option<i32>) {
    let fault = "[[fault]]\nkind = \"stall\"\nat = { hop = \"model.layers.10 -> model.layers.11\" }\n";
    let env = env(&in_turn(), &format!("{fault}{AGREE}{SHORT}"));
    let mut child = env
        .command(&["bisect", "s/p/split", "suite"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = env.path("reports/latest/attempts.jsonl");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    let start = std::time::Instant::now();
    while lines() < 2 && start.elapsed() < std::time::Duration::from_secs(60) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::process::Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    let code = child.wait().unwrap().code();
    let before = read_attempts(&env.latest());
    assert!(before.len() >= 2);
    let run = record(&env).run_id;
    let ran = env.run(&["bisect", "--resume", &run]);
    let record = record(&env);
    assert_eq!(hop(&found(&ran, &record)), ("model.layers.10", "model.layers.11"));
    let after = read_attempts(&env.latest());
    assert_eq!(
        before[..],
        after[..before.len()],
        "what is on record is not tried again"
    );
    (env, code)
}

#[test]
fn a_search_that_is_killed_goes_on_where_it_was() {
    interrupt_and_resume("-KILL");
}

#[test]
fn a_search_that_is_interrupted_ends_without_a_verdict_and_goes_on_too() {
    let (_, code) = interrupt_and_resume("-INT");
    assert_eq!(code, Some(112));
}

#[test]
fn what_must_be_put_right_first_is_no_search() {
    let env = env(&contiguous(), "");
    std::fs::remove_dir_all(env.path("suite/models/m")).unwrap();
    let ran = env.run(&["bisect", "s/p/split", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("models/m"), "{}", ran.stderr);
}

#[test]
fn names_that_do_not_exist_are_refused_with_the_nearest() {
    let env = env(&contiguous(), "");
    let ran = env.run(&["bisect", "s/p/splitt", "suite"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("did you mean `s/p/split`?"), "{}", ran.stderr);
    let ran = env.run(&["bisect", "s/p/split", "suite", "--good", "singel"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("did you mean `single`?"), "{}", ran.stderr);
    let ran = env.run(&["bisect", "s/p/split", "suite", "--repeat", "4", "--max-attempts", "6"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(env.run(&["bisect", "--resume", "nothing"]).code, Some(96));
    assert!(!env.path("reports").exists(), "nothing was run");
}

#[test]
fn the_answer_can_be_had_as_json() {
    let fault = "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.7 -> model.layers.8\" }\n";
    let env = env(&contiguous(), &format!("{fault}{AGREE}"));
    let ran = env.run(&["bisect", "s/p/split", "suite", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let printed: BisectRecord = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed, record(&env));
}

#[test]
fn with_repeats_a_placement_passes_only_if_all_its_attempts_do() {
    let fault = "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.7 -> model.layers.8\" }\n";
    let env = env(&contiguous(), &format!("{fault}{AGREE}"));
    let (ran, record) = bisect(&env, &["--repeat", "2"]);
    found(&ran, &record);
    let passing = record.probes.iter().filter(|line| line.result == ProbeResult::Passes);
    assert!(passing.clone().count() > 0);
    for line in passing {
        assert_eq!(line.attempts, 2, "{line:?}");
    }
}
