//! A GGUF file: metadata, tokenizer and tensors in one.
//!
//! Every count and length of the header is checked against the file before anything is allocated for it; candle reads
//! the header only once the walk through it has succeeded.

mod gpt2;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device};
use placebench_core::module_tree::{GgufHeaderError, gguf_header_length};

use super::{Checkpoint, CheckpointFormat, Gaps, Listed, Matcher, ModelFilesError, StoredDtype};
use super::{check_extents, elements, insert, is_lfs_pointer};
use crate::config::{GgufTensorFacts, ModelConfig};
use crate::shown::shown;
use crate::weights::{ROPE_DIVISORS, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, gguf_name};

pub use gpt2::gpt2_tree;
pub(super) use placebench_core::module_tree::GGUF_MAGIC as MAGIC;

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

pub(super) fn open(path: &Path) -> Result<Checkpoint, ModelFilesError> {
    let unreadable = |source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    let content = read_content(path, &mut file, file_len)?;
    let listed = list(path, &content, file_len)?;
    let facts = facts(path, &mut file, &content, &listed)?;
    let config = ModelConfig::from_gguf(&content.metadata, facts).map_err(|source| ModelFilesError::Config {
        path: path.to_owned(),
        source,
    })?;
    let matcher = Matcher { path, listed };
    let (tensors, mut unused) = matcher.tensors(config.stored_parameters(), |name| gguf_name(config.family, name))?;
    unused.retain(|name| ![ROPE_DIVISORS, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT].contains(&name.as_str()));
    // A further bias, norm or expert inside a block is part of what the block computes: leaving it out gives another model.
    if let Some(name) = unused.iter().find(|name| name.starts_with("blk.")) {
        return Err(ModelFilesError::Feature {
            path: path.to_owned(),
            feature: format!("a {} model with a tensor `{}`", config.family.model_type, shown(name)),
        });
    }
    Ok(Checkpoint {
        path: path.to_owned(),
        format: CheckpointFormat::Gguf,
        config,
        files: vec![path.to_owned()],
        tensors,
        unused,
        metadata: content.metadata,
    })
}

/// The header by candle, after a walk that has checked all lengths in it.
fn read_content(path: &Path, file: &mut File, file_len: u64) -> Result<Content, ModelFilesError> {
    let unreadable = |source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    };
    let mut start = Vec::new();
    file.by_ref().take(64).read_to_end(&mut start).map_err(unreadable)?;
    if is_lfs_pointer(&start) {
        return Err(ModelFilesError::LfsPointer { path: path.to_owned() });
    }
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let header_len =
        gguf_header_length(BufReader::new(&mut *file), file_len).map_err(|error| of_header(path, error))?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut header = Vec::new();
    file.by_ref()
        .take(header_len)
        .read_to_end(&mut header)
        .map_err(unreadable)?;
    Content::read(&mut Cursor::new(header)).map_err(|error| {
        let reason = error.to_string();
        ModelFilesError::malformed(path, reason.lines().next().unwrap_or("unknown error"))
    })
}

fn list(path: &Path, content: &Content, file_len: u64) -> Result<HashMap<String, Listed>, ModelFilesError> {
    let mut listed = HashMap::new();
    for (name, info) in &content.tensor_infos {
        let shape = info.shape.dims().to_vec();
        let malformed = |reason: &str| {
            let reason = format!("tensor `{}` of the shape {shape:?} {reason}", shown(name));
            ModelFilesError::malformed(path, reason)
        };
        let block = info.ggml_dtype.block_size();
        if shape.last().copied().unwrap_or(1) % block != 0 {
            return Err(malformed(&format!(
                "has rows that are no multiple of its blocks of {block}"
            )));
        }
        let bytes = elements(&shape)
            .and_then(|count| (count / block as u64).checked_mul(info.ggml_dtype.type_size() as u64))
            .ok_or_else(|| malformed("has more bytes than can be counted"))?;
        let offset = content
            .tensor_data_offset
            .checked_add(info.offset)
            .ok_or_else(|| malformed("begins beyond every file"))?;
        let tensor = Listed {
            stored_name: name.clone(),
            shape: shape.clone(),
            dtype: Some(stored_dtype(info.ggml_dtype)),
            dtype_name: format!("{:?}", info.ggml_dtype),
            bytes,
            offset,
            file: 0,
        };
        insert(&mut listed, path, tensor)?;
    }
    check_extents(path, content.tensor_data_offset, file_len, Gaps::Allowed, &listed, 0)?;
    Ok(listed)
}

fn stored_dtype(dtype: GgmlDType) -> StoredDtype {
    match dtype {
        GgmlDType::F32 => StoredDtype::Plain(DType::F32),
        GgmlDType::F16 => StoredDtype::Plain(DType::F16),
        GgmlDType::BF16 => StoredDtype::Plain(DType::BF16),
        blocks => StoredDtype::Packed(blocks),
    }
}

/// What only the tensors know: the size of the vocabulary, whether there is a head, and long-context divisors.
fn facts(
    path: &Path,
    file: &mut File,
    content: &Content,
    listed: &HashMap<String, Listed>,
) -> Result<GgufTensorFacts, ModelFilesError> {
    let embedding = listed.get(EMBEDDING).ok_or_else(|| ModelFilesError::Tensors {
        path: path.to_owned(),
        missing: vec![EMBEDDING.to_owned()],
        misshapen: Vec::new(),
    })?;
    let mut values = |name: &str| {
        let Some(info) = content.tensor_infos.get(name) else {
            return Ok(None);
        };
        // The extents were checked: this reads no more than the file has.
        info.read(file, content.tensor_data_offset, &Device::Cpu)
            .and_then(|tensor| tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1())
            .map(Some)
            .map_err(|error| ModelFilesError::malformed(path, format!("{name}: {error}")))
    };
    let rope_factors = match (values(ROPE_FACTORS_SHORT)?, values(ROPE_FACTORS_LONG)?) {
        (Some(short), Some(long)) => Some((short, long)),
        (None, None) => None,
        (short, _) => {
            let missing = if short.is_some() {
                ROPE_FACTORS_LONG
            } else {
                ROPE_FACTORS_SHORT
            };
            return Err(ModelFilesError::Tensors {
                path: path.to_owned(),
                missing: vec![missing.to_owned()],
                misshapen: Vec::new(),
            });
        }
    };
    Ok(GgufTensorFacts {
        vocab_size: embedding.shape.first().copied().unwrap_or(0),
        tied: !listed.contains_key(HEAD),
        rope_divisors: values(ROPE_DIVISORS)?,
        rope_factors,
    })
}

/// What is wrong with the header, of the file that has it.
fn of_header(path: &Path, error: GgufHeaderError) -> ModelFilesError {
    let path = path.to_owned();
    match error {
        GgufHeaderError::Truncated { expected, found } => ModelFilesError::Truncated { path, expected, found },
        GgufHeaderError::Malformed { reason } => ModelFilesError::Malformed { path, reason },
        GgufHeaderError::Unsupported { feature } => ModelFilesError::Feature { path, feature },
        GgufHeaderError::Read(source) => ModelFilesError::Read { path, source },
    }
}
