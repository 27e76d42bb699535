//! Modules as they are loaded: the units of placement.

use candle_core::{Device, Result as CandleResult, Tensor};

use super::attention::{Attention, Segment};
use super::linear::{Linear, Matrix};
use super::mlp::Mlp;
use super::norm::Norm;
use crate::config::ModelConfig;
use crate::weights::{WeightSource, WeightsError};

/// Something with weights that can be placed as a whole.
pub trait Module: Sized {
    /// Bytes of its weights.
    fn bytes(&self) -> u64;

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    fn copy_to(&self, device: &Device) -> CandleResult<Self>;

    /// The candle device of its weights.
    fn device(&self) -> Device;
}

/// `model.layers.N`: never cut.
#[derive(Debug, Clone)]
pub struct Block {
    input_norm: Norm,
    attention: Attention,
    post_norm: Norm,
    mlp: Mlp,
}

impl Block {
    /// Reads one.
    ///
    /// # Errors
    /// When a tensor is absent or has another shape.
    pub fn load(
        source: &dyn WeightSource,
        config: &ModelConfig,
        layer: usize,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let prefix = format!("model.layers.{layer}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.query_size(), config.key_value_size());
        let linear = |name: &str, out: usize, input: usize, has_bias: bool| {
            load_linear(source, &format!("{prefix}.{name}"), (out, input), has_bias, device)
        };
        let norm = |name: &str| {
            source
                .vector(&format!("{prefix}.{name}.weight"), hidden, device)
                .map(|weights| Norm::new(weights, config.rms_norm_eps))
        };
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: Attention {
                q: linear("self_attn.q_proj", queries, hidden, config.qkv_bias)?,
                k: linear("self_attn.k_proj", keys, hidden, config.qkv_bias)?,
                v: linear("self_attn.v_proj", keys, hidden, config.qkv_bias)?,
                o: linear("self_attn.o_proj", hidden, queries, false)?,
                heads: config.num_heads,
                kv_heads: config.num_kv_heads,
                head_dim: config.head_dim,
            },
            post_norm: norm("post_attention_layernorm")?,
            mlp: Mlp {
                gate: linear("mlp.gate_proj", inner, hidden, false)?,
                up: linear("mlp.up_proj", inner, hidden, false)?,
                down: linear("mlp.down_proj", hidden, inner, false)?,
            },
        })
    }

    /// The next hidden state, `[rows, hidden]`, of all sequences of a step.
    ///
    /// # Errors
    /// When shapes do not match or a cache is full.
    pub fn forward(&self, x: &Tensor, segments: &mut [Segment<'_>]) -> CandleResult<Tensor> {
        let attended = self.attention.forward(&self.input_norm.forward(x)?, segments)?;
        let x = (x + attended)?;
        let fed = self.mlp.forward(&self.post_norm.forward(&x)?)?;
        x + fed
    }
}

impl Module for Block {
    fn bytes(&self) -> u64 {
        self.input_norm.bytes() + self.attention.bytes() + self.post_norm.bytes() + self.mlp.bytes()
    }

    fn copy_to(&self, device: &Device) -> CandleResult<Self> {
        Ok(Self {
            input_norm: self.input_norm.copy_to(device)?,
            attention: self.attention.copy_to(device)?,
            post_norm: self.post_norm.copy_to(device)?,
            mlp: self.mlp.copy_to(device)?,
        })
    }

    fn device(&self) -> Device {
        self.attention.q.device()
    }
}

impl Module for Norm {
    fn bytes(&self) -> u64 {
        Self::bytes(self)
    }

    fn copy_to(&self, device: &Device) -> CandleResult<Self> {
        Self::copy_to(self, device)
    }

    fn device(&self) -> Device {
        Self::device(self)
    }
}

impl Module for Matrix {
    fn bytes(&self) -> u64 {
        Self::bytes(self)
    }

    fn copy_to(&self, device: &Device) -> CandleResult<Self> {
        Self::copy_to(self, device)
    }

    fn device(&self) -> Device {
        Self::device(self)
    }
}

impl Module for Linear {
    fn bytes(&self) -> u64 {
        Self::bytes(self)
    }

    fn copy_to(&self, device: &Device) -> CandleResult<Self> {
        Self::copy_to(self, device)
    }

    fn device(&self) -> Device {
        Self::device(self)
    }
}

fn load_linear(
    source: &dyn WeightSource,
    name: &str,
    shape: (usize, usize),
    has_bias: bool,
    device: &Device,
) -> Result<Linear, WeightsError> {
    let matrix = source.matrix(&format!("{name}.weight"), shape, device)?;
    let bias = if has_bias {
        Some(source.vector(&format!("{name}.bias"), shape.0, device)?)
    } else {
        None
    };
    Linear::new(matrix, bias).map_err(WeightsError::unreadable(name))
}

/// `model.embed_tokens`.
///
/// # Errors
/// When the tensor is absent or has another shape.
pub fn load_embedding(
    source: &dyn WeightSource,
    config: &ModelConfig,
    device: &Device,
) -> Result<Matrix, WeightsError> {
    let shape = (config.vocab_size, config.hidden_size);
    source.matrix("model.embed_tokens.weight", shape, device)
}

/// `model.norm`.
///
/// # Errors
/// When the tensor is absent or has another shape.
pub fn load_norm(source: &dyn WeightSource, config: &ModelConfig, device: &Device) -> Result<Norm, WeightsError> {
    source
        .vector("model.norm.weight", config.hidden_size, device)
        .map(|weights| Norm::new(weights, config.rms_norm_eps))
}

/// `lm_head`: its own tensor, or a copy of the embedding's where they are tied.
///
/// # Errors
/// When the tensor is absent or has another shape.
pub fn load_head(source: &dyn WeightSource, config: &ModelConfig, device: &Device) -> Result<Linear, WeightsError> {
    if config.tie_word_embeddings {
        let matrix = load_embedding(source, config, device)?;
        return Linear::new(matrix, None).map_err(WeightsError::unreadable("lm_head"));
    }
    load_linear(
        source,
        "lm_head",
        (config.vocab_size, config.hidden_size),
        false,
        device,
    )
}
