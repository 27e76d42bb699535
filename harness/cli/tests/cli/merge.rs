//! Shards of several machines put together.

use std::path::{Path, PathBuf};

use placebench_core::record::{CaseStatus, RunInfo};

use crate::env::{Ran, TestEnv, of, read_attempts};
use crate::selection::{info, suite};

/// Runs a shard into a folder of its own, and returns that.
fn shard(env: &TestEnv, partition: &str) -> String {
    let folder = format!("shards/{}", partition.replace([':', '/'], "-"));
    let ran = env.run(&["run", "suite", "--partition", partition, "--output-dir", &folder]);
    assert!(matches!(ran.code, Some(0 | 100)), "{ran:?}");
    folder
}

fn merge(env: &TestEnv, folders: &[&str], flags: &[&str]) -> Ran {
    env.run(&[["merge"].as_slice(), folders, flags].concat())
}

fn run_of(env: &TestEnv, folder: &str) -> PathBuf {
    env.path(folder).join("latest").canonicalize().unwrap()
}

#[test]
fn shards_merge_into_the_run_that_one_machine_would_have_made() {
    for kind in ["slice", "hash"] {
        let env = suite();
        env.scenario(
            "d",
            "[placement.x]\ndevice_map = \"cpu\"\n[expect]\ncontains = [\"no such text\"]\n",
        );
        let whole = env.run(&["run", "suite"]);
        let (alone, alone_info) = (env.verdict(), info(&env));
        let folders: Vec<String> = (1..=3).map(|index| shard(&env, &format!("{kind}:{index}/3"))).collect();
        let ran = merge(&env, &folders.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        assert_eq!((ran.code, whole.code), (Some(100), Some(100)), "{ran:?}");
        assert!(ran.stdout.contains("merged 3 runs with 13 cases"), "{}", ran.stdout);
        let (merged, merged_info) = (env.verdict(), info(&env));
        assert_eq!(merged_info.cases, alone_info.cases, "the same cases in the same order");
        assert!(merged.complete);
        let judged = |verdict: &placebench_core::record::RunVerdict| -> Vec<_> {
            let cases = verdict.cases.iter();
            cases
                .map(|case| {
                    (
                        case.case.clone(),
                        case.status,
                        case.text,
                        case.findings.clone(),
                        case.attempts,
                    )
                })
                .collect()
        };
        assert_eq!(judged(&merged), judged(&alone));
        assert_eq!(merged_info.shards.len(), 3);
        for (shard, folder) in merged_info.shards.iter().zip(&folders) {
            let run: RunInfo =
                serde_json::from_slice(&std::fs::read(run_of(&env, folder).join("run.json")).unwrap()).unwrap();
            assert_eq!((&shard.run_id, &shard.environment), (&run.run_id, &run.environment));
            assert_eq!(shard.control.partition, run.control.partition);
        }
        let merged = env.latest();
        for file in ["results.csv", "junit.xml", "report.html", "verdict.json", "plots"] {
            assert!(merged.join(file).exists(), "{file}");
        }
        assert_eq!(
            merged.join("events").read_dir().unwrap().count(),
            13,
            "the events of every case"
        );
        let html = std::fs::read_to_string(merged.join("report.html")).unwrap();
        assert!(
            merged_info
                .shards
                .iter()
                .all(|shard| html.contains(&format!(", run {}: ", shard.run_id))),
            "the machines are named"
        );
        assert_eq!(
            read_attempts(&merged).len(),
            17,
            "2 attempts of the 4 cases of `c`, 1 of the 9 others"
        );
        assert_eq!(env.run(&["report", "reports/latest"]).code, Some(0));
        let ran = env.run(&["run", "--resume", "latest"]);
        assert_eq!(ran.code, Some(96), "{ran:?}");
    }
}

#[test]
fn a_missing_shard_is_refused_by_name_unless_gaps_are_allowed() {
    let env = suite();
    let folders = [shard(&env, "slice:1/3"), shard(&env, "slice:3/3")];
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let ran = merge(&env, &folders, &[]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr
            .contains("shard slice:2/3 is missing: no run made a/q/single, a/q/auto"),
        "{}",
        ran.stderr
    );
    assert!(!env.path("reports").exists());
    let ran = merge(&env, &folders, &["--allow-gaps"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert!(
        ran.stderr.contains("warning: shard slice:2/3 is missing"),
        "{}",
        ran.stderr
    );
    assert!(!env.verdict().complete);
    let again = env.run(&["merge", "reports", "--output-dir", "twice"]);
    assert_eq!(again.code, Some(96), "merging once more closes no gap: {again:?}");
}

#[test]
fn a_shard_that_was_killed_is_a_gap_until_it_is_resumed() {
    let env = suite();
    let folders = [shard(&env, "hash:1/2"), shard(&env, "hash:2/2")];
    let second = run_of(&env, &folders[1]);
    let lines = std::fs::read_to_string(second.join("attempts.jsonl")).unwrap();
    let kept: String = lines.lines().take(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(second.join("attempts.jsonl"), kept).unwrap();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let ran = merge(&env, &folders, &[]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    let id = second.file_name().unwrap().to_str().unwrap();
    assert!(
        ran.stderr.contains("is not finished") && ran.stderr.contains(&format!("--resume {id}")),
        "{}",
        ran.stderr
    );
    let ran = env.run(&["run", "--resume", id, "--output-dir", folders[1]]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = merge(&env, &folders, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(info(&env).cases.len(), 12);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    let env = suite();
    let folders = [shard(&env, "slice:1/2"), shard(&env, "slice:2/2")];
    // The same folder by two names is one run; a copy of it is another matter.
    let twice = [folders[0].as_str(), &folders[0], &folders[1]];
    assert_eq!(merge(&env, &twice, &[]).code, Some(0));
    copy(&run_of(&env, &folders[0]), &env.path("copy"));
    let ran = merge(&env, &[&folders[0], "copy", &folders[1]], &[]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("are the same run"), "{}", ran.stderr);
    // A shard that was made twice.
    let again = env.run(&["run", "suite", "--partition", "slice:1/2", "--output-dir", "again"]);
    assert_eq!(again.code, Some(0));
    let ran = merge(&env, &[&folders[0], "again", &folders[1]], &["--allow-gaps"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("both made a/p/single, a/p/auto"), "{}", ran.stderr);
    let other = env.run(&[
        "run",
        "suite",
        "-E",
        "tag(smoke)",
        "--partition",
        "slice:2/2",
        "--output-dir",
        "other",
    ]);
    assert_eq!(other.code, Some(0));
    let ran = merge(&env, &[&folders[0], "other"], &[]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr
            .contains("are not shards of one selection: c/p/single was selected for the first only"),
        "{}",
        ran.stderr
    );
    assert_eq!(merge(&env, &["suite"], &[]).code, Some(96));
    assert_eq!(merge(&env, &[], &[]).code, Some(2));
}

#[test]
fn a_partition_may_come_from_the_environment_and_an_empty_one_is_told() {
    let env = suite();
    let mut command = env.command(&["run", "suite"]);
    let ran = Ran::of(command.env("PLACEBENCH_PARTITION", "slice:2/6").output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let run = info(&env);
    assert_eq!(
        run.control.partition.map(|partition| partition.to_string()).as_deref(),
        Some("slice:2/6")
    );
    assert_eq!((run.cases.len(), run.control.selected.len()), (2, 12));
    let ran = env.run(&["run", "suite", "--partition", "slice:7/7"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr
            .contains("the shard slice:7/7 is empty: there are 6 comparison groups to deal out"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        env.run(&["run", "suite", "--partition", "slice:7/7", "--no-cases", "pass"])
            .code,
        Some(0)
    );
    assert_eq!(env.run(&["run", "suite", "--partition", "slice:8/7"]).code, Some(2));
    let mut command = env.command(&["run", "suite"]);
    let ran = Ran::of(command.env("PLACEBENCH_PARTITION", "count:1/2").output().unwrap());
    assert_eq!(ran.code, Some(96), "{ran:?}");
}

/// On the machine that merges, the suite may lie elsewhere.
#[test]
fn approved_snapshots_are_found_where_the_suite_is_now() {
    let env = TestEnv::new();
    env.scenario("s", "[placement.x]\ndevice_map = \"cpu\"\n[expect]\nsnapshot = true\n");
    assert_eq!(env.run(&["run", "suite"]).code, Some(113));
    assert_eq!(env.run(&["accept", "suite"]).code, Some(0));
    let folder = shard(&env, "slice:1/1");
    assert_eq!(merge(&env, &[&folder], &[]).code, Some(0));
    std::fs::rename(env.path("suite"), env.path("elsewhere")).unwrap();
    let ran = merge(&env, &[&folder], &[]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("its approved snapshots were in"), "{}", ran.stderr);
    let ran = merge(&env, &[&folder], &["--snapshot-dir", "elsewhere/snapshots"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&env.verdict(), "s/p/x").status, CaseStatus::Passed);
}
