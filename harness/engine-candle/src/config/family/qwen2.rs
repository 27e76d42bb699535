//! Qwen2 and Qwen2.5: Llama with biases on query, key and value, and windows on the upper layers: `Qwen2ForCausalLM`.

use super::super::json::Object;
use super::super::{ConfigError, ModelConfig, RopeLayout, windows};
use super::{Defaults, Family, Metadata, RopeKinds};

pub(super) static FAMILY: Family = Family {
    model_type: "qwen2",
    class_prefix: "Qwen2",
    gguf_architecture: "qwen2",
    defaults: Defaults {
        vocab_size: 151_936,
        hidden_size: 4_096,
        intermediate_size: 22_016,
        num_layers: 32,
        num_heads: 32,
        num_kv_heads: Some(32),
        head_dim: None,
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
    gguf_names: &[],
};

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.biases.qkv = true;
    windows::switched(json, model)
}

fn read_gguf(metadata: &Metadata<'_>, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.biases.qkv = true;
    metadata.refuse_window()
}
