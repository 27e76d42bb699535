//! Phi-3 (and Phi-3.5, Phi-4 mini): fused projections, heads that may rotate in part, LongRoPE: `Phi3ForCausalLM`.

use super::super::json::Object;
use super::super::{ConfigError, ModelConfig, Projections, RopeLayout, windows};
use super::{Defaults, Family, Metadata, RopeKinds, gguf_window};

pub(super) static FAMILY: Family = Family {
    model_type: "phi3",
    class_prefix: "Phi3",
    gguf_architecture: "phi3",
    defaults: Defaults {
        vocab_size: 32_064,
        hidden_size: 3_072,
        intermediate_size: 8_192,
        num_layers: 32,
        num_heads: 32,
        num_kv_heads: None,
        head_dim: None,
        max_position_embeddings: 4_096,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: false,
        activation: "silu",
        bos_token_id: Some(1),
        eos_token_id: Some(32_000),
    },
    activation_key: "hidden_act",
    rope_kinds: RopeKinds::LongRope,
    partial_rotary: true,
    read,
    read_gguf,
    gguf_layout: RopeLayout::Halves,
    gguf_names: &[("self_attn.qkv_proj", "attn_qkv"), ("mlp.gate_up_proj", "ffn_up")],
};

fn read(json: &Object, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.projections = Projections::Fused;
    let window = json.size("sliding_window")?;
    windows::set(json, model, window, |_| true)
}

fn read_gguf(metadata: &Metadata<'_>, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.block.projections = Projections::Fused;
    gguf_window(metadata, model)
}
