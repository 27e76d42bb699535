//! Cards that another run of the same user is measuring on.
//!
//! Two runs on one machine know nothing of each other. So each attempt that may use a GPU holds a lock on it while it runs: a
//! measured one for itself, a text-only one together with others of its kind. The locks are files named by the card in a folder
//! that belongs to the user alone, so that nobody else can put something in their place. The system lets go of a lock with its
//! process, whatever becomes of it. On the host nothing is locked: tests run there side by side, and every machine has other
//! work for it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::slug::slug;
use crate::sys;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an attempt waits before it says so.
const SAID_AFTER: Duration = Duration::from_secs(1);

/// Whether a lock is shared with others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// By a measured attempt.
    Alone,
    /// By a text-only attempt.
    Shared,
}

/// Locks that are held until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct DeviceLocks {
    files: Vec<File>,
    /// One of them was somebody else's at first.
    pub(crate) had_to_wait: bool,
}

impl Drop for DeviceLocks {
    fn drop(&mut self) {
        for file in &self.files {
            // Where this fails, closing the file lets go of the lock a moment later.
            drop(sys::unlock(file));
        }
    }
}

/// Locks the cards with these identities, waiting for each as long as somebody else holds it. `said` is told once for each
/// card that is waited for, with the process that holds it where the system knows. None where the run is to end meanwhile.
///
/// # Errors
/// When the folder of the locks cannot be made, or is not this user's alone.
pub(crate) fn acquire(
    folder: &Path,
    cards: &[String],
    hold: Hold,
    cancel: &Cancel,
    said: &mut dyn FnMut(&str, Option<u32>),
) -> io::Result<Option<DeviceLocks>> {
    let mut locks = DeviceLocks::default();
    if cards.is_empty() {
        return Ok(Some(locks));
    }
    own_folder(folder)?;
    // Everybody takes them in the same order, so that no two wait for each other.
    let mut cards: Vec<&String> = cards.iter().collect();
    cards.sort();
    cards.dedup();
    for card in cards {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(folder.join(format!("{}.lock", slug(card))))?;
        let since = Instant::now();
        let mut is_said = false;
        while !try_hold(&file, hold)? {
            locks.had_to_wait = true;
            if cancel.is_cancelled() {
                return Ok(None);
            }
            if !is_said && since.elapsed() >= SAID_AFTER {
                said(card, sys::lock_holder(&file));
                is_said = true;
            }
            std::thread::sleep(PAUSE);
        }
        locks.files.push(file);
    }
    Ok(Some(locks))
}

fn try_hold(file: &File, hold: Hold) -> io::Result<bool> {
    match hold {
        Hold::Alone => sys::try_lock(file),
        Hold::Shared => sys::try_lock_shared(file),
    }
}

/// Where the locks of this user are: the runtime folder of the session, else one of the user's own among the temporary files.
pub(crate) fn usual_folder(runtime_dir: Option<&OsStr>) -> PathBuf {
    match runtime_dir.map(Path::new).filter(|path| path.is_absolute()) {
        Some(folder) => folder.join("placebench"),
        None => Path::new("/tmp").join(format!("placebench-{}", sys::user_id())),
    }
}

/// Makes the folder, or sees that it is a folder, this user's, and nobody else's: in `/tmp` somebody else may have made one of
/// that name, or a link to another place. In a folder that is ours alone nobody can put a link.
fn own_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == sys::user_id() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{} is not a folder of this user alone (mode 700)", folder.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn now(folder: &Path, names: &[&str], hold: Hold) -> Option<DeviceLocks> {
        // Whoever has to wait is told to end at once.
        let cancel = Cancel::new();
        cancel.cancel();
        acquire(folder, &cards(names), hold, &cancel, &mut |_, _| {}).unwrap()
    }

    #[test]
    fn measured_attempts_exclude_everybody_and_text_only_ones_share() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("locks");
        let first = now(&folder, &["GPU-1", "GPU-2"], Hold::Alone).unwrap();
        assert!(now(&folder, &["GPU-2"], Hold::Alone).is_none());
        assert!(now(&folder, &["GPU-2"], Hold::Shared).is_none());
        assert!(now(&folder, &["GPU-3"], Hold::Alone).is_some(), "another card");
        drop(first);
        let shared = now(&folder, &["GPU-2"], Hold::Shared).unwrap();
        assert!(now(&folder, &["GPU-2"], Hold::Shared).is_some());
        assert!(now(&folder, &["GPU-2"], Hold::Alone).is_none());
        drop(shared);
        assert!(now(&folder, &["GPU-2"], Hold::Alone).is_some());
    }

    #[test]
    fn who_waits_says_so_once_and_goes_on_when_the_card_is_free() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("locks");
        let mut held = now(&folder, &["GPU-1"], Hold::Alone);
        let mut said = Vec::new();
        let locks = acquire(
            &folder,
            &cards(&["GPU-1"]),
            Hold::Alone,
            &Cancel::new(),
            &mut |card, holder| {
                said.push((card.to_owned(), holder));
                held = None;
            },
        );
        assert!(locks.unwrap().is_some_and(|locks| locks.had_to_wait));
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].0, "GPU-1");
        assert!(said[0].1.is_none_or(|holder| holder == std::process::id()));
    }

    #[test]
    fn a_folder_that_others_can_write_or_a_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let refused = |folder: &Path| {
            let error = acquire(folder, &cards(&["GPU-1"]), Hold::Alone, &Cancel::new(), &mut |_, _| {}).unwrap_err();
            assert!(error.to_string().contains("this user alone"), "{error}");
        };
        let open = root.path().join("open");
        DirBuilder::new().mode(0o755).create(&open).unwrap();
        refused(&open);
        let own = root.path().join("own");
        DirBuilder::new().mode(0o700).create(&own).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        refused(&link);
        assert!(now(&own, &["../../GPU-1"], Hold::Alone).is_some());
        assert_eq!(
            fs::read_dir(&own).unwrap().count(),
            1,
            "a name is no way out of the folder"
        );
    }

    #[test]
    fn without_a_runtime_folder_there_is_one_for_each_user() {
        let usual = usual_folder(None);
        assert_eq!(usual, Path::new(&format!("/tmp/placebench-{}", sys::user_id())));
        assert_eq!(
            usual_folder(Some(OsStr::new("/run/user/7"))),
            Path::new("/run/user/7/placebench")
        );
        assert_eq!(usual_folder(Some(OsStr::new("relative"))), usual);
    }
}
