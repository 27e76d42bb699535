//! Why a model cannot be had from the hub.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiError;
use placebench_core::outcome::FailureClass;
use thiserror::Error;

use super::HubModel;
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
    /// The hub does not know it, or does not show it to this user.
    #[error("{repo} at {revision}: the hub has no {file}; check the names of repository, revision and file")]
    NotFound {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
    },
    /// The hub asks who is there.
    #[error(
        "{repo} at {revision}: the hub refuses {file} (status {status}); \
         set HF_TOKEN, and accept the model's conditions on its page if it has any"
    )]
    Refused {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// The HTTP status.
        status: u16,
    },
    /// The file did not arrive.
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
            | Self::Transfer { .. } => FailureClass::ModelMissing,
        }
    }

    pub(super) fn offline(model: HubModel<'_>, cache: &Path) -> Self {
        Self::Offline {
            repo: shown(model.repo),
            revision: shown(model.revision),
            file: model.file.map_or_else(|| "the checkpoint".to_owned(), shown),
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

    pub(super) fn from_api(model: HubModel<'_>, file: &str, error: ApiError) -> Self {
        let (repo, revision, file) = (shown(model.repo), shown(model.revision), shown(file));
        match status(&error) {
            Some(404) => Self::NotFound { repo, revision, file },
            Some(status @ (401 | 403)) => Self::Refused {
                repo,
                revision,
                file,
                status,
            },
            _ => Self::Transfer {
                repo,
                revision,
                file,
                reason: shown(&error.to_string()),
            },
        }
    }
}

/// The status in the words of the library, which keeps the type of its HTTP client to itself.
fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else {
        return None;
    };
    let text = error.to_string();
    let (_, rest) = text.split_once("status code ")?;
    rest.get(..3)?.parse().ok()
}
