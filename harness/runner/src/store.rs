//! The folder of a run: raw data as it comes, complete after every attempt.
//!
//! ```text
//! reports/
//!   latest -> 20261122T140000Z-1a2b
//!   20261122T140000Z-1a2b/
//!     run.json  attempts.jsonl  events/<case>.ndjson  verdict.json
//! ```
//! `attempts.jsonl` is only ever appended to. A process that is killed loses at most the attempt in flight and leaves at
//! most one torn line, which readers report and a resumed run cuts off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use placebench_core::record::{Attempt, RECORD_VERSION, RecordVersion, RunInfo, RunVerdict};

use crate::files::{folder_of, refuse_link, sync_folder, write_whole};
use crate::slug::slug;
use crate::sys;

mod gather;
mod read;

pub use gather::runs_at;
pub use read::{RunRecordParts, is_interrupted, locate, parse, read};
use read::{read_info, whole_lines};

/// Name of the link to the newest run.
pub const LATEST: &str = "latest";

/// The folder in that of a run that holds the other side of it, a run of its own.
pub const BASE: &str = "base";

/// Names tried for a new run.
pub const MOST_NAMES: usize = 16;

const RUN_FILE: &str = "run.json";
const ATTEMPTS_FILE: &str = "attempts.jsonl";
const VERDICT_FILE: &str = "verdict.json";
const EVENTS_FOLDER: &str = "events";

/// What can go wrong with a run's folder.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused something.
    #[error("{doing} {path}")]
    Io {
        /// `cannot read`, `cannot write`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something of that name.
    #[error("{path} is there already")]
    Exists {
        /// The folder or file.
        path: PathBuf,
    },
    /// The name cannot be the name of a folder.
    #[error("`{}` cannot be the name of a run", run_id.escape_debug())]
    BadRunId {
        /// The name.
        run_id: String,
    },
    /// Nothing there is a run.
    #[error("{path} is no run: it has no {RUN_FILE}")]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process is writing it.
    #[error("another process{} is writing the run {path}; wait for its end, or stop it",
        holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// Its folder.
        path: PathBuf,
        /// The process, where the system tells.
        holder: Option<u32>,
    },
    /// What is written now would be lost.
    #[error("{path} was moved, removed or replaced while the run was going on, and nothing more can be kept there")]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a program with another format.
    #[error(
        "{path} has record format {}.{}, this program reads {}.x; use the placebench that wrote it",
        found.major, found.minor, RECORD_VERSION.major
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: RecordVersion,
    },
    /// A file holds something else than it should.
    #[error("{path}, line {line}, is not what a run's file holds")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A value could not be written as JSON.
    #[error("{path} cannot be put into JSON")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// A run being written. The lock is held as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    attempts: File,
}

impl RunFolder {
    /// Makes the folder `info.run_id` in `dir`, writes `run.json`, and points `latest` at it.
    ///
    /// # Errors
    /// When the folder exists, or cannot be written.
    pub fn create(dir: &Path, info: &RunInfo) -> Result<Self, StoreError> {
        if !is_run_id(&info.run_id) {
            return Err(StoreError::BadRunId {
                run_id: info.run_id.clone(),
            });
        }
        fs::create_dir_all(dir).map_err(cannot("cannot make", dir))?;
        let run = Self::make(dir.join(&info.run_id), info)?;
        sync_folder(dir).map_err(cannot("cannot write", dir))?;
        point_latest(dir, &info.run_id)?;
        Ok(run)
    }

    /// Makes the folder of the other side of this run, inside of it.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_base(&self, info: &RunInfo) -> Result<Self, StoreError> {
        let run = Self::make(self.path.join(BASE), info)?;
        sync_folder(&self.path).map_err(cannot("cannot write", &self.path))?;
        Ok(run)
    }

    fn make(path: PathBuf, info: &RunInfo) -> Result<Self, StoreError> {
        fs::create_dir(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.clone() },
            _ => cannot("cannot make", &path)(source),
        })?;
        let events = path.join(EVENTS_FOLDER);
        fs::create_dir(&events).map_err(cannot("cannot make", &events))?;
        let attempts = open_locked(&path)?;
        // Last of all: a folder without it is no run.
        let run_file = path.join(RUN_FILE);
        write_json(&run_file, info)?;
        Ok(Self { path, attempts })
    }

    /// The same under a name that `fresh` makes up, another one if there is a run of that name: a clock that was set back, or
    /// two runs of the same second, may make up the same. The name is put into `info`.
    ///
    /// # Errors
    /// When the folder cannot be written, or [`MOST_NAMES`] names are taken.
    pub fn create_fresh(dir: &Path, info: &mut RunInfo, mut fresh: impl FnMut() -> String) -> Result<Self, StoreError> {
        for _ in 1..MOST_NAMES {
            info.run_id = fresh();
            match Self::create(dir, info) {
                Err(StoreError::Exists { .. }) => {}
                answer => return answer,
            }
        }
        info.run_id = fresh();
        Self::create(dir, info)
    }

    /// Opens a run to go on with it. A torn last line is cut off.
    ///
    /// # Errors
    /// When it is no run, another process writes it, or its files are damaged.
    pub fn resume(path: &Path) -> Result<(Self, RunRecordParts), StoreError> {
        read_info(path)?;
        let events = path.join(EVENTS_FOLDER);
        refuse_link(&events).map_err(cannot("cannot write into", &events))?;
        let mut attempts = open_locked(path)?;
        let parts = read(path)?;
        cut_torn_line(&mut attempts).map_err(cannot("cannot mend", &path.join(ATTEMPTS_FILE)))?;
        let folder = Self {
            path: path.to_owned(),
            attempts,
        };
        Ok((folder, parts))
    }

    /// Writes `run.json` anew: of a run whose cases are decided on as it goes. What is on record of the others stays as it is.
    ///
    /// # Errors
    /// When it cannot be written; it is then as it was.
    pub fn extend(&mut self, info: &RunInfo) -> Result<(), StoreError> {
        write_json(&self.path.join(RUN_FILE), info)
    }

    /// Where the run lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the events of a case are kept.
    #[must_use]
    pub fn events_path(&self, case: &str) -> PathBuf {
        self.path.join(EVENTS_FOLDER).join(format!("{}.ndjson", slug(case)))
    }

    /// Appends an attempt. When this returns, it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written; the file is then as it was.
    pub fn append(&mut self, attempt: &Attempt) -> Result<(), StoreError> {
        let path = self.path.join(ATTEMPTS_FILE);
        // A file that was removed still takes what is written to it, and nobody will ever read that.
        if !sys::is_at(&self.attempts, &path).unwrap_or(false) {
            return Err(StoreError::Gone { path });
        }
        let mut line = serde_json::to_vec(attempt).map_err(|source| StoreError::Encode {
            path: path.clone(),
            source,
        })?;
        line.push(b'\n');
        let before = self.attempts.metadata().map_err(cannot("cannot write", &path))?.len();
        let written = self.attempts.write_all(&line).and_then(|()| self.attempts.sync_data());
        written.map_err(|source| {
            // A part of a line would spoil the next one. Where even this fails, readers still see a torn line.
            drop(self.attempts.set_len(before));
            cannot("cannot write", &path)(source)
        })
    }

    /// Writes `verdict.json`.
    ///
    /// # Errors
    /// When it cannot be written; an older one is then unchanged.
    pub fn write_verdict(&self, verdict: &RunVerdict) -> Result<(), StoreError> {
        write_json(&self.path.join(VERDICT_FILE), verdict)
    }

    /// Writes a file made from the run (`report.html`, `plots/latency.png`), whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_artifact(&self, name: &str, content: &[u8]) -> Result<PathBuf, StoreError> {
        write_artifact(&self.path, name, content)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Where this fails, closing the file lets go of the lock a moment later.
        drop(sys::unlock(&self.attempts));
    }
}

/// Writes a file made from the run in `folder`, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_artifact(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, StoreError> {
    let path = folder.join(name);
    let parent = folder_of(&path);
    if parent != folder {
        refuse_link(parent).map_err(cannot("cannot write into", parent))?;
    }
    fs::create_dir_all(parent).map_err(cannot("cannot make", parent))?;
    write_whole(&path, content).map_err(cannot("cannot write", &path))?;
    Ok(path)
}

/// A plain name: letters, digits, `-`, `_` and `.`, not hidden, and not that of the link.
fn is_run_id(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.len() <= 100
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name != LATEST
}

fn cannot<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|source| StoreError::Encode {
        path: path.to_owned(),
        source,
    })?;
    json.push(b'\n');
    write_whole(path, &json).map_err(cannot("cannot write", path))
}

fn open_locked(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(ATTEMPTS_FILE);
    refuse_link(&path).map_err(cannot("cannot open", &path))?;
    let file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(&path)
        .map_err(cannot("cannot open", &path))?;
    match sys::try_lock(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(StoreError::Locked {
            path: folder.to_owned(),
            holder: sys::lock_holder(&file),
        }),
        Err(error) => Err(cannot("cannot lock", &path)(error)),
    }
}

fn cut_torn_line(attempts: &mut File) -> io::Result<()> {
    let mut bytes = Vec::new();
    attempts.seek(SeekFrom::Start(0))?;
    attempts.read_to_end(&mut bytes)?;
    let whole = whole_lines(&bytes);
    if whole < bytes.len() {
        attempts.set_len(whole as u64)?;
        attempts.sync_all()?;
    }
    Ok(())
}

/// Points `latest` at a run: a relative link, so that the folder can be moved, replaced in one step.
fn point_latest(dir: &Path, run_id: &str) -> Result<(), StoreError> {
    let latest = dir.join(LATEST);
    let staged = dir.join(format!(".{LATEST}-{run_id}"));
    let result = match sys::symlink(Path::new(run_id), &staged) {
        Ok(()) => fs::rename(&staged, &latest),
        Err(_) => write_whole(&latest, format!("{run_id}\n").as_bytes()),
    };
    result.map_err(|source| {
        drop(fs::remove_file(&staged));
        cannot("cannot replace", &latest)(source)
    })
}

#[cfg(test)]
mod tests;
