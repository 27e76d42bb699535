//! What can go wrong with a history.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use placebench_runner::store::StoreError;
use rusqlite::ErrorCode;

/// What can go wrong with a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file is no whole database any more.
    #[error("{path} is damaged, and cannot be read as a database")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A database of something else.
    #[error("{path} is a database of another program")]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has history format {found}, written by placebench {writer}; this is placebench {}, which reads up to {known}",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Who wrote it.
        writer: String,
        /// The newest version this program reads.
        known: u32,
    },
    /// Another process is writing it.
    #[error("another process is writing {path}, and was not done after {}", humantime::format_duration(*waited))]
    Locked {
        /// The database.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is none.
    #[error("there is no history at {path}")]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// The database refuses something else.
    #[error("{path}: the database refuses {doing}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file or folder cannot be used.
    #[error("{doing} {path}")]
    Io {
        /// `cannot remove`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of a run cannot be read.
    #[error(transparent)]
    Run(#[from] StoreError),
    /// A run could not be judged.
    #[error("{folder} cannot be judged: {message}")]
    Judge {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        message: String,
    },
    /// Two runs of one name.
    #[error("{folder} is another run than the one that is known as {run_id} (from {known})")]
    Conflict {
        /// The name.
        run_id: String,
        /// The folder that was to be imported.
        folder: PathBuf,
        /// The folder the known one was imported from.
        known: String,
    },
    /// Rebuilding would lose runs.
    #[error("{} of the history cannot be made again, since their folders are gone or damaged: {}", counted(runs.len()), named(runs))]
    WouldForget {
        /// Their names.
        runs: Vec<String>,
    },
    /// No machine has that key.
    #[error("no machine is called `{}`; known are {}", asked.escape_debug(), if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownMachine {
        /// What was asked for.
        asked: String,
        /// Those there are.
        known: Vec<String>,
    },
}

fn counted(runs: usize) -> String {
    match runs {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    }
}

fn named(runs: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = runs.iter().take(SHOWN).map(String::as_str).collect();
    match runs.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Turns an error of SQLite into what a person can do something about.
pub(crate) fn refused(
    path: &Path,
    waited: Duration,
    doing: &'static str,
) -> impl Fn(rusqlite::Error) -> HistoryError + use<> {
    let path = path.to_owned();
    move |source| {
        let path = path.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => HistoryError::Locked { path, waited },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => HistoryError::Damaged { path, source },
            _ => HistoryError::Database { path, doing, source },
        }
    }
}
