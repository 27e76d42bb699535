//! What is already in the shared cache: `models--owner--name/snapshots/COMMIT/FILE`.

use std::path::{Path, PathBuf};

use super::{HubError, HubFiles, HubModel, INDEX, SINGLE, one_match};
use crate::checkpoint::shards;

/// The folder or file of a model that is completely in the cache.
pub(super) fn cached(cache: &Path, model: HubModel<'_>) -> Result<Option<PathBuf>, HubError> {
    let repository = repository_folder(cache, model.repo);
    let Some(commit) = commit(&repository, model.revision) else {
        return Ok(None);
    };
    let snapshot = repository.join("snapshots").join(commit);
    match model.files {
        HubFiles::Checkpoint => Ok(has_checkpoint(&snapshot).then_some(snapshot)),
        HubFiles::Config => Ok(snapshot.join("config.json").exists().then_some(snapshot)),
        HubFiles::One(pattern) => {
            let names = files(&snapshot);
            match one_match(&names, pattern, model) {
                Ok(name) => Ok(Some(snapshot.join(name))),
                // Several that were fetched one by one: which is meant is not for us to guess.
                Err(error) if names.iter().any(|name| super::matches(pattern, name)) => Err(error),
                Err(_) => Ok(None),
            }
        }
    }
}

/// The folder of a repository in the cache.
pub(super) fn repository_folder(cache: &Path, repo: &str) -> PathBuf {
    cache.join(format!("models--{}", repo.replace('/', "--")))
}

/// The commit a revision stands for: itself, or what the last fetch of a branch or tag left behind.
fn commit(repository: &Path, revision: &str) -> Option<String> {
    if is_commit(revision) {
        return Some(revision.to_owned());
    }
    let text = std::fs::read_to_string(repository.join("refs").join(revision)).ok()?;
    let commit = text.trim();
    is_commit(commit).then(|| commit.to_owned())
}

pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the weights are all there; whether they are whole is found out when they are opened.
fn has_checkpoint(snapshot: &Path) -> bool {
    let index = snapshot.join(INDEX);
    let weights = snapshot.join(SINGLE).exists()
        || shards(&index).is_ok_and(|shards| shards.iter().all(|shard| snapshot.join(shard).exists()));
    weights && snapshot.join("config.json").exists()
}

/// Names of the files of a snapshot, relative to it, one folder deep: deeper ones hold no weights in practice.
fn files(snapshot: &Path) -> Vec<String> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut names = Vec::new();
    for path in list(snapshot) {
        if path.is_dir() {
            names.extend(list(&path));
        } else {
            names.push(path);
        }
    }
    names
        .iter()
        .filter_map(|path| path.strip_prefix(snapshot).ok()?.to_str().map(str::to_owned))
        .collect()
}
