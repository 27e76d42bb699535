//! Files that are either whole or not there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file so that a reader, now or after a crash, sees the old content or the new, never a part.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    allow_reading(file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Refuses a path that is a symbolic link. The folder of a run, or of a suite, may come from a stranger: what is written
/// below it stays below it. A path where nothing is may be written.
pub(crate) fn refuse_link(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => Err(io::Error::other(
            "it is a symbolic link, which could lead out of its folder; remove it",
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The folder a path lies in; the current one for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name in a folder survives a power failure once the folder is written.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Temporary files are private; results are there to be read.
#[cfg(unix)]
fn allow_reading(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_new_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdict.json");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_told_from_files_and_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "x").unwrap();
        crate::sys::symlink(Path::new("nowhere"), &link).unwrap();
        assert!(refuse_link(&link).unwrap_err().to_string().contains("symbolic link"));
        for fine in [file.as_path(), folder.path(), &folder.path().join("nothing")] {
            refuse_link(fine).unwrap();
        }
        assert!(refuse_link(&file.join("below")).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(write_whole(Path::new("/nonexistent/x"), b"").is_err());
        assert_eq!(folder_of(Path::new("x")), Path::new("."));
    }
}
