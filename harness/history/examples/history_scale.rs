//! How long a history of 100,000 attempts takes to import and to ask, and how much memory:
//! `cargo run --release -p placebench-history --example history_scale -- [ATTEMPTS]`.
//!
//! The runs are written through the types and files of real ones, in a temporary folder: runs of 20 cases with 6 attempts
//! each, a quarter of the cases with a step of 10 % half-way.
#![expect(clippy::print_stdout, reason = "an example for people")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::time::{Duration, Instant};

use placebench_core::trend::TrendSpec;
use placebench_history::{History, Options, RunFilter, TrendQuery, names_of_metrics, runs_below};

const CASES: u64 = 20;
const ATTEMPTS_OF_A_CASE: u64 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let attempts: u64 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let runs = attempts.div_ceil(CASES * ATTEMPTS_OF_A_CASE);
    let cases: Vec<_> = (0..CASES)
        .map(|number| common::case(&format!("s{number}/p/single")))
        .collect();
    for run in 0..runs {
        let (run_id, started_at) = common::day(run);
        let wobble = 1.0 + 0.01 * ((run * 7919 % 101) as f64 / 101.0 - 0.5);
        let (quick, slow): (Vec<_>, Vec<_>) = cases
            .iter()
            .cloned()
            .partition(|case| !case.case.ends_with("0/p/single"));
        let level = if run >= runs - runs.min(50) { 0.055 } else { 0.05 };
        let mut all = common::attempts(&quick, 0.05 * wobble);
        all.extend(common::attempts(&slow, level * wobble));
        common::write(folder.path(), &common::info(&run_id, &started_at, cases.clone()), &all);
    }
    println!(
        "{runs} runs, {} attempts; resident {}",
        runs * CASES * ATTEMPTS_OF_A_CASE,
        resident()
    );
    let options = Options {
        path: folder.path().join("history.sqlite"),
        wait: Duration::from_secs(1),
    };
    let mut history = History::open_or_create(options.clone())?;
    let found = runs_below(folder.path())?;
    let started = Instant::now();
    for (index, run) in found.iter().enumerate() {
        history.import(run, false, &common::judge_again)?;
        if (index + 1) % found.len().div_ceil(4).max(1) == 0 {
            println!(
                "  {} runs imported; resident {}, at most {}",
                index + 1,
                resident(),
                status("VmHWM")
            );
        }
    }
    println!("import: {:.2} s", started.elapsed().as_secs_f64());
    println!(
        "database: {:.1} MiB",
        std::fs::metadata(&options.path)?.len() as f64 / f64::from(1 << 20)
    );
    let started = Instant::now();
    for run in &found {
        history.import(run, false, &common::judge_again)?;
    }
    println!("import of nothing new: {:.2} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let listed = history.runs(&RunFilter::default())?.len();
    println!("list of {listed} runs: {:.2} s", started.elapsed().as_secs_f64());
    for metrics in [vec!["tpot_s"], names_of_metrics()] {
        let started = Instant::now();
        let trend = history.trend(&TrendQuery {
            filterset: None,
            metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
            machine: None,
            last: 100,
            spec: TrendSpec::default(),
        })?;
        let changes: usize = trend.figures.iter().map(|series| series.changes.len()).sum();
        println!(
            "trend of {} series with {changes} changes: {:.2} s",
            trend.figures.len(),
            started.elapsed().as_secs_f64()
        );
    }
    drop(history);
    let started = Instant::now();
    let rebuilt = History::rebuild(options, &found, false, &common::judge_again)?;
    println!(
        "rebuild of {} runs: {:.2} s",
        rebuilt.runs,
        started.elapsed().as_secs_f64()
    );
    println!("resident {}, at most {}", resident(), status("VmHWM"));
    Ok(())
}

fn resident() -> String {
    status("VmRSS")
}

/// A line of what Linux says of this process.
fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or("unknown", str::trim).to_owned()
}
