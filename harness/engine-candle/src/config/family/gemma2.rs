//! Gemma 2: a norm before and behind each half of a block, soft limits on scores and logits, a window on every other
//! layer: `Gemma2ForCausalLM`.

use super::super::json::Object;
use super::super::{BlockNorms, ConfigError, ModelConfig, NormWeight, RopeLayout, windows};
use super::{Defaults, Family, Metadata, RopeKinds};

pub(super) static FAMILY: Family = Family {
    model_type: "gemma2",
    class_prefix: "Gemma2",
    gguf_architecture: "gemma2",
    defaults: Defaults {
        vocab_size: 256_000,
        hidden_size: 2_304,
        intermediate_size: 9_216,
        num_layers: 26,
        num_heads: 8,
        num_kv_heads: Some(4),
        head_dim: Some(256),
        max_position_embeddings: 8_192,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: true,
        activation: "gelu_pytorch_tanh",
        bos_token_id: Some(2),
        eos_token_id: Some(1),
    },
    // Published files have `hidden_act` too, which transformers does not look at.
    activation_key: "hidden_activation",
    rope_kinds: RopeKinds::General,
    partial_rotary: false,
    read,
    read_gguf,
    gguf_layout: RopeLayout::Halves,
    gguf_names: &[
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
    ],
};

/// Where the files of either format are silent.
const WINDOW: usize = 4_096;
const ATTENTION_SOFTCAP: f64 = 50.0;
const FINAL_SOFTCAP: f64 = 30.0;

/// Layers of the 27B model, whose scores alone are not scaled by the width of a head. GGUF files do not say it.
const LAYERS_OF_27B: usize = 46;

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    shape(model);
    model.block.norm_weight = NormWeight::OnePlus;
    let has_bias = json.flag("attention_bias", false)?;
    model.block.biases.qkv = has_bias;
    model.block.biases.output = has_bias;
    model.attention_scale = json.number("query_pre_attn_scalar")?.unwrap_or(256.0).powf(-0.5);
    model.block.attention_softcap = json.number_unless_null("attn_logit_softcapping", ATTENTION_SOFTCAP)?;
    model.final_softcap = json.number_unless_null("final_logit_softcapping", FINAL_SOFTCAP)?;
    let window = json.size_unless_null("sliding_window", WINDOW)?;
    windows::set(json, model, window, |layer| layer % 2 == 0)
}

/// The converter has added the one to the weights of norms.
fn read_gguf(metadata: &Metadata<'_>, model: &mut ModelConfig) -> Result<(), ConfigError> {
    shape(model);
    if model.num_layers == LAYERS_OF_27B && metadata.number("attention.scale")?.is_none() {
        model.attention_scale = (model.hidden_size as f64 / model.num_heads as f64).powf(-0.5);
    }
    let limit = |key: &str, default: f64| Ok::<f64, ConfigError>(metadata.number(key)?.unwrap_or(default));
    model.block.attention_softcap = Some(limit("attn_logit_softcapping", ATTENTION_SOFTCAP)?);
    model.final_softcap = Some(limit("final_logit_softcapping", FINAL_SOFTCAP)?);
    let window = metadata.window()?.unwrap_or(WINDOW);
    model.windows = (0..model.num_layers)
        .map(|layer| (layer % 2 == 0).then_some(window))
        .collect();
    Ok(())
}

fn shape(model: &mut ModelConfig) {
    model.block.norms = BlockNorms::BeforeAndAfter;
    model.embedding_scale = Some((model.hidden_size as f64).sqrt());
}
