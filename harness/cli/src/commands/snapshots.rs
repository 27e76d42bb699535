//! `placebench accept` and `placebench reject`: what becomes of pending snapshots.

use std::path::{Path, PathBuf};

use placebench_core::exit_code::ExitCode;
use placebench_runner::snapshot::{self, SnapshotError};

use crate::args::SnapshotArgs;
use crate::error::CliError;
use crate::terminal::{self, out, printable};

pub(crate) fn accept(args: &SnapshotArgs) -> Result<ExitCode, CliError> {
    for_each(args, "accepted", |path| snapshot::accept(path).map(drop))
}

pub(crate) fn reject(args: &SnapshotArgs) -> Result<ExitCode, CliError> {
    for_each(args, "rejected", snapshot::reject)
}

fn for_each(
    args: &SnapshotArgs,
    done: &str,
    act: impl Fn(&Path) -> Result<(), SnapshotError>,
) -> Result<ExitCode, CliError> {
    let failed = |error: SnapshotError| CliError::setup(terminal::chain(&error));
    let mut pending: Vec<PathBuf> = Vec::new();
    for path in &args.paths {
        if path.is_file() {
            pending.push(path.clone());
        } else {
            let found = snapshot::list_pending(path).map_err(failed)?;
            pending.extend(found.into_iter().map(|pending| pending.path));
        }
    }
    for path in &pending {
        act(path).map_err(failed)?;
        out(&format!("{done} {}", printable(&path.display().to_string())));
    }
    if pending.is_empty() {
        out("no pending snapshots");
    }
    Ok(ExitCode::Passed)
}
