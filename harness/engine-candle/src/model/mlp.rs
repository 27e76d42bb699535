//! The gated feed-forward half of a block.

use candle_core::{Device, Result, Tensor};

use super::linear::Linear;
use crate::kernels;

/// `down(silu(gate(x)) * up(x))`.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `mlp.gate_proj`.
    pub gate: Linear,
    /// `mlp.up_proj`.
    pub up: Linear,
    /// `mlp.down_proj`.
    pub down: Linear,
}

impl Mlp {
    /// Applies it to the rows of `x`.
    ///
    /// # Errors
    /// When shapes or dtypes do not match.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (gate, up) = (self.gate.forward(x)?, self.up.forward(x)?);
        let gated = match kernels::gated(&gate, &up)? {
            Some(gated) => gated,
            None => (gate.silu()? * up)?,
        };
        self.down.forward(&gated)
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            gate: self.gate.copy_to(device)?,
            up: self.up.copy_to(device)?,
            down: self.down.copy_to(device)?,
        })
    }
}
