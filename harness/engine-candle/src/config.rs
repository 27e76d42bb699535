//! What a model is made of, read from its configuration: the numbers that decide shapes, and nothing about weights.
//!
//! Two sources give the same [`ModelConfig`]: `config.json` as Hugging Face's libraries write it ([`ModelConfig::from_json`])
//! and the metadata of a GGUF file. What both have in common for all families is read here, what only some families have
//! in the family's own file ([`family`]). A feature that changes the numbers and that the decoder does not compute is
//! refused by name, before a byte of weights is read.

mod block;
mod error;
pub mod family;
mod gguf;
mod hf;
mod hf_rope;
mod json;
mod parameters;
mod rope;
mod windows;

use placebench_core::protocol::Dtype;

pub use block::{Activation, Biases, BlockConfig, BlockNorms, NormWeight, Projections};
pub use error::ConfigError;
pub use family::Family;
pub(crate) use gguf::GgufTensorFacts;
pub(crate) use parameters::HEAD;
pub use parameters::Parameter;
pub use rope::{RopeLayout, RopeScaling};

/// The hyper-parameters of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The architecture.
    pub family: &'static Family,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; a divisor of `num_heads`.
    pub num_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Elements of a head that rotate, the first ones; even.
    pub rotary_dim: usize,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: Option<RopeScaling>,
    /// Which elements of a head rotate together.
    pub rope_layout: RopeLayout,
    /// The head is the embedding.
    pub tie_word_embeddings: bool,
    /// What blocks are made of.
    pub block: BlockConfig,
    /// For each layer, how many of the last positions it sees, its own included; `None`: all.
    pub windows: Vec<Option<usize>>,
    /// Scores of attention are multiplied by this: `1 / sqrt(head_dim)` in most families.
    pub attention_scale: f64,
    /// The embedding is multiplied by this.
    pub embedding_scale: Option<f64>,
    /// Logits are softly limited to this: `cap * tanh(logit / cap)`.
    pub final_softcap: Option<f64>,
    /// The longest sequence the model was made for, in tokens, stretching included.
    pub max_position_embeddings: usize,
    /// Tokens that end a generation.
    pub eos_token_ids: Vec<u32>,
    /// The token a text begins with, where the model has one.
    pub bos_token_id: Option<u32>,
    /// The element type the weights were saved in, where the configuration says it.
    pub torch_dtype: Option<Dtype>,
}

impl ModelConfig {
    /// Width of all query heads together.
    #[must_use]
    pub fn query_size(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    #[must_use]
    pub fn key_value_size(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }

    /// How many of the last positions a layer sees; `None`: all.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.windows.get(layer).copied().flatten()
    }
}

/// Far above any size of any model, far below what would overflow a product of two of them in 64 bits.
const LARGEST: usize = 1 << 28;

/// The checks of sizes both sources share: no zero, nothing that no model has, and heads that divide. What they pass may be
/// multiplied and allocated for.
fn check_sizes(config: &ModelConfig, file: &'static str) -> Result<(), ConfigError> {
    const MOST_LAYERS: usize = 1 << 12;
    let implausible = |problem: String| Err(ConfigError::Implausible { file, problem });
    for (name, value, most) in [
        ("vocab_size", config.vocab_size, LARGEST),
        ("hidden_size", config.hidden_size, LARGEST),
        ("intermediate_size", config.intermediate_size, LARGEST),
        ("number of layers", config.num_layers, MOST_LAYERS),
        ("number of attention heads", config.num_heads, LARGEST),
        ("number of key-value heads", config.num_kv_heads, LARGEST),
        ("head_dim", config.head_dim, LARGEST),
        ("max_position_embeddings", config.max_position_embeddings, LARGEST),
    ] {
        if value == 0 || value > most {
            return implausible(format!("{name} is {value}, should be from 1 to {most}"));
        }
    }
    if !config.num_heads.is_multiple_of(config.num_kv_heads) {
        return implausible(format!(
            "{} attention heads cannot share {} key-value heads evenly",
            config.num_heads, config.num_kv_heads
        ));
    }
    Ok(())
}

/// The checks of everything else, once a family has had its say.
fn check(mut config: ModelConfig, file: &'static str) -> Result<ModelConfig, ConfigError> {
    let implausible = |problem: String| Err(ConfigError::Implausible { file, problem });
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if config.rotary_dim == 0 || !config.rotary_dim.is_multiple_of(2) || config.rotary_dim > config.head_dim {
        let what = if config.rotary_dim == config.head_dim {
            "head_dim is".to_owned()
        } else {
            format!("head_dim is {} and the rotating part of it", config.head_dim)
        };
        return implausible(format!(
            "{what} {}, rotary positions need an even one",
            config.rotary_dim
        ));
    }
    if !positive(config.rope_theta) {
        return implausible(format!("rope_theta is {}, should be positive", config.rope_theta));
    }
    if !(config.rms_norm_eps.is_finite() && config.rms_norm_eps >= 0.0) {
        return implausible(format!(
            "rms_norm_eps is {}, should not be negative",
            config.rms_norm_eps
        ));
    }
    for (name, value) in [
        ("the scale of attention scores", Some(config.attention_scale)),
        ("the soft limit of attention scores", config.block.attention_softcap),
        ("the soft limit of logits", config.final_softcap),
    ] {
        if let Some(value) = value.filter(|value| !positive(*value)) {
            return implausible(format!("{name} is {value}, should be positive"));
        }
    }
    if config.windows.contains(&Some(0)) {
        return implausible("sliding_window is 0, should be at least 1".into());
    }
    if let Some(scaling) = &config.rope_scaling {
        if let Err(problem) = scaling.check(config.rotary_dim) {
            return implausible(problem);
        }
        config.max_position_embeddings = scaling.stretched(config.max_position_embeddings).min(LARGEST);
    }
    Ok(config)
}
