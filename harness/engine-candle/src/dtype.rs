//! What weights are computed in.

use candle_core::DType;
use placebench_core::protocol::Dtype;

use crate::checkpoint::{Checkpoint, CheckpointFormat, StoredDtype};
use crate::weights::Compute;

/// Whether anything but the host's processor may compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// The host alone.
    HostOnly,
    /// At least one GPU.
    WithGpu,
}

/// What a checkpoint is computed in, and a sentence where that is not what it is stored in although nobody asked for
/// another type.
///
/// A dtype that is asked for is used. Without one GGUF files stay quantised and other weights are computed as stored;
/// but candle widens bf16 matrices to single precision at every product on the host, and has no fast f16 product there,
/// so the host computes halves in single precision.
#[must_use]
pub fn choose(checkpoint: &Checkpoint, asked: Option<Dtype>, hardware: Hardware) -> (Compute, Option<String>) {
    if let Some(dtype) = asked {
        return (Compute::Dense(candle_dtype(dtype)), None);
    }
    if checkpoint.format == CheckpointFormat::Gguf {
        return (Compute::Quantised, None);
    }
    let stored = checkpoint.tensors.first().map(|tensor| tensor.dtype);
    match (stored, hardware) {
        (Some(StoredDtype::Plain(half @ (DType::F16 | DType::BF16))), Hardware::WithGpu) => {
            (Compute::Dense(half), None)
        }
        (Some(StoredDtype::Plain(DType::F32)) | None, _) => (Compute::Dense(DType::F32), None),
        (Some(stored), _) => {
            let sentence = format!(
                "weights are stored as {} and computed as float32 on the host; ask for a dtype to change that",
                stored.name()
            );
            (Compute::Dense(DType::F32), Some(sentence))
        }
    }
}

/// candle's name of a dtype.
#[must_use]
pub fn candle_dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
    }
}

/// The protocol's name of what a module tree is made of; `None` for quantised weights, which keep their stored sizes.
#[must_use]
pub fn tree_dtype(compute: Compute) -> Option<Dtype> {
    match compute {
        Compute::Quantised => None,
        Compute::Dense(DType::F16) => Some(Dtype::F16),
        Compute::Dense(DType::BF16) => Some(Dtype::Bf16),
        Compute::Dense(_) => Some(Dtype::F32),
    }
}
