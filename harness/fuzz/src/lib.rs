//! What the fuzz targets share.

pub mod json_lines;

use std::path::{Path, PathBuf};

/// A folder for the files of this process, in memory where the system has such a place.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch_folder(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let folder = base.join(format!("placebench-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder can be made");
    folder
}
