//! Runs under a name that is known beforehand: whoever is started a second time finds what was begun the first time.

use std::fs;
use std::io;
use std::path::Path;

use placebench_core::record::RunInfo;

use super::{
    ATTEMPTS_FILE, EVENTS_FOLDER, RUN_FILE, RunFolder, RunRecordParts, StoreError, cannot, is_run_id, open_locked,
    point_latest, sync_folder,
};
use crate::files::refuse_link;

/// A run that was opened by its name.
#[derive(Debug)]
pub enum Opened {
    /// Nothing of it was there.
    Begun(RunFolder),
    /// It had been begun before; what is on record of it.
    Resumed(RunFolder, Box<RunRecordParts>),
}

impl RunFolder {
    /// Begins the run `info.run_id` in `dir`, or opens it where it was begun before. Of several processes that do so at once,
    /// one begins it and the others find it locked. A folder whose maker was killed before it had written `run.json` is taken
    /// over.
    ///
    /// # Errors
    /// When another process writes it, it cannot be read or written, or something else lies where it should be.
    pub fn begin_or_resume(dir: &Path, info: &RunInfo) -> Result<Opened, StoreError> {
        if !is_run_id(&info.run_id) {
            return Err(StoreError::BadRunId {
                run_id: info.run_id.clone(),
            });
        }
        let path = dir.join(&info.run_id);
        let run_file = path.join(RUN_FILE);
        refuse_link(&path).map_err(cannot("cannot write into", &path))?;
        if !run_file.is_file() {
            fs::create_dir_all(&path).map_err(cannot("cannot make", &path))?;
            refuse_strangers(&path)?;
            let attempts = open_locked(&path)?;
            // Whoever held the lock a moment ago may have begun it.
            if !run_file.is_file() {
                let folder = Self::begin(path, attempts, info)?;
                sync_folder(dir).map_err(cannot("cannot write", dir))?;
                point_latest(dir, &info.run_id)?;
                return Ok(Opened::Begun(folder));
            }
        }
        let (folder, parts) = Self::resume(&path)?;
        Ok(Opened::Resumed(folder, Box::new(parts)))
    }
}

/// Files of anybody else are not mixed with those of a run.
fn refuse_strangers(path: &Path) -> Result<(), StoreError> {
    let is_ours = |entry: io::Result<fs::DirEntry>| -> io::Result<bool> {
        let entry = entry?;
        let name = entry.file_name();
        let is_empty = || entry.metadata().map(|metadata| metadata.len() == 0);
        Ok(match name.to_str() {
            Some(EVENTS_FOLDER | RUN_FILE) => true,
            Some(ATTEMPTS_FILE) => is_empty()?,
            // What a file is called before it is whole.
            Some(name) => name.starts_with(".tmp"),
            None => false,
        })
    };
    let mut entries = fs::read_dir(path).map_err(cannot("cannot read", path))?;
    match entries.try_fold(true, |all, entry| is_ours(entry).map(|ours| all && ours)) {
        // Unless somebody begins it just now.
        Ok(false) if !path.join(RUN_FILE).is_file() => Err(StoreError::NotARun { path: path.to_owned() }),
        Ok(_) => Ok(()),
        // A process that was faster may be writing here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot("cannot read", path)(error)),
    }
}
