//! Llama and what is built like it (SmolLM2, TinyLlama): `LlamaForCausalLM`.

use super::super::json::Object;
use super::super::{Biases, ConfigError, ModelConfig, RopeLayout, windows};
use super::{Defaults, Family, RopeKinds, gguf_window};

pub(super) static FAMILY: Family = Family {
    model_type: "llama",
    class_prefix: "Llama",
    gguf_architecture: "llama",
    defaults: Defaults {
        vocab_size: 32_000,
        hidden_size: 4_096,
        intermediate_size: 11_008,
        num_layers: 32,
        num_heads: 32,
        num_kv_heads: None,
        head_dim: None,
        max_position_embeddings: 2_048,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: false,
        activation: "silu",
        bos_token_id: Some(1),
        eos_token_id: Some(2),
    },
    activation_key: "hidden_act",
    rope_kinds: RopeKinds::General,
    partial_rotary: false,
    read,
    // Mistral's files are of this architecture too.
    read_gguf: gguf_window,
    gguf_layout: RopeLayout::Interleaved,
    gguf_names: &[],
};

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    let has_bias = json.flag("attention_bias", false)?;
    model.block.biases = Biases {
        qkv: has_bias,
        output: has_bias,
        mlp: json.flag("mlp_bias", false)?,
    };
    // `sliding_window` is a key that transformers' Llama never looks at.
    windows::none(json, model)
}
