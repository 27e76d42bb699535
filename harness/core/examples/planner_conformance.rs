//! Runs golden cases of the planners and prints how many agree:
//! `cargo run --release -p placebench-core --example planner_conformance -- FOLDER`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, whose result is what it prints"
)]

#[path = "../tests/planner_cases/mod.rs"]
mod planner_cases;

use std::path::PathBuf;
use std::process::ExitCode;

/// How many disagreements of each kind are printed.
const SHOWN: usize = 5;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: planner_conformance FOLDER (with cases.jsonl and models/)");
        return ExitCode::from(2);
    };
    let tallies = match planner_cases::run_folder(&folder) {
        Ok(tallies) => tallies,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut all_agree = true;
    for (kind, tally) in &tallies {
        println!(
            "{kind}: {} of {} agree",
            tally.cases - tally.disagreements.len(),
            tally.cases
        );
        for disagreement in tally.disagreements.iter().take(SHOWN) {
            println!("{disagreement}");
        }
        all_agree &= tally.disagreements.is_empty();
    }
    if all_agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
