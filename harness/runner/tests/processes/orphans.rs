//! Nothing is left behind: no process, no file.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use placebench_core::outcome::Outcome;
use placebench_core::record::Attempt;

use crate::fake::{PLENTY, attempt, fake_worker, runs, wait_until_gone};

fn grandchild(attempt: &Attempt) -> u32 {
    let line = attempt
        .stderr_tail
        .lines()
        .find_map(|line| line.strip_prefix("grandchild "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_grandchild_that_holds_the_pipes_is_noticed_and_killed() {
    let attempt = attempt("grandchild", PLENTY);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.leaked_pipes);
    wait_until_gone(grandchild(&attempt));
}

#[test]
fn a_grandchild_that_left_the_group_is_not_waited_for() {
    let attempt = attempt("grandchild:own", PLENTY);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.leaked_pipes);
    let pid = rustix::process::Pid::from_raw(i32::try_from(grandchild(&attempt)).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_daemon_of_the_worker_is_not_waited_for() {
    let attempt = attempt("grandchild:session", PLENTY);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.leaked_pipes);
    let pid = grandchild(&attempt);
    assert!(runs(pid), "it is in nobody's group any more");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn breadcrumbs_are_cleaned_up() {
    let attempt = attempt("env", PLENTY);
    let page = attempt
        .stderr_tail
        .lines()
        .find_map(|line| line.strip_prefix("PLACEBENCH_BREADCRUMB="));
    assert!(!PathBuf::from(page.unwrap()).exists());
}

#[test]
fn no_worker_outlives_a_killed_supervisor() {
    let mut supervisor = Command::new(fake_worker())
        .arg("supervise")
        .arg(fake_worker())
        .arg("hang:decode")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    assert!(runs(worker));
    let page = breadcrumb_of(worker);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until_gone(worker);
    // The one thing a killed supervisor cannot take with it.
    std::fs::remove_file(page).unwrap();
}

/// The page a worker was told of.
fn breadcrumb_of(worker: u32) -> PathBuf {
    let environment = std::fs::read_to_string(format!("/proc/{worker}/environ")).unwrap();
    let mut variables = environment.split('\0');
    variables
        .find_map(|variable| variable.strip_prefix("PLACEBENCH_BREADCRUMB="))
        .unwrap()
        .into()
}

#[test]
fn a_worker_that_finds_its_supervisor_gone_does_not_begin() {
    // Started by this process, and told that another one is its supervisor.
    let output = Command::new(fake_worker())
        .arg("hang:spawn")
        .env("PLACEBENCH_SUPERVISOR_PID", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70));
}
