//! Module trees from a configuration and the headers of weight files: the same modules, tensors as they are stored.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use thiserror::Error;

use super::from_config::{ConfigTreeError, base_module, from_config};
use super::{ModuleTree, ModuleTreeBuilder, Tensor, TensorKind, TreeError};
use crate::planner::{Amount, bytes_per_element};

/// What a weight file says of a tensor before its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHeader {
    /// The full name, as in Transformers.
    pub name: String,
    /// The dtype as PyTorch spells it (`float16`), or the name of a packed format (`q4_k`).
    pub dtype: String,
    /// The dimensions, outermost first; those of the unpacked tensor for packed formats.
    pub shape: Vec<u64>,
    /// Its size in the file, in bytes. Decides for packed formats only; others follow from dtype and shape.
    pub bytes: u64,
}

/// A tree whose tensors are as a checkpoint stores them.
#[derive(Debug, Clone)]
pub struct CheckpointTree {
    /// The tree. Computed buffers, which no file holds, are as the model makes them.
    pub tree: ModuleTree,
    /// Stored tensors that the model does not have, in order of their headers. They are not loaded.
    pub unexpected: Vec<String>,
}

/// Why a configuration and headers make no tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderTreeError {
    /// The configuration makes no tree.
    #[error(transparent)]
    Config(#[from] ConfigTreeError),
    /// Two headers have the same name.
    #[error("tensor `{name}` is stored twice")]
    StoredTwice {
        /// The tensor.
        name: String,
    },
    /// The model has tensors that are not stored.
    #[error("{} of the model's tensors are not stored: {}", names.len(), listed(names))]
    Missing {
        /// The tensors' names.
        names: Vec<String>,
    },
    /// A tensor is stored in another shape than the configuration makes.
    #[error("tensor `{name}` is stored as {stored:?}, but the configuration makes {configured:?}")]
    ShapeDiffers {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        stored: Vec<u64>,
        /// Its shape by the configuration.
        configured: Vec<u64>,
    },
    /// The parts make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The module tree of a checkpoint: modules, classes, ties and computed buffers as [`from_config()`] makes them, dtypes
/// and bytes of the other tensors as they are stored.
///
/// A tied parameter need be stored under one of its names only, and all of them get its dtype. Where several are
/// stored in different dtypes they cannot be one tensor, and the tie is dissolved. Names may lack the base module
/// (`h.0.ln_1.weight` for `transformer.h.0.ln_1.weight`) where none has it, as Transformers accepts.
///
/// # Errors
/// When the configuration makes no tree, or tensors are missing, stored twice or of another shape.
pub fn from_headers(
    id: &str,
    config: &Value,
    headers: impl IntoIterator<Item = TensorHeader>,
) -> Result<CheckpointTree, HeaderTreeError> {
    let built = from_config(id, config)?;
    let stored = Stored::new(base_module(config)?, headers)?;
    let tied = kept_ties(&built, &stored);
    let mut missing = Vec::new();
    let mut tensors = Vec::with_capacity(built.tensors().len());
    for tensor in built.tensors() {
        let header = stored
            .header_of(&tensor.name)
            .or_else(|| stored.header_of_tied(&tied, &tensor.name));
        match header {
            _ if tensor.kind == TensorKind::BufferNp => tensors.push(tensor.clone()),
            Some(header) => tensors.push(as_stored(tensor, header)?),
            None => missing.push(tensor.name.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(HeaderTreeError::Missing { names: missing });
    }
    let unexpected = stored.unexpected(&built);
    let (id, architecture) = (built.id().to_owned(), built.architecture().to_owned());
    let tree = ModuleTreeBuilder::from_parts(id, architecture, built.modules().to_vec(), tensors)
        .config(built.config().cloned())
        .no_split_classes(built.no_split_classes().to_vec())
        .ties(tied)
        .build()?;
    Ok(CheckpointTree { tree, unexpected })
}

/// The headers of a checkpoint by name.
struct Stored {
    /// What names in the checkpoint lack.
    omitted: Option<String>,
    headers: Vec<TensorHeader>,
    position: HashMap<String, usize>,
}

impl Stored {
    fn new(base: &str, headers: impl IntoIterator<Item = TensorHeader>) -> Result<Self, HeaderTreeError> {
        let headers: Vec<TensorHeader> = headers.into_iter().collect();
        let mut position = HashMap::with_capacity(headers.len());
        for (index, header) in headers.iter().enumerate() {
            if position.insert(header.name.clone(), index).is_some() {
                return Err(HeaderTreeError::StoredTwice {
                    name: header.name.clone(),
                });
            }
        }
        let prefix = format!("{base}.");
        let omits = !headers.iter().any(|header| header.name.starts_with(&prefix));
        Ok(Self {
            omitted: omits.then_some(prefix),
            headers,
            position,
        })
    }

    fn header_of(&self, name: &str) -> Option<&TensorHeader> {
        let stored = self
            .omitted
            .as_ref()
            .and_then(|prefix| name.strip_prefix(prefix.as_str()));
        let position = self.position.get(stored.unwrap_or(name))?;
        self.headers.get(*position)
    }

    /// The header of another name of a tied parameter.
    fn header_of_tied(&self, tied: &[Vec<String>], name: &str) -> Option<&TensorHeader> {
        let group = tied.iter().find(|group| group.iter().any(|other| other == name))?;
        group.iter().find_map(|other| self.header_of(other))
    }

    fn unexpected(&self, tree: &ModuleTree) -> Vec<String> {
        let known: HashSet<&str> = tree
            .tensors()
            .iter()
            .map(|tensor| {
                let stored = self
                    .omitted
                    .as_ref()
                    .and_then(|prefix| tensor.name.strip_prefix(prefix.as_str()));
                stored.unwrap_or(&tensor.name)
            })
            .collect();
        let names = self.headers.iter().map(|header| &header.name);
        names.filter(|name| !known.contains(name.as_str())).cloned().collect()
    }
}

/// The tie groups but for those whose stored members differ in dtype.
fn kept_ties(tree: &ModuleTree, stored: &Stored) -> Vec<Vec<String>> {
    let is_one_dtype = |group: &&Vec<String>| {
        let dtypes: HashSet<&str> = group
            .iter()
            .filter_map(|name| stored.header_of(name))
            .map(|header| header.dtype.as_str())
            .collect();
        dtypes.len() < 2
    };
    tree.tied().iter().filter(is_one_dtype).cloned().collect()
}

fn as_stored(tensor: &Tensor, header: &TensorHeader) -> Result<Tensor, HeaderTreeError> {
    if tensor.shape != header.shape {
        return Err(HeaderTreeError::ShapeDiffers {
            name: tensor.name.clone(),
            stored: header.shape.clone(),
            configured: tensor.shape.clone(),
        });
    }
    let bytes = match bytes_per_element(&header.dtype) {
        Some(bytes) => bytes.times(tensor.elements()),
        None => Amount::from(header.bytes),
    };
    Ok(Tensor {
        dtype: header.dtype.clone(),
        bytes,
        ..tensor.clone()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 32, "tie_word_embeddings": true,
        })
    }

    /// Headers for all stored tensors of the configuration's tree.
    fn headers(config: &Value, dtype: &str) -> Vec<TensorHeader> {
        let tree = from_config("t", config).unwrap();
        let stored = tree.tensors().iter().filter(|tensor| tensor.kind.is_stored());
        let header = |tensor: &Tensor| TensorHeader {
            name: tensor.name.clone(),
            dtype: dtype.into(),
            shape: tensor.shape.clone(),
            bytes: tensor.elements() / 2,
        };
        stored.map(header).collect()
    }

    fn tensor<'a>(tree: &'a ModuleTree, name: &str) -> &'a Tensor {
        &tree.tensors()[tree.tensor_index(name).unwrap()]
    }

    #[test]
    fn tensors_are_as_stored() {
        let half = from_headers("t", &config(), headers(&config(), "bfloat16")).unwrap();
        assert_eq!(tensor(&half.tree, "lm_head.weight").bytes, Amount::from(2 * 32 * 8_u64));
        assert_eq!(tensor(&half.tree, "model.rotary_emb.inv_freq").dtype, "float32");
        assert_eq!(half.tree.modules(), from_config("t", &config()).unwrap().modules());
        let packed = from_headers("t", &config(), headers(&config(), "q4_0")).unwrap();
        assert_eq!(
            tensor(&packed.tree, "lm_head.weight").bytes,
            Amount::from(32 * 8 / 2_u64)
        );
    }

    #[test]
    fn a_tied_tensor_is_stored_once_or_twice() {
        let both = headers(&config(), "float16");
        let without_head = || both.iter().filter(|header| header.name != "lm_head.weight").cloned();
        let tied = from_headers("t", &config(), without_head()).unwrap();
        assert_eq!(tensor(&tied.tree, "lm_head.weight").dtype, "float16");
        assert_eq!(tied.tree.tied().len(), 1);
        let other_head = TensorHeader {
            dtype: "float32".into(),
            ..both
                .iter()
                .find(|header| header.name == "lm_head.weight")
                .unwrap()
                .clone()
        };
        let torn = from_headers("t", &config(), without_head().chain([other_head])).unwrap();
        assert!(torn.tree.tied().is_empty());
    }

    #[test]
    fn what_does_not_match_is_named() {
        let all = headers(&config(), "float16");
        let few = from_headers("t", &config(), all[2..].to_vec()).unwrap_err();
        assert_eq!(
            few.to_string(),
            "1 of the model's tensors are not stored: `model.layers.0.self_attn.q_proj.weight`"
        );
        let twice = all.iter().chain(&all[..1]).cloned();
        assert_eq!(
            from_headers("t", &config(), twice).unwrap_err(),
            HeaderTreeError::StoredTwice {
                name: "model.embed_tokens.weight".into()
            }
        );
        let mut other = all.clone();
        other[0].shape = vec![33, 8];
        let error = from_headers("t", &config(), other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `model.embed_tokens.weight` is stored as [33, 8], but the configuration makes [32, 8]"
        );
        let extra = TensorHeader {
            name: "model.layers.0.lora_a".into(),
            ..all[0].clone()
        };
        let inv_freq = TensorHeader {
            name: "model.rotary_emb.inv_freq".into(),
            ..all[0].clone()
        };
        let answer = from_headers("t", &config(), all.into_iter().chain([extra, inv_freq])).unwrap();
        assert_eq!(answer.unexpected, ["model.layers.0.lora_a"]);
    }

    #[test]
    fn names_may_lack_the_base_module() {
        let config =
            json!({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 4, "vocab_size": 9});
        let short = headers(&config, "float16").into_iter().map(|header| TensorHeader {
            name: header.name.trim_start_matches("transformer.").into(),
            ..header
        });
        let answer = from_headers("t", &config, short).unwrap();
        assert_eq!(tensor(&answer.tree, "transformer.h.0.ln_1.bias").dtype, "float16");
        assert!(answer.unexpected.is_empty());
    }
}
