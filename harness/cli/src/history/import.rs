//! `placebench history import`.

use placebench_core::exit_code::ExitCode;
use placebench_history::{History, HistoryError, Imported, VerdictSource};

use super::{failed, folders, judge, options};
use crate::args::ImportArgs;
use crate::error::CliError;
use crate::terminal::{counted, hint, out, printable};

#[derive(Default)]
struct Tally {
    new: u64,
    updated: u64,
    known: u64,
    pruned: u64,
    judged_again: u64,
    failed: u64,
    attempts: u64,
}

pub(crate) fn run(args: &ImportArgs) -> Result<ExitCode, CliError> {
    let is_named = !args.paths.is_empty();
    let found = match is_named {
        true => folders(&args.paths)?,
        false => folders(std::slice::from_ref(&args.database.output_dir))?,
    };
    let mut history = History::open_or_create(options(&args.database)?).map_err(|error| failed(&error))?;
    let mut tally = Tally::default();
    for folder in &found {
        // Only a run that was named itself is brought back after it was pruned, not one in a folder that was.
        let is_this_one = args
            .paths
            .iter()
            .any(|path| path.canonicalize().is_ok_and(|path| path == *folder));
        match history.import(folder, is_this_one, &judge) {
            Ok(imported) => tally.add(imported),
            Err(error @ (HistoryError::Run(_) | HistoryError::Judge { .. } | HistoryError::Conflict { .. })) => {
                tally.failed += 1;
                failed(&error).report();
            }
            // The database itself: the next run would fare no better.
            Err(error) => return Err(failed(&error)),
        }
    }
    out(&printable(&tally.words(history.path())));
    if tally.pruned > 0 {
        hint("runs that were pruned are not brought back; name one to import it again");
    }
    Ok(match tally.failed {
        0 => ExitCode::Passed,
        _ => ExitCode::Setup,
    })
}

impl Tally {
    fn add(&mut self, imported: Imported) {
        match imported {
            Imported::New { .. } => self.new += 1,
            Imported::Updated { .. } => self.updated += 1,
            Imported::Known => self.known += 1,
            Imported::Pruned => self.pruned += 1,
        }
        if let Imported::New { attempts, verdict } | Imported::Updated { attempts, verdict } = imported {
            self.attempts += attempts;
            self.judged_again += u64::from(verdict == VerdictSource::Judged);
        }
    }

    fn words(&self, database: &std::path::Path) -> String {
        let mut parts = vec![format!(
            "imported {} with {}",
            counted(self.new, "run"),
            counted(self.attempts, "attempt")
        )];
        let others = [
            (self.updated, "had grown"),
            (self.known, "already there"),
            (self.judged_again, "judged again"),
            (self.pruned, "pruned before"),
            (self.failed, "failed"),
        ];
        parts.extend(
            others
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        format!("{} into {}", parts.join(", "), database.display())
    }
}
