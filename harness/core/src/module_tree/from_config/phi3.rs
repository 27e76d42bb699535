//! Phi-3: `Phi3ForCausalLM`. Queries, keys and values are one projection, gate and up another, and the output
//! projection is registered first.

use super::config::Config;
use super::decoder::{Decoder, Defaults, Dimensions};
use super::growth::{Bias, Growth};
use super::{ConfigTreeError, Family};

pub(super) const FAMILY: Family = Family {
    model_type: "phi3",
    root_class: "Phi3ForCausalLM",
    layer_class: "Phi3DecoderLayer",
    base: "model",
    grow,
};

fn grow(config: &Config<'_>, growth: &mut Growth) -> Result<(), ConfigTreeError> {
    let dimensions = Dimensions::read(config, &Defaults::default())?;
    let activation = config.activation("hidden_act", "silu")?;
    let mut decoder = Decoder {
        name: "Phi3",
        dimensions: &dimensions,
        growth,
    };
    decoder.grow(config, false, |decoder, layer| grow_layer(decoder, layer, activation))
}

fn grow_layer(decoder: &mut Decoder<'_>, layer: &str, activation: &str) {
    let Dimensions {
        hidden, intermediate, ..
    } = *decoder.dimensions;
    let (queries, keys) = (decoder.dimensions.queries(), decoder.dimensions.keys());
    let attention = format!("{layer}.self_attn");
    let mlp = format!("{layer}.mlp");
    let projected = queries.saturating_add(keys.saturating_mul(2));
    let (attention_class, mlp_class) = (decoder.class("Attention"), decoder.class("MLP"));
    let growth = &mut *decoder.growth;
    growth.module(&attention, &attention_class);
    growth.linear(&format!("{attention}.o_proj"), queries, hidden, Bias::Without);
    growth.linear(&format!("{attention}.qkv_proj"), hidden, projected, Bias::Without);
    growth.module(&mlp, &mlp_class);
    let gate_and_up = intermediate.saturating_mul(2);
    growth.linear(&format!("{mlp}.gate_up_proj"), hidden, gate_and_up, Bias::Without);
    growth.linear(&format!("{mlp}.down_proj"), intermediate, hidden, Bias::Without);
    growth.module(&format!("{mlp}.activation_fn"), activation);
    decoder.norm(&format!("{layer}.input_layernorm"));
    decoder.norm(&format!("{layer}.post_attention_layernorm"));
    for name in ["resid_attn_dropout", "resid_mlp_dropout"] {
        decoder.growth.module(&format!("{layer}.{name}"), "Dropout");
    }
}
