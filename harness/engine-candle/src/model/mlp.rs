//! The gated feed-forward half of a block.

use candle_core::{Device, Result, Tensor};

use super::linear::Linear;
use crate::config::Activation;
use crate::kernels;

/// `down(activation(gate(x)) * up(x))`.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// The two maps of the input.
    pub gate_up: GateUp,
    /// `mlp.down_proj`.
    pub down: Linear,
    /// What is applied to the gate.
    pub activation: Activation,
}

/// The two maps of the input, as they are stored.
#[derive(Debug, Clone)]
pub enum GateUp {
    /// Each by itself.
    Separate {
        /// `mlp.gate_proj`.
        gate: Linear,
        /// `mlp.up_proj`.
        up: Linear,
    },
    /// `mlp.gate_up_proj`: the rows of the gate, then as many of the other.
    Fused(Linear),
}

impl Mlp {
    /// Applies it to the rows of `x`.
    ///
    /// # Errors
    /// When shapes or dtypes do not match.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (gate, up) = self.gate_up.forward(x)?;
        if self.activation == Activation::Silu
            && let Some(gated) = kernels::gated(&gate, &up)?
        {
            return self.down.forward(&gated);
        }
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::GeluTanh => gate.gelu()?,
            Activation::Gelu => gate.gelu_erf()?,
        };
        self.down.forward(&(gate * up)?)
    }

    /// Bytes of its weights.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.gate_up.bytes() + self.down.bytes()
    }

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            gate_up: self.gate_up.copy_to(device)?,
            down: self.down.copy_to(device)?,
            activation: self.activation,
        })
    }
}

impl GateUp {
    /// Gate and up of the rows of `x`.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        match self {
            Self::Separate { gate, up } => Ok((gate.forward(x)?, up.forward(x)?)),
            Self::Fused(both) => {
                let both = both.forward(x)?;
                let inner = both.dim(1)? / 2;
                Ok((both.narrow(1, 0, inner)?, both.narrow(1, inner, inner)?))
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Separate { gate, up } => gate.bytes() + up.bytes(),
            Self::Fused(both) => both.bytes(),
        }
    }

    fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(match self {
            Self::Separate { gate, up } => Self::Separate {
                gate: gate.copy_to(device)?,
                up: up.copy_to(device)?,
            },
            Self::Fused(both) => Self::Fused(both.copy_to(device)?),
        })
    }
}
