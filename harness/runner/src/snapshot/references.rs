//! Which snapshots the cases of a suite refer to, and which approved ones nobody refers to any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::format::parse;
use super::header::SnapshotHeader;
use super::pending::collect;
use super::{APPROVED, PENDING, SnapshotError, cannot, read_file};
use crate::files::refuse_link;
use crate::slug::slug;

/// The snapshots that some cases refer to, in any device class: which classes there are is known to no single machine.
#[derive(Debug, Clone, Default)]
pub struct References(BTreeSet<PathBuf>);

/// An approved snapshot that no case refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreferenced {
    /// Its file.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: SnapshotHeader,
}

impl References {
    /// Adds those of a prompt of a scenario.
    pub fn insert(&mut self, dir: &Path, scenario: &str, prompt: &str) {
        let folder = dir.join(slug(scenario));
        self.0.insert(real(&folder).join(slug(prompt)));
    }

    /// Whether a file, approved or pending, is among them.
    #[must_use]
    pub fn contains(&self, file: &Path) -> bool {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(PENDING).or_else(|| name.strip_suffix(APPROVED)) else {
            return false;
        };
        // A slug holds no `@`.
        let prompt = stem.split_once('@').map_or(stem, |(prompt, _)| prompt);
        let folder = file.parent().unwrap_or(Path::new(""));
        self.0.contains(&real(folder).join(prompt))
    }

    /// The approved snapshots below a folder that are not among them, in order of their paths. Files that are no snapshots of
    /// ours, links and what cannot be read are left alone.
    #[must_use]
    pub fn missing_below(&self, dir: &Path) -> Vec<Unreferenced> {
        let (mut paths, mut refused) = (Vec::new(), Vec::new());
        if refuse_link(dir).is_err() {
            return Vec::new();
        }
        collect(dir, APPROVED, &mut paths, &mut refused);
        paths.sort();
        paths
            .into_iter()
            .filter(|path| !self.contains(path))
            .filter_map(|path| {
                let (header, _) = parse(&read_file(&path).ok()??).ok()?;
                Some(Unreferenced { path, header })
            })
            .collect()
    }
}

/// Removes an approved snapshot, if it still is one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_unreferenced(unreferenced: &Unreferenced) -> Result<(), SnapshotError> {
    let path = &unreferenced.path;
    refuse_link(path).map_err(cannot("cannot use", path))?;
    std::fs::remove_file(path).map_err(cannot("cannot remove", path))
}

/// A path without links, where it leads somewhere.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
