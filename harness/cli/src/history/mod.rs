//! What the commands of `history` share: opening it, and saying why that cannot be.

pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod prune;
pub(crate) mod rebuild;
pub(crate) mod trend;

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use placebench_core::exit_code::ExitCode;
use placebench_core::record::RunVerdict;
use placebench_history::{History, HistoryError, Options};
use placebench_runner::environment;

use crate::args::DatabaseArgs;
use crate::error::CliError;
use crate::{judged, terminal};

const DATABASE: &str = "history.sqlite";

/// The database and how long it is waited for.
pub(crate) fn options(args: &DatabaseArgs) -> Result<Options, CliError> {
    let wait = duration("--wait", &args.wait)?;
    Ok(Options {
        path: args.database.clone().unwrap_or_else(|| args.output_dir.join(DATABASE)),
        // What SQLite can count in milliseconds.
        wait: wait.min(Duration::from_secs(24 * 3600)),
    })
}

/// Opens a history that is there.
pub(crate) fn open(args: &DatabaseArgs) -> Result<History, CliError> {
    History::open(options(args)?).map_err(|error| failed(&error))
}

/// An error with what to do about it.
pub(crate) fn failed(error: &HistoryError) -> CliError {
    let hint = match error {
        HistoryError::Damaged { .. } => {
            "make it again from the run folders: `placebench history rebuild`; the old file is kept beside it"
        }
        HistoryError::Foreign { .. } => "name another file with --database",
        HistoryError::Newer { .. } => "use that placebench, or a database of your own: --database FILE",
        HistoryError::Locked { .. } => "try again when it is done, or wait longer: --wait 5m",
        HistoryError::Missing { .. } => "make one from the run folders: `placebench history import`",
        HistoryError::Conflict { .. } => "keep one of the two in another database: --database FILE",
        HistoryError::WouldForget { .. } => {
            "bring their folders back, or go on without them: `placebench history rebuild --forget-missing`"
        }
        HistoryError::UnknownMachine { .. } => "`placebench history list` shows the machines of each run",
        HistoryError::Run(_) => "the other runs can be used; remove or mend the folder",
        HistoryError::Database { .. } | HistoryError::Io { .. } | HistoryError::Judge { .. } => {
            return CliError::setup(terminal::chain(error));
        }
    };
    CliError::setup(terminal::chain(error)).hint(hint)
}

/// Judges a stored run again.
pub(crate) fn judge(folder: &Path) -> Result<RunVerdict, String> {
    judged::read(folder)
        .map(|record| record.verdict)
        .map_err(|error| error.message().to_owned())
}

/// The folders of runs at some paths. A path without any is an error where a person named it.
pub(crate) fn folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut all = Vec::new();
    for path in paths {
        let found = placebench_history::runs_below(path).map_err(|error| {
            CliError::setup(terminal::chain(&error))
                .hint("name the folder of a run (reports/<run-id>), or a folder that holds some")
        })?;
        if found.is_empty() {
            return Err(CliError::setup(format!("no run is in {}", path.display())));
        }
        all.extend(found);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// A duration as people write it.
pub(crate) fn duration(option: &str, text: &str) -> Result<Duration, CliError> {
    humantime::parse_duration(text).map_err(|error| {
        CliError::with_code(
            ExitCode::Usage,
            format!(
                "{option} `{}`: {error}; write a duration such as 10s or 90d",
                text.escape_debug()
            ),
        )
    })
}

/// Milliseconds since 1970, so long ago.
pub(crate) fn ago_ms(duration: Duration) -> i64 {
    let now = humantime::parse_rfc3339(&environment::now_rfc3339()).unwrap_or(UNIX_EPOCH);
    let then = now.checked_sub(duration).unwrap_or(UNIX_EPOCH);
    let since = then.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
