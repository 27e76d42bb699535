//! GPT-2: `GPT2LMHeadModel`. Learned positions, layer norms with biases, weights with a row for each *input*.

use super::config::Config;
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "gpt2",
    root_class: "GPT2LMHeadModel",
    layer_class: "GPT2Block",
    base: "transformer",
    grow,
};

/// The dimensions of a GPT-2.
struct Dimensions {
    hidden: u64,
    inner: u64,
    layers: u64,
    positions: u64,
    vocabulary: u64,
}

impl Dimensions {
    /// Every key also goes by the name that other families use.
    fn read(config: &Config<'_>) -> Result<Self, ConfigTreeError> {
        let hidden = config.dimension_also("n_embd", "hidden_size")?;
        let heads = config.dimension_also("n_head", "num_attention_heads")?;
        if !hidden.is_multiple_of(heads) {
            return Err(ConfigTreeError::NotAMultiple {
                key: "n_embd",
                value: hidden,
                of: "n_head",
                divisor: heads,
            });
        }
        Ok(Self {
            hidden,
            inner: config.dimension("n_inner")?.unwrap_or_else(|| hidden.saturating_mul(4)),
            layers: config.layers(&["n_layer", "num_hidden_layers"])?,
            positions: config.dimension_also("n_positions", "max_position_embeddings")?,
            vocabulary: config.required_dimension("vocab_size")?,
        })
    }
}

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    if config.flag("add_cross_attention", false)? {
        return Err(ConfigTreeError::Unsupported {
            key: "add_cross_attention",
            why: "there is no encoder to attend to",
        });
    }
    let dimensions = Dimensions::read(config)?;
    let Dimensions {
        hidden,
        layers,
        positions,
        vocabulary,
        ..
    } = dimensions;
    let activation = config.activation("activation_function", "gelu_new")?;
    let is_tied = config.flag("tie_word_embeddings", true)?;
    growth.module("transformer", "GPT2Model");
    growth.weight("transformer.wte", "Embedding", &[vocabulary, hidden]);
    growth.weight("transformer.wpe", "Embedding", &[positions, hidden]);
    growth.module("transformer.drop", "Dropout");
    growth.module("transformer.h", "ModuleList");
    for index in 0..layers {
        grow_block(growth, &format!("transformer.h.{index}"), &dimensions, activation);
    }
    growth.weight_and_bias("transformer.ln_f", "LayerNorm", &[hidden]);
    growth.linear("lm_head", hidden, vocabulary, Bias::Without);
    if is_tied {
        growth.tie("lm_head.weight", "transformer.wte.weight");
    }
    Ok(())
}

fn grow_block(growth: &mut Growth, block: &str, dimensions: &Dimensions, activation: &str) {
    let &Dimensions {
        hidden,
        inner,
        positions,
        ..
    } = dimensions;
    let (attention, mlp) = (format!("{block}.attn"), format!("{block}.mlp"));
    growth.module(block, "GPT2Block");
    growth.weight_and_bias(&format!("{block}.ln_1"), "LayerNorm", &[hidden]);
    growth.module(&attention, "GPT2Attention");
    growth.computed_buffer(&attention, "bias", "bool", &[1, 1, positions, positions]);
    growth.computed_buffer(&attention, "masked_bias", "float32", &[]);
    let projected = hidden.saturating_mul(3);
    growth.weight_and_bias(&format!("{attention}.c_attn"), "Conv1D", &[hidden, projected]);
    growth.weight_and_bias(&format!("{attention}.c_proj"), "Conv1D", &[hidden, hidden]);
    growth.module(&format!("{attention}.attn_dropout"), "Dropout");
    growth.module(&format!("{attention}.resid_dropout"), "Dropout");
    growth.weight_and_bias(&format!("{block}.ln_2"), "LayerNorm", &[hidden]);
    growth.module(&mlp, "GPT2MLP");
    growth.weight_and_bias(&format!("{mlp}.c_fc"), "Conv1D", &[hidden, inner]);
    growth.weight_and_bias(&format!("{mlp}.c_proj"), "Conv1D", &[inner, hidden]);
    growth.module(&format!("{mlp}.act"), activation);
    growth.module(&format!("{mlp}.dropout"), "Dropout");
}
