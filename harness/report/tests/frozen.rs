//! The frozen sample must read for ever. After an intended change of `sample/mod.rs`, write it anew with
//! `UPDATE_SAMPLE=1 cargo test -p placebench-report --test frozen`.

mod sample;

use std::path::{Path, PathBuf};
use std::{env, fs};

use placebench_core::record::{Attempt, RunRecord};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample-run")
}

#[test]
fn the_frozen_run_is_the_sample() {
    let made = sample::sample();
    if env::var_os("UPDATE_SAMPLE").is_some() {
        let lines: Vec<String> = made
            .attempts
            .iter()
            .map(|attempt| serde_json::to_string(attempt).unwrap())
            .collect();
        fs::create_dir_all(folder()).unwrap();
        fs::write(
            folder().join("run.json"),
            serde_json::to_string_pretty(&made.info).unwrap() + "\n",
        )
        .unwrap();
        fs::write(folder().join("attempts.jsonl"), lines.join("\n") + "\n").unwrap();
        fs::write(
            folder().join("verdict.json"),
            serde_json::to_string_pretty(&made.verdict).unwrap() + "\n",
        )
        .unwrap();
    }
    let lines = fs::read_to_string(folder().join("attempts.jsonl")).unwrap();
    let read = RunRecord {
        info: serde_json::from_slice(&fs::read(folder().join("run.json")).unwrap()).unwrap(),
        attempts: lines
            .lines()
            .map(|line| serde_json::from_str::<Attempt>(line).unwrap())
            .collect(),
        verdict: serde_json::from_slice(&fs::read(folder().join("verdict.json")).unwrap()).unwrap(),
    };
    assert_eq!(read.info, made.info);
    assert_eq!(read.verdict.cases.len(), made.verdict.cases.len());
    assert_eq!(read.attempts.len(), made.attempts.len());
    // Written and read again a record does not change; its floats may differ from computed ones in the last digit.
    let again: Vec<Attempt> = read
        .attempts
        .iter()
        .map(|attempt| serde_json::from_str(&serde_json::to_string(attempt).unwrap()).unwrap())
        .collect();
    assert_eq!(again, read.attempts);
}
