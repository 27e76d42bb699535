//! Taking a run into the database: whole or not at all, and only what is not there yet.
//!
//! A run is known by its name and the digests of its files. The same files again are nothing new. A run whose attempts begin
//! with those that are known has grown (it was interrupted and resumed), and is taken anew. Anything else under a known name
//! is another run, and is refused.
//!
//! The verdict is the one in `verdict.json` where that is about the attempts there are: the same run, the same cases, the
//! same number of attempts of each. Otherwise, as in a run that was killed, the run is judged again; the row says which.
//! Attempts are read line by line, so that memory does not grow with them; only a run that must be judged again is read whole.

mod case;
mod insert;

pub(crate) use insert::DROP_UNUSED_MACHINES;

use std::path::Path;

use placebench_core::record::{RunInfo, RunVerdict};
use placebench_runner::store::{AttemptLines, RunHead, read_head};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use twox_hash::XxHash3_64;

use crate::database::History;
use crate::error::HistoryError;

/// Judges the run in a folder, read again from its files.
pub type Judge<'a> = &'a dyn Fn(&Path) -> Result<RunVerdict, String>;

/// Where the verdict of a run came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictSource {
    /// From its `verdict.json`.
    File,
    /// It was judged again.
    Judged,
}

impl VerdictSource {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Judged => "judged",
        }
    }
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is new.
    New {
        /// Attempts.
        attempts: u64,
        /// Where its verdict came from.
        verdict: VerdictSource,
    },
    /// It was there, and has grown or was judged anew since.
    Updated {
        /// Attempts.
        attempts: u64,
        /// Where its verdict came from.
        verdict: VerdictSource,
    },
    /// It is there as it is.
    Known,
    /// It was pruned, and is not brought back unasked.
    Pruned,
}

/// Whether a run that was pruned comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfPruned {
    /// It stays away.
    Pass,
    /// It was named.
    Take,
}

/// The digests a run is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digests {
    run: String,
    verdict: String,
    attempts: String,
    attempts_bytes: u64,
}

impl History {
    /// Takes in what is new of the run in a folder. `is_named`: the person named this very run, so that it is taken although
    /// it was pruned.
    ///
    /// # Errors
    /// When the run is damaged, cannot be judged, or another one has its name; when the database cannot be written. Nothing
    /// is changed then.
    pub fn import(&mut self, folder: &Path, is_named: bool, judge: Judge<'_>) -> Result<Imported, HistoryError> {
        let of_pruned = match is_named {
            true => OfPruned::Take,
            false => OfPruned::Pass,
        };
        let error = self.refused("an import");
        // Read before the database is locked: what is damaged keeps nobody waiting.
        let head = read_head(folder)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        let imported = Import {
            connection: &transaction,
            error: &error,
            folder,
            head: &head,
            judge,
        }
        .import(of_pruned)?;
        transaction.commit().map_err(&error)?;
        Ok(imported)
    }
}

/// One run on its way into the database, inside a transaction of the caller.
pub(crate) struct Import<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) error: &'a dyn Fn(rusqlite::Error) -> HistoryError,
    pub(crate) folder: &'a Path,
    pub(crate) head: &'a RunHead,
    pub(crate) judge: Judge<'a>,
}

impl Import<'_> {
    pub(crate) fn import(&self, of_pruned: OfPruned) -> Result<Imported, HistoryError> {
        let info = &self.head.info;
        let was_pruned = self.was_pruned()?;
        if was_pruned && of_pruned == OfPruned::Pass {
            return Ok(Imported::Pruned);
        }
        let known = self.known()?;
        if let Some((row, started_at, folder, known)) = &known {
            let now = self.digests(known.attempts_bytes)?;
            if now.whole == *known {
                return Ok(Imported::Known);
            }
            if *started_at != info.started_at || now.first_attempts != known.attempts {
                return Err(HistoryError::Conflict {
                    run_id: info.run_id.clone(),
                    folder: self.folder.to_owned(),
                    known: folder.clone(),
                });
            }
            self.execute("DELETE FROM runs WHERE id = ?1", params![row])?;
        }
        if was_pruned {
            self.execute("DELETE FROM pruned WHERE run_id = ?1", params![info.run_id])?;
        }
        let (attempts, verdict) = insert::run(self)?;
        Ok(match known {
            None => Imported::New { attempts, verdict },
            Some(_) => Imported::Updated { attempts, verdict },
        })
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), HistoryError> {
        self.connection.execute(sql, parameters).map_err(self.error)?;
        Ok(())
    }

    fn was_pruned(&self) -> Result<bool, HistoryError> {
        let found = self
            .connection
            .query_row(
                "SELECT 1 FROM pruned WHERE run_id = ?1",
                [&self.head.info.run_id],
                |_| Ok(()),
            )
            .optional();
        Ok(found.map_err(self.error)?.is_some())
    }

    /// The run of that name that is there: its row, its start, its folder, and its digests.
    fn known(&self) -> Result<Option<(i64, String, String, Digests)>, HistoryError> {
        let sql = "SELECT id, started_at, folder, run_digest, verdict_digest, attempts_digest, attempts_bytes FROM runs
                   WHERE run_id = ?1";
        let found = self.connection.query_row(sql, [&self.head.info.run_id], |row| {
            let digests = Digests {
                run: row.get(3)?,
                verdict: row.get(4)?,
                attempts: row.get(5)?,
                attempts_bytes: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(u64::MAX),
            };
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, digests))
        });
        found.optional().map_err(self.error)
    }

    /// The digests of the files as they are, and that of the attempts up to a number of bytes.
    fn digests(&self, first_bytes: u64) -> Result<Compared, HistoryError> {
        let mut lines = AttemptLines::open(self.folder)?;
        let mut all = Digest::default();
        let mut first = (first_bytes == 0).then(|| all.text());
        while let Some(line) = lines.next_line()? {
            all.write(line.bytes);
            if all.bytes == first_bytes {
                first = Some(all.text());
            }
        }
        Ok(Compared {
            whole: self.with_attempts(&all),
            first_attempts: first.unwrap_or_default(),
        })
    }

    fn with_attempts(&self, attempts: &Digest) -> Digests {
        Digests {
            run: digest(&self.head.run_json),
            verdict: digest(&self.head.verdict_json),
            attempts: attempts.text(),
            attempts_bytes: attempts.bytes,
        }
    }

    /// The verdict, and where it came from. `counts` says how many attempts each case has.
    fn verdict(&self, counts: &[u32]) -> Result<(RunVerdict, VerdictSource), HistoryError> {
        let stored = self
            .head
            .verdict
            .as_ref()
            .filter(|verdict| is_about(verdict, &self.head.info, counts));
        if let Some(verdict) = stored {
            return Ok((verdict.clone(), VerdictSource::File));
        }
        let judged = (self.judge)(self.folder).map_err(|message| HistoryError::Judge {
            folder: self.folder.to_owned(),
            message,
        })?;
        Ok((judged, VerdictSource::Judged))
    }
}

struct Compared {
    whole: Digests,
    first_attempts: String,
}

fn is_about(verdict: &RunVerdict, info: &RunInfo, counts: &[u32]) -> bool {
    let cases = info.cases.iter().zip(counts);
    let expected = cases.map(|(case, count)| (case.case.as_str(), *count));
    verdict.run_id == info.run_id
        && verdict
            .cases
            .iter()
            .map(|judged| (judged.case.as_str(), judged.attempts))
            .eq(expected)
}

/// A digest of bytes that come in pieces: each piece seeds the next. The same bytes in other pieces have another digest.
#[derive(Default)]
struct Digest {
    state: u64,
    bytes: u64,
}

impl Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.state = XxHash3_64::oneshot_with_seed(self.state, bytes);
        self.bytes += bytes.len() as u64;
    }

    fn text(&self) -> String {
        format!("{:016x}", self.state)
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.write(bytes);
    digest.text()
}
