//! Where a run is kept: folders that cannot be written, that vanish, and that two processes want.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::env::{Ran, TestEnv, read_attempts};
use crate::interruption::{hanging, start};
use crate::namespace::in_namespace;

const GOOD: &str = "[placement.single]\ndevice_map = \"sim:0\"\n";

/// Refused with exit code 96, in words that name the folder.
fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(96), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is missing in: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

fn runs(env: &TestEnv, reports: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(env.path(reports)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

#[test]
fn a_file_is_no_folder_for_runs() {
    let env = TestEnv::new();
    env.scenario("s", GOOD);
    env.write("taken", "a file");
    refused(
        &env.run(&["run", "suite", "--output-dir", "taken"]),
        &["cannot make taken"],
    );
    refused(
        &env.run(&["run", "suite", "--output-dir", "taken/below"]),
        &["cannot make taken/below"],
    );
    // Whoever has a folder of his own called `latest` keeps it.
    env.write("reports/latest/mine", "x");
    refused(&env.run(&["run", "suite"]), &["cannot replace reports/latest"]);
    assert!(env.path("reports/latest/mine").is_file());
}

#[test]
fn a_folder_that_cannot_be_written_is_said_to_be_one() {
    let env = TestEnv::new();
    env.scenario("s", GOOD);
    std::fs::create_dir(env.path("reports")).unwrap();
    // Permissions do not stop an administrator; a mount that is read-only does.
    let script = "mount --bind reports reports && mount -o remount,bind,ro reports && exec \"$0\" \"$@\"";
    let Some(mut command) = in_namespace(&env, script, &["run", "suite"]) else {
        return;
    };
    let ran = Ran::of(command.output().unwrap());
    refused(&ran, &["cannot make reports/", "Read-only file system"]);
    assert!(runs(&env, "reports").is_empty());
}

#[test]
fn a_folder_that_vanishes_ends_the_run_with_a_word() {
    for moved in [true, false] {
        let env = hanging("3s");
        let (child, _) = start(&env, &[]);
        let run = env.latest();
        if moved {
            std::fs::rename(&run, env.path("elsewhere")).unwrap();
        } else {
            std::fs::remove_dir_all(&run).unwrap();
        }
        let ran = Ran::of(child.wait_with_output().unwrap());
        refused(
            &ran,
            &[
                "attempts.jsonl was moved, removed or replaced",
                "--resume and its new path",
            ],
        );
        if moved {
            assert_eq!(read_attempts(&env.path("elsewhere")).len(), 1);
            let ran = env.run(&["run", "--resume", "elsewhere", "--output-dir", "."]);
            assert_eq!(ran.code, Some(100), "{ran:?}");
            assert_eq!(read_attempts(&env.path("elsewhere")).len(), 2);
        }
    }
}

#[test]
fn a_run_that_is_being_written_is_not_resumed_by_another_process() {
    let env = hanging("10m");
    let (mut child, _) = start(&env, &[]);
    let name = env.latest().file_name().unwrap().to_str().unwrap().to_owned();
    let before = std::fs::read(env.latest().join("attempts.jsonl")).unwrap();
    let ran = env.run(&["run", "--resume", &name]);
    refused(&ran, &["another process", "is writing the run"]);
    if std::path::Path::new("/proc/locks").exists() {
        refused(&ran, &[&format!("(pid {})", child.id())]);
    }
    assert_eq!(std::fs::read(env.latest().join("attempts.jsonl")).unwrap(), before);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn runs_at_the_same_time_in_one_folder_keep_apart() {
    let env = TestEnv::new();
    env.scenario("s", &format!("{GOOD}[measure]\nrepetitions = 2\n"));
    let begin = || -> std::process::Child {
        let mut command: Command = env.command(&["run", "suite", "--quiet"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| begin()).collect();
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let runs = runs(&env, "reports");
    assert_eq!(runs.len(), 4);
    for run in &runs {
        assert_eq!(read_attempts(run).len(), 2);
        assert!(run.join("verdict.json").is_file());
    }
    assert!(
        runs.contains(
            &env.path("reports")
                .join(std::fs::read_link(env.path("reports/latest")).unwrap())
        )
    );
    let left: Vec<_> = std::fs::read_dir(env.path("reports")).unwrap().collect();
    assert_eq!(left.len(), 5, "nothing is left beside the runs and the link: {left:?}");
}
