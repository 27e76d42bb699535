//! What can be wrong with a model's files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use placebench_core::outcome::FailureClass;
use placebench_core::units::Bytes;
use thiserror::Error;

use crate::config::ConfigError;
use crate::shown::shown;

/// A tensor whose shape is not the one the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// Its name in the file.
    pub name: String,
    /// The shape by the configuration.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// Why a model's files cannot be used.
#[derive(Debug, Error)]
pub enum ModelFilesError {
    /// Nothing is at the path.
    #[error("no model at {}: there is no such file or folder", path.display())]
    PathMissing {
        /// The path.
        path: PathBuf,
    },
    /// Something is there, but no model.
    #[error("{} is no model: expected a folder with config.json and safetensors, or a GGUF file", path.display())]
    NoModel {
        /// The path.
        path: PathBuf,
    },
    /// A folder without weights that this engine reads.
    #[error("{} has no weights: expected model.safetensors or model.safetensors.index.json{}", folder.display(), other_weights(found))]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// Weight files of formats that are not read.
        found: Vec<String>,
    },
    /// A shard that the index names is not there.
    #[error("{} is missing, but {} of the tensors should be in it ({index})", path.display(), tensors)]
    ShardMissing {
        /// The shard.
        path: PathBuf,
        /// How many tensors should be in it.
        tensors: usize,
        /// Name of the index.
        index: &'static str,
    },
    /// The system does not let the file be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file ends before its contents do.
    #[error("{} is truncated: expected at least {} bytes, found {} bytes", path.display(), expected.0, found.0)]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What its header asks for.
        expected: Bytes,
        /// What it has.
        found: Bytes,
    },
    /// A clone without Git LFS.
    #[error("{} is a Git LFS pointer, not the weights: fetch them with `git lfs pull`", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file contradicts its format.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A variant of a format that is not read.
    #[error("{}: {feature} is not supported", path.display())]
    Feature {
        /// The file.
        path: PathBuf,
        /// The variant.
        feature: String,
    },
    /// A tensor of the model has an element type that weights are not computed in.
    #[error("{}: tensor `{tensor}` is stored as {dtype}, which this engine does not compute with", path.display())]
    Dtype {
        /// The folder or file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The element type by its name in the file.
        dtype: String,
    },
    /// Tensors are not what the configuration asks for.
    #[error("{} does not fit its configuration: {}", path.display(), tensor_words(missing, misshapen))]
    Tensors {
        /// The folder or file.
        path: PathBuf,
        /// Names that are not there.
        missing: Vec<String>,
        /// Tensors of another shape.
        misshapen: Vec<Misshapen>,
    },
    /// The configuration.
    #[error("{}", path.display())]
    Config {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
}

impl ModelFilesError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::PathMissing { .. } | Self::NoWeights { .. } | Self::ShardMissing { .. } | Self::LfsPointer { .. } => {
                FailureClass::ModelMissing
            }
            Self::NoModel { .. }
            | Self::Read { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Tensors { .. } => FailureClass::ModelInvalid,
            Self::Feature { .. } | Self::Dtype { .. } => FailureClass::Unsupported,
            Self::Config { source, .. } => source.class(),
        }
    }

    /// The sentence with everything below it: `config.json: …` under the folder's path, the system's reason under a file.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            // Writing to a string cannot fail.
            let _ = write!(sentence, ": {error}");
            source = error.source();
        }
        sentence
    }

    pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

fn other_weights(found: &[String]) -> String {
    match found {
        [] => String::new(),
        found => format!(" (found {}, which is not read)", found.join(", ")),
    }
}

/// `2 tensors are missing (a, b); 1 tensor has another shape (c: expected [2, 4], found [4, 2])`.
fn tensor_words(missing: &[String], misshapen: &[Misshapen]) -> String {
    let mut words = Vec::new();
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "tensor is" } else { "tensors are" };
        let names = missing.iter().map(|name| shown(name)).collect();
        words.push(format!("{} {verb} missing ({})", missing.len(), listed(names)));
    }
    if !misshapen.is_empty() {
        let verb = if misshapen.len() == 1 {
            "tensor has"
        } else {
            "tensors have"
        };
        let names = misshapen
            .iter()
            .map(|tensor| {
                format!(
                    "{}: expected {:?}, found {:?}",
                    tensor.name, tensor.expected, tensor.found
                )
            })
            .collect();
        words.push(format!("{} {verb} another shape ({})", misshapen.len(), listed(names)));
    }
    words.join("; ")
}

/// The first ten, and how many more there are.
fn listed(mut names: Vec<String>) -> String {
    const MOST: usize = 10;
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let mut text = names.join(", ");
    if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    text
}
