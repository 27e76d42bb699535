//! `placebench validate`: are the scenario files well-formed?

use placebench_core::exit_code::ExitCode;

use crate::args::PathArgs;
use crate::error::CliError;
use crate::{suite, terminal};

pub(crate) fn run(args: &PathArgs) -> Result<ExitCode, CliError> {
    let scenarios = suite::load(&args.paths)?;
    let cases = suite::cases(&scenarios)?;
    terminal::out(&format!(
        "{} with {}: well-formed",
        terminal::counted(scenarios.len(), "scenario"),
        terminal::counted(cases.len(), "case")
    ));
    Ok(ExitCode::Passed)
}
