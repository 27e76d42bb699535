//! Gates that are cancelled, killed, or over their deadline: what they start ends with them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PASSING, end, ends, gate, program, suite};
use crate::env::{Ran, TestEnv, read_attempts};
use crate::interruption::{hanging, is_alive, wait_until_gone};

#[track_caller]
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the gate over a suite whose second case hangs, and waits until its worker runs: everything below the gate.
fn start_hanging(env: &TestEnv, args: &[&str]) -> (Child, Vec<u32>) {
    env.write("placebench.toml", "[profile.ci]\n");
    let mut command = gate(env, args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let events = || env.path("reports/latest/events").read_dir().map_or(0, Iterator::count);
    let mut below = Vec::new();
    eventually("the second case runs", || {
        below = descendants(child.id());
        events() >= 2 && below.len() >= 3
    });
    (child, below)
}

fn descendants(ancestor: u32) -> Vec<u32> {
    let mut found = vec![ancestor];
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect();
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    found.split_off(1)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_cancelled_gate_closes_its_records_and_leaves_no_worker() {
    for (name, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let env = hanging("10m");
        let (child, below) = start_hanging(&env, &[]);
        signal(&child, name);
        let ran = Ran::of(child.wait_with_output().unwrap());
        ends(&ran, code, "cancelled; what was finished is on record in reports/");
        assert!(
            !below.iter().any(|id| is_alive(*id)),
            "{name}: something outlives the gate"
        );
        let verdict = env.verdict();
        assert!(!verdict.complete && verdict.exit_code == 112, "the records were closed");
        assert!(env.latest().join("report.html").is_file());
        assert!(ran.stderr.contains("junit: reports/"), "{}", ran.stderr);
    }
}

#[test]
fn a_gate_that_is_killed_leaves_no_worker_either() {
    let has_tether = Command::new("setpriv").arg("--help").output();
    if !has_tether.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--pdeathsig")) {
        println!("not tried: setpriv of this machine cannot tether a process to its parent");
        return;
    }
    let env = hanging("10m");
    let (mut child, below) = start_hanging(&env, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(&below);
    assert!(
        !env.verdict().complete,
        "the run was asked to end, and closed its records"
    );
}

#[test]
fn the_deadline_ends_a_run_and_then_kills_it() {
    let env = hanging("10m");
    let (child, below) = start_hanging(&env, &["--deadline", "9s"]);
    let ran = Ran::of(child.wait_with_output().unwrap());
    ends(&ran, 112, "the run was ended: 124 (the deadline of 9s)");
    assert!(!below.iter().any(|id| is_alive(*id)), "something outlives the gate");
    assert_eq!(
        read_attempts(&env.latest())[0].case,
        "s/p/a-first",
        "what was finished is kept"
    );
    // A program that does not want to end is killed.
    let env = suite(PASSING);
    let program = program(&env, "trap '' TERM\nwhile :; do sleep 0.1; done\n");
    let mut command = gate(&env, &["--deadline", "5s", "--grace", "1s"]);
    command.env("PLACEBENCH_BIN", program);
    ends(&end(command), 112, "the run was ended: 137");
}
