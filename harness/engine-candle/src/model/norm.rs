//! Root-mean-square normalisation.

use candle_core::{DType, Device, Result, Tensor};

use super::linear::{copy_tensor, tensor_bytes};
use crate::config::NormWeight;

/// `x / sqrt(mean(x²) + eps) * w`, or `* (1 + w)` where the weights are stored less one.
#[derive(Debug, Clone)]
pub struct Norm {
    weights: Tensor,
    /// The one is still to be added, in single precision: half precision would lose what the weights hold.
    adds_one: bool,
    eps: f32,
}

impl Norm {
    /// A norm with these stored weights.
    ///
    /// # Errors
    /// When the device cannot add to them.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "1e-5 and 1e-6 need no more than single precision"
    )]
    pub fn new(weights: Tensor, kind: NormWeight, eps: f64) -> Result<Self> {
        let eps = eps as f32;
        let is_single = weights.dtype() == DType::F32;
        let (weights, adds_one) = match kind {
            NormWeight::Plain => (weights, false),
            NormWeight::OnePlus if is_single => ((weights + 1.0)?, false),
            NormWeight::OnePlus => (weights, true),
        };
        Ok(Self { weights, adds_one, eps })
    }

    /// Applies it to the rows of `x`.
    ///
    /// # Errors
    /// When shapes or dtypes do not match.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        if !self.adds_one {
            return candle_nn::ops::rms_norm(&x, &self.weights, self.eps);
        }
        let weights = (self.weights.to_dtype(DType::F32)? + 1.0)?;
        candle_nn::ops::rms_norm(&x.to_dtype(DType::F32)?, &weights, self.eps)?.to_dtype(x.dtype())
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
            ..*self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_less_one_keeps_what_half_precision_would_lose() {
        let device = Device::Cpu;
        let x = Tensor::new(&[[3_f32, -3.0, 3.0, -3.0]], &device).unwrap();
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::BF16, 4e-3)] {
            // bfloat16 has no number between 1 and 1.0078.
            let stored = Tensor::full(0.005_f32, 4, &device).unwrap().to_dtype(dtype).unwrap();
            let norm = |kind| Norm::new(stored.clone(), kind, 0.0).unwrap();
            let apply = |norm: &Norm| -> f32 {
                let y = norm.forward(&x.to_dtype(dtype).unwrap()).unwrap();
                assert_eq!(y.dtype(), dtype);
                y.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap()[0][0]
            };
            assert!(
                (apply(&norm(NormWeight::OnePlus)) - 1.005).abs() < tolerance,
                "{dtype:?}"
            );
            assert!((apply(&norm(NormWeight::Plain)) - 0.005).abs() < 1e-4, "{dtype:?}");
            assert_eq!(norm(NormWeight::OnePlus).bytes(), 4 * dtype.size_in_bytes() as u64);
        }
    }
}
