//! The module tree of a model: what a planner places.
//!
//! Modules, classes and their order are those of transformers 4.49, because the planner's answers depend on all three.

use placebench_core::module_tree::{ModuleTree, ModuleTreeBuilder, TensorKind, TreeError};
use placebench_core::protocol::Dtype;
use serde_json::json;

use crate::checkpoint::{Checkpoint, StoredTensor};
use crate::config::{HEAD, ModelConfig};

const EMBEDDING: &str = "model.embed_tokens.weight";

/// The tree of a configuration with all parameters in one element type: what a model loaded in `dtype` is made of.
///
/// # Errors
/// When the numbers of the configuration make no tree.
pub fn from_config(id: &str, config: &ModelConfig, dtype: Dtype) -> Result<ModuleTree, TreeError> {
    let name = match dtype {
        Dtype::F32 => "float32",
        Dtype::F16 => "float16",
        Dtype::Bf16 => "bfloat16",
    };
    build(id, config, |_| (name.to_owned(), None))
}

/// The tree of a checkpoint with all parameters as they are stored; quantised ones keep their packed size.
///
/// # Errors
/// When the numbers of the configuration make no tree.
pub fn from_checkpoint(id: &str, checkpoint: &Checkpoint) -> Result<ModuleTree, TreeError> {
    let stored: std::collections::HashMap<&str, &StoredTensor> = checkpoint
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    build(id, &checkpoint.config, |name| {
        let tied_head = name == HEAD && checkpoint.config.tie_word_embeddings;
        match stored.get(if tied_head { EMBEDDING } else { name }) {
            Some(tensor) => (tensor.dtype.name(), Some(tensor.bytes.0)),
            None => ("float32".to_owned(), None),
        }
    })
}

/// Adds all modules in the order of transformers' constructors, then the tensors.
fn build(
    id: &str,
    config: &ModelConfig,
    stored_as: impl Fn(&str) -> (String, Option<u64>),
) -> Result<ModuleTree, TreeError> {
    let prefix = config.family.class_prefix();
    let class = |name: &str| format!("{prefix}{name}");
    let mut tree = ModuleTree::builder(id, class("ForCausalLM"))
        .config(Some(hyper_parameters(config)))
        .no_split_classes([class("DecoderLayer")])
        .module("model", class("Model"))
        .module("model.embed_tokens", "Embedding")
        .module("model.layers", "ModuleList");
    for layer in 0..config.num_layers {
        push_layer(&mut tree, layer, &class);
    }
    tree.push_module("model.norm", class("RMSNorm"));
    tree.push_module("model.rotary_emb", class("RotaryEmbedding"));
    tree.push_module("lm_head", "Linear");
    for parameter in config.parameters() {
        let (dtype, bytes) = stored_as(&parameter.name);
        let shape: Vec<u64> = parameter.shape.iter().map(|&size| size as u64).collect();
        tree.push_tensor(parameter.name, TensorKind::Param, dtype, shape, bytes);
    }
    let frequencies = vec![config.head_dim as u64 / 2];
    tree.push_tensor(
        "model.rotary_emb.inv_freq",
        TensorKind::BufferNp,
        "float32",
        frequencies,
        None,
    );
    if config.tie_word_embeddings {
        tree = tree.tie([EMBEDDING, HEAD]);
    }
    tree.build()
}

fn push_layer(tree: &mut ModuleTreeBuilder, layer: usize, class: &impl Fn(&str) -> String) {
    let path = format!("model.layers.{layer}");
    tree.push_module(path.as_str(), class("DecoderLayer"));
    tree.push_module(format!("{path}.self_attn"), class("Attention"));
    for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        tree.push_module(format!("{path}.self_attn.{projection}"), "Linear");
    }
    tree.push_module(format!("{path}.mlp"), class("MLP"));
    for projection in ["gate_proj", "up_proj", "down_proj"] {
        tree.push_module(format!("{path}.mlp.{projection}"), "Linear");
    }
    tree.push_module(format!("{path}.mlp.act_fn"), "SiLU");
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        tree.push_module(format!("{path}.{norm}"), class("RMSNorm"));
    }
}

/// The configuration in the words of `config.json`, for the record.
fn hyper_parameters(config: &ModelConfig) -> serde_json::Value {
    json!({
        "model_type": config.family.model_type(),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "hidden_act": "silu",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree that Hugging Face's classes have, in a file, against the one built from the file's configuration.
    fn check(file: &str) {
        let golden: ModuleTree = serde_json::from_str(file).unwrap();
        let config = golden.config().unwrap().to_string();
        let config = ModelConfig::from_json(&config, None).unwrap();
        let built = from_config(golden.id(), &config, Dtype::F32).unwrap();
        assert_eq!(built.architecture(), golden.architecture());
        assert_eq!(built.modules(), golden.modules());
        assert_eq!(built.tensors(), golden.tensors());
        assert_eq!(built.tied(), golden.tied());
        assert_eq!(built.no_split_classes(), golden.no_split_classes());
        assert_eq!(built.no_split_modules(), golden.no_split_modules());
        assert_eq!(built.same_module(), golden.same_module());
    }

    #[test]
    fn qwen2_is_the_tree_of_transformers() {
        check(include_str!(
            "../../core/tests/data/accelerate/models/qwen2.5-0.5b-instruct.json"
        ));
    }

    #[test]
    fn tied_llama_is_the_tree_of_transformers() {
        check(include_str!(
            "../../core/tests/data/accelerate/models/smollm2-135m-instruct.json"
        ));
    }

    #[test]
    fn untied_llama_is_the_tree_of_transformers() {
        check(include_str!(
            "../../core/tests/data/accelerate/models/llama-3.1-8b.json"
        ));
    }
}
