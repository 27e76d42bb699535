//! Gemma 2: `Gemma2ForCausalLM`. Four norms a layer, heads of a size of their own, the head tied by default.

use super::config::Config;
use super::decoder::{Attention, Decoder, Defaults, Dimensions, HeadNorm};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "gemma2",
    root_class: "Gemma2ForCausalLM",
    layer_class: "Gemma2DecoderLayer",
    base: "model",
    grow,
};

const NORMS: [&str; 4] = [
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
];

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let defaults = Defaults {
        key_value_heads: Some(4),
        head: Some(256),
    };
    let dimensions = Dimensions::read(config, &defaults)?;
    let bias = Bias::from(config.flag("attention_bias", false)?);
    let attention = Attention {
        in_bias: bias,
        out_bias: bias,
        head_norm: HeadNorm::Absent,
    };
    // `hidden_act` is in published configurations too, but only this key counts.
    let activation = config.activation("hidden_activation", "gelu_pytorch_tanh")?;
    let mut decoder = Decoder {
        name: "Gemma2",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, true, |decoder, layer| {
        decoder.attention(layer, &attention);
        decoder.gated_mlp(layer, activation, Bias::Without);
        for norm in NORMS {
            decoder.norm(&format!("{layer}.{norm}"));
        }
    })
}
