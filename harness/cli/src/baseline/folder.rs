//! The files of a baseline.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use placebench_core::baseline::Baseline;
use placebench_core::baseline::asked::digest;
use placebench_core::settings::check_baseline_name;
use placebench_runner::store;

use crate::error::CliError;
use crate::terminal;

/// Bytes of a file that are still read: thousands of cases with long texts.
const MOST_BYTES: u64 = 64 << 20;

/// Ending of a file.
const ENDING: &str = "json";

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its path.
    pub(crate) path: PathBuf,
    /// A hash of its content.
    pub(crate) digest: String,
    /// What it holds.
    pub(crate) baseline: Baseline,
}

/// The folder of a baseline. Names come from whoever wrote a configuration or a record.
pub(crate) fn folder(dir: &Path, name: &str) -> Result<PathBuf, CliError> {
    check_baseline_name(name).map_err(CliError::setup)?;
    Ok(dir.join(name))
}

/// All files of a baseline, by key. None where there is no such folder.
pub(crate) fn read_all(dir: &Path, name: &str) -> Result<Vec<Stored>, CliError> {
    let folder = folder(dir, name)?;
    let unreadable = |error: std::io::Error| CliError::setup(format!("{}: {error}", folder.display()));
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|ending| ending == ENDING) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Stored, CliError> {
    let failed = |why: String| {
        CliError::setup(format!("{}: {why}", path.display())).hint(
            "take the file from version control again, or remove it and save the baseline anew with --save-baseline",
        )
    };
    let bytes = read_bounded(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is no baseline: it is no text".to_owned()))?;
    let key = path.file_stem().unwrap_or_default().to_string_lossy();
    let baseline = Baseline::read(&text, &key).map_err(|error| failed(terminal::chain(&error)))?;
    Ok(Stored {
        path: path.to_owned(),
        digest: digest(text.as_bytes()),
        baseline,
    })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| error.to_string();
    let metadata = path.symlink_metadata().map_err(said)?;
    // A link could lead anywhere, and what does not parse is quoted.
    if metadata.is_symlink() || !metadata.is_file() {
        return Err("it is no plain file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(said)?;
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(said)?;
    match u64::try_from(read) {
        Ok(0..=MOST_BYTES) => Ok(bytes),
        _ => Err(format!(
            "it holds more than {}, which no baseline does",
            placebench_core::units::Bytes(MOST_BYTES)
        )),
    }
}

/// Names of the baselines there are.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| check_baseline_name(name).is_ok())
        .collect();
    names.sort();
    names
}

/// Changes a file: what it holds, if it is there, goes through `change`, and is written as a whole. Others who change it
/// meanwhile wait.
pub(crate) fn change<T>(
    dir: &Path,
    name: &str,
    key: &str,
    change: impl FnOnce(Option<Baseline>) -> (Baseline, T),
) -> Result<(PathBuf, usize, T), CliError> {
    let folder = folder(dir, name)?;
    let failed = |error: std::io::Error| CliError::setup(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    let lock = File::open(&folder).map_err(failed)?;
    // Where a file system has no locks, shards that save at the same moment are few.
    match lock.lock() {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => return Err(failed(error)),
    }
    let file = format!("{key}.{ENDING}");
    let path = folder.join(&file);
    let known = match path.symlink_metadata() {
        Ok(_) => Some(read(&path)?.baseline),
        Err(_) => None,
    };
    let (baseline, told) = change(known);
    let text = baseline.text();
    let path = store::write_artifact(dir, &format!("{name}/{file}"), text.as_bytes())
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    Ok((path, text.len(), told))
}
