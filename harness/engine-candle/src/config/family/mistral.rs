//! Mistral: Llama with a sliding window on every layer: `MistralForCausalLM`. Its GGUF files call themselves Llama.

use super::super::json::Object;
use super::super::{ConfigError, ModelConfig, RopeLayout, windows};
use super::{Defaults, Family, RopeKinds, gguf_window};

pub(super) static FAMILY: Family = Family {
    model_type: "mistral",
    class_prefix: "Mistral",
    gguf_architecture: "llama",
    defaults: Defaults {
        vocab_size: 32_000,
        hidden_size: 4_096,
        intermediate_size: 14_336,
        num_layers: 32,
        num_heads: 32,
        num_kv_heads: Some(8),
        head_dim: None,
        max_position_embeddings: 131_072,
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
    read_gguf: gguf_window,
    gguf_layout: RopeLayout::Interleaved,
    gguf_names: &[],
};

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    let window = json.size_unless_null("sliding_window", 4_096)?;
    windows::set(json, model, window, |_| true)
}
