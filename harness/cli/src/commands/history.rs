//! `placebench history`: the results of many runs.

use placebench_core::exit_code::ExitCode;

use crate::args::{HistoryArgs, HistoryCommand};
use crate::error::CliError;
use crate::history::{import, list, prune, rebuild, trend};

pub(crate) fn run(args: &HistoryArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        HistoryCommand::Import(args) => import::run(args),
        HistoryCommand::List(args) => list::run(args),
        HistoryCommand::Trend(args) => trend::run(args),
        HistoryCommand::Prune(args) => prune::run(args),
        HistoryCommand::Rebuild(args) => rebuild::run(args),
    }
}
