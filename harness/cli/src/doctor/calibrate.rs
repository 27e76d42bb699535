//! `doctor --calibrate`: the same case twice, again and again, and how much the figures differ.

use std::path::{Path, PathBuf};

use placebench_core::doctor::noise::{NoiseFloor, noise_floor};
use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::request_of;
use placebench_runner::supervisor::{WorkerCommand, run_attempt};

use super::ask::Asker;
use crate::error::CliError;
use crate::{suite, terminal};

/// What is run where no scenario is named: it needs neither a download nor a GPU.
const SHIPPED: &str = "scenarios/smoke/placements.toml";

/// Measured generations of an attempt, as `run` makes them in each of its processes.
const MEASURED: u32 = 1;

/// The case to calibrate with: the first one.
pub(crate) fn case(scenario: Option<&Path>) -> Result<CaseSpec, CliError> {
    let path = scenario.map_or_else(|| PathBuf::from(SHIPPED), Path::to_path_buf);
    if scenario.is_none() && !path.is_file() {
        return Err(CliError::setup(format!("{SHIPPED} is not here"))
            .hint("name a scenario to calibrate with: placebench doctor --calibrate SCENARIO.toml"));
    }
    let cases = suite::cases(&suite::load(&[path])?)?;
    cases
        .into_iter()
        .find(|case| case.faults.is_empty() && case.foreign_code().is_empty())
        .ok_or_else(|| {
            CliError::setup("every case injects faults or starts programs of its own: nothing to calibrate with")
        })
}

/// Runs the pairs. The two sides of a pair take turns in going first, so that what the first does to the second falls on
/// both sides.
pub(crate) fn calibrate(
    asker: &Asker,
    worker: &WorkerCommand,
    case: &CaseSpec,
    pairs: u32,
) -> Result<NoiseFloor, CliError> {
    let mut made = Vec::new();
    for pair in 0..pairs.max(1) {
        asker.bar.set_message(format!(
            "calibrating with {}: pair {} of {}",
            terminal::printable(&case.case),
            pair + 1,
            pairs.max(1)
        ));
        asker.bar.tick();
        let first = attempt(worker, case, 2 * pair, &asker.cancel)?;
        let second = attempt(worker, case, 2 * pair + 1, &asker.cancel)?;
        made.push(if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        });
    }
    Ok(noise_floor(&case.case, &made))
}

fn attempt(worker: &WorkerCommand, case: &CaseSpec, number: u32, cancel: &Cancel) -> Result<Attempt, CliError> {
    let request = request_of(case, MEASURED);
    let attempt = run_attempt(worker, case, &request, number, None, cancel, &mut |_| {})
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    if attempt.outcome == Outcome::Completed {
        return Ok(attempt);
    }
    Err(CliError::setup(format!(
        "{} did not complete, so there is nothing to calibrate with: {}",
        case.case,
        attempt.outcome.sentence()
    ))
    .hint(format!("look at it alone: placebench run {}", case.file)))
}
