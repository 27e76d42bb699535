//! Approved texts, kept in insta's file format, so that `cargo insta review` works on them too.
//!
//! ```text
//! snapshots/<scenario>/<prompt>@<device class>.snap       approved
//! snapshots/<scenario>/<prompt>@<device class>.snap.new   waits for review
//! ```
//! The content is what a person reviews: the text, an empty line, the tokens and why it ended. Characters that could
//! change what a terminal shows are written `\u{1b}`; nothing else is escaped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use placebench_core::protocol::FinishReason;

use crate::files::{refuse_link, write_whole};
use crate::slug::slug;

const APPROVED: &str = ".snap";
const PENDING: &str = ".snap.new";
const TOKENS: &str = "token_ids: ";
const FINISH: &str = "finish_reason: ";

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
    /// What it was computed on: `cpu`, `cuda-sm90`. Texts may differ between classes, and where they do not, one file
    /// without a class serves all.
    pub device_class: &'a str,
}

impl SnapshotKey<'_> {
    /// The file for this device class.
    fn approved_path(&self, dir: &Path) -> PathBuf {
        self.path(dir, APPROVED)
    }

    fn pending_path(&self, dir: &Path) -> PathBuf {
        self.path(dir, PENDING)
    }

    fn path(&self, dir: &Path, extension: &str) -> PathBuf {
        let name = format!("{}@{}{extension}", slug(self.prompt), slug(self.device_class));
        dir.join(slug(self.scenario)).join(name)
    }

    /// Everything on the way to a file of this key that could be a link: what is read and written stays in the suite.
    fn refuse_links(&self, dir: &Path, file: &Path) -> Result<(), SnapshotError> {
        let folder = dir.join(slug(self.scenario));
        for path in [dir, &folder, file] {
            refuse_link(path).map_err(cannot("cannot use", path))?;
        }
        Ok(())
    }

    /// The file that serves every device class.
    fn classless_path(&self, dir: &Path) -> PathBuf {
        let name = format!("{}{APPROVED}", slug(self.prompt));
        dir.join(slug(self.scenario)).join(name)
    }
}

/// What is approved or waits for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotContent {
    /// The generated text. Untrusted: escape it wherever it is shown.
    pub text: String,
    /// The generated tokens.
    pub token_ids: Vec<u32>,
    /// Why the generation ended.
    pub finish_reason: FinishReason,
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
}

/// An approved snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Its file.
    pub path: PathBuf,
    /// What was approved.
    pub content: SnapshotContent,
}

/// A snapshot that waits for review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its file.
    pub path: PathBuf,
    /// The file it would replace.
    pub approved_path: PathBuf,
    /// What is new.
    pub new: SnapshotContent,
    /// What is approved now.
    pub old: Option<SnapshotContent>,
}

/// The approved snapshot for a device class, or else the one that serves all.
///
/// # Errors
/// When a file is there and cannot be read or is no snapshot.
pub fn load(dir: &Path, key: &SnapshotKey<'_>) -> Result<Option<Approved>, SnapshotError> {
    for path in [key.approved_path(dir), key.classless_path(dir)] {
        key.refuse_links(dir, &path)?;
        if let Some(content) = read(&path)? {
            return Ok(Some(Approved { path, content }));
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

/// All pending snapshots below a folder, in order of their paths. A folder that is not there has none.
///
/// # Errors
/// When something cannot be read, or a pending file is no snapshot.
pub fn list_pending(dir: &Path) -> Result<Vec<Pending>, SnapshotError> {
    let mut paths = Vec::new();
    collect_pending(dir, &mut paths)?;
    paths.sort();
    let mut pending = Vec::new();
    for path in paths {
        let approved_path = approved_of(&path)?;
        // Somebody may have reviewed it in between.
        if let Some(new) = read(&path)? {
            let old = read(&approved_path)?;
            pending.push(Pending {
                path,
                approved_path,
                new,
                old,
            });
        }
    }
    Ok(pending)
}

/// Approves a pending snapshot, and says which file holds it now.
///
/// # Errors
/// When the path is not one of a pending snapshot, or it cannot be read or moved.
pub fn accept(pending: &Path) -> Result<PathBuf, SnapshotError> {
    let approved = approved_of(pending)?;
    refuse_link(pending).map_err(cannot("cannot use", pending))?;
    if read(pending)?.is_none() {
        return Err(cannot("cannot read", pending)(io::ErrorKind::NotFound.into()));
    }
    fs::rename(pending, &approved).map_err(cannot("cannot replace", &approved))?;
    Ok(approved)
}

/// Removes a pending snapshot.
///
/// # Errors
/// When the path is not one of a pending snapshot, or it cannot be removed.
pub fn reject(pending: &Path) -> Result<(), SnapshotError> {
    approved_of(pending)?;
    fs::remove_file(pending).map_err(cannot("cannot remove", pending))
}

fn cannot<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn approved_of(pending: &Path) -> Result<PathBuf, SnapshotError> {
    pending
        .file_name()
        .and_then(|name| name.to_str()?.strip_suffix(PENDING))
        .filter(|stem| !stem.is_empty())
        .map(|stem| pending.with_file_name(format!("{stem}{APPROVED}")))
        .ok_or_else(|| SnapshotError::NotPending {
            path: pending.to_owned(),
        })
}

fn collect_pending(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), SnapshotError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot("cannot read", dir)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(cannot("cannot read", dir))?;
        let path = entry.path();
        // Links are not followed: they could lead round in a circle, or out of the suite.
        let kind = entry.file_type().map_err(cannot("cannot read", &path))?;
        if kind.is_dir() {
            collect_pending(&path, found)?;
        } else if kind.is_file() && approved_of(&path).is_ok() {
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<SnapshotContent>, SnapshotError> {
    let file = match fs::read_to_string(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("cannot read", path)(error)),
    };
    parse(&file).map(Some).map_err(|why| SnapshotError::Malformed {
        path: path.to_owned(),
        why,
    })
}

fn render(content: &SnapshotContent, origin: &SnapshotOrigin<'_>) -> String {
    format!(
        "---\nsource: {}\ndescription: {}\nexpression: {}\n---\n{}\n\n{TOKENS}{:?}\n{FINISH}{}\n",
        yaml_string(origin.source),
        yaml_string(&format!("model {}", origin.model)),
        yaml_string(origin.case),
        escape(&content.text),
        content.token_ids,
        content.finish_reason.as_str(),
    )
}

/// Reads a file back, from its end: a text may itself hold lines that look like ours.
fn parse(file: &str) -> Result<SnapshotContent, &'static str> {
    // A checkout on another system may have changed the line ends; a text's own are escaped.
    let file = file.replace("\r\n", "\n");
    let (_, body) = file
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .ok_or("it does not begin with a header between two `---`")?;
    let (rest, finish) = body
        .trim_end_matches('\n')
        .rsplit_once('\n')
        .ok_or("it has no finish_reason in its last line")?;
    let finish = finish
        .strip_prefix(FINISH)
        .ok_or("it has no finish_reason in its last line")?;
    let finish_reason =
        serde_json::from_value(finish.into()).map_err(|_| "its finish_reason is none of eos, length, stop")?;
    let (text, tokens) = rest
        .rsplit_once('\n')
        .ok_or("it has no token_ids before its last line")?;
    let tokens = tokens
        .strip_prefix(TOKENS)
        .ok_or("it has no token_ids before its last line")?;
    let token_ids = serde_json::from_str(tokens).map_err(|_| "its token_ids are no list of numbers")?;
    let text = text.strip_suffix('\n').ok_or("it has no empty line after its text")?;
    Ok(SnapshotContent {
        text: unescape(text).ok_or("its text holds a malformed \\u{…}")?,
        token_ids,
        finish_reason,
    })
}

/// Characters that act on a terminal or on the reading direction instead of being seen.
fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        // A backslash is only in the way where it would begin an escape.
        if is_unseen(c) || (c == '\\' && rest.as_str().starts_with("u{")) {
            escaped.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut parts = escaped.split("\\u{");
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}')?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        text.push_str(rest);
    }
    Some(text)
}

/// A double-quoted YAML string on one line.
fn yaml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || is_unseen(c) => quoted.push_str(&match u32::from(c) {
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
