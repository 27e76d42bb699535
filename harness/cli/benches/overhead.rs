//! What the harness adds to an attempt: the same mock generation by a worker that is started by hand, and by one of `run`.
//!
//! By hand: spawn, the request on standard input, everything read from standard output, wait. Under `run` an attempt lasts from
//! one `attempt-finished` line of the event stream to the next: spawn, pipes, three threads, event log, judgement for the
//! progress lines, the record and its fsync. Both take turns, so that a load from elsewhere meets both.
//!
//! `cargo bench -p placebench --bench overhead -- [ROUNDS]`; a figure above the budget is told and fails nothing, since a busy
//! machine is no regression.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints what it has measured, and cannot go on without its files"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use placebench_core::protocol::SUPERVISOR_PID_ENV;
use placebench_runner::run::request_of;
use placebench_runner::store;

/// Attempts of each way in a round. The first of a run has nothing before it to count from.
const PER_ROUND: u32 = 20;
const ROUNDS: usize = 10;
const BUDGET: Duration = Duration::from_millis(30);

/// Fixed work: each hop of each token takes 1 ms, whoever started the worker.
const SCENARIO: &str = r#"schema_version = 1
engine = "mock"
[model]
path = "m"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
"sim:1" = { on = "cpu", memory = "1MiB" }
[[prompt]]
name = "p"
text = "Hello"
[generation]
max_new_tokens = 32
ignore_eos = true
[placement.split]
device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:1" }
[[fault]]
kind = "slow_link"
delay = "1ms"
[measure]
warmup = 0
repetitions = REPETITIONS
"#;

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rounds = asked.unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("m")).unwrap();
    fs::write(folder.path().join("m/config.json"), "{\"num_hidden_layers\": 8}").unwrap();
    let scenario = SCENARIO.replace("REPETITIONS", &(PER_ROUND + 1).to_string());
    fs::write(folder.path().join("s.toml"), scenario).unwrap();
    // The first run tells what a worker is asked; what it finds cold is not counted.
    under_run(folder.path());
    let request = request(folder.path());
    let (mut by_hand, mut harnessed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        by_hand.extend((0..PER_ROUND).map(|_| started_by_hand(&request)));
        harnessed.extend(under_run(folder.path()));
    }
    let (hand, run) = (Figures::of(by_hand), Figures::of(harnessed));
    println!(
        "an attempt of the mock engine, {} of each way, taking turns",
        hand.count
    );
    println!("  worker started by hand   {hand}");
    println!("  worker under `run`       {run}");
    let added = run.mean.saturating_sub(hand.mean);
    let added_p95 = run.p95.saturating_sub(hand.p95);
    let word = if added <= BUDGET { "within" } else { "ABOVE" };
    println!(
        "  the harness adds         mean {:.2} ms, at the 95th percentile {:.2} ms ({word} {} ms)",
        milliseconds(added),
        milliseconds(added_p95),
        BUDGET.as_millis()
    );
}

struct Figures {
    count: usize,
    mean: Duration,
    median: Duration,
    p95: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        Self {
            count: times.len(),
            mean: times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap(),
            median: at(50),
            p95: at(95),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [mean, median, p95] = [self.mean, self.median, self.p95].map(milliseconds);
        write!(
            f,
            "mean {mean:.2} ms, median {median:.2} ms, 95th percentile {p95:.2} ms"
        )
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_placebench"))
}

/// The times of the attempts of one run, without its first.
fn under_run(folder: &Path) -> Vec<Duration> {
    let mut child = program()
        .args(["run", "s.toml", "--message-format", "ndjson"])
        .current_dir(folder)
        .env("CI", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ends = lines.filter_map(|line| {
        let line = line.unwrap();
        line.contains("\"type\":\"attempt-finished\"").then(Instant::now)
    });
    let ends: Vec<Instant> = ends.collect();
    child.wait().unwrap();
    assert_eq!(ends.len(), PER_ROUND as usize + 1, "not all attempts were made");
    ends.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// What the supervisor writes to a worker of this case, in a file.
fn request(folder: &Path) -> std::path::PathBuf {
    let stored = store::read(&folder.join("reports/latest")).unwrap();
    assert!(stored.attempts.iter().all(|attempt| attempt.generations.len() == 1));
    let path = folder.join("request.json");
    let request = request_of(&stored.info.cases[0], 1);
    fs::write(&path, serde_json::to_vec(&request).unwrap()).unwrap();
    path
}

fn started_by_hand(request: &Path) -> Duration {
    let start = Instant::now();
    let mut child = program()
        .arg("worker")
        .env(SUPERVISOR_PID_ENV, std::process::id().to_string())
        .stdin(File::open(request).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    let took = start.elapsed();
    assert!(
        status.success() && said.contains("\"finished\""),
        "the worker did not finish: {said}"
    );
    took
}
