//! Why a configuration cannot be used.

use std::path::PathBuf;

use placebench_core::outcome::FailureClass;
use thiserror::Error;

use super::family;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON, or no JSON object.
    #[error("{file} is not a JSON object: {reason}")]
    NotJson {
        /// Name of the file.
        file: &'static str,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A value has the wrong type.
    #[error("{file}: `{key}` should be {expected}, found {found}")]
    WrongType {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The key.
        key: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// A key without a default is absent.
    #[error("{file}: `{key}` is missing")]
    Missing {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The key.
        key: String,
    },
    /// The numbers contradict each other or are out of every range.
    #[error("{file}: {problem}")]
    Implausible {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// Which numbers, and what is wrong with them.
        problem: String,
    },
    /// An architecture that the decoder does not compute.
    #[error("architecture `{name}` is not one this engine computes ({})", family::names().join(", "))]
    Architecture {
        /// Its name in the file.
        name: String,
    },
    /// A feature of the architecture that the decoder does not compute.
    #[error("{file}: {feature} is not computed by this engine")]
    Feature {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The feature, with the key and value that ask for it.
        feature: String,
    },
}

impl ConfigError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => FailureClass::ModelMissing,
            Self::Read { .. }
            | Self::NotJson { .. }
            | Self::WrongType { .. }
            | Self::Missing { .. }
            | Self::Implausible { .. } => FailureClass::ModelInvalid,
            Self::Architecture { .. } | Self::Feature { .. } => FailureClass::Unsupported,
        }
    }
}
