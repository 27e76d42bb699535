//! One file for each command.

mod bisect;
mod compare;
mod doctor;
mod engine_check;
mod generate;
mod history;
mod list;
mod merge;
mod pending;
mod plan;
mod probe;
mod report;
mod review;
mod run;
mod snapshots;
mod validate;

use placebench_core::exit_code::ExitCode;
use placebench_core::scenario::{reference, schema};
use placebench_core::{settings, stream};

use crate::args::{Args, Command};
use crate::error::CliError;
use crate::{engines, terminal};

/// Carries out the command.
pub(crate) fn dispatch(args: Args) -> Result<ExitCode, CliError> {
    match args.command {
        Command::Run(args) => run::run(args),
        Command::List(args) => list::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Schema(args) if args.markdown => {
            terminal::out(reference::markdown().trim_end());
            Ok(ExitCode::Passed)
        }
        Command::Schema(args) if args.config => {
            terminal::out(&format!("{:#}", settings::json_schema()));
            Ok(ExitCode::Passed)
        }
        Command::Schema(args) if args.events => {
            terminal::out(&format!("{:#}", stream::events_schema()));
            Ok(ExitCode::Passed)
        }
        Command::Schema(args) if args.verdict => {
            terminal::out(&format!("{:#}", stream::verdict_schema()));
            Ok(ExitCode::Passed)
        }
        Command::Schema(_) => {
            terminal::out(&format!("{:#}", schema::json_schema()));
            Ok(ExitCode::Passed)
        }
        Command::Plan(args) => plan::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bisect(args) => bisect::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Review(args) => review::run(&args),
        Command::Pending(args) => pending::run(&args),
        Command::Accept(args) => snapshots::accept(&args),
        Command::Reject(args) => snapshots::reject(&args),
        Command::History(args) => history::run(&args),
        Command::EngineCheck(args) => engine_check::run(&args),
        Command::Probe => Ok(probe::run()),
        // So is that of a guardian by its worker.
        Command::Guard(args) => Ok(
            match placebench_engine_openai::guardian::run(&args.command, args.leashed) {
                0 => ExitCode::Passed,
                _ => ExitCode::CaseFailed,
            },
        ),
        // The exit code of a worker is read by the supervisor alone.
        Command::Worker => Ok(match placebench_engine::worker::run(&engines::all()) {
            0 => ExitCode::Passed,
            2 => ExitCode::Usage,
            _ => ExitCode::CaseFailed,
        }),
    }
}
