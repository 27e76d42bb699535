//! Retention: taking old runs out of the database, and with them their folders where that is asked for.
//!
//! A folder is only removed where it is beyond doubt that of the run: a real folder (no link), directly below the folder of
//! runs, with the name of the run and a `run.json` that says so. The newest run stays whatever was asked for.

use std::fs;
use std::path::{Path, PathBuf};

use placebench_runner::store::{self, LATEST};
use rusqlite::{TransactionBehavior, params};

use crate::database::History;
use crate::error::HistoryError;
use crate::import::DROP_UNUSED_MACHINES;

/// Which runs stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many of the newest.
    Last(usize),
    /// Those that started at this time or later, in milliseconds since 1970, and those whose start is no time.
    Since(i64),
}

/// What is removed of a run.
#[derive(Clone, Copy)]
pub enum PruneTarget<'a> {
    /// Its rows. Its folder stays, and looking through folders does not bring it back: only naming it does.
    Rows,
    /// Its rows and its folder.
    RowsAndFolders {
        /// The folder that holds the folders of runs.
        output_dir: &'a Path,
        /// Why a run must stay that nothing else protects, by its name.
        protected: &'a dyn Fn(&str) -> Option<String>,
    },
}

/// What is to be removed.
#[derive(Clone, Copy)]
pub struct PruneRules<'a> {
    /// Which runs stay.
    pub keep: Keep,
    /// What is removed of the others.
    pub target: PruneTarget<'a>,
    /// Whether to do it, or only to say what would be done.
    pub is_dry: bool,
}

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Its name.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Its folder, where that is removed too.
    pub folder: Option<PathBuf>,
    /// Why it stays after all.
    pub kept_because: Option<String>,
}

struct Candidate {
    row: i64,
    run_id: String,
    started_at: String,
    folder: PathBuf,
}

impl History {
    /// Removes runs, and says which.
    ///
    /// # Errors
    /// When the database cannot be written. A folder that cannot be removed keeps its rows, with the reason.
    pub fn prune(&mut self, rules: PruneRules<'_>) -> Result<Vec<Pruned>, HistoryError> {
        let error = self.refused("a pruning");
        let mut pruned = Vec::new();
        for candidate in self.candidates(rules.keep)? {
            let folder = match rules.target {
                PruneTarget::Rows => Ok(None),
                PruneTarget::RowsAndFolders { output_dir, protected } => match protected(&candidate.run_id) {
                    Some(reason) => Err(reason),
                    None => removable(&candidate, output_dir),
                },
            };
            let done = folder.and_then(|folder| {
                if let Some(folder) = folder.as_ref().filter(|_| !rules.is_dry) {
                    // The folder first: rows without a folder are found again and pruned, a folder without rows is not.
                    fs::remove_dir_all(folder).map_err(|error| format!("its folder cannot be removed: {error}"))?;
                }
                Ok(folder)
            });
            if done.is_ok() && !rules.is_dry {
                self.remove(&candidate, matches!(rules.target, PruneTarget::Rows))?;
            }
            pruned.push(Pruned {
                run_id: candidate.run_id,
                started_at: candidate.started_at,
                folder: done.clone().unwrap_or_default(),
                kept_because: done.err(),
            });
        }
        if !rules.is_dry && pruned.iter().any(|run| run.kept_because.is_none()) {
            self.connection.execute_batch("VACUUM").map_err(&error)?;
        }
        Ok(pruned)
    }

    /// The runs that are not to be kept, from the oldest; never the newest.
    fn candidates(&self, keep: Keep) -> Result<Vec<Candidate>, HistoryError> {
        let error = self.refused("to be read");
        let mut select = self
            .connection
            .prepare("SELECT id, run_id, started_at, folder, started_ms FROM runs ORDER BY started_ms, run_id")
            .map_err(&error)?;
        let rows = select
            .query_map([], |row| {
                let candidate = Candidate {
                    row: row.get(0)?,
                    run_id: row.get(1)?,
                    started_at: row.get(2)?,
                    folder: PathBuf::from(row.get::<_, String>(3)?),
                };
                Ok((candidate, row.get::<_, Option<i64>>(4)?))
            })
            .map_err(&error)?;
        let mut all = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(&error)?;
        all.pop();
        let most = match keep {
            Keep::Last(runs) => (all.len() + 1).saturating_sub(runs.max(1)),
            Keep::Since(_) => all.len(),
        };
        let is_old = |started: Option<i64>| match keep {
            Keep::Last(_) => true,
            Keep::Since(since) => started.is_some_and(|started| started < since),
        };
        let old = all.into_iter().take(most).filter(|(_, started)| is_old(*started));
        Ok(old.map(|(candidate, _)| candidate).collect())
    }

    fn remove(&mut self, candidate: &Candidate, remembers: bool) -> Result<(), HistoryError> {
        let error = self.refused("a pruning");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        let removing = || -> rusqlite::Result<()> {
            transaction.execute("DELETE FROM runs WHERE id = ?1", params![candidate.row])?;
            transaction.execute(DROP_UNUSED_MACHINES, [])?;
            transaction.execute(
                "DELETE FROM definitions WHERE NOT EXISTS (SELECT 1 FROM cases WHERE cases.definition = definitions.id)",
                [],
            )?;
            if remembers {
                transaction.execute("INSERT OR IGNORE INTO pruned (run_id) VALUES (?1)", [&candidate.run_id])?;
            }
            Ok(())
        };
        removing().map_err(&error)?;
        transaction.commit().map_err(&error)
    }
}

/// The folder of a run where it may be removed, nothing where it is gone already, or why it may not.
fn removable(candidate: &Candidate, output_dir: &Path) -> Result<Option<PathBuf>, String> {
    let folder = &candidate.folder;
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("its folder cannot be looked at: {error}")),
    };
    if !metadata.is_dir() {
        return Err("its folder is a link or a file now".to_owned());
    }
    let root = output_dir
        .canonicalize()
        .map_err(|error| format!("the folder of runs cannot be looked at: {error}"))?;
    let real = folder
        .canonicalize()
        .map_err(|error| format!("its folder cannot be looked at: {error}"))?;
    if real.parent() != Some(root.as_path()) || real != *folder {
        return Err(format!("its folder is not directly below {}", root.display()));
    }
    if folder.file_name().is_none_or(|name| name != candidate.run_id.as_str()) {
        return Err("its folder has another name than the run".to_owned());
    }
    match store::read_head(folder) {
        Ok(head) if head.info.run_id == candidate.run_id => {}
        Ok(_) => return Err("its folder holds another run now".to_owned()),
        Err(_) => return Err("its folder holds no run that can be read".to_owned()),
    }
    if root.join(LATEST).canonicalize().is_ok_and(|latest| latest == real) {
        return Err(format!("it is the one that `{LATEST}` points at"));
    }
    match store::is_being_written(folder) {
        Ok(false) => Ok(Some(real)),
        Ok(true) => Err("it is being written".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
