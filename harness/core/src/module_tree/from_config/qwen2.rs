//! Qwen2 and Qwen2.5: `Qwen2ForCausalLM`. Queries, keys and values always have biases, the output never.

use super::config::Config;
use super::decoder::{Attention, Decoder, Defaults, Dimensions, HeadNorm};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen2",
    root_class: "Qwen2ForCausalLM",
    layer_class: "Qwen2DecoderLayer",
    base: "model",
    grow,
};

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let defaults = Defaults {
        key_value_heads: Some(32),
        ..Defaults::default()
    };
    let dimensions = Dimensions::read(config, &defaults)?;
    let attention = Attention {
        in_bias: Bias::With,
        out_bias: Bias::Without,
        head_norm: HeadNorm::Absent,
    };
    let activation = config.activation("hidden_act", "silu")?;
    let mut decoder = Decoder {
        name: "Qwen2",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, false, |decoder, layer| {
        decoder.llama_layer(layer, &attention, activation, Bias::Without);
    })
}
