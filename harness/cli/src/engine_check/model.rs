//! The model that is there wherever the program is, and what is known of it.

use placebench_core::protocol::Dtype;
use serde_json::{Value, json};

/// Rows of the embedding.
const VOCABULARY: u64 = 320;
const HIDDEN: u64 = 32;
const INTERMEDIATE: u64 = 64;
const LAYERS: u64 = 4;
const HEADS: u64 = 4;
const KEY_VALUE_HEADS: u64 = 2;
/// Positions it can have.
const POSITIONS: u64 = 2048;

/// A configuration of a small Llama. Its tokens that end a generation are these.
pub(crate) fn config(eos: u32) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": false,
        "initializer_range": 0.02,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": eos,
    })
}

/// An end token that the tests' prompts do not lead to.
pub(crate) const USUAL_EOS: u32 = 2;

/// Bytes of the embedding.
pub(crate) fn embedding_bytes(dtype: Dtype) -> u64 {
    VOCABULARY * HIDDEN * dtype.size_bytes()
}

/// Bytes of a module, by its path; none for a path the model does not have.
pub(crate) fn module_bytes(module: &str, dtype: Dtype) -> Option<u64> {
    let key_value = HIDDEN / HEADS * KEY_VALUE_HEADS;
    let attention = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * key_value;
    let layer = attention + 3 * HIDDEN * INTERMEDIATE + 2 * HIDDEN;
    let elements = match module {
        "model.embed_tokens" | "lm_head" => VOCABULARY * HIDDEN,
        "model.norm" => HIDDEN,
        _ => {
            let index: u64 = module.strip_prefix("model.layers.")?.parse().ok()?;
            (index < LAYERS).then_some(layer)?
        }
    };
    Some(elements * dtype.size_bytes())
}

/// A prompt of so many tokens, all below 256, none of them special.
pub(crate) fn prompt(length: u32) -> Vec<u32> {
    (0..length).map(|index| 10 + index * 37 % 200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_from_the_shapes() {
        assert_eq!(embedding_bytes(Dtype::F32), 320 * 32 * 4);
        // q and o 32 × 32, k and v 32 × 16, gate, up and down 32 × 64, two norms of 32.
        let layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32;
        assert_eq!(module_bytes("model.layers.3", Dtype::F16), Some(2 * layer));
        assert_eq!(module_bytes("model.norm", Dtype::F32), Some(128));
        assert_eq!(module_bytes("model.layers.4", Dtype::F32), None);
        assert_eq!(module_bytes("model.rotary_emb", Dtype::F32), None);
    }

    #[test]
    fn prompts_are_of_plain_tokens() {
        assert!(prompt(600).iter().all(|id| (10..210).contains(id)));
    }
}
