//! Runs found in folders, and their raw files put into the folder of another run.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BASE, RUN_FILE, RunFolder, StoreError, cannot};

/// Folders with files that a report makes again: everything else beside the files of the run itself is raw data.
const DERIVED: &str = "plots";

/// The runs at a path: itself, or those in it, by name.
///
/// # Errors
/// When there is none, or the folder cannot be read.
pub fn runs_at(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if path.join(RUN_FILE).is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut runs = Vec::new();
    if path.is_dir() {
        runs = entries(path)?;
        runs.retain(|entry| entry.join(RUN_FILE).is_file());
    }
    if runs.is_empty() {
        return Err(StoreError::NotARun { path: path.to_owned() });
    }
    Ok(runs)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder)?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(cannot("cannot read", folder))
}

impl RunFolder {
    /// Copies what another run keeps case by case (`events/<case>.ndjson`, and whatever else lies in folders of it that are
    /// not made from it).
    ///
    /// # Errors
    /// When a file cannot be copied, or is there already.
    pub fn take_raw_files(&self, other: &Path) -> Result<(), StoreError> {
        let folders = entries(other)?;
        let is_raw = |folder: &&PathBuf| {
            let is_real = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
            is_real && folder.file_name().is_some_and(|name| name != DERIVED && name != BASE)
        };
        for folder in folders.iter().filter(is_raw) {
            let Some(name) = folder.file_name() else {
                continue;
            };
            let target = self.path.join(name);
            fs::create_dir_all(&target).map_err(cannot("cannot make", &target))?;
            for file in entries(folder)? {
                let is_file = fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
                let Some(name) = file.file_name().filter(|_| is_file) else {
                    continue;
                };
                let copy = target.join(name);
                if copy.exists() {
                    return Err(StoreError::Exists { path: copy });
                }
                fs::copy(&file, &copy).map_err(cannot("cannot copy", &file))?;
            }
        }
        Ok(())
    }
}
