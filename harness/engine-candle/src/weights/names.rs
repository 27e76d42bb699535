//! Hugging Face names of tensors to those of GGUF files.

use crate::config::Family;

/// Tensors of rotary factors, which are no weights of a module.
pub(crate) const ROPE_DIVISORS: &str = "rope_freqs.weight";
/// Divisors of LongRoPE up to the original context.
pub(crate) const ROPE_FACTORS_SHORT: &str = "rope_factors_short.weight";
/// Divisors of LongRoPE beyond the original context.
pub(crate) const ROPE_FACTORS_LONG: &str = "rope_factors_long.weight";

/// Modules of a block of Llama.
const LLAMA: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The name in a GGUF file of the tensor that Hugging Face calls `name`; `None` for tensors GGUF has no name for.
#[must_use]
pub fn gguf_name(family: &Family, name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("model.layers.") {
        let (index, rest) = rest.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        // A family's own names come first: they may give a module of Llama another one.
        let mut names = family.gguf_names().iter().chain(&LLAMA);
        let (_, stored) = names.find(|(known, _)| *known == module)?;
        return Some(format!("blk.{index}.{stored}.{kind}"));
    }
    let gguf = match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => return None,
    };
    Some(gguf.to_owned())
}

#[cfg(test)]
mod tests {
    use super::gguf_name;
    use crate::config::family::by_model_type;

    #[test]
    fn names_are_translated() {
        let norm = "model.layers.0.post_attention_layernorm.weight";
        for (family, name, expected) in [
            (
                "llama",
                "model.layers.11.self_attn.q_proj.bias",
                Some("blk.11.attn_q.bias"),
            ),
            ("llama", norm, Some("blk.0.ffn_norm.weight")),
            ("llama", "lm_head.weight", Some("output.weight")),
            ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", None),
            ("llama", "model.layers.0.self_attn.q_norm.weight", None),
            ("llama", "model.rotary_emb", None),
            (
                "qwen3",
                "model.layers.0.self_attn.q_norm.weight",
                Some("blk.0.attn_q_norm.weight"),
            ),
            (
                "phi3",
                "model.layers.2.mlp.gate_up_proj.weight",
                Some("blk.2.ffn_up.weight"),
            ),
            ("gemma2", norm, Some("blk.0.post_attention_norm.weight")),
            (
                "gemma2",
                "model.layers.0.pre_feedforward_layernorm.weight",
                Some("blk.0.ffn_norm.weight"),
            ),
        ] {
            let family = by_model_type(family).unwrap();
            assert_eq!(gguf_name(family, name).as_deref(), expected, "{family:?} {name}");
        }
    }
}
