//! A model's files, looked at without reading weights: configuration, and where which tensor is.
//!
//! [`open`] takes a folder (`config.json` with safetensors) or a GGUF file and answers with a [`Checkpoint`] only when
//! every tensor the configuration asks for is there, in the right shape and within its file. What is wrong is said with
//! names and bytes here, so that no later stage meets a truncated file. [`dummy()`] takes a configuration alone.

mod dummy;
mod error;
mod gguf;
mod safetensors;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use placebench_core::units::Bytes;

use crate::config::{ModelConfig, Parameter};
use crate::shown::shown;

pub use dummy::dummy;
pub use error::{Misshapen, ModelFilesError};
pub use gguf::gpt2_tree;
pub(crate) use safetensors::shards;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointFormat {
    /// A folder with `config.json` and safetensors files.
    Safetensors,
    /// One GGUF file.
    Gguf,
    /// A configuration without weights; random ones are made for it.
    Dummy {
        /// Their seed.
        seed: u64,
    },
}

/// Element type or block format of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// Elements.
    Plain(DType),
    /// Quantised blocks.
    Packed(GgmlDType),
}

impl StoredDtype {
    /// The name in module trees: PyTorch's for elements (`bfloat16`), GGML's for blocks (`q4_1`).
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Plain(DType::F64) => "float64".into(),
            Self::Plain(DType::F32) => "float32".into(),
            Self::Plain(DType::F16) => "float16".into(),
            Self::Plain(DType::BF16) => "bfloat16".into(),
            Self::Plain(other) => other.as_str().to_owned(),
            Self::Packed(blocks) => {
                let name = format!("{blocks:?}").to_ascii_lowercase();
                // candle writes `Q4K` where everyone else writes `q4_k`.
                match name.strip_suffix('k') {
                    Some(rest) => format!("{rest}_k"),
                    None => name,
                }
            }
        }
    }
}

/// A tensor of the model in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name in Hugging Face's modules.
    pub name: String,
    /// Its name in the file.
    pub stored_name: String,
    /// Its shape; matrices are `[output, input]` in both formats.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: StoredDtype,
    /// Its size in the file.
    pub bytes: Bytes,
    /// Position of the first byte in the file; 0 for weights that are made.
    pub offset: u64,
    /// Position of the file in [`Checkpoint::files`]; 0 for weights that are made.
    pub file: usize,
}

/// A model's files, checked.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The folder, or the GGUF file.
    pub path: PathBuf,
    /// How weights are stored.
    pub format: CheckpointFormat,
    /// The hyper-parameters.
    pub config: ModelConfig,
    /// The weight files, each once.
    pub files: Vec<PathBuf>,
    /// The tensors of the model in its own order, without a tied head.
    pub tensors: Vec<StoredTensor>,
    /// Names of stored tensors that the model does not use, in alphabetical order.
    pub unused: Vec<String>,
    /// A GGUF file's metadata: the tokenizer is in it.
    pub(crate) metadata: HashMap<String, Value>,
}

impl Checkpoint {
    /// The tensor of that Hugging Face name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&StoredTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Bytes of the model's tensors as stored.
    #[must_use]
    pub fn weights_bytes(&self) -> Bytes {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }
}

/// Looks at a model's files.
///
/// # Errors
/// When they are not there, are truncated or malformed, lack a tensor, or are of a kind this engine does not run.
pub fn open(path: &Path) -> Result<Checkpoint, ModelFilesError> {
    let unreadable = |source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => safetensors::open(path),
        Ok(found) if found.is_file() => {
            if is_gguf(path).map_err(unreadable)? {
                gguf::open(path)
            } else {
                Err(ModelFilesError::NoModel { path: path.to_owned() })
            }
        }
        Ok(_) => Err(ModelFilesError::NoModel { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ModelFilesError::PathMissing { path: path.to_owned() })
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// By name or by content: a download keeps its bytes when it loses its name, and a bad file keeps its name.
fn is_gguf(path: &Path) -> std::io::Result<bool> {
    if path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
    {
        return Ok(true);
    }
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == gguf::MAGIC)
}

/// True for the small text file that a clone without Git LFS has instead of the weights.
fn is_lfs_pointer(start: &[u8]) -> bool {
    start.starts_with(b"version https://git-lfs")
}

/// A tensor as a header lists it.
#[derive(Debug, Clone)]
struct Listed {
    stored_name: String,
    shape: Vec<usize>,
    /// `None` for an element type that no weight of a model can have.
    dtype: Option<StoredDtype>,
    dtype_name: String,
    bytes: u64,
    offset: u64,
    file: usize,
}

/// Finds the parameters of a configuration among the tensors that the files list.
struct Matcher<'a> {
    path: &'a Path,
    listed: HashMap<String, Listed>,
}

impl Matcher<'_> {
    /// The model's tensors in its own order, and the names of all others.
    fn tensors(
        mut self,
        parameters: Vec<Parameter>,
        stored_name: impl Fn(&str) -> Option<String>,
    ) -> Result<(Vec<StoredTensor>, Vec<String>), ModelFilesError> {
        let (mut tensors, mut missing, mut misshapen) = (Vec::with_capacity(parameters.len()), Vec::new(), Vec::new());
        for parameter in parameters {
            let Some(listed) = stored_name(&parameter.name).and_then(|name| self.listed.remove(&name)) else {
                missing.push(stored_name(&parameter.name).unwrap_or(parameter.name));
                continue;
            };
            if listed.shape != parameter.shape {
                misshapen.push(Misshapen {
                    name: shown(&listed.stored_name),
                    expected: parameter.shape,
                    found: listed.shape,
                });
                continue;
            }
            let Some(dtype) = listed.dtype else {
                return Err(ModelFilesError::Dtype {
                    path: self.path.to_owned(),
                    tensor: shown(&listed.stored_name),
                    dtype: shown(&listed.dtype_name),
                });
            };
            tensors.push(StoredTensor {
                name: parameter.name,
                stored_name: listed.stored_name,
                shape: listed.shape,
                dtype,
                bytes: Bytes(listed.bytes),
                offset: listed.offset,
                file: listed.file,
            });
        }
        if !missing.is_empty() || !misshapen.is_empty() {
            return Err(ModelFilesError::Tensors {
                path: self.path.to_owned(),
                missing,
                misshapen,
            });
        }
        let mut unused: Vec<String> = self.listed.into_keys().collect();
        unused.sort();
        Ok((tensors, unused))
    }
}

/// Checks that pieces of a file neither overlap nor end after it. Gaps are refused too where `gaps` says so.
fn check_extents(
    path: &Path,
    data_start: u64,
    file_len: u64,
    gaps: Gaps,
    listed: &HashMap<String, Listed>,
    file: usize,
) -> Result<(), ModelFilesError> {
    let mut pieces: Vec<&Listed> = listed.values().filter(|piece| piece.file == file).collect();
    pieces.sort_by_key(|piece| (piece.offset, piece.bytes));
    let mut end = data_start;
    for piece in pieces {
        let follows = match gaps {
            Gaps::Allowed => piece.offset >= end,
            Gaps::Refused => piece.offset == end,
        };
        let piece_end = piece.offset.checked_add(piece.bytes);
        let (true, Some(piece_end)) = (follows, piece_end) else {
            return Err(ModelFilesError::malformed(
                path,
                format!(
                    "tensor `{}` begins at byte {}, the tensor before it ends at {end}",
                    shown(&piece.stored_name),
                    piece.offset
                ),
            ));
        };
        end = piece_end;
    }
    if end > file_len {
        return Err(ModelFilesError::Truncated {
            path: path.to_owned(),
            expected: Bytes(end),
            found: Bytes(file_len),
        });
    }
    match gaps {
        Gaps::Refused if end < file_len => Err(ModelFilesError::malformed(
            path,
            format!("the file has {file_len} bytes, its header describes {end}"),
        )),
        _ => Ok(()),
    }
}

/// Whether a format allows bytes between and after tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gaps {
    Allowed,
    Refused,
}

/// Elements of a shape; `None` where the product does not fit.
fn elements(shape: &[usize]) -> Option<u64> {
    shape
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(u64::try_from(size).ok()?))
}

/// Inserts a tensor, refusing a second one of the same name.
fn insert(listed: &mut HashMap<String, Listed>, path: &Path, tensor: Listed) -> Result<(), ModelFilesError> {
    match listed.insert(tensor.stored_name.clone(), tensor) {
        None => Ok(()),
        Some(twice) => Err(ModelFilesError::malformed(
            path,
            format!("tensor `{}` is listed twice", shown(&twice.stored_name)),
        )),
    }
}

/// Names that are in `wanted` and not in `found`, in alphabetical order.
fn absent(wanted: Vec<String>, found: &HashSet<String>) -> Vec<String> {
    let mut absent: Vec<String> = wanted.into_iter().filter(|name| !found.contains(name)).collect();
    absent.sort();
    absent
}
