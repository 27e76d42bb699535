//! A run of many attempts takes no more memory than one of few: what is on disk is let go of.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::env::TestEnv;

/// Attempts of one process each. `FLAT_MEMORY_ATTEMPTS=2000 cargo test -p placebench --test cli flat_memory` looks longer.
const ATTEMPTS: usize = 150;
/// From here on everything that is made once has been made: buffers, the allocator's pools.
const SETTLED: usize = 50;
const CASES_PER_SCENARIO: usize = 5;
const TOKENS: usize = 400;
/// What a run may grow by from there to its end. One attempt of that many tokens is about 65 KiB in memory (stamps, ids,
/// gaps and likeliest tokens of each step), so that keeping the attempts would take several times this.
const GROWTH_BYTES: u64 = 2 << 20;

/// Resident memory of a process.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes << 10)
}

#[test]
fn memory_stays_flat_while_running() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let asked = std::env::var("FLAT_MEMORY_ATTEMPTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let attempts: usize = asked.unwrap_or(ATTEMPTS).max(2 * SETTLED);
    let env = TestEnv::new();
    let placements: String = (0..CASES_PER_SCENARIO)
        .map(|number| format!("[placement.p{number}]\ndevice_map = \"cpu\"\n"))
        .collect();
    for number in 0..attempts / CASES_PER_SCENARIO {
        env.write(
            &format!("suite/s{number:04}.toml"),
            &format!(
                "schema_version = 1\n[model]\npath = \"models/m\"\n[[prompt]]\nname = \"p\"\ntext = \"Hello\"\n\
                 [generation]\nmax_new_tokens = {TOKENS}\nignore_eos = true\n{placements}[measure]\nwarmup = 0\n\
                 repetitions = 1\n[expect]\nagreement = {{ reference = \"p0\", rule = \"exact\" }}\n"
            ),
        );
    }
    let mut command = env.command(&["run", "suite", "--message-format", "ndjson", "--retries", "1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut seen = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if line.unwrap().contains("\"type\":\"attempt-finished\"") {
            seen.extend(resident(pid));
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(
        env.attempts()[0].generations[0].output_ids.len() == TOKENS,
        "the attempts are as large as they are meant to be"
    );
    assert_eq!(seen.len(), attempts / CASES_PER_SCENARIO * CASES_PER_SCENARIO);
    // The last lines may be read when the run has gone on to judge everything, which it reads back for that.
    let running = &seen[..seen.len() - CASES_PER_SCENARIO];
    let (settled, most) = (running[..SETTLED].iter().max(), running.iter().max());
    let growth = most.unwrap() - settled.unwrap();
    assert!(
        growth <= GROWTH_BYTES,
        "{growth} bytes more after {attempts} attempts: {running:?}"
    );
}
