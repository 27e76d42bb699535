//! Reading a run attempt by attempt, for whoever looks at more runs than fit into memory.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use placebench_core::record::{Attempt, RunInfo, RunVerdict};

use super::read::{parse_versioned, read_run_file};
use super::{ATTEMPTS_FILE, RUN_FILE, StoreError, VERDICT_FILE, cannot};

/// What is known of a run before its attempts are read.
#[derive(Debug)]
pub struct RunHead {
    /// `run.json`.
    pub info: RunInfo,
    /// Its bytes.
    pub run_json: Vec<u8>,
    /// `verdict.json`, where it is there and can be read: it can be made again at any time, so that nothing is wrong where
    /// it is not.
    pub verdict: Option<RunVerdict>,
    /// Its bytes; empty where it is not there.
    pub verdict_json: Vec<u8>,
}

/// Reads `run.json` and `verdict.json`.
///
/// # Errors
/// When it is no run, has another major version, or `run.json` is damaged.
pub fn read_head(folder: &Path) -> Result<RunHead, StoreError> {
    let run_json = read_run_file(folder)?;
    let info = parse_versioned(&folder.join(RUN_FILE), &run_json)?;
    let file = folder.join(VERDICT_FILE);
    let verdict_json = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot("cannot read", &file)(error)),
    };
    Ok(RunHead {
        info,
        run_json,
        verdict: parse_versioned(&file, &verdict_json).ok(),
        verdict_json,
    })
}

/// The lines of `attempts.jsonl`, one in memory at a time. A torn last line is left out, as by [`read`](super::read()); records
/// that were superseded are not: see [`is_interrupted`](super::is_interrupted).
#[derive(Debug)]
pub struct AttemptLines {
    path: PathBuf,
    file: Option<BufReader<File>>,
    line: Vec<u8>,
    number: usize,
}

/// A line with its newline.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLine<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    path: &'a Path,
    number: usize,
}

impl AttemptLines {
    /// Opens the attempts of a run. A run that has made none yet has no lines.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(ATTEMPTS_FILE);
        let file = match File::open(&path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot("cannot read", &path)(error)),
        };
        Ok(Self {
            path,
            file,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next whole line that is not empty.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_line(&mut self) -> Result<Option<AttemptLine<'_>>, StoreError> {
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        loop {
            self.line.clear();
            file.read_until(b'\n', &mut self.line)
                .map_err(cannot("cannot read", &self.path))?;
            if self.line.last() != Some(&b'\n') {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() > 1 {
                break;
            }
        }
        Ok(Some(AttemptLine {
            bytes: &self.line,
            path: &self.path,
            number: self.number,
        }))
    }
}

impl AttemptLine<'_> {
    /// The attempt.
    ///
    /// # Errors
    /// When the line is none.
    pub fn parse(&self) -> Result<Attempt, StoreError> {
        serde_json::from_slice(self.bytes).map_err(|source| StoreError::Malformed {
            path: self.path.to_owned(),
            line: self.number,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_a_torn_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            AttemptLines::open(folder.path())
                .unwrap()
                .next_line()
                .unwrap()
                .is_none()
        );
        std::fs::write(folder.path().join(ATTEMPTS_FILE), "{\"a\":1}\n\nx\n{\"torn\"").unwrap();
        let mut lines = AttemptLines::open(folder.path()).unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"{\"a\":1}\n");
        let error = lines.next_line().unwrap().unwrap().parse().unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
        assert!(lines.next_line().unwrap().is_none());
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn a_head_without_a_verdict_is_a_head() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_head(folder.path()), Err(StoreError::NotARun { .. })));
        std::fs::write(folder.path().join(RUN_FILE), "{}").unwrap();
        assert!(matches!(read_head(folder.path()), Err(StoreError::Malformed { .. })));
    }
}
