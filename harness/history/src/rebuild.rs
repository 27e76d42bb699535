//! Making the database again from the run folders, which are the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use placebench_runner::store::read_head;
use rusqlite::{Connection, TransactionBehavior};

use crate::database::{History, Options};
use crate::error::HistoryError;
use crate::import::{Import, Imported, Judge, OfPruned};
use crate::schema::{DROP_RESULTS, MIGRATIONS};

/// What rebuilding came to.
#[derive(Debug)]
pub struct Rebuilt {
    /// Runs that are in it.
    pub runs: usize,
    /// Folders that could not be taken in, and why.
    pub failed: Vec<(PathBuf, HistoryError)>,
    /// Names of runs that were known before and are no longer.
    pub forgotten: Vec<String>,
    /// Where a database that could not be read was moved to.
    pub moved_aside: Option<PathBuf>,
}

impl History {
    /// Makes the database at `options.path` again from the folders it knows, and `folders`. All or nothing: until the end the
    /// old one is what others read. One that cannot be read at all is moved aside and not removed.
    ///
    /// # Errors
    /// When a run that is known could not be taken in again, unless `may_forget`; when the database cannot be written, belongs
    /// to another program, or to a newer version of this one. The old one is then as it was.
    pub fn rebuild(
        options: Options,
        folders: &[PathBuf],
        may_forget: bool,
        judge: Judge<'_>,
    ) -> Result<Rebuilt, HistoryError> {
        let (mut history, moved_aside) = match Self::open_or_create(options.clone()) {
            Err(HistoryError::Damaged { path, .. }) => {
                let aside = move_aside(&path)?;
                (Self::open_or_create(options)?, Some(aside))
            }
            opened => (opened?, None),
        };
        match history.remake(folders, may_forget, judge) {
            Err(HistoryError::Damaged { path, .. }) if moved_aside.is_none() => {
                // Its first page is whole, and another is not.
                let options = history.options.clone();
                drop(history);
                let aside = move_aside(&path)?;
                let rebuilt = Self::open_or_create(options)?.remake(folders, may_forget, judge)?;
                Ok(Rebuilt {
                    moved_aside: Some(aside),
                    ..rebuilt
                })
            }
            rebuilt => Ok(Rebuilt {
                moved_aside,
                ..rebuilt?
            }),
        }
    }

    fn remake(&mut self, folders: &[PathBuf], may_forget: bool, judge: Judge<'_>) -> Result<Rebuilt, HistoryError> {
        let error = self.refused("to be made again");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        let known = known_runs(&transaction).map_err(&error)?;
        transaction.execute_batch(DROP_RESULTS).map_err(&error)?;
        for step in MIGRATIONS {
            transaction.execute_batch(step).map_err(&error)?;
        }
        let mut all: BTreeSet<PathBuf> = folders.iter().cloned().collect();
        // A folder that is gone is told by the name of its run.
        all.extend(known.values().filter(|folder| folder.is_dir()).cloned());
        let (mut taken, mut failed) = (BTreeSet::new(), Vec::new());
        for folder in all {
            transaction.execute_batch("SAVEPOINT run").map_err(&error)?;
            match take(&transaction, &error, &folder, judge) {
                Ok(run_id) => {
                    taken.extend(run_id);
                    transaction.execute_batch("RELEASE run").map_err(&error)?;
                }
                Err(failure) => {
                    let undo = "ROLLBACK TO run; RELEASE run";
                    transaction.execute_batch(undo).map_err(&error)?;
                    failed.push((folder, failure));
                }
            }
        }
        let forgotten: Vec<String> = known.into_keys().filter(|run_id| !taken.contains(run_id)).collect();
        if !forgotten.is_empty() && !may_forget {
            return Err(HistoryError::WouldForget { runs: forgotten });
        }
        transaction.commit().map_err(&error)?;
        Ok(Rebuilt {
            runs: taken.len(),
            failed,
            forgotten,
            moved_aside: None,
        })
    }
}

/// The runs that are known, with their folders.
fn known_runs(connection: &Connection) -> rusqlite::Result<BTreeMap<String, PathBuf>> {
    let mut select = connection.prepare("SELECT run_id, folder FROM runs")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, PathBuf::from(row.get::<_, String>(1)?))))?;
    rows.collect()
}

/// Takes a run in. Nothing where it was pruned.
fn take(
    connection: &Connection,
    error: &dyn Fn(rusqlite::Error) -> HistoryError,
    folder: &Path,
    judge: Judge<'_>,
) -> Result<Option<String>, HistoryError> {
    let head = read_head(folder)?;
    let import = Import {
        connection,
        error,
        folder,
        head: &head,
        judge,
    };
    let imported = import.import(OfPruned::Pass)?;
    Ok((imported != Imported::Pruned).then_some(head.info.run_id))
}

/// Renames a file to a name that is free, and what SQLite keeps beside it.
fn move_aside(path: &Path) -> Result<PathBuf, HistoryError> {
    let with = |ending: &str| {
        let mut name = OsString::from(path.as_os_str());
        name.push(ending);
        PathBuf::from(name)
    };
    let mut number = 0;
    let aside = loop {
        let name = match number {
            0 => with(".damaged"),
            number => with(&format!(".damaged-{number}")),
        };
        if fs::symlink_metadata(&name).is_err() {
            break name;
        }
        number += 1;
    };
    let moved = |from: PathBuf, to: PathBuf| match fs::rename(&from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HistoryError::Io {
            doing: "cannot move aside",
            path: from,
            source: error,
        }),
        _ => Ok(()),
    };
    moved(path.to_owned(), aside.clone())?;
    // A log of the old file must not be taken for one of the new.
    for ending in ["-wal", "-shm"] {
        let mut name = OsString::from(aside.as_os_str());
        name.push(ending);
        moved(with(ending), PathBuf::from(name))?;
    }
    Ok(aside)
}
