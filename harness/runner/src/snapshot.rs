//! Approved texts, kept in insta's file format, so that `cargo insta review` works on them too, where they lie in a package:
//! it looks nowhere else.
//!
//! ```text
//! snapshots/<scenario>/<prompt>@<device class>.snap       approved
//! snapshots/<scenario>/<prompt>.snap                      approved for all device classes
//! snapshots/<scenario>/<prompt>@<device class>.snap.new   waits for review
//! ```
//! The content is what a person reviews: the text, an empty line, the tokens and why it ended. Characters that could
//! change what a terminal shows are written `\u{1b}`; nothing else is escaped. The header's `info` holds the tokens that
//! might nearly have been chosen, so that a later text that parts from this one can be judged from both sides, and where the
//! text of each token ends. A pending file also names the run it comes from; that line is gone once it is approved.
//!
//! # Device classes
//!
//! A class says what a text was computed on, the most exact one first: `cuda-sm90`, or just `cuda`, `metal`, `cpu`. What is
//! not approved for it is looked for under the more general class, then in the file for all classes, and in the end under
//! `cpu`: see [`classes`]. Texts are proposed under the most exact class.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use placebench_core::judge::compare::NearTie;
use placebench_core::protocol::FinishReason;

pub use self::header::SnapshotHeader;
pub use self::pending::{Pending, PendingList, accept, list_pending, read_pending, reject};
pub use self::references::{References, Unreferenced, remove_unreferenced};

use self::format::{parse, render};
use crate::files::{refuse_link, write_whole};
use crate::slug::slug;

mod format;
mod header;
mod pending;
mod references;

const APPROVED: &str = ".snap";
const PENDING: &str = ".snap.new";

/// What can go wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refused something.
    #[error("{doing} {path}")]
    Io {
        /// `cannot read`, `cannot write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no snapshot of ours.
    #[error("{path} is no text snapshot: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// What was to be decided on is no longer what was looked at.
    #[error("{path} has changed since it was looked at: {how}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// In what way.
        how: &'static str,
    },
    /// The path is not one of a pending snapshot.
    #[error("{path} is not a pending snapshot: its name must end in {PENDING}")]
    NotPending {
        /// The path.
        path: PathBuf,
    },
}

/// Whether new snapshots are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotPolicy {
    /// Beside the approved one, for review.
    WritePending,
    /// Not at all: nobody reviews what a build machine writes.
    Never,
}

impl SnapshotPolicy {
    /// The policy for a value of the environment variable `CI`, read as insta reads it.
    #[must_use]
    pub fn from_ci(ci: Option<&str>) -> Self {
        match ci {
            None | Some("" | "0" | "false") => Self::WritePending,
            Some(_) => Self::Never,
        }
    }
}

/// Which text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotKey<'a> {
    /// Name of the scenario.
    pub scenario: &'a str,
    /// Name of the prompt.
    pub prompt: &'a str,
    /// What it was computed on, as exactly as is known: `cpu`, `cuda-sm90`.
    pub device_class: &'a str,
}

/// The class of last resort: what every machine has.
const HOST_CLASS: &str = "cpu";

/// The classes whose snapshot may serve a device class, in the order they are looked for; `None` is the file for all.
///
/// ```
/// use placebench_runner::snapshot::classes;
/// assert_eq!(classes("cuda-sm90"), [Some("cuda-sm90"), Some("cuda"), None, Some("cpu")]);
/// assert_eq!(classes("cpu"), [Some("cpu"), None]);
/// ```
#[must_use]
pub fn classes(device_class: &str) -> Vec<Option<&str>> {
    let general = device_class.split_once('-').map(|(kind, _)| kind);
    let mut classes = vec![Some(device_class)];
    classes.extend(general.map(Some));
    classes.push(None);
    if !classes.contains(&Some(HOST_CLASS)) {
        classes.push(Some(HOST_CLASS));
    }
    classes
}

impl SnapshotKey<'_> {
    /// The approved file for a class; `None` for all classes.
    fn approved_path(&self, dir: &Path, class: Option<&str>) -> PathBuf {
        self.path(dir, class, APPROVED)
    }

    fn pending_path(&self, dir: &Path) -> PathBuf {
        self.path(dir, Some(self.device_class), PENDING)
    }

    fn path(&self, dir: &Path, class: Option<&str>, extension: &str) -> PathBuf {
        let class = class.map(|class| format!("@{}", slug(class))).unwrap_or_default();
        dir.join(slug(self.scenario))
            .join(format!("{}{class}{extension}", slug(self.prompt)))
    }

    /// Everything on the way to a file of this key that could be a link: what is read and written stays in the suite.
    fn refuse_links(&self, dir: &Path, file: &Path) -> Result<(), SnapshotError> {
        let folder = dir.join(slug(self.scenario));
        for path in [dir, &folder, file] {
            refuse_link(path).map_err(cannot("cannot use", path))?;
        }
        Ok(())
    }
}

/// What is approved or waits for approval.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotContent {
    /// The generated text. Untrusted: escape it wherever it is shown.
    pub text: String,
    /// The generated tokens; empty where the engine told a text alone.
    pub token_ids: Vec<u32>,
    /// Why the generation ended.
    pub finish_reason: FinishReason,
    /// The tokens that might nearly have been chosen; absent where that is not known.
    pub near_ties: Option<Vec<NearTie>>,
    /// For each token the bytes of the text that are there once it is added; empty where that is not known.
    pub text_offsets: Vec<u32>,
}

impl SnapshotContent {
    /// Whether its tokens are known, and not its text alone. Of nothing all is known.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        !self.token_ids.is_empty() || self.text.is_empty()
    }
}

/// Where a snapshot comes from: for the person who reviews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotOrigin<'a> {
    /// The scenario's file.
    pub source: &'a str,
    /// The case.
    pub case: &'a str,
    /// The model.
    pub model: &'a str,
    /// The run.
    pub run: &'a str,
}

/// An approved snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// Its file.
    pub path: PathBuf,
    /// What was approved.
    pub content: SnapshotContent,
    /// The class it was approved for; absent for the file for all.
    pub class: Option<String>,
}

/// The approved snapshot for a device class, or else the nearest one of [`classes`].
///
/// # Errors
/// When a file is there and cannot be read or is no snapshot.
pub fn load(dir: &Path, key: &SnapshotKey<'_>) -> Result<Option<Approved>, SnapshotError> {
    for class in classes(key.device_class) {
        let path = key.approved_path(dir, class);
        key.refuse_links(dir, &path)?;
        if let Some(content) = read(&path)? {
            let class = class.map(str::to_owned);
            return Ok(Some(Approved { path, content, class }));
        }
    }
    Ok(None)
}

/// Writes a snapshot for review, and says where; `None` where the policy forbids it.
///
/// # Errors
/// When it cannot be written.
pub fn write_pending(
    dir: &Path,
    key: &SnapshotKey<'_>,
    content: &SnapshotContent,
    origin: &SnapshotOrigin<'_>,
    policy: SnapshotPolicy,
) -> Result<Option<PathBuf>, SnapshotError> {
    if policy == SnapshotPolicy::Never {
        return Ok(None);
    }
    let path = key.pending_path(dir);
    key.refuse_links(dir, &path)?;
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir.join(slug(key.scenario)))?;
        write_whole(&path, render(content, origin).as_bytes())
    };
    write().map_err(cannot("cannot write", &path))?;
    Ok(Some(path))
}

/// Removes a pending snapshot that a newer run has made pointless. True where there was one.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn discard_pending(dir: &Path, key: &SnapshotKey<'_>) -> Result<bool, SnapshotError> {
    let path = key.pending_path(dir);
    key.refuse_links(dir, &path)?;
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("cannot remove", &path)(error)),
    }
}

fn cannot<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Option<SnapshotContent>, SnapshotError> {
    let Some(file) = read_file(path)? else {
        return Ok(None);
    };
    match parse(&file) {
        Ok((_, content)) => Ok(Some(content)),
        Err(why) => Err(SnapshotError::Malformed {
            path: path.to_owned(),
            why,
        }),
    }
}

/// The text of a file; `None` where there is none.
fn read_file(path: &Path) -> Result<Option<String>, SnapshotError> {
    match fs::read_to_string(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot("cannot read", path)(error)),
    }
}

#[cfg(test)]
mod pending_tests;
#[cfg(test)]
mod tests;
