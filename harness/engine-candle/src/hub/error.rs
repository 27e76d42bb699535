//! Why a model cannot be had from the hub.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiError;
use placebench_core::outcome::FailureClass;
use placebench_core::units::Bytes;
use thiserror::Error;

use super::{HubFiles, HubModel};
use crate::shown::shown;

/// Why a model cannot be had from the hub.
#[derive(Debug, Error)]
pub enum HubError {
    /// No place to put files.
    #[error("no cache for models: set HF_HOME, HF_HUB_CACHE or HOME")]
    NoCache,
    /// Network use is off and the model is not in the cache.
    #[error(
        "{repo} at {revision}: {file} is not in the cache {} and HF_HUB_OFFLINE is set; \
         fetch it once without HF_HUB_OFFLINE, or give a local path", cache.display()
    )]
    Offline {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file, or a word for the checkpoint.
        file: String,
        /// The cache that was looked into.
        cache: PathBuf,
    },
    /// The hub does not have it.
    #[error("{repo} at {revision}: the hub has no {what}; check the names of repository, revision and file")]
    NotFound {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The repository, the revision or the file, whichever it is that is not there.
        what: String,
    },
    /// The hub asks who is there, or does not let this user in.
    #[error("{repo} at {revision}: the hub refuses {file} (status {status}): {advice}")]
    Refused {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// The HTTP status.
        status: u16,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file did not arrive. What did is kept, and the next attempt goes on from there.
    #[error("{repo} at {revision}: cannot fetch {file}: {reason}; check the network, HF_ENDPOINT and the cache's disk")]
    Transfer {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// What was said about it.
        reason: String,
    },
    /// The file arrived and is not what the hub says it has.
    #[error("{repo} at {revision}: {file} arrived damaged: {what}; it was removed from the cache, try again")]
    Damaged {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// How it differs.
        what: String,
    },
    /// The disk is too small.
    #[error(
        "{repo} at {revision}: {needed} are still to be fetched, but only {free} are free in the cache {}; \
         free some space, or set HF_HOME to a larger disk", cache.display()
    )]
    NoRoom {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
        /// Bytes to be fetched.
        needed: Bytes,
        /// Bytes that are free.
        free: Bytes,
    },
    /// A pattern means no file, or several.
    #[error("{repo} at {revision}: `{pattern}` matches {found}; give the name of one file")]
    Pattern {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The pattern.
        pattern: String,
        /// What it matches, in words.
        found: String,
    },
    /// The repository is no model this engine can use, or its name is none.
    #[error("{repo} at {revision}: {reason}")]
    Invalid {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// What is wrong.
        reason: String,
    },
}

impl HubError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Pattern { .. } => FailureClass::RequestInvalid,
            Self::Invalid { .. } => FailureClass::ModelInvalid,
            Self::NoCache
            | Self::Offline { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Transfer { .. }
            | Self::Damaged { .. }
            | Self::NoRoom { .. } => FailureClass::ModelMissing,
        }
    }

    pub(super) fn offline(model: HubModel<'_>, cache: &Path) -> Self {
        Self::Offline {
            repo: shown(model.repo),
            revision: shown(model.revision),
            file: match model.files {
                HubFiles::Checkpoint => "the checkpoint".to_owned(),
                HubFiles::Config => "config.json".to_owned(),
                HubFiles::One(pattern) => shown(pattern),
            },
            cache: cache.to_owned(),
        }
    }

    pub(super) fn invalid(model: HubModel<'_>, reason: &str) -> Self {
        Self::Invalid {
            repo: shown(model.repo),
            revision: shown(model.revision),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn pattern(model: HubModel<'_>, pattern: &str, found: &[&str]) -> Self {
        const MOST: usize = 5;
        let mut words: Vec<String> = found.iter().take(MOST).map(|name| shown(name)).collect();
        if found.len() > MOST {
            words.push(format!("and {} more", found.len() - MOST));
        }
        Self::Pattern {
            repo: shown(model.repo),
            revision: shown(model.revision),
            pattern: shown(pattern),
            found: if words.is_empty() {
                "no file".into()
            } else {
                words.join(", ")
            },
        }
    }

    pub(super) fn transfer(model: HubModel<'_>, file: &str, reason: &str) -> Self {
        Self::Transfer {
            repo: shown(model.repo),
            revision: shown(model.revision),
            file: shown(file),
            reason: shown(reason),
        }
    }

    pub(super) fn damaged(model: HubModel<'_>, file: &str, what: String) -> Self {
        Self::Damaged {
            repo: shown(model.repo),
            revision: shown(model.revision),
            file: shown(file),
            what,
        }
    }

    pub(super) fn no_room(model: HubModel<'_>, cache: &Path, needed: Bytes, free: Bytes) -> Self {
        Self::NoRoom {
            repo: shown(model.repo),
            revision: shown(model.revision),
            cache: cache.to_owned(),
            needed,
            free,
        }
    }

    pub(super) fn from_api(model: HubModel<'_>, file: &str, error: ApiError) -> Self {
        let reason = error.to_string();
        let (repo, revision) = (shown(model.repo), shown(model.revision));
        match Answer::of(error) {
            Some(Answer { status: 404, code }) => Self::NotFound {
                what: match code.as_deref() {
                    Some("RepoNotFound") => "such repository".to_owned(),
                    Some("RevisionNotFound") => format!("revision {revision}"),
                    _ => shown(file),
                },
                repo,
                revision,
            },
            Some(Answer {
                status: status @ (401 | 403),
                code,
            }) => Self::Refused {
                repo,
                revision,
                file: shown(file),
                status,
                advice: match (code.as_deref(), status) {
                    (Some("GatedRepo"), _) | (None, 403) => {
                        "accept the model's conditions on its page, and set HF_TOKEN to a token of that account"
                    }
                    (_, 401) => {
                        "there is no such repository, or it is private: check its name, and set HF_TOKEN to a token that \
                         may read it"
                    }
                    _ => "set HF_TOKEN to a token that may read it",
                },
            },
            _ => Self::transfer(model, file, &reason),
        }
    }
}

/// What the hub said instead of sending something.
struct Answer {
    status: u16,
    /// Its own word for it, such as `RevisionNotFound`.
    code: Option<String>,
}

impl Answer {
    fn of(error: ApiError) -> Option<Self> {
        match error {
            ApiError::TooManyRetries(last) => Self::of(*last),
            ApiError::RequestError(error) => {
                let response = error.into_response()?;
                Some(Self {
                    status: response.status(),
                    code: response.header("x-error-code").map(str::to_owned),
                })
            }
            _ => None,
        }
    }
}
