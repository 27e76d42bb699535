//! Names of tensors in GGUF files.

/// Tensors outside of blocks: the name in the file, and in a tree.
const OUTSIDE: [(&str, &str); 3] = [
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
];

/// Tensors of a block that all families name alike.
const IN_BLOCK: [(&str, &str); 10] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

const LLAMA_NORMS: [(&str, &str); 1] = [("ffn_norm", "post_attention_layernorm")];

const GEMMA2_NORMS: [(&str, &str); 3] = [
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// One file's tensor holds queries, keys and values, another gate and up; these win over [`IN_BLOCK`].
const PHI3_JOINED: [(&str, &str); 3] = [
    ("attn_qkv", "self_attn.qkv_proj"),
    ("ffn_up", "mlp.gate_up_proj"),
    ("ffn_norm", "post_attention_layernorm"),
];

/// The name in a module tree of a tensor of a GGUF file, for families built like Llama.
///
/// `None` where the family is another, or the tensor has no counterpart, such as `rope_freqs.weight`. GGUF lists
/// dimensions innermost first; a [`TensorHeader`](super::TensorHeader) wants them the other way round.
///
/// ```
/// use placebench_core::module_tree::hf_name_of_gguf;
///
/// let name = hf_name_of_gguf("qwen2", "blk.3.attn_q.bias");
/// assert_eq!(name.as_deref(), Some("model.layers.3.self_attn.q_proj.bias"));
/// ```
#[must_use]
pub fn hf_name_of_gguf(model_type: &str, name: &str) -> Option<String> {
    let own: &[(&str, &str)] = match model_type {
        "llama" | "qwen2" | "qwen3" | "mistral" => &LLAMA_NORMS,
        "gemma2" => &GEMMA2_NORMS,
        "phi3" => &PHI3_JOINED,
        _ => return None,
    };
    let (stem, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let Some(rest) = stem.strip_prefix("blk.") else {
        return Some(format!("{}.{kind}", looked_up(&OUTSIDE, stem)?));
    };
    let (block, part) = rest.split_once('.')?;
    let is_number = block.parse::<u32>().is_ok_and(|number| number.to_string() == block);
    let part = looked_up(own, part).or_else(|| looked_up(&IN_BLOCK, part))?;
    is_number.then(|| format!("model.layers.{block}.{part}.{kind}"))
}

fn looked_up(names: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    names.iter().find(|(gguf, _)| *gguf == name).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_family() {
        for (family, gguf, expected) in [
            ("llama", "token_embd.weight", "model.embed_tokens.weight"),
            ("llama", "output.weight", "lm_head.weight"),
            ("mistral", "output_norm.weight", "model.norm.weight"),
            (
                "llama",
                "blk.12.ffn_norm.weight",
                "model.layers.12.post_attention_layernorm.weight",
            ),
            (
                "gemma2",
                "blk.0.ffn_norm.weight",
                "model.layers.0.pre_feedforward_layernorm.weight",
            ),
            (
                "gemma2",
                "blk.0.post_ffw_norm.weight",
                "model.layers.0.post_feedforward_layernorm.weight",
            ),
            (
                "qwen3",
                "blk.1.attn_k_norm.weight",
                "model.layers.1.self_attn.k_norm.weight",
            ),
            (
                "phi3",
                "blk.1.attn_qkv.weight",
                "model.layers.1.self_attn.qkv_proj.weight",
            ),
            ("phi3", "blk.1.ffn_up.weight", "model.layers.1.mlp.gate_up_proj.weight"),
            ("qwen2", "blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"),
        ] {
            assert_eq!(hf_name_of_gguf(family, gguf).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_names_have_no_counterpart() {
        for (family, gguf) in [
            ("gpt2", "token_embd.weight"),
            ("llama", "rope_freqs.weight"),
            ("llama", "blk.x.attn_q.weight"),
            ("llama", "blk.01.attn_q.weight"),
            ("llama", "blk.1.attn_q"),
            ("llama", "blk.1.attn_q.scale"),
            ("llama", "output"),
            ("llama", ""),
        ] {
            assert_eq!(hf_name_of_gguf(family, gguf), None, "{gguf}");
        }
    }
}
