//! Reading runs: whatever a killed writer left behind, and refusing what another format means.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, RECORD_VERSION, RecordVersion, RunInfo};
use serde::Deserialize;

use super::{ATTEMPTS_FILE, LATEST, RUN_FILE, StoreError, cannot, is_run_id};
use crate::supervisor::INTERRUPTED;

/// A run read back.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecordParts {
    /// `run.json`.
    pub info: RunInfo,
    /// `attempts.jsonl`, each attempt once: one that was interrupted gives way to the one made instead.
    pub attempts: Vec<Attempt>,
    /// What was found odd on reading.
    pub warnings: Vec<String>,
}

impl RunRecordParts {
    /// The attempts that need not be made again. Interrupted ones do.
    #[must_use]
    pub fn done(&self) -> BTreeSet<(String, u32)> {
        let done = self.attempts.iter().filter(|attempt| !is_interrupted(attempt));
        done.map(|attempt| (attempt.case.clone(), attempt.attempt)).collect()
    }
}

/// Whether an attempt was cut short by the wish to stop the run.
#[must_use]
pub fn is_interrupted(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Skipped { reason, .. } if reason == INTERRUPTED)
}

/// Reads a run. A torn last line of its attempts is left out and mentioned.
///
/// # Errors
/// When it is no run, has another major version, or is damaged otherwise.
pub fn read(path: &Path) -> Result<RunRecordParts, StoreError> {
    let run = read_run_file(path)?;
    let file = path.join(ATTEMPTS_FILE);
    let attempts = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot("cannot read", &file)(error)),
    };
    parse(path, &run, &attempts)
}

/// A run from the bytes of its two files, `run.json` and `attempts.jsonl`; `path` is the folder they are from, for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, run: &[u8], attempts: &[u8]) -> Result<RunRecordParts, StoreError> {
    let info = parse_versioned(&path.join(RUN_FILE), run)?;
    let mut warnings = Vec::new();
    let attempts = parse_attempts(&path.join(ATTEMPTS_FILE), attempts, &mut warnings)?;
    Ok(RunRecordParts {
        info,
        attempts: without_superseded(attempts),
        warnings,
    })
}

/// The folder of a run that is named by its path, by its id within `dir`, or as `latest`. An id leads nowhere else: what
/// holds more than a name is a path, and counts from the current folder.
///
/// # Errors
/// When none of these is a run.
pub fn locate(dir: &Path, run: &str) -> Result<PathBuf, StoreError> {
    let given = Path::new(run);
    let is_run = |path: &Path| path.join(RUN_FILE).is_file();
    let named = dir.join(run);
    let found = if is_run(given) {
        Some(given.to_owned())
    } else if (is_run_id(run) || run == LATEST) && is_run(&named) {
        Some(named.clone())
    } else if run == LATEST {
        // Where there are no symbolic links, a file holds the name.
        let name = fs::read_to_string(&named).unwrap_or_default();
        Some(dir.join(name.trim())).filter(|path| is_run_id(name.trim()) && is_run(path))
    } else {
        None
    };
    let path = found.ok_or(StoreError::NotARun { path: named })?;
    // Reports name the run, not the link to it.
    fs::canonicalize(&path).map_err(cannot("cannot read", &path))
}

/// Reads `run.json` alone.
pub(super) fn read_info(folder: &Path) -> Result<RunInfo, StoreError> {
    parse_versioned(&folder.join(RUN_FILE), &read_run_file(folder)?)
}

pub(super) fn read_run_file(folder: &Path) -> Result<Vec<u8>, StoreError> {
    let path = folder.join(RUN_FILE);
    fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotARun {
            path: folder.to_owned(),
        },
        _ => cannot("cannot read", &path)(source),
    })
}

/// The version is looked at first: another format may not even parse.
pub(super) fn parse_versioned<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: RecordVersion,
    }
    let malformed = |source: serde_json::Error| StoreError::Malformed {
        path: path.to_owned(),
        line: source.line(),
        source,
    };
    let found = serde_json::from_slice::<Versioned>(bytes)
        .map_err(malformed)?
        .schema_version;
    if found.major != RECORD_VERSION.major {
        return Err(StoreError::Version {
            path: path.to_owned(),
            found,
        });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

fn parse_attempts(path: &Path, bytes: &[u8], warnings: &mut Vec<String>) -> Result<Vec<Attempt>, StoreError> {
    let whole = whole_lines(bytes);
    if whole < bytes.len() {
        warnings.push(format!(
            "the last line of {} is torn ({} bytes) and was left out: the program was killed while it wrote it",
            path.display(),
            bytes.len() - whole
        ));
    }
    let lines = bytes[..whole].split(|&byte| byte == b'\n');
    lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|source| StoreError::Malformed {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

/// Bytes up to and with the last newline.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

/// The last record of each attempt, in the order in which the attempts first appeared.
fn without_superseded(attempts: Vec<Attempt>) -> Vec<Attempt> {
    let mut position: BTreeMap<(String, u32), usize> = BTreeMap::new();
    let mut kept: Vec<Attempt> = Vec::new();
    for attempt in attempts {
        match position.get(&(attempt.case.clone(), attempt.attempt)) {
            // Only an interrupted attempt gives way; any other duplicate is for the reader to see.
            Some(&at) if is_interrupted(&kept[at]) => kept[at] = attempt,
            Some(_) => kept.push(attempt),
            None => {
                position.insert((attempt.case.clone(), attempt.attempt), kept.len());
                kept.push(attempt);
            }
        }
    }
    kept
}
