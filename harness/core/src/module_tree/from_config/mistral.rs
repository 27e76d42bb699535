//! Mistral: `MistralForCausalLM`. Built like Llama, without biases.

use super::config::Config;
use super::decoder::{Attention, Decoder, Defaults, Dimensions, HeadNorm};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "mistral",
    root_class: "MistralForCausalLM",
    layer_class: "MistralDecoderLayer",
    base: "model",
    grow,
};

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let defaults = Defaults {
        key_value_heads: Some(8),
        ..Defaults::default()
    };
    let dimensions = Dimensions::read(config, &defaults)?;
    let attention = Attention {
        in_bias: Bias::Without,
        out_bias: Bias::Without,
        head_norm: HeadNorm::Absent,
    };
    let activation = config.activation("hidden_act", "silu")?;
    let mut decoder = Decoder {
        name: "Mistral",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, false, |decoder, layer| {
        decoder.llama_layer(layer, &attention, activation, Bias::Without);
    })
}
