//! Models from the Hugging Face hub: fetched once into the cache that all of its libraries share, then read from there.
//!
//! A pinned commit that is in the cache needs no network. Which files are fetched is decided from the repository's own
//! list, so that nothing is asked for that is not there.

mod cache;
mod checksum;
mod download;
mod error;
mod progress;

use std::path::{Path, PathBuf};

use hf_hub::Cache;

use self::cache::{cached, is_commit};
use self::download::download;
pub use self::error::HubError;
pub use self::progress::Transfer;

/// Files besides the weights that are fetched where the repository has them. The configuration comes last: where it is
/// in the cache, a fetch was not interrupted before it.
const SMALL_FILES: [&str; 5] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "config.json",
];
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Where the hub is and how it may be used.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address of the hub; absent: huggingface.co.
    pub endpoint: Option<String>,
    /// What identifies the user, for models that ask for it. Never shown.
    pub token: Option<String>,
    /// Use only what is in the cache.
    pub offline: bool,
    /// The cache, with one folder `models--owner--name` a repository.
    pub cache: PathBuf,
}

impl HubSettings {
    /// The settings that Hugging Face's own libraries read from the environment: `HF_ENDPOINT`, `HF_TOKEN` (else the token
    /// that a login left in the cache), `HF_HUB_OFFLINE`, and `HF_HUB_CACHE` or `HF_HOME`.
    ///
    /// # Errors
    /// When neither a cache nor a home folder is known.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let home = match (variable("HF_HOME"), variable("XDG_CACHE_HOME"), variable("HOME")) {
            (Some(home), _, _) => Some(PathBuf::from(home)),
            (None, Some(cache), _) => Some(Path::new(&cache).join("huggingface")),
            (None, None, home) => home.map(|home| Path::new(&home).join(".cache/huggingface")),
        };
        let cache = match (variable("HF_HUB_CACHE"), home) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => home.join("hub"),
            (None, None) => return Err(HubError::NoCache),
        };
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()));
        Ok(Self {
            endpoint: variable("HF_ENDPOINT"),
            token: variable("HF_TOKEN").or_else(|| Cache::new(cache.clone()).token()),
            offline,
            cache,
        })
    }
}

/// A model on the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubModel<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// Commit, tag or branch.
    pub revision: &'a str,
    /// What of it.
    pub files: HubFiles<'a>,
}

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubFiles<'a> {
    /// The safetensors checkpoint: weights, configuration and tokenizer.
    Checkpoint,
    /// Configuration and tokenizer alone.
    Config,
    /// A single file, in whose name `*` stands for anything but `/`.
    One(&'a str),
}

/// Makes a model available locally; returns its folder, or the single file that was asked for. `on_progress` hears how far
/// each file is that has to be downloaded.
///
/// # Errors
/// When it is neither in the cache nor to be had from the hub, does not fit on the disk, or arrives damaged.
pub fn fetch(
    settings: &HubSettings,
    model: HubModel<'_>,
    on_progress: &mut dyn FnMut(&Transfer),
) -> Result<PathBuf, HubError> {
    check_names(model)?;
    let local = cached(&settings.cache, model)?;
    match local {
        // A branch may have moved on; a commit cannot.
        Some(path) if settings.offline || is_commit(model.revision) => Ok(path),
        None if settings.offline => Err(HubError::offline(model, &settings.cache)),
        _ => download(settings, model, on_progress),
    }
}

/// The one file of a list that a pattern means.
fn one_match<'a>(names: &'a [String], pattern: &str, model: HubModel<'_>) -> Result<&'a str, HubError> {
    let mut found: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| matches(pattern, name))
        .collect();
    found.sort_unstable();
    match found.as_slice() {
        [one] => Ok(one),
        other => Err(HubError::pattern(model, pattern, other)),
    }
}

/// Whether a name is the pattern, in which `*` stands for any characters but `/`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(tail) = name.strip_prefix(start) else {
        return false;
    };
    let star = tail.find('/').unwrap_or(tail.len());
    (0..=star)
        .filter_map(|end| tail.get(end..))
        .any(|candidate| matches(rest, candidate))
}

/// Names become part of addresses and of paths.
fn check_names(model: HubModel<'_>) -> Result<(), HubError> {
    let plain = |text: &str| {
        !text.is_empty()
            && is_plain_path(text)
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
    };
    let one_owner = model.repo.matches('/').count() <= 1;
    if !(plain(model.repo) && one_owner) {
        return Err(HubError::invalid(model, "the name is not of the form owner/name"));
    }
    if !plain(model.revision) {
        return Err(HubError::invalid(model, "the revision is no commit, tag or branch"));
    }
    match model.files {
        HubFiles::One(file) if !is_plain_path(file) => {
            Err(HubError::invalid(model, "the file leads out of the repository"))
        }
        _ => Ok(()),
    }
}

/// True for a relative path without `..` and the like.
fn is_plain_path(path: &str) -> bool {
    let mut components = Path::new(path).components();
    !path.contains('\\') && components.all(|part| matches!(part, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests;
