//! Programs of scenarios: refused unless the command line allows them, and started where it does.
//!
//! Only `run` and `bisect` start any; `validate`, `list`, `plan` and `report` look at scenarios and records of strangers and never do.

use std::path::Path;

use placebench_core::record::{CaseSpec, ForeignCode, RunInfo};
use placebench_core::scenario::TRANSFORMERS;
use placebench_report::view::words::shell;
use placebench_runner::supervisor::WorkerCommand;

use crate::error::CliError;
use crate::python;
use crate::terminal::{self, counted};

/// Lines of a refusal; a suite of a foreign engine has hundreds of cases.
const MOST_LINES: usize = 8;

/// The program that executes a case: its own, a Python with the stack of Hugging Face, or this one. `folder` is that of the run,
/// which keeps what is written for it.
pub(crate) fn worker(case: &CaseSpec, own: &Path, folder: &Path) -> WorkerCommand {
    if case.engine == TRANSFORMERS {
        return python::worker(case, folder);
    }
    match case.foreign_program() {
        Some(program) => {
            let mut words = program.command.iter();
            let first = words.next().cloned().unwrap_or_default();
            WorkerCommand {
                folder: Some(program.folder.clone().into()),
                ..WorkerCommand::new(first, words)
            }
        }
        None => WorkerCommand::new(own, ["worker"]),
    }
}

/// Refuses cases that would run code of others, or says which code it is where that is allowed.
///
/// A case that is left out could hide a failure behind a passing gate, so that nothing at all is run.
pub(crate) fn permit(cases: &[CaseSpec], allowed: bool) -> Result<(), CliError> {
    let reasons = reasons(cases);
    let Some(first) = reasons.first() else {
        return Ok(());
    };
    if allowed {
        for reason in &reasons {
            terminal::note(&format!("allowed by --allow-exec: {reason}"));
        }
        return Ok(());
    }
    let mut message = match reasons.len() {
        1 => format!("{first}, which the command line does not allow"),
        number => format!(
            "{}, which the command line does not allow:",
            counted(u32::try_from(number).unwrap_or(u32::MAX), "reason for a permission")
        ),
    };
    if reasons.len() > 1 {
        for reason in reasons.iter().take(MOST_LINES) {
            message.push_str(&format!("\n  {reason}"));
        }
        if let Some(more) = reasons.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            message.push_str(&format!("\n  and {more} more"));
        }
    }
    Err(CliError::setup(message)
        .hint("nothing was run; if you trust the suite, say so with --allow-exec: what it starts has your rights"))
}

/// What `run --resume` needs on its command line for this run, with a space before it.
pub(crate) fn flags_to_resume(info: &RunInfo) -> &'static str {
    let starts_something = info.control.against.is_some() || !reasons(&info.cases).is_empty();
    if starts_something { " --allow-exec" } else { "" }
}

/// Refuses to go on with a run that is held against a program which only its record names: the record may come from somebody
/// else.
pub(crate) fn permit_other_side(info: &RunInfo, allowed: bool) -> Result<(), CliError> {
    let Some(against) = &info.control.against else {
        return Ok(());
    };
    let reason = format!(
        "the record starts the program {}",
        shell(std::slice::from_ref(&against.program))
    );
    if allowed {
        terminal::note(&format!("allowed by --allow-exec: {reason}"));
        return Ok(());
    }
    Err(
        CliError::setup(format!("{reason}, which the command line does not allow"))
            .hint("nothing was run; if it is the one you held the run against, say so with --allow-exec"),
    )
}

/// What needs a permission, each once, with its place.
fn reasons(cases: &[CaseSpec]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for case in cases {
        let file = terminal::printable(&case.file);
        for code in case.foreign_code() {
            let reason = match code {
                ForeignCode::Program(program) => {
                    format!("{file}:{} starts the program {}", program.line, shell(&program.command))
                }
                ForeignCode::Server(start) => {
                    format!("{file}:{} starts the server {}", start.line, shell(&start.command))
                }
                ForeignCode::Address(url) => format!(
                    "{file} sends its prompts to another machine: {}",
                    terminal::printable(url)
                ),
                ForeignCode::Key { variable, url } => format!(
                    "{file} sends the value of {} to {}",
                    terminal::printable(variable),
                    terminal::printable(url)
                ),
                ForeignCode::Variable(name) => format!(
                    "{file} sets {}, which can make a worker run other code or send its secrets elsewhere",
                    terminal::printable(name)
                ),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}
