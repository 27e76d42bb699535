//! Weights by their Hugging Face names, whatever file they are in, as tensors of the dtype that is computed in.

mod dummy;
mod gguf;
mod mapped;
mod names;
mod safetensors;

use candle_core::{DType, Device, Tensor};
use placebench_core::outcome::FailureClass;
use thiserror::Error;

use crate::checkpoint::{Checkpoint, CheckpointFormat};
use crate::error::first_line;
use crate::model::linear::Matrix;

pub use dummy::DummyWeights;
pub use gguf::GgufWeights;
pub use names::gguf_name;
pub(crate) use names::{ROPE_DIVISORS, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT};
pub use safetensors::SafetensorsWeights;

/// What weights are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// Every weight is an element of this type.
    Dense(DType),
    /// Matrices stay quantised as stored; everything else, activations included, is single precision.
    Quantised,
}

impl Compute {
    /// The element type of activations, norms and the cache.
    #[must_use]
    pub fn activations(self) -> DType {
        match self {
            Self::Dense(dtype) => dtype,
            Self::Quantised => DType::F32,
        }
    }
}

/// Opens the weights of a checkpoint.
///
/// # Errors
/// When its files cannot be opened.
pub fn open(checkpoint: &Checkpoint, compute: Compute) -> Result<Box<dyn WeightSource>, WeightsError> {
    // Only GGUF files have quantised weights.
    let dtype = compute.activations();
    Ok(match checkpoint.format {
        CheckpointFormat::Gguf => Box::new(GgufWeights::open(checkpoint, compute)?),
        CheckpointFormat::Safetensors => Box::new(SafetensorsWeights::open(checkpoint, dtype)?),
        CheckpointFormat::Dummy { seed } => Box::new(DummyWeights::new(seed, dtype)),
    })
}

/// Where tensors are read from, by several threads where stages work side by side.
pub trait WeightSource: Send + Sync {
    /// A matrix `[rows, columns]` in buffers of its own on `device`.
    ///
    /// # Errors
    /// When the tensor is absent, has another shape, or cannot be read.
    fn matrix(&self, name: &str, shape: (usize, usize), device: &Device) -> Result<Matrix, WeightsError>;

    /// A vector in a buffer of its own on `device`.
    ///
    /// # Errors
    /// When the tensor is absent, has another shape, or cannot be read.
    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError>;

    /// What the weights are computed in.
    fn compute(&self) -> Compute;
}

/// Why a weight cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// No tensor of that name.
    #[error("the checkpoint has no tensor `{name}`")]
    Missing {
        /// The name in the file.
        name: String,
    },
    /// Not the shape the configuration asks for.
    #[error("tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// The name in the file.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape by the configuration.
        expected: Vec<usize>,
    },
    /// The bytes cannot be read or converted.
    #[error("tensor `{name}` cannot be read: {reason}")]
    Unreadable {
        /// The name in the file, or the file.
        name: String,
        /// What was said about it.
        reason: String,
    },
}

impl WeightsError {
    /// Whose fault it is. A device that is full while reading is no fault of the file.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unreadable { reason, .. } if reason.to_ascii_lowercase().contains("out of memory") => {
                FailureClass::OutOfMemory
            }
            _ => FailureClass::ModelInvalid,
        }
    }

    pub(crate) fn unreadable(name: &str) -> impl FnOnce(candle_core::Error) -> Self {
        let name = name.to_owned();
        move |error| Self::Unreadable {
            name,
            reason: first_line(&error),
        }
    }

    pub(crate) fn check_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), Self> {
        if found == expected {
            return Ok(());
        }
        Err(Self::Shape {
            name: name.to_owned(),
            found: found.to_vec(),
            expected: expected.to_vec(),
        })
    }
}
