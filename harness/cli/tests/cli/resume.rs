//! A run that was killed, however and wherever, and then resumed, comes to what an unbroken one comes to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, RunVerdict};
use serde_json::Value;

use crate::env::{Ran, TestEnv, read_attempts};

/// Cases that pass, fail, crash and are skipped, in several attempts.
pub(crate) fn mixed() -> TestEnv {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.other]\ndevice_map = \"sim:1\"\n\
         [placement.spoiled]\ndevice_map = { \"model\" = \"sim:0\", \"lm_head\" = \"sim:1\" }\n\
         [placement.crashed]\ndevice_map = \"sim:2\"\n\
         [[fault]]\nkind = \"corrupt_copy\"\nplacements = [\"spoiled\"]\n\
         [[fault]]\nkind = \"crash\"\nat = { token = 3 }\nplacements = [\"crashed\"]\n\
         [measure]\nrepetitions = 4\n[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n",
    );
    env.scenario(
        "t",
        "[placement.skipped]\ndevice_map = \"sim:0\"\n[requires]\ncuda = 99\n",
    );
    env
}

/// How an attempt ended, and the tokens of its generations.
type Made = (String, Vec<Vec<u32>>);

/// A run without its name and its times.
#[derive(Debug, PartialEq)]
pub(crate) struct Essence {
    verdict: Value,
    attempts: BTreeMap<(String, u32), Made>,
}

pub(crate) fn essence(run: &Path) -> Essence {
    let text = std::fs::read_to_string(run.join("verdict.json")).unwrap();
    let verdict: RunVerdict = serde_json::from_str(&text).unwrap();
    assert!(verdict.complete);
    let mut verdict = serde_json::to_value(&verdict).unwrap();
    verdict["run_id"] = Value::Null;
    for case in verdict["cases"].as_array_mut().unwrap() {
        // How long a process stood where it died is a time.
        case["sentence"] = Value::Null;
        let findings = case["findings"].as_array_mut().unwrap();
        findings.retain(|finding| finding["check"] != "outcome");
        let metrics = case["metrics"].as_object_mut().unwrap();
        metrics.retain(|name, _| !name.contains("_s") && !name.contains("forecast") && !name.contains("peak"));
        assert!(metrics.len() > 3, "{metrics:?}");
    }
    let mut attempts = BTreeMap::new();
    for attempt in read_attempts(run) {
        let made = (kind(&attempt), texts(&attempt));
        let twice = attempts.insert((attempt.case, attempt.attempt), made);
        assert_eq!(twice, None, "an attempt is on record twice");
    }
    Essence { verdict, attempts }
}

fn kind(attempt: &Attempt) -> String {
    match &attempt.outcome {
        Outcome::Crashed { signal, phase, .. } => format!("crashed by {signal:?} in {phase}"),
        other => other.kind().to_string(),
    }
}

fn texts(attempt: &Attempt) -> Vec<Vec<u32>> {
    let generations = attempt.generations.iter();
    generations.map(|generation| generation.output_ids.clone()).collect()
}

/// The only run in a folder of reports.
fn only_run(reports: &Path) -> PathBuf {
    let entries = std::fs::read_dir(reports).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<PathBuf> = entries.filter(|path| path.is_dir() && !path.is_symlink()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.into_iter().next().unwrap()
}

/// Runs until it has said so many lines, and kills it then; true where it had ended before.
fn kill_after(env: &TestEnv, args: &[&str], lines: usize) -> bool {
    let mut all = args.to_vec();
    all.extend(["--message-format", "ndjson"]);
    let mut child = env
        .command(&all)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().take(lines).count();
    child.kill().unwrap();
    child.wait().unwrap();
    said < lines
}

fn resume(env: &TestEnv, reports: &str, run: &Path) -> Ran {
    let name = run.file_name().unwrap().to_str().unwrap();
    env.run(&["run", "--resume", name, "--output-dir", reports])
}

#[test]
fn a_run_killed_anywhere_comes_to_the_same() {
    let env = mixed();
    let unbroken = env.run(&["run", "suite", "--output-dir", "unbroken"]);
    assert_eq!(unbroken.code, Some(100), "{unbroken:?}");
    let expected = essence(&only_run(&env.path("unbroken")));
    // Before the first attempt, in the middle of one, between two, and once more while it is resumed.
    for (index, kills) in [vec![1], vec![7, 9], vec![40, 1, 30, 23], vec![120]]
        .into_iter()
        .enumerate()
    {
        let reports = format!("killed-{index}");
        assert!(!kill_after(&env, &["run", "suite", "--output-dir", &reports], kills[0]));
        let run = only_run(&env.path(&reports));
        let info = std::fs::read(run.join("run.json")).unwrap();
        let name = run.file_name().unwrap().to_str().unwrap();
        for lines in &kills[1..] {
            kill_after(&env, &["run", "--resume", name, "--output-dir", &reports], *lines);
        }
        let ran = resume(&env, &reports, &run);
        assert_eq!(ran.code, unbroken.code, "{kills:?}: {ran:?}");
        assert_eq!(essence(&run), expected, "{kills:?}");
        assert_eq!(std::fs::read(run.join("run.json")).unwrap(), info);
        assert!(run.join("report.html").is_file() && run.join("junit.xml").is_file());
    }
}

#[test]
fn a_torn_record_is_made_again_and_a_verdict_too() {
    let env = mixed();
    env.run(&["run", "suite", "--output-dir", "reports"]);
    let run = only_run(&env.path("reports"));
    let expected = essence(&run);
    let file = run.join("attempts.jsonl");
    let whole = std::fs::read(&file).unwrap();
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap()
        + 1;
    // Every byte of it is cut in the tests of the store.
    for length in [
        last,
        last + 1,
        (last + whole.len()) / 2,
        whole.len() - 1,
        whole.len(),
        0,
        10,
    ] {
        std::fs::write(&file, &whole[..length]).unwrap();
        // As a process leaves it that is killed while it writes the verdict and the report.
        std::fs::remove_file(run.join("verdict.json")).unwrap();
        std::fs::remove_file(run.join("report.html")).unwrap();
        std::fs::write(run.join(".tmpVerdict"), "{\"schema_ver").unwrap();
        let ran = resume(&env, "reports", &run);
        assert_eq!(ran.code, Some(100), "{length}: {ran:?}");
        let torn = length != 0 && length != whole.len() && whole[length - 1] != b'\n';
        assert_eq!(ran.stderr.contains("is torn"), torn, "{length}: {ran:?}");
        assert_eq!(essence(&run), expected, "cut at {length} of {}", whole.len());
        assert!(run.join("report.html").is_file());
    }
}
