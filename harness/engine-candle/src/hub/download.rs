//! Fetching the files of one commit into the cache, and checking that they arrived whole.
//!
//! hf-hub resumes what an earlier attempt left behind (`blobs/<etag>.part`) and tries again when a connection breaks, but
//! believes whatever it is sent. So the hub is asked for sizes and checksums first, and what arrived is compared with
//! them; what does not fit is removed, never loaded.

use std::fs::File;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use placebench_core::units::Bytes;
use serde::Deserialize;

use super::cache::{is_commit, repository_folder};
use super::checksum::sha256;
use super::progress::{Meter, Transfer};
use super::{HubError, HubFiles, HubModel, HubSettings, INDEX, SINGLE, SMALL_FILES, is_plain_path, one_match};
use crate::checkpoint::shards;

/// A file as the hub lists it with `blobs=true`. Mirrors may leave out all but the name.
#[derive(Debug, Clone, Deserialize)]
struct Listed {
    rfilename: String,
    size: Option<u64>,
    /// Hash of the file in git, which is its etag where the file is not in LFS.
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

/// Where a large file really is.
#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    /// Its checksum, which is its etag too.
    #[serde(alias = "oid")]
    sha256: String,
}

impl Listed {
    /// The name of its content in the cache.
    fn etag(&self) -> Option<&str> {
        let etag = self.lfs.as_ref().map(|lfs| &lfs.sha256).or(self.blob_id.as_ref())?;
        // It comes from the hub and becomes a path.
        etag.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(etag)
    }
}

#[derive(Debug, Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Listed>,
}

/// Fetches what is wanted of a model; returns its folder, or the single file.
pub(super) fn download(
    settings: &HubSettings,
    model: HubModel<'_>,
    on_progress: &mut dyn FnMut(&Transfer),
) -> Result<PathBuf, HubError> {
    let api = api(settings).map_err(|error| HubError::from_api(model, "", error))?;
    let repository = |revision: &str| {
        let repo = Repo::with_revision(model.repo.to_owned(), RepoType::Model, revision.to_owned());
        api.repo(repo)
    };
    let listing = list(&repository(model.revision), model)?;
    if !is_commit(&listing.sha) {
        return Err(HubError::invalid(model, "the hub names no commit for it"));
    }
    let folder = repository_folder(&settings.cache, model.repo);
    let mut fetcher = Fetcher {
        // From here on everything is taken from one commit, whatever happens to the branch meanwhile.
        pinned: repository(&listing.sha),
        snapshot: folder.join("snapshots").join(&listing.sha),
        blobs: folder.join("blobs"),
        cache: &settings.cache,
        model,
        files: &listing.siblings,
        on_progress,
    };
    let path = match model.files {
        HubFiles::One(pattern) => {
            let names: Vec<String> = listing.siblings.iter().map(|file| file.rfilename.clone()).collect();
            let name = one_match(&names, pattern, model)?.to_owned();
            fetcher.get_all(&[&name])?;
            fetcher.snapshot.join(name)
        }
        HubFiles::Config => {
            fetcher.get_small()?;
            fetcher.snapshot
        }
        HubFiles::Checkpoint => {
            fetcher.get_checkpoint()?;
            fetcher.snapshot
        }
    };
    remember(&folder, model.revision, &listing.sha);
    Ok(path)
}

/// Notes which commit a branch or tag stands for, so that it is found without the hub. A cache that cannot be written to
/// is one in which it will not be found.
fn remember(folder: &Path, revision: &str, commit: &str) {
    if is_commit(revision) {
        return;
    }
    let note = folder.join("refs").join(revision);
    if let Some(parent) = note.parent()
        && std::fs::create_dir_all(parent).is_ok()
    {
        drop(std::fs::write(note, commit));
    }
}

fn list(repository: &ApiRepo, model: HubModel<'_>) -> Result<Listing, HubError> {
    let what = "the list of files";
    let answer = repository.info_request().query("blobs", "true").call();
    answer
        .map_err(|error| ApiError::RequestError(Box::new(error)))
        .and_then(|answer| Ok(answer.into_json()?))
        .map_err(|error| HubError::from_api(model, what, error))
}

fn api(settings: &HubSettings) -> Result<Api, ApiError> {
    const RETRIES: usize = 3;
    let mut builder = ApiBuilder::from_cache(Cache::new(settings.cache.clone()))
        .with_token(settings.token.clone())
        .with_progress(false)
        .with_retries(RETRIES)
        .with_user_agent(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    builder.build()
}

/// Takes files of one commit.
struct Fetcher<'a> {
    pinned: ApiRepo,
    snapshot: PathBuf,
    blobs: PathBuf,
    cache: &'a Path,
    model: HubModel<'a>,
    files: &'a [Listed],
    on_progress: &'a mut dyn FnMut(&Transfer),
}

impl Fetcher<'_> {
    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.rfilename == name)
    }

    fn get_small(&mut self) -> Result<(), HubError> {
        if !self.has("config.json") {
            return Err(HubError::invalid(self.model, "it has no config.json"));
        }
        let names: Vec<&str> = SMALL_FILES.into_iter().filter(|name| self.has(name)).collect();
        self.get_all(&names)
    }

    fn get_checkpoint(&mut self) -> Result<(), HubError> {
        self.get_small()?;
        if self.has(SINGLE) {
            return self.get_all(&[SINGLE]);
        }
        if !self.has(INDEX) {
            return Err(HubError::invalid(
                self.model,
                "it has no safetensors weights; name a GGUF file with `file` if it has one",
            ));
        }
        self.get_all(&[INDEX])?;
        let shards = shards(&self.snapshot.join(INDEX));
        let shards = shards.map_err(|error| HubError::invalid(self.model, &error.sentence()))?;
        let names: Vec<&str> = shards.iter().map(String::as_str).collect();
        self.get_all(&names)
    }

    /// Fetches these files after a look at the room for all of them: a disk should not fill up after half an hour.
    fn get_all(&mut self, names: &[&str]) -> Result<(), HubError> {
        let mut wanted = Vec::new();
        for name in names {
            // The name comes from the hub and becomes a path.
            if !is_plain_path(name) {
                return Err(HubError::invalid(self.model, "a file name leads out of its folder"));
            }
            let listed = self.files.iter().find(|file| file.rfilename == **name);
            if !self.is_here(name, listed) {
                wanted.push((*name, listed));
            }
        }
        self.check_room(&wanted)?;
        for (name, listed) in wanted {
            self.get(name, listed)?;
        }
        Ok(())
    }

    /// Whether it was fetched before. Its checksum was compared then; its size is looked at again, and a file that
    /// somebody cut is removed.
    fn is_here(&self, name: &str, listed: Option<&Listed>) -> bool {
        let Ok(found) = std::fs::metadata(self.snapshot.join(name)) else {
            return false;
        };
        let expected = listed.and_then(|listed| listed.size);
        if expected.is_none_or(|size| size == found.len()) {
            return true;
        }
        self.forget(name);
        false
    }

    fn check_room(&self, wanted: &[(&str, Option<&Listed>)]) -> Result<(), HubError> {
        let sizes = wanted.iter().filter_map(|(_, listed)| {
            let listed = (*listed)?;
            Some(listed.size?.saturating_sub(self.part_len(listed)))
        });
        let needed = sizes.fold(0_u64, u64::saturating_add);
        // Where the folder or its file system cannot be asked, the download itself will say what is wrong.
        let asked = std::fs::create_dir_all(&self.blobs)
            .ok()
            .and_then(|()| rustix::fs::statvfs(&self.blobs).ok());
        match asked.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)) {
            Some(free) if free < needed => Err(HubError::no_room(self.model, self.cache, Bytes(needed), Bytes(free))),
            _ => Ok(()),
        }
    }

    fn part(&self, listed: &Listed) -> Option<PathBuf> {
        Some(self.blobs.join(format!("{}.part", listed.etag()?)))
    }

    fn part_len(&self, listed: &Listed) -> u64 {
        let found = self.part(listed).and_then(|part| std::fs::metadata(part).ok());
        found.map_or(0, |found| found.len())
    }

    fn get(&mut self, name: &str, listed: Option<&Listed>) -> Result<(), HubError> {
        if let Some(listed) = listed {
            self.mend_part(listed);
        }
        let meter = Meter::new(&mut *self.on_progress);
        let path = self
            .pinned
            .download_with_progress(name, meter)
            .map_err(|error| HubError::from_api(self.model, name, error))?;
        if path != self.snapshot.join(name) {
            return Err(HubError::invalid(
                self.model,
                "the hub answers with another commit than it names",
            ));
        }
        self.check(name, &path, listed).inspect_err(|_| self.forget(name))
    }

    /// hf-hub asks for the bytes after a part. After a whole one there are none, and after one that is too long it gives
    /// up, each time anew: a whole one loses its last byte, which is then fetched, and a longer one is no part of this
    /// file.
    fn mend_part(&self, listed: &Listed) {
        let (Some(part), Some(size)) = (self.part(listed), listed.size) else {
            return;
        };
        let found = self.part_len(listed);
        // Failing to mend leaves what hf-hub will complain about.
        if found > size {
            drop(std::fs::remove_file(part));
        } else if found == size && size > 0 {
            drop(
                File::options()
                    .write(true)
                    .open(part)
                    .and_then(|file| file.set_len(size - 1)),
            );
        }
    }

    fn check(&self, name: &str, path: &Path, listed: Option<&Listed>) -> Result<(), HubError> {
        let unreadable = |error: std::io::Error| HubError::transfer(self.model, name, &error.to_string());
        let found = std::fs::metadata(path).map_err(unreadable)?.len();
        if let Some(size) = listed.and_then(|listed| listed.size)
            && size != found
        {
            return Err(HubError::damaged(
                self.model,
                name,
                format!("it has {found} bytes instead of {size}"),
            ));
        }
        let Some(expected) = expected_sha256(path, listed) else {
            return Ok(());
        };
        let found = sha256(path).map_err(unreadable)?;
        if found.eq_ignore_ascii_case(&expected) {
            return Ok(());
        }
        let what = format!("its sha256 is {found}, the hub says {expected}");
        Err(HubError::damaged(self.model, name, what))
    }

    /// Removes a file and its content from the cache. What cannot be removed is found out by whoever reads it.
    fn forget(&self, name: &str) {
        let link = self.snapshot.join(name);
        if let (Ok(content), Ok(blobs)) = (std::fs::canonicalize(&link), std::fs::canonicalize(&self.blobs))
            && content.starts_with(blobs)
        {
            drop(std::fs::remove_file(content));
        }
        drop(std::fs::remove_file(link));
    }
}

/// The checksum of a large file: as it is listed, else its etag, which is the name of its content in the cache. Small
/// files have git's hash there, which is none of their bytes alone.
fn expected_sha256(path: &Path, listed: Option<&Listed>) -> Option<String> {
    let is_sha256 = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lfs = listed
        .and_then(|listed| listed.lfs.as_ref())
        .map(|lfs| lfs.sha256.clone());
    let etag = || {
        let content = std::fs::canonicalize(path).ok()?;
        Some(content.file_name()?.to_str()?.to_owned())
    };
    lfs.or_else(etag).filter(|sum| is_sha256(sum))
}
