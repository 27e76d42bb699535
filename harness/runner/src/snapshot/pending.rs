//! Snapshots that wait for review: found, approved, thrown away.
//!
//! A person decides on what was shown. So a [`Pending`] remembers both files as they were read, and a decision on files that
//! have changed since is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format::parse;
use super::header::{SnapshotHeader, for_keeping};
use super::{APPROVED, PENDING, SnapshotContent, SnapshotError, cannot, read_file};
use crate::files::{refuse_link, write_whole};

/// A snapshot that waits for review.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Its file.
    pub path: PathBuf,
    /// The file it would replace.
    pub approved_path: PathBuf,
    /// Where it comes from.
    pub header: SnapshotHeader,
    /// What is new.
    pub new: SnapshotContent,
    /// What is approved now.
    pub old: Option<SnapshotContent>,
    /// Why the approved file cannot be read as a snapshot, where it is there and is none.
    pub old_is_malformed: Option<&'static str>,
    /// Both files as they were read.
    seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    pending: String,
    approved: Option<String>,
}

/// What was found below a folder.
#[derive(Debug, Default)]
pub struct PendingList {
    /// What can be reviewed, in order of the paths.
    pub pending: Vec<Pending>,
    /// What is called like a pending snapshot and cannot be reviewed, and folders that cannot be looked into.
    pub refused: Vec<SnapshotError>,
}

/// All pending snapshots below a folder. A folder that is not there has none. Links are not followed: they could lead round in
/// a circle, or out of the suite; one that is called like a pending snapshot is refused.
#[must_use]
pub fn list_pending(dir: &Path) -> PendingList {
    let mut list = PendingList::default();
    let mut paths = Vec::new();
    collect(dir, PENDING, &mut paths, &mut list.refused);
    paths.sort();
    for path in paths {
        match read_pending(&path) {
            Ok(pending) => list.pending.push(pending),
            // Somebody has reviewed it in between.
            Err(SnapshotError::Changed { .. }) => {}
            Err(error) => list.refused.push(error),
        }
    }
    list
}

/// Reads one pending snapshot and what is approved in its place.
///
/// # Errors
/// When the path is not one of a pending snapshot, is a link, or cannot be read; [`SnapshotError::Changed`] when it is gone.
pub fn read_pending(path: &Path) -> Result<Pending, SnapshotError> {
    let approved_path = approved_of(path)?;
    for path in [path, &approved_path] {
        refuse_link(path).map_err(cannot("cannot use", path))?;
    }
    let seen = Seen {
        pending: read_file(path)?.ok_or_else(|| gone(path))?,
        approved: read_file(&approved_path)?,
    };
    let (header, new) = parse(&seen.pending).map_err(|why| SnapshotError::Malformed {
        path: path.to_owned(),
        why,
    })?;
    let old = seen.approved.as_deref().map(parse).transpose();
    let (old, old_is_malformed) = match old {
        Ok(old) => (old.map(|(_, content)| content), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Pending {
        path: path.to_owned(),
        approved_path,
        header,
        new,
        old,
        old_is_malformed,
        seen,
    })
}

/// Approves a pending snapshot, exactly as it was read.
///
/// # Errors
/// [`SnapshotError::Changed`] when it, or what is approved, is no longer what was read; or when a file cannot be written.
pub fn accept(pending: &Pending) -> Result<(), SnapshotError> {
    refuse_changed(pending)?;
    // What was read is written, not what is there: between the look and the writing another run may have proposed anew.
    let file = for_keeping(&pending.seen.pending);
    write_whole(&pending.approved_path, file.as_bytes()).map_err(cannot("cannot write", &pending.approved_path))?;
    remove_if_same(pending)
}

/// Removes a pending snapshot.
///
/// # Errors
/// [`SnapshotError::Changed`] when it, or what is approved, is no longer what was read; or when it cannot be removed.
pub fn reject(pending: &Pending) -> Result<(), SnapshotError> {
    refuse_changed(pending)?;
    remove_if_same(pending)
}

fn refuse_changed(pending: &Pending) -> Result<(), SnapshotError> {
    let Pending {
        path, approved_path, ..
    } = pending;
    for path in [path, approved_path] {
        refuse_link(path).map_err(cannot("cannot use", path))?;
    }
    match read_file(path)? {
        None => return Err(gone(path)),
        Some(now) if now != pending.seen.pending => {
            return Err(changed(path, "a newer run has proposed something else"));
        }
        Some(_) => {}
    }
    if read_file(approved_path)? != pending.seen.approved {
        return Err(changed(approved_path, "somebody has approved something else"));
    }
    Ok(())
}

/// A proposal that came in between stays: it was not decided on.
fn remove_if_same(pending: &Pending) -> Result<(), SnapshotError> {
    if read_file(&pending.path)?.is_some_and(|now| now != pending.seen.pending) {
        return Ok(());
    }
    match fs::remove_file(&pending.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("cannot remove", &pending.path)(error)),
        _ => Ok(()),
    }
}

fn gone(path: &Path) -> SnapshotError {
    changed(
        path,
        "it is gone: somebody has reviewed it, or a newer run matches again",
    )
}

fn changed(path: &Path, how: &'static str) -> SnapshotError {
    SnapshotError::Changed {
        path: path.to_owned(),
        how,
    }
}

pub(super) fn approved_of(pending: &Path) -> Result<PathBuf, SnapshotError> {
    pending
        .file_name()
        .and_then(|name| name.to_str()?.strip_suffix(PENDING))
        .filter(|stem| !stem.is_empty())
        .map(|stem| pending.with_file_name(format!("{stem}{APPROVED}")))
        .ok_or_else(|| SnapshotError::NotPending {
            path: pending.to_owned(),
        })
}

/// Files below a folder whose names have an ending, links and the like refused.
pub(super) fn collect(dir: &Path, ending: &str, found: &mut Vec<PathBuf>, refused: &mut Vec<SnapshotError>) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            refused.push(cannot("cannot read", dir)(error));
            return;
        }
    };
    for entry in entries {
        let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
            Ok(entry) => entry,
            Err(error) => {
                refused.push(cannot("cannot read", dir)(error));
                continue;
            }
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_called_so = name.strip_suffix(ending).is_some_and(|stem| !stem.is_empty());
        if kind.is_dir() {
            collect(&path, ending, found, refused);
        } else if is_called_so && kind.is_file() {
            found.push(path);
        } else if is_called_so {
            let what = if kind.is_symlink() {
                "it is a symbolic link, which could lead out of its folder; remove it"
            } else {
                "it is no ordinary file"
            };
            refused.push(cannot("cannot use", &path)(io::Error::other(what)));
        }
    }
}
