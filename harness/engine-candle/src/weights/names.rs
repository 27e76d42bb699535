//! Hugging Face names of tensors to those of GGUF files.

/// The name in a GGUF file of the tensor that Hugging Face calls `name`; `None` for tensors GGUF has no name for.
#[must_use]
pub fn gguf_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("model.layers.") {
        let (index, rest) = rest.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        let module = match module {
            "input_layernorm" => "attn_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.o_proj" => "attn_output",
            "post_attention_layernorm" => "ffn_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            _ => return None,
        };
        return Some(format!("blk.{index}.{module}.{kind}"));
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

    #[test]
    fn names_are_translated() {
        for (name, expected) in [
            ("model.layers.11.self_attn.q_proj.bias", Some("blk.11.attn_q.bias")),
            (
                "model.layers.0.post_attention_layernorm.weight",
                Some("blk.0.ffn_norm.weight"),
            ),
            ("lm_head.weight", Some("output.weight")),
            ("model.layers.0.self_attn.rotary_emb.inv_freq", None),
            ("model.rotary_emb", None),
        ] {
            assert_eq!(gguf_name(name).as_deref(), expected, "{name}");
        }
    }
}
