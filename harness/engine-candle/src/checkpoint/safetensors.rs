//! A folder with `config.json` and safetensors files: one, or shards behind an index.
//!
//! The format: eight bytes with the length of a JSON header, the header, then the tensors without a gap.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::DType;
use placebench_core::units::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Checkpoint, CheckpointFormat, Gaps, Listed, Matcher, ModelFilesError, StoredDtype};
use super::{absent, check_extents, elements, insert, is_lfs_pointer};
use crate::config::ModelConfig;
use crate::shown::shown;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The one entry of a header that is no tensor.
const NOTES: &str = "__metadata__";

/// What the format's own library allows for a header.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn open(folder: &Path) -> Result<Checkpoint, ModelFilesError> {
    let config = ModelConfig::from_dir(folder).map_err(|source| ModelFilesError::Config {
        path: folder.to_owned(),
        source,
    })?;
    let single = folder.join(SINGLE);
    let (files, listed) = if single.exists() {
        let mut listed = HashMap::new();
        read_header(&single, 0, &mut listed)?;
        (vec![single], listed)
    } else if folder.join(INDEX).exists() {
        read_shards(folder)?
    } else {
        return Err(ModelFilesError::NoWeights {
            folder: folder.to_owned(),
            found: other_weights(folder),
        });
    };
    let matcher = Matcher { path: folder, listed };
    let (tensors, unused) = matcher.tensors(config.stored_parameters(), |name| Some(name.to_owned()))?;
    Ok(Checkpoint {
        path: folder.to_owned(),
        format: CheckpointFormat::Safetensors,
        config,
        files,
        tensors,
        unused,
        metadata: HashMap::new(),
    })
}

/// Weights of older formats, so that a person sees why the folder is not enough.
fn other_weights(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            [".bin", ".pt", ".pth", ".gguf", ".safetensors"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .map(|name| shown(&name))
        .collect();
    names.sort();
    names.truncate(5);
    names
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Names of the weight files that an index lists.
///
/// # Errors
/// When the index cannot be read, or a name in it is no plain file name.
pub(crate) fn shards(index: &Path) -> Result<Vec<String>, ModelFilesError> {
    Ok(tensors_by_shard(index)?.into_keys().collect())
}

fn tensors_by_shard(path: &Path) -> Result<BTreeMap<String, Vec<String>>, ModelFilesError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    })?;
    let index: Index =
        serde_json::from_str(&text).map_err(|error| ModelFilesError::malformed(path, error.to_string()))?;
    let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        // A name from a download must not lead out of its folder.
        let plain = Path::new(&file).file_name().is_some_and(|name| name == file.as_str());
        if !plain {
            let reason = format!("`{}` is no plain file name", shown(&file));
            return Err(ModelFilesError::malformed(path, reason));
        }
        by_file.entry(file).or_default().push(tensor);
    }
    Ok(by_file)
}

type Shards = (Vec<PathBuf>, HashMap<String, Listed>);

fn read_shards(folder: &Path) -> Result<Shards, ModelFilesError> {
    let by_file = tensors_by_shard(&folder.join(INDEX))?;
    let (mut files, mut listed) = (Vec::new(), HashMap::new());
    for (name, tensors) in by_file {
        let file = folder.join(&name);
        if !file.exists() {
            return Err(ModelFilesError::ShardMissing {
                path: file,
                tensors: tensors.len(),
                index: INDEX,
            });
        }
        let here = read_header(&file, files.len(), &mut listed)?;
        let missing = absent(tensors, &here);
        if !missing.is_empty() {
            return Err(ModelFilesError::Tensors {
                path: file,
                missing,
                misshapen: Vec::new(),
            });
        }
        files.push(file);
    }
    Ok((files, listed))
}

/// Adds the tensors of one file to `listed` and returns their names.
fn read_header(
    path: &Path,
    file: usize,
    listed: &mut HashMap<String, Listed>,
) -> Result<HashSet<String>, ModelFilesError> {
    let unreadable = |source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = File::open(path).map_err(unreadable)?;
    let file_len = reader.metadata().map_err(unreadable)?.len();
    let truncated = |expected: u64| ModelFilesError::Truncated {
        path: path.to_owned(),
        expected: Bytes(expected),
        found: Bytes(file_len),
    };
    let mut length = [0; 8];
    if file_len < 8 {
        return Err(truncated(8));
    }
    reader.read_exact(&mut length).map_err(unreadable)?;
    let header_len = u64::from_le_bytes(length);
    if is_lfs_pointer_file(path, &length) {
        return Err(ModelFilesError::LfsPointer { path: path.to_owned() });
    }
    if header_len > LONGEST_HEADER {
        let reason = format!("its header would have {header_len} bytes, at most {LONGEST_HEADER} are allowed");
        return Err(ModelFilesError::malformed(path, reason));
    }
    let data_start = 8 + header_len;
    if file_len < data_start {
        return Err(truncated(data_start));
    }
    let mut header = Vec::new();
    reader.take(header_len).read_to_end(&mut header).map_err(unreadable)?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&header)
        .map_err(|error| ModelFilesError::malformed(path, format!("its header: {error}")))?;
    let mut names = HashSet::new();
    for (name, entry) in header {
        if name == NOTES {
            continue;
        }
        let tensor = Tensor::deserialize(entry)
            .map_err(|error| ModelFilesError::malformed(path, format!("tensor `{}`: {error}", shown(&name))))?;
        names.insert(name.clone());
        insert(listed, path, tensor.listed(path, name, data_start, file)?)?;
    }
    check_extents(path, data_start, file_len, Gaps::Refused, listed, file)?;
    Ok(names)
}

fn is_lfs_pointer_file(path: &Path, start: &[u8]) -> bool {
    start == b"version " && std::fs::read(path).is_ok_and(|text| text.len() < 1024 && is_lfs_pointer(&text))
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Tensor {
    fn listed(self, path: &Path, name: String, data_start: u64, file: usize) -> Result<Listed, ModelFilesError> {
        let (begin, end) = self.data_offsets;
        let malformed =
            |reason: String| ModelFilesError::malformed(path, format!("tensor `{}`: {reason}", shown(&name)));
        let bytes = end
            .checked_sub(begin)
            .ok_or_else(|| malformed(format!("ends at byte {end}, before it begins at {begin}")))?;
        let offset = begin
            .checked_add(data_start)
            .ok_or_else(|| malformed(format!("begins at byte {begin}")))?;
        let dtype = plain(&self.dtype);
        if let Some(dtype) = dtype {
            let needed = elements(&self.shape).and_then(|count| count.checked_mul(dtype.size_in_bytes() as u64));
            if needed != Some(bytes) {
                return Err(malformed(format!(
                    "{} of the shape {:?} cannot have {bytes} bytes",
                    self.dtype, self.shape
                )));
            }
        }
        Ok(Listed {
            stored_name: name,
            shape: self.shape,
            dtype: dtype.map(StoredDtype::Plain),
            dtype_name: self.dtype,
            bytes,
            offset,
            file,
        })
    }
}

/// Element types a weight may be stored in.
fn plain(name: &str) -> Option<DType> {
    match name {
        "F64" => Some(DType::F64),
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        _ => None,
    }
}
