//! `placebench accept` and `placebench reject`: what becomes of pending snapshots.

use placebench_core::exit_code::ExitCode;
use placebench_runner::snapshot::{self, Pending, SnapshotError};

use crate::args::{AcceptArgs, SnapshotArgs, UnreferencedArg};
use crate::error::CliError;
use crate::terminal::{self, out, printable};
use crate::waiting::{self, Waiting, shown};

pub(crate) fn accept(args: &AcceptArgs) -> Result<ExitCode, CliError> {
    let waiting = waiting::find(&args.which)?;
    if args.unreferenced == UnreferencedArg::Ignore {
        return for_each(waiting, "accepted", snapshot::accept);
    }
    let Some(unreferenced) = waiting::suites(&args.which.paths).unreferenced else {
        return Err(
            CliError::setup("which snapshots no case refers to can only be told of whole suites")
                .hint("name the folders of suites, with all their scenarios"),
        );
    };
    match args.unreferenced {
        UnreferencedArg::Delete => {
            for unreferenced in &unreferenced {
                snapshot::remove_unreferenced(unreferenced)
                    .map_err(|error| CliError::setup(terminal::chain(&error)))?;
                out(&format!(
                    "removed {}",
                    printable(&shown(&unreferenced.path).display().to_string())
                ));
            }
        }
        UnreferencedArg::Ignore | UnreferencedArg::Warn | UnreferencedArg::Reject => {
            waiting::tell_unreferenced(&unreferenced);
        }
    }
    if args.unreferenced == UnreferencedArg::Reject && !unreferenced.is_empty() {
        return Err(CliError::setup(
            "nothing was accepted, because there are snapshots that no case refers to",
        ));
    }
    for_each(waiting, "accepted", snapshot::accept)
}

pub(crate) fn reject(args: &SnapshotArgs) -> Result<ExitCode, CliError> {
    for_each(waiting::find(args)?, "rejected", snapshot::reject)
}

/// What cannot be decided on is named, and does not keep the rest from it.
fn for_each(
    mut waiting: Waiting,
    done: &str,
    act: impl Fn(&Pending) -> Result<(), SnapshotError>,
) -> Result<ExitCode, CliError> {
    if waiting.pending.is_empty() && waiting.refused.is_empty() {
        out("no pending snapshots");
    }
    for pending in &waiting.pending {
        match act(pending) {
            Ok(()) => out(&format!("{done} {}", printable(&pending.path.display().to_string()))),
            Err(error) => waiting.refused.push(error),
        }
    }
    refused(&waiting.refused)
}

/// Names what could not be decided on; the exit code says that there was some.
pub(super) fn refused(refused: &[SnapshotError]) -> Result<ExitCode, CliError> {
    let Some((last, others)) = refused.split_last() else {
        return Ok(ExitCode::Passed);
    };
    for error in others {
        terminal::error(&terminal::chain(error));
    }
    let hint = match refused
        .iter()
        .all(|error| matches!(error, SnapshotError::Changed { .. }))
    {
        true => "look at it again: it was left as it is",
        false => "what is called like a pending snapshot and is none has to be put right, or removed, by hand",
    };
    Err(CliError::setup(terminal::chain(last)).hint(hint))
}
