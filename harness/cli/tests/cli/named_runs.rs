//! Runs with a name of their own, for schedulers that start the same command line again, maybe on another machine.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use placebench_core::record::{RunInfo, RunVerdict};
use serde_json::Value;

use crate::env::{Ran, TestEnv, read_attempts};
use crate::interruption::{hanging, start};
use crate::selection::suite;

fn named(env: &TestEnv, flags: &[&str]) -> Ran {
    env.run(&[["run", "suite", "--run-id", "nightly-1"].as_slice(), flags].concat())
}

pub(crate) fn read_info(env: &TestEnv, folder: &str) -> RunInfo {
    serde_json::from_slice(&std::fs::read(env.path(folder).join("run.json")).unwrap()).unwrap()
}

fn count(env: &TestEnv) -> usize {
    read_attempts(&env.path("reports/nightly-1")).len()
}

#[test]
fn a_named_run_is_begun_once_and_gone_on_with_when_asked() {
    let env = suite();
    let first = named(&env, &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(env.latest(), env.path("reports/nightly-1").canonicalize().unwrap());
    let info = std::fs::read(env.path("reports/nightly-1/run.json")).unwrap();
    let again = named(&env, &[]);
    assert_eq!(again.code, Some(96), "{again:?}");
    assert!(
        again.stderr.contains("is there already") && again.stderr.contains("--resume-or-start"),
        "{again:?}"
    );
    // What is on record is judged again, and nothing else.
    let again = named(&env, &["--resume-or-start"]);
    assert_eq!((again.code, count(&env)), (Some(0), 16), "{again:?}");
    assert_eq!(std::fs::read(env.path("reports/nightly-1/run.json")).unwrap(), info);
    let other = env.run(&["run", "suite", "--run-id", "nightly-2", "--resume-or-start"]);
    assert_eq!(other.code, Some(0), "nothing of it was there: {other:?}");
    for bad in ["", "..", "a/b", "latest", "-x", ".hidden", "a b"] {
        let ran = env.run(&["run", "suite", &format!("--run-id={bad}"), "--resume-or-start"]);
        assert!(matches!(ran.code, Some(2 | 96)), "{bad}: {ran:?}");
    }
    assert_eq!(env.run(&["run", "suite", "--resume-or-start"]).code, Some(2));
    let both = env.run(&["run", "--resume", "nightly-1", "--run-id", "nightly-2"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[test]
fn another_run_of_that_name_is_not_gone_on_with() {
    let env = suite();
    let shard = ["--partition", "slice:1/3", "--resume-or-start"];
    assert_eq!(named(&env, &shard).code, Some(0));
    let before = count(&env);
    let refused = |flags: &[&str], why: &str| {
        let ran = named(&env, &[flags, &["--resume-or-start"]].concat());
        assert_eq!(ran.code, Some(96), "{ran:?}");
        assert!(
            ran.stderr.contains("was begun as another run") && ran.stderr.contains(why),
            "{}",
            ran.stderr
        );
    };
    refused(
        &["--partition", "slice:2/3"],
        "it has the case a/p/single, which is not asked for now",
    );
    refused(&[], "it has no case");
    refused(
        &["--partition", "slice:1/3", "--seed", "9"],
        "its seed is 0, and asked for is 9",
    );
    refused(
        &["--partition", "slice:1/3", "--retries", "2"],
        "its number of retries was another one",
    );
    refused(
        &["--partition", "slice:1/3", "--repetitions", "3"],
        "was defined otherwise (suite/a.toml)",
    );
    // The suite has changed since.
    let text = std::fs::read_to_string(env.path("suite/a.toml")).unwrap();
    env.write("suite/a.toml", &text.replace("\"Hello\"", "\"Good evening\""));
    refused(
        &["--partition", "slice:1/3"],
        "a/p/single was defined otherwise (suite/a.toml)",
    );
    env.write("suite/a.toml", &text);
    assert_eq!(named(&env, &shard).code, Some(0));
    assert_eq!(count(&env), before);
}

/// Whoever made the folder may have been killed before there was a run in it; and it may be no run at all.
#[test]
fn a_folder_without_a_run_is_taken_over_unless_it_is_somebody_elses() {
    let env = suite();
    std::fs::create_dir_all(env.path("reports/nightly-1/events")).unwrap();
    env.write("reports/nightly-1/attempts.jsonl", "");
    env.write("reports/nightly-1/.tmpRun", "{\"schema");
    assert_eq!(named(&env, &[]).code, Some(96));
    let ran = named(&env, &["--resume-or-start"]);
    assert_eq!((ran.code, count(&env)), (Some(0), 16), "{ran:?}");
    for (name, content) in [("notes.txt", "mine"), ("attempts.jsonl", "{}\n")] {
        std::fs::remove_dir_all(env.path("reports/nightly-1")).unwrap();
        env.write(&format!("reports/nightly-1/{name}"), content);
        let ran = named(&env, &["--resume-or-start"]);
        assert_eq!(ran.code, Some(96), "{ran:?}");
        assert!(ran.stderr.contains("is no run"), "{}", ran.stderr);
        assert_eq!(
            std::fs::read_dir(env.path("reports/nightly-1")).unwrap().count(),
            1,
            "{name}"
        );
    }
    std::fs::remove_dir_all(env.path("reports/nightly-1")).unwrap();
    std::os::unix::fs::symlink(env.path("suite"), env.path("reports/nightly-1")).unwrap();
    let ran = named(&env, &["--resume-or-start"]);
    assert!(ran.code == Some(96) && ran.stderr.contains("symbolic link"), "{ran:?}");
}

#[test]
fn a_successor_waits_until_its_predecessor_has_let_go() {
    let env = hanging("10m");
    let (mut first, _) = start_named(&env);
    let mut second = env
        .command(&[
            "run",
            "suite",
            "--run-id",
            "nightly-1",
            "--resume-or-start",
            "--message-format",
            "ndjson",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines();
    let waiting = said.next().unwrap().unwrap();
    let pid = first.id();
    assert!(
        waiting.contains("is writing the run")
            && waiting.contains(&format!("pid {pid}"))
            && waiting.contains("waiting up to 120 s"),
        "{waiting}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let mut events = BufReader::new(second.stdout.take().unwrap()).lines();
    assert!(
        events.any(|line| line.unwrap().contains("s/p/b-hangs")),
        "it goes on with what was in flight"
    );
    // Twice at once, as from a scheduler and from the script it runs, is one wish.
    for _ in 0..2 {
        std::process::Command::new("kill")
            .args(["-TERM", &second.id().to_string()])
            .status()
            .unwrap();
    }
    // Somebody has to read on.
    std::thread::spawn(move || said.count());
    events.count();
    assert_eq!(second.wait().unwrap().code(), Some(112), "the records are closed");
    let verdict = std::fs::read_to_string(env.path("reports/nightly-1/verdict.json")).unwrap();
    assert!(!serde_json::from_str::<RunVerdict>(&verdict).unwrap().complete);
    let made = read_attempts(&env.path("reports/nightly-1"));
    assert_eq!(made.iter().filter(|attempt| attempt.case == "s/p/a-first").count(), 1);
}

fn start_named(env: &TestEnv) -> (std::process::Child, Vec<u32>) {
    start(env, &["--run-id", "nightly-1", "--resume-or-start"])
}

/// Leaves the first attempts of a run, as if it had been killed, on a machine with another processor.
fn cut_elsewhere(env: &TestEnv, folder: &str, attempts: usize, cpu: &str) {
    let file = env.path(folder).join("attempts.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: String = text.lines().take(attempts).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, kept).unwrap();
    set_processor(env, folder, cpu);
}

pub(crate) fn set_processor(env: &TestEnv, folder: &str, cpu: &str) {
    let mut info: Value = serde_json::to_value(read_info(env, folder)).unwrap();
    info["environment"]["cpu"] = cpu.into();
    env.write(&format!("{folder}/run.json"), &info.to_string());
}

#[test]
fn a_run_that_goes_on_elsewhere_says_which_machine_made_what() {
    let env = suite();
    assert_eq!(env.run(&["run", "suite", "--run-id", "whole"]).code, Some(0));
    assert_eq!(named(&env, &[]).code, Some(0));
    let here = read_info(&env, "reports/nightly-1").environment;
    cut_elsewhere(&env, "reports/nightly-1", 7, "Elsewhere CPU");
    let resumed = named(&env, &["--resume-or-start"]);
    assert_eq!((resumed.code, count(&env)), (Some(0), 16), "{resumed:?}");
    assert!(
        resumed.stderr.contains("goes on in another environment")
            && resumed.stderr.contains("processor Elsewhere CPU, now"),
        "{}",
        resumed.stderr
    );
    let info = read_info(&env, "reports/nightly-1");
    let [resumption] = info.control.resumptions.as_slice() else {
        panic!("{:?}", info.control.resumptions)
    };
    assert_eq!(resumption.environment, here);
    assert_eq!(resumption.first_attempts.values().sum::<u32>(), 7, "{resumption:?}");
    let machine = |case: &str, attempt| info.environments_of(case, [attempt])[0].cpu.clone();
    for (index, attempt) in read_attempts(&env.path("reports/nightly-1")).iter().enumerate() {
        let expected = if index < 7 { "Elsewhere CPU" } else { &here.cpu };
        assert_eq!(
            machine(&attempt.case, attempt.attempt),
            expected,
            "{} {}",
            attempt.case,
            attempt.attempt
        );
    }
    // Once more where nothing is left to be made changes nothing; the report tells of both machines.
    let json = std::fs::read(env.path("reports/nightly-1/run.json")).unwrap();
    assert_eq!(named(&env, &["--resume-or-start"]).code, Some(0));
    assert_eq!(std::fs::read(env.path("reports/nightly-1/run.json")).unwrap(), json);
    let html = std::fs::read_to_string(env.path("reports/nightly-1/report.html")).unwrap();
    assert!(
        html.contains("Elsewhere CPU") && html.contains("gone on with"),
        "both machines are named"
    );
    // Its cases are compared as those of the machine that made them.
    let compared = env.run(&["compare", "whole", "nightly-1", "--format", "json"]);
    let document: Value = serde_json::from_str(&compared.stdout).unwrap();
    let differs = |case: &str| {
        let cases = document["comparison"]["cases"].as_array().unwrap();
        let found = cases.iter().find(|row| row["case"] == case).unwrap();
        found.to_string().contains("Elsewhere CPU")
    };
    let made = read_attempts(&env.path("reports/nightly-1"));
    let (there, back) = (&made[0].case, &made[15].case);
    assert!(differs(there), "{there}: {}", compared.stdout);
    assert!(
        !made[..7].iter().any(|attempt| attempt.case == *back) && !differs(back),
        "{back}"
    );
}
