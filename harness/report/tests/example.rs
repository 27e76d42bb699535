//! `reports/example/` is what this program makes of the record that lies beside it, byte for byte. After an intended change:
//! `UPDATE_EXAMPLE=1 cargo test -p placebench-report --test example`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use placebench_core::record::{Attempt, CaseStatus, RunRecord, TextVerdict};
use placebench_report::{Artifact, artifacts};

/// What git keeps of the rendered files: the pictures are those that the project's README shows.
const KEPT: [&str; 6] = [
    "report.html",
    "results.csv",
    "junit.xml",
    "plots/three-placements--rabbit-compared.png",
    "plots/stalled-hop--rabbit-placement.png",
    "plots/tight-memory--rabbit-memory.png",
];

/// What an example may cost everyone who clones the repository, the record included.
const MOST_BYTES: u64 = 5 << 18;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/example")
}

fn record() -> RunRecord {
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
    RunRecord {
        info: serde_json::from_str(&read("run.json")).unwrap(),
        attempts: read("attempts.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Attempt>(line).unwrap())
            .collect(),
        verdict: serde_json::from_str(&read("verdict.json")).unwrap(),
    }
}

fn kept(record: &RunRecord) -> Vec<Artifact> {
    let all = artifacts(record).unwrap();
    let one = |path: &str| {
        let made = all.iter().find(|artifact| artifact.path == path);
        assert!(made.is_some(), "the example has no {path}");
        made.unwrap().clone()
    };
    KEPT.map(one).into()
}

#[test]
fn the_example_is_what_is_made_of_its_record() {
    for artifact in kept(&record()) {
        let path = folder().join(&artifact.path);
        if env::var_os("UPDATE_EXAMPLE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &artifact.bytes).unwrap();
        }
        let stored = fs::read(&path).unwrap_or_default();
        let same = stored == artifact.bytes;
        assert!(
            same,
            "{} is not what is made of the record today: look at the difference, then write it anew with UPDATE_EXAMPLE=1",
            artifact.path
        );
    }
}

/// It answers the questions a report is opened with, each with a case of its own.
#[test]
fn the_example_has_something_to_tell() {
    let record = record();
    let verdicts = || record.verdict.cases.iter();
    let outcome = |case: &str| {
        let verdict = record.verdict_of(case).unwrap();
        (verdict.status, verdict.outcome.as_str(), verdict.text)
    };
    let (status, kind, _) = outcome("stalled-hop/rabbit/auto");
    assert_eq!((status, kind), (CaseStatus::Failed, "stalled"));
    let (status, kind, _) = outcome("tight-memory/rabbit/one-tight-device");
    assert_eq!((status, kind), (CaseStatus::Failed, "out_of_memory"));
    let (status, kind, text) = outcome("wrong-copy/queen/split");
    assert_eq!(
        (status, kind, text),
        (CaseStatus::Failed, "completed", TextVerdict::Diverged)
    );
    let right = verdicts().filter(|verdict| verdict.case.starts_with("three-placements/"));
    assert_eq!(right.filter(|verdict| verdict.status == CaseStatus::Passed).count(), 3);
    let failed = verdicts()
        .filter(|verdict| verdict.status == CaseStatus::Failed)
        .count();
    assert_eq!(failed, 3, "every failure is one of those above");
    let story = record
        .attempts
        .iter()
        .find(|attempt| attempt.case == "stalled-hop/rabbit/auto");
    assert!(
        story.is_some_and(|attempt| attempt.evidence.is_some()),
        "a hang is shown with the stacks of its threads"
    );
}

/// Real figures of a machine that nobody needs to know more about.
#[test]
fn the_example_names_nobodys_folders() {
    for name in ["run.json", "attempts.jsonl", "verdict.json", "report.html", "junit.xml"] {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        for folder in ["/tmp/", "/root", "/Users/", env!("CARGO_MANIFEST_DIR")] {
            let found = text
                .find(&format!("\"{folder}"))
                .or_else(|| text.find(&format!(" {folder}")));
            assert_eq!(found, None, "{name} names {folder}");
        }
    }
    let environment = record().info.environment;
    let names: Vec<&str> = environment.worker_env.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        names.iter().all(|name| ["LANG", "RAYON_NUM_THREADS"].contains(name)),
        "{names:?}"
    );
}

#[test]
fn the_example_is_small_and_holds_nothing_else() {
    let mut files = BTreeSet::new();
    let mut bytes = 0;
    for folder_of in [folder(), folder().join("plots")] {
        for entry in fs::read_dir(&folder_of).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                bytes += fs::metadata(&path).unwrap().len();
                let relative = path.strip_prefix(folder()).unwrap().to_str().unwrap();
                files.insert(relative.replace('\\', "/"));
            }
        }
    }
    let expected = ["README.md", "run.json", "attempts.jsonl", "verdict.json"];
    let expected: BTreeSet<String> = expected.into_iter().chain(KEPT).map(str::to_owned).collect();
    let strangers: Vec<&String> = files.difference(&expected).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}
