//! Llama, and what is built like it: `LlamaForCausalLM`.

use super::config::Config;
use super::decoder::{Attention, Decoder, Defaults, Dimensions, HeadNorm};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "llama",
    root_class: "LlamaForCausalLM",
    layer_class: "LlamaDecoderLayer",
    base: "model",
    grow,
};

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let dimensions = Dimensions::read(config, &Defaults::default())?;
    let bias = Bias::from(config.flag("attention_bias", false)?);
    let attention = Attention {
        in_bias: bias,
        out_bias: bias,
        head_norm: HeadNorm::Absent,
    };
    let mlp_bias = Bias::from(config.flag("mlp_bias", false)?);
    let activation = config.activation("hidden_act", "silu")?;
    let mut decoder = Decoder {
        name: "Llama",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, false, |decoder, layer| {
        decoder.llama_layer(layer, &attention, activation, mlp_bias);
    })
}
