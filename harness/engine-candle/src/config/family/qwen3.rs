//! Qwen3 (dense): heads of a width of their own, whose queries and keys are normalised: `Qwen3ForCausalLM`.

use super::super::json::Object;
use super::super::{ConfigError, ModelConfig, RopeLayout, windows};
use super::{Defaults, Family, Metadata, RopeKinds};

pub(super) static FAMILY: Family = Family {
    model_type: "qwen3",
    class_prefix: "Qwen3",
    gguf_architecture: "qwen3",
    defaults: Defaults {
        vocab_size: 151_936,
        hidden_size: 4_096,
        intermediate_size: 22_016,
        num_layers: 32,
        num_heads: 32,
        num_kv_heads: Some(32),
        head_dim: Some(128),
        max_position_embeddings: 32_768,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: false,
        activation: "silu",
        bos_token_id: None,
        eos_token_id: None,
    },
    activation_key: "hidden_act",
    rope_kinds: RopeKinds::General,
    partial_rotary: false,
    read,
    read_gguf,
    gguf_layout: RopeLayout::Halves,
    gguf_names: &[("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm")],
};

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.head_norms = true;
    let has_bias = json.flag("attention_bias", false)?;
    model.block.biases.qkv = has_bias;
    model.block.biases.output = has_bias;
    windows::switched(json, model)
}

fn read_gguf(metadata: &Metadata<'_>, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.head_norms = true;
    metadata.refuse_window()
}
