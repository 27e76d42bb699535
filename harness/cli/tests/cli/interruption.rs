//! Runs that end before they are done.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::env::{TestEnv, read_attempts};

/// A suite whose second case hangs for so long.
pub(crate) fn hanging(first_token: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario(
        "s",
        &format!(
            "[placement.a-first]\ndevice_map = \"sim:0\"\n[placement.b-hangs]\ndevice_map = \"sim:1\"\n\
             [[fault]]\nkind = \"stall\"\nplacements = [\"b-hangs\"]\n\
             [timeout]\nfirst_token = \"{first_token}\"\ntotal = \"20m\"\n"
        ),
    );
    env
}

/// Starts the run and waits until the hanging worker has begun to generate; returns the process ids of the run's workers.
pub(crate) fn start(env: &TestEnv, flags: &[&str]) -> (Child, Vec<u32>) {
    let mut child = env
        .command(&[["run", "suite", "--message-format", "ndjson"].as_slice(), flags].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        if line.contains("s/p/b-hangs") && line.contains("\"started\"") {
            break;
        }
    }
    let workers = children_of(child.id());
    assert_eq!(workers.len(), 1, "one worker runs");
    (child, workers)
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    })
    .collect()
}

pub(crate) fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
    state.is_some_and(|state| state != "Z" && state != "X")
}

pub(crate) fn wait_until_gone(ids: &[u32]) {
    let start = Instant::now();
    while ids.iter().any(|id| is_alive(*id)) {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "workers outlive the run: {ids:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigkill_of_the_supervisor_leaves_no_worker_and_a_readable_run() {
    let env = hanging("10m");
    let (mut child, workers) = start(&env, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(&workers);
    let run = env.latest();
    let attempts = read_attempts(&run);
    assert_eq!(attempts.len(), 1, "the attempt before the kill is on record");
    assert_eq!(attempts[0].case, "s/p/a-first");
    let ran = env.run(&["report", "reports/latest"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(run.join("report.html").is_file());
}

#[test]
fn an_interrupted_run_closes_its_records_and_can_be_resumed() {
    let env = hanging("10m");
    let (mut child, workers) = start(&env, &[]);
    let id = i32::try_from(child.id()).unwrap();
    std::process::Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status()
        .unwrap();
    let status = child.wait().unwrap();
    wait_until_gone(&workers);
    assert_eq!(status.code(), Some(112), "no verdict");
    let verdict = env.verdict();
    assert!(!verdict.complete);
    let run = env.latest();
    assert!(run.join("report.html").is_file());
    // Resuming does exactly what the run was asked to do, so the second half hangs again and is interrupted again.
    let before = read_attempts(&run)
        .iter()
        .filter(|attempt| attempt.case == "s/p/a-first")
        .count();
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    let mut again = env
        .command(&["run", "--resume", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while children_of(again.id()).is_empty() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::process::Command::new("kill")
        .args(["-INT", &again.id().to_string()])
        .status()
        .unwrap();
    again.wait().unwrap();
    let after = read_attempts(&run)
        .iter()
        .filter(|attempt| attempt.case == "s/p/a-first")
        .count();
    assert_eq!((before, after), (1, 1), "what is on record is not run again");
}
