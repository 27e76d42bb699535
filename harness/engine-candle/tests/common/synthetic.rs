//! Models that are as large as a measurement needs, with random weights, written to a temporary folder.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;

/// The numbers of a Llama model with as many key heads as query heads divided by two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) vocab: usize,
    pub(crate) positions: usize,
}

/// A folder with such a model, untied, in single precision.
pub(crate) fn write(sizes: Sizes) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_to(folder.path(), sizes);
    folder
}

fn write_to(folder: &Path, sizes: Sizes) {
    let key_size = sizes.hidden / 2;
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.heads / 2,
        "vocab_size": sizes.vocab,
        "max_position_embeddings": sizes.positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let matrix = |rows: usize, columns: usize| Tensor::randn(0_f32, 0.02, (rows, columns), &Device::Cpu).unwrap();
    let ones = || Tensor::ones(sizes.hidden, DType::F32, &Device::Cpu).unwrap();
    for layer in 0..sizes.layers {
        let mut add =
            |name: &str, tensor: Tensor| tensors.insert(format!("model.layers.{layer}.{name}.weight"), tensor);
        add("input_layernorm", ones());
        add("post_attention_layernorm", ones());
        add("self_attn.q_proj", matrix(sizes.hidden, sizes.hidden));
        add("self_attn.k_proj", matrix(key_size, sizes.hidden));
        add("self_attn.v_proj", matrix(key_size, sizes.hidden));
        add("self_attn.o_proj", matrix(sizes.hidden, sizes.hidden));
        add("mlp.gate_proj", matrix(sizes.intermediate, sizes.hidden));
        add("mlp.up_proj", matrix(sizes.intermediate, sizes.hidden));
        add("mlp.down_proj", matrix(sizes.hidden, sizes.intermediate));
    }
    tensors.insert("model.embed_tokens.weight".into(), matrix(sizes.vocab, sizes.hidden));
    tensors.insert("model.norm.weight".into(), ones());
    tensors.insert("lm_head.weight".into(), matrix(sizes.vocab, sizes.hidden));
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}
