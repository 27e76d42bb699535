//! The module tree of a model: what a planner places.
//!
//! Modules, classes and their order are those of transformers, because the planner's answers depend on all three.
//! `placebench-core` knows them for every family; here only dtypes and sizes are added.

use placebench_core::module_tree::{self, ConfigTreeError, ModuleTree, TensorKind};
use placebench_core::protocol::Dtype;
use serde_json::json;

use crate::checkpoint::{Checkpoint, StoredTensor};
use crate::config::{HEAD, ModelConfig};

const EMBEDDING: &str = "model.embed_tokens.weight";

/// The tree of a configuration with all parameters in one element type: what a model loaded in `dtype` is made of.
///
/// # Errors
/// When the numbers of the configuration make no tree.
pub fn from_config(id: &str, config: &ModelConfig, dtype: Dtype) -> Result<ModuleTree, ConfigTreeError> {
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
pub fn from_checkpoint(id: &str, checkpoint: &Checkpoint) -> Result<ModuleTree, ConfigTreeError> {
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

/// The tree of the family, with every parameter as it is stored.
fn build(
    id: &str,
    config: &ModelConfig,
    stored_as: impl Fn(&str) -> (String, Option<u64>),
) -> Result<ModuleTree, ConfigTreeError> {
    from_hyper_parameters(id, hyper_parameters(config), stored_as)
}

/// The tree of a configuration in the words of `config.json`, with every parameter as it is stored: its element type, and
/// its bytes where they do not follow from that.
pub(crate) fn from_hyper_parameters(
    id: &str,
    hyper_parameters: serde_json::Value,
    stored_as: impl Fn(&str) -> (String, Option<u64>),
) -> Result<ModuleTree, ConfigTreeError> {
    let plain = module_tree::from_config(id, &hyper_parameters)?;
    let mut tree = ModuleTree::builder(id, plain.architecture())
        .config(Some(hyper_parameters))
        .no_split_classes(plain.no_split_classes());
    for module in plain.modules().iter().filter(|module| !module.path.is_empty()) {
        tree.push_module(module.path.as_str(), module.class.as_str());
    }
    for tensor in plain.tensors() {
        let (dtype, bytes) = match tensor.kind {
            TensorKind::Param => stored_as(&tensor.name),
            TensorKind::Buffer | TensorKind::BufferNp => (tensor.dtype.clone(), None),
        };
        tree.push_tensor(tensor.name.as_str(), tensor.kind, dtype, tensor.shape.as_slice(), bytes);
    }
    for tie in plain.tied() {
        tree.push_tie(tie);
    }
    Ok(tree.build()?)
}

/// The configuration in the words of `config.json`: what shapes the tree, and what planners want to know.
fn hyper_parameters(config: &ModelConfig) -> serde_json::Value {
    let biases = config.block.biases;
    let mut json = json!({
        "model_type": config.family.model_type,
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
        "attention_bias": biases.output,
        "mlp_bias": biases.mlp,
    });
    let activation = config.block.activation.name();
    json[config.family.activation_key()] = activation.into();
    if config.rotary_dim < config.head_dim {
        // Half an element more, so that cutting the product off gives the same number again.
        json["partial_rotary_factor"] = ((config.rotary_dim as f64 + 0.5) / config.head_dim as f64).into();
    }
    json
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

    #[test]
    fn phi3_gemma2_and_mistral_are_the_trees_of_transformers() {
        check(include_str!(
            "../../core/tests/data/accelerate/models/phi-3-mini-4k-instruct.json"
        ));
        check(include_str!("../../core/tests/data/accelerate/models/gemma-2-2b.json"));
        check(include_str!(
            "../../core/tests/data/accelerate/models/mistral-7b-v0.3.json"
        ));
    }

    /// Every parameter that a checkpoint is searched for is in the tree, in its order, and no other.
    #[test]
    fn trees_and_parameters_agree_for_every_family() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny");
        let mut families = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                continue;
            }
            let config = ModelConfig::from_dir(&path).unwrap();
            families.insert(config.family.model_type);
            let tree = from_config("tiny", &config, Dtype::F32).unwrap();
            let listed: Vec<(String, Vec<u64>)> = config
                .parameters()
                .into_iter()
                .map(|own| (own.name, own.shape.iter().map(|&size| size as u64).collect()))
                .collect();
            let grown: Vec<(String, Vec<u64>)> = tree
                .tensors()
                .iter()
                .filter(|tensor| tensor.kind == TensorKind::Param)
                .map(|tensor| (tensor.name.clone(), tensor.shape.clone()))
                .collect();
            assert_eq!(listed, grown, "{}", path.display());
            let frequencies = tree.tensors().last().unwrap();
            assert_eq!(frequencies.shape, [config.rotary_dim as u64 / 2], "{}", path.display());
        }
        assert_eq!(
            families.len(),
            crate::config::family::names().len(),
            "a tiny model for every family"
        );
    }
}
