//! Root-mean-square normalisation.

use candle_core::{Device, Result, Tensor};

use super::linear::{copy_tensor, tensor_bytes};

/// `x / sqrt(mean(x²) + eps) * w`.
#[derive(Debug, Clone)]
pub struct Norm {
    weights: Tensor,
    eps: f32,
}

impl Norm {
    /// A norm with these weights.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "1e-5 and 1e-6 need no more than single precision"
    )]
    pub fn new(weights: Tensor, eps: f64) -> Self {
        Self {
            weights,
            eps: eps as f32,
        }
    }

    /// Applies it to the rows of `x`.
    ///
    /// # Errors
    /// When shapes or dtypes do not match.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weights, self.eps)
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        tensor_bytes(&self.weights)
    }

    /// The candle device its weights are on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.weights.device().clone()
    }

    /// A copy in a buffer of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            weights: copy_tensor(&self.weights, device)?,
            eps: self.eps,
        })
    }
}
