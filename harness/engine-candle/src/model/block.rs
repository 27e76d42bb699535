//! Modules as they are loaded: the units of placement.

use candle_core::{Device, Result as CandleResult, Tensor};

use super::attention::{Attention, Heads, Qkv, Segment};
use super::linear::{Linear, Matrix};
use super::mlp::{GateUp, Mlp};
use super::norm::Norm;
use crate::config::{BlockNorms, ModelConfig, Projections};
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
    /// Before attention.
    input_norm: Norm,
    attention: Attention,
    /// Behind attention, before the residual is added.
    attention_norm: Option<Norm>,
    /// Before the feed-forward part.
    mlp_norm: Norm,
    mlp: Mlp,
    /// Behind the feed-forward part, before the residual is added.
    output_norm: Option<Norm>,
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
        let norm = |name: &str| load_norm_of(source, &format!("{prefix}.{name}"), config.hidden_size, config, device);
        let (attention_norm, mlp_norm, output_norm) = match config.block.norms {
            BlockNorms::Before => (None, norm("post_attention_layernorm")?, None),
            BlockNorms::BeforeAndAfter => (
                Some(norm("post_attention_layernorm")?),
                norm("pre_feedforward_layernorm")?,
                Some(norm("post_feedforward_layernorm")?),
            ),
        };
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: load_attention(source, config, layer, device)?,
            attention_norm,
            mlp_norm,
            mlp: load_mlp(source, config, layer, device)?,
            output_norm,
        })
    }

    /// The next hidden state, `[rows, hidden]`, of all sequences of a step.
    ///
    /// # Errors
    /// When shapes do not match or a cache is full.
    pub fn forward(&self, x: &Tensor, segments: &mut [Segment<'_>]) -> CandleResult<Tensor> {
        let attended = self.attention.forward(&self.input_norm.forward(x)?, segments)?;
        let x = (x + normed(self.attention_norm.as_ref(), attended)?)?;
        let fed = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        x + normed(self.output_norm.as_ref(), fed)?
    }
}

fn normed(norm: Option<&Norm>, x: Tensor) -> CandleResult<Tensor> {
    norm.map_or(Ok(x.clone()), |norm| norm.forward(&x))
}

impl Module for Block {
    fn bytes(&self) -> u64 {
        let optional = |norm: &Option<Norm>| norm.as_ref().map_or(0, Norm::bytes);
        self.input_norm.bytes()
            + self.attention.bytes()
            + optional(&self.attention_norm)
            + self.mlp_norm.bytes()
            + self.mlp.bytes()
            + optional(&self.output_norm)
    }

    fn copy_to(&self, device: &Device) -> CandleResult<Self> {
        let optional = |norm: &Option<Norm>| norm.as_ref().map(|norm| norm.copy_to(device)).transpose();
        Ok(Self {
            input_norm: self.input_norm.copy_to(device)?,
            attention: self.attention.copy_to(device)?,
            attention_norm: optional(&self.attention_norm)?,
            mlp_norm: self.mlp_norm.copy_to(device)?,
            mlp: self.mlp.copy_to(device)?,
            output_norm: optional(&self.output_norm)?,
        })
    }

    fn device(&self) -> Device {
        self.attention.o.device()
    }
}

fn load_attention(
    source: &dyn WeightSource,
    config: &ModelConfig,
    layer: usize,
    device: &Device,
) -> Result<Attention, WeightsError> {
    let prefix = format!("model.layers.{layer}.self_attn");
    let (hidden, biases) = (config.hidden_size, config.block.biases);
    let (queries, keys) = (config.query_size(), config.key_value_size());
    let linear = |name: &str, out: usize, input: usize, has_bias: bool| {
        load_linear(source, &format!("{prefix}.{name}"), (out, input), has_bias, device)
    };
    let norm = |name: &str| load_norm_of(source, &format!("{prefix}.{name}"), config.head_dim, config, device);
    Ok(Attention {
        qkv: match config.block.projections {
            Projections::Separate => Qkv::Separate {
                q: linear("q_proj", queries, hidden, biases.qkv)?,
                k: linear("k_proj", keys, hidden, biases.qkv)?,
                v: linear("v_proj", keys, hidden, biases.qkv)?,
            },
            Projections::Fused => Qkv::Fused(linear("qkv_proj", queries + 2 * keys, hidden, biases.qkv)?),
        },
        o: linear("o_proj", hidden, queries, biases.output)?,
        head_norms: match config.block.head_norms {
            true => Some((norm("q_norm")?, norm("k_norm")?)),
            false => None,
        },
        heads: Heads {
            queries: config.num_heads,
            keys: config.num_kv_heads,
            dim: config.head_dim,
        },
        scale: config.attention_scale,
        softcap: config.block.attention_softcap,
        window: config.window(layer),
    })
}

fn load_mlp(
    source: &dyn WeightSource,
    config: &ModelConfig,
    layer: usize,
    device: &Device,
) -> Result<Mlp, WeightsError> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let linear = |name: &str, out: usize, input: usize| {
        let name = format!("model.layers.{layer}.mlp.{name}");
        load_linear(source, &name, (out, input), config.block.biases.mlp, device)
    };
    Ok(Mlp {
        gate_up: match config.block.projections {
            Projections::Separate => GateUp::Separate {
                gate: linear("gate_proj", inner, hidden)?,
                up: linear("up_proj", inner, hidden)?,
            },
            Projections::Fused => GateUp::Fused(linear("gate_up_proj", 2 * inner, hidden)?),
        },
        down: linear("down_proj", hidden, inner)?,
        activation: config.block.activation,
    })
}

fn load_norm_of(
    source: &dyn WeightSource,
    name: &str,
    len: usize,
    config: &ModelConfig,
    device: &Device,
) -> Result<Norm, WeightsError> {
    let weights = source.vector(&format!("{name}.weight"), len, device)?;
    Norm::new(weights, config.block.norm_weight, config.rms_norm_eps).map_err(WeightsError::unreadable(name))
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
    load_norm_of(source, "model.norm", config.hidden_size, config, device)
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
