//! Qwen3 (dense): `Qwen3ForCausalLM`. Queries and keys are normalised head by head, and there are no biases.
//!
//! The family is younger than Transformers 4.49 (it came with 4.51), so there is no tree made by running that version
//! to compare with. What is here follows the public source of the class: `head_dim` is a key of its own with default
//! 128, and `q_norm` and `k_norm` are registered after the projections, each with one weight per dimension of a head.
//! The number of parameters of a published model confirms it.

use super::config::Config;
use super::decoder::{Attention, Decoder, Defaults, Dimensions, HeadNorm};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen3",
    root_class: "Qwen3ForCausalLM",
    layer_class: "Qwen3DecoderLayer",
    base: "model",
    grow,
};

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let defaults = Defaults {
        key_value_heads: Some(32),
        head: Some(128),
    };
    let dimensions = Dimensions::read(config, &defaults)?;
    let bias = Bias::from(config.flag("attention_bias", false)?);
    let attention = Attention {
        in_bias: bias,
        out_bias: bias,
        head_norm: HeadNorm::Present,
    };
    let activation = config.activation("hidden_act", "silu")?;
    let mut decoder = Decoder {
        name: "Qwen3",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, false, |decoder, layer| {
        decoder.llama_layer(layer, &attention, activation, Bias::Without);
    })
}
