//! Finding run folders.

use std::path::{Path, PathBuf};

use placebench_runner::store::{self, StoreError};

/// What the folder of a bisection holds besides a run. Its cases are placements that nobody asked for, so that looking
/// through a folder passes it over.
const BISECTION: &str = "bisect.json";

/// The runs at a path, each once whatever links lead there: itself, or those in the folder; of those, bisections are left out.
/// A folder without any has none, and that is no error.
///
/// # Errors
/// When the path cannot be read, or is not there.
pub fn runs_below(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let unreadable = |source| StoreError::Io {
        doing: "cannot read",
        path: path.to_owned(),
        source,
    };
    let root = path.canonicalize().map_err(unreadable)?;
    let found = match store::runs_at(&root) {
        Err(StoreError::NotARun { .. }) if root.is_dir() => return Ok(Vec::new()),
        found => found?,
    };
    let mut runs: Vec<PathBuf> = found.iter().filter_map(|run| run.canonicalize().ok()).collect();
    if runs != [root.clone()] {
        runs.retain(|run| !run.join(BISECTION).is_file());
    }
    runs.sort();
    runs.dedup();
    Ok(runs)
}
