//! A decoder as the modules that are placed whole, in the order in which they run.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::dtype::{bytes_per_element, is_integral};
use super::resolve::DeviceMap;
use super::shape::ModelShape;
use crate::module_tree::{ModuleTree, Tensor};
use crate::units::Bytes;

/// What a module does in a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleRole {
    /// A table of which each token reads one row: token or position embedding.
    Embedding,
    /// Attention and feed-forward part; holds its own keys and values.
    Layer,
    /// The last projection, to the vocabulary.
    Head,
    /// Anything else, such as the final norm.
    Other,
}

/// A module that is placed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecoderModule {
    /// The dotted path.
    pub path: String,
    /// What it does.
    pub role: ModuleRole,
    /// All its weights, tied ones included.
    pub weight_bytes: Bytes,
    /// The number of its weights, tied ones included.
    pub weight_elements: u64,
    /// Rows of an embedding's table.
    pub rows: u64,
}

/// Two modules that use one tensor. On one device it takes its bytes once, on two devices twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// Position of the embedding.
    pub embedding: usize,
    /// Position of the head.
    pub head: usize,
    /// The bytes they share.
    pub bytes: Bytes,
}

/// The modules of a decoder in order of execution, with its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    /// Dimensions.
    pub shape: ModelShape,
    /// The modules.
    pub modules: Vec<DecoderModule>,
    /// The head's tie to the embedding. Tensors shared by other modules count in each of them.
    pub tie: Option<Tie>,
}

/// Why a tree is no decoder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecoderError {
    /// A path of the order that is no module of the tree.
    #[error("there is no module `{path}`")]
    UnknownModule {
        /// The path.
        path: String,
    },
    /// A path that occurs twice in the order.
    #[error("module `{path}` is named twice in the order of execution")]
    Twice {
        /// The path.
        path: String,
    },
    /// A stored tensor that is in none of the modules.
    #[error("tensor `{tensor}` is in none of the modules to place")]
    LeftOut {
        /// The tensor.
        tensor: String,
    },
    /// The tree and the configuration disagree.
    #[error("the configuration tells of {expected} layers, the module tree has {found}")]
    Layers {
        /// Layers of the shape.
        expected: u64,
        /// Layers among the modules.
        found: u64,
    },
    /// A dtype without a known element size.
    #[error("dtype `{dtype}` has no known element size")]
    UnknownDtype {
        /// The dtype as asked for.
        dtype: String,
    },
}

const EMBEDDINGS: [&str; 5] = ["embed_tokens", "wte", "wpe", "word_embeddings", "embed_positions"];
const HEADS: [&str; 3] = ["lm_head", "embed_out", "output"];

/// The modules of a tree that are placed whole, in registration order, which is the order of execution for the decoders
/// of Transformers: blocks that are never divided, modules that hold tensors themselves, and a tied head.
#[must_use]
pub fn execution_order(tree: &ModuleTree) -> Vec<String> {
    let modules = tree.modules();
    let mut order = Vec::new();
    let mut position = 1;
    while let Some(module) = modules.get(position) {
        let is_block = tree.no_split_classes().contains(&module.class);
        let holds_tensors = tree.tensors().iter().any(|tensor| {
            let owner = tensor.name.rsplit_once('.').map_or("", |(owner, _)| owner);
            tensor.kind.is_stored() && owner == module.path
        });
        let is_head = tree.children(position).is_empty() && HEADS.contains(&last_segment(&module.path));
        if is_block || holds_tensors || is_head {
            order.push(module.path.clone());
            position = tree.subtree(position).end;
        } else {
            position += 1;
        }
    }
    order
}

fn last_segment(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

impl Decoder {
    /// Adds up the weights of modules that are given in the order in which they run; see [`execution_order`].
    ///
    /// `dtype` is what the weights are loaded as; `None` means as they are stored. Integers and packed formats are
    /// loaded as they are. Only stored tensors count: buffers that are computed when a model is built are small.
    ///
    /// # Errors
    /// When the order names other modules than the tree has, or leaves weights out.
    pub fn new(
        tree: &ModuleTree,
        order: &[String],
        shape: ModelShape,
        dtype: Option<&str>,
    ) -> Result<Self, DecoderError> {
        let asked = dtype.map(|dtype| {
            let bytes = bytes_per_element(dtype).map(|bytes| bytes.as_f64());
            bytes.ok_or_else(|| DecoderError::UnknownDtype {
                dtype: dtype.to_owned(),
            })
        });
        let asked = asked.transpose()?;
        let mut modules = empty_modules(tree, order)?;
        let positions: Vec<(String, usize)> = order.iter().cloned().zip(0..).collect();
        let holder = DeviceMap::new(&positions);
        for tensor in tree.tensors().iter().filter(|tensor| tensor.kind.is_stored()) {
            let module = holder
                .device_of(&tensor.name)
                .and_then(|&position| modules.get_mut(position));
            let module = module.ok_or_else(|| DecoderError::LeftOut {
                tensor: tensor.name.clone(),
            })?;
            let bytes = module.weight_bytes.0.saturating_add(loaded_bytes(tensor, asked));
            module.weight_bytes = Bytes(bytes);
            module.weight_elements = module.weight_elements.saturating_add(tensor.elements());
            let rows = tensor.shape.first().copied().unwrap_or(1);
            module.rows = module.rows.max(rows);
        }
        let layers = modules.iter().filter(|module| module.role == ModuleRole::Layer).count() as u64;
        if layers != shape.layers {
            return Err(DecoderError::Layers {
                expected: shape.layers,
                found: layers,
            });
        }
        let tie = tie(tree, &mut modules, &holder, shape, asked);
        Ok(Self { shape, modules, tie })
    }

    /// Paths of the modules, in order of execution.
    #[must_use]
    pub fn order(&self) -> Vec<String> {
        self.modules.iter().map(|module| module.path.clone()).collect()
    }
}

fn empty_modules(tree: &ModuleTree, order: &[String]) -> Result<Vec<DecoderModule>, DecoderError> {
    let mut seen = HashMap::new();
    let blocks = tree.no_split_modules();
    order
        .iter()
        .map(|path| {
            if tree.module_index(path).is_none() {
                return Err(DecoderError::UnknownModule { path: path.clone() });
            }
            if seen.insert(path.as_str(), ()).is_some() {
                return Err(DecoderError::Twice { path: path.clone() });
            }
            let last = last_segment(path);
            let role = if blocks.contains(&path.as_str()) {
                ModuleRole::Layer
            } else if EMBEDDINGS.contains(&last) {
                ModuleRole::Embedding
            } else if HEADS.contains(&last) {
                ModuleRole::Head
            } else {
                ModuleRole::Other
            };
            Ok(DecoderModule {
                path: path.clone(),
                role,
                weight_bytes: Bytes(0),
                weight_elements: 0,
                rows: 0,
            })
        })
        .collect()
}

/// Loading never enlarges an element (Accelerate counts so, and checkpoints are stored in what they were trained in).
fn loaded_bytes(tensor: &Tensor, asked: Option<f64>) -> u64 {
    let own = bytes_per_element(&tensor.dtype).map(|bytes| bytes.as_f64());
    match (own, asked) {
        (Some(own), Some(asked)) if asked < own && !is_integral(&tensor.dtype) => {
            super::footprint::whole(asked * tensor.elements() as f64)
        }
        _ => tensor.bytes.whole_bytes(),
    }
}

/// What embedding and head share: tensors that the tree ties, or, where a file stores a tied head not at all, the whole
/// embedding.
fn tie(
    tree: &ModuleTree,
    modules: &mut [DecoderModule],
    holder: &DeviceMap<'_, usize>,
    shape: ModelShape,
    asked: Option<f64>,
) -> Option<Tie> {
    let head = modules.iter().position(|module| module.role == ModuleRole::Head)?;
    for group in tree.tied() {
        let homes: Vec<usize> = group
            .iter()
            .filter_map(|name| holder.device_of(name).copied())
            .collect();
        let embedding = homes.iter().copied().find(|&home| {
            modules
                .get(home)
                .is_some_and(|module| module.role == ModuleRole::Embedding)
        });
        if let Some(embedding) = embedding.filter(|_| homes.contains(&head)) {
            let tensor = group
                .iter()
                .find_map(|name| tree.tensors().get(tree.tensor_index(name)?))?;
            let bytes = Bytes(loaded_bytes(tensor, asked));
            return Some(Tie { embedding, head, bytes });
        }
    }
    let embedding = modules.iter().position(|module| module.role == ModuleRole::Embedding)?;
    let source = modules.get(embedding)?.clone();
    let head_module = modules.get_mut(head)?;
    if !shape.tied || head_module.weight_elements > 0 {
        return None;
    }
    head_module.weight_bytes = source.weight_bytes;
    head_module.weight_elements = source.weight_elements;
    Some(Tie {
        embedding,
        head,
        bytes: source.weight_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module_tree::TensorKind;
    use crate::planner::shape_testing::{decoder, shape, tree};

    #[test]
    fn modules_are_found_and_weighed() {
        let decoder = decoder(2, true);
        let order = [
            "model.embed_tokens",
            "model.layers.0",
            "model.layers.1",
            "model.norm",
            "lm_head",
        ];
        assert_eq!(decoder.order(), order);
        let bytes: Vec<u64> = decoder.modules.iter().map(|module| module.weight_bytes.0).collect();
        assert_eq!(bytes, [3200, 768, 768, 32, 3200]);
        let roles: Vec<ModuleRole> = decoder.modules.iter().map(|module| module.role).collect();
        use ModuleRole::{Embedding, Head, Layer, Other};
        assert_eq!(roles, [Embedding, Layer, Layer, Other, Head]);
        assert_eq!(
            (decoder.modules[0].rows, decoder.modules[1].weight_elements),
            (100, 192)
        );
        let tie = Tie {
            embedding: 0,
            head: 4,
            bytes: Bytes(3200),
        };
        assert_eq!(decoder.tie, Some(tie));
        assert_eq!(super::super::shape_testing::decoder(2, false).tie, None);
    }

    #[test]
    fn a_smaller_dtype_is_loaded_and_a_larger_one_is_not() {
        let tree = tree(1, true);
        let sizes = |dtype| {
            let decoder = Decoder::new(&tree, &execution_order(&tree), shape(1, true), Some(dtype)).unwrap();
            (decoder.modules[1].weight_bytes.0, decoder.tie.unwrap().bytes.0)
        };
        assert_eq!(sizes("bfloat16"), (384, 1600));
        assert_eq!(sizes("float64"), (768, 3200));
        let unknown = Decoder::new(&tree, &execution_order(&tree), shape(1, true), Some("q4_k"));
        assert_eq!(unknown, Err(DecoderError::UnknownDtype { dtype: "q4_k".into() }));
    }

    #[test]
    fn a_tied_head_may_be_missing_from_the_file() {
        let tree = ModuleTree::builder("t", "Net")
            .no_split_classes(["Block"])
            .module("embed_tokens", "Embedding")
            .module("block", "Block")
            .module("lm_head", "Linear")
            .tensor("embed_tokens.weight", TensorKind::Param, "float16", [100, 8])
            .tensor("block.weight", TensorKind::Param, "float16", [4])
            .build()
            .unwrap();
        let order = execution_order(&tree);
        assert_eq!(order, ["embed_tokens", "block", "lm_head"]);
        let decoder = Decoder::new(&tree, &order, shape(1, true), None).unwrap();
        assert_eq!(decoder.modules[2].weight_bytes, Bytes(1600));
        assert_eq!(decoder.tie.map(|tie| tie.bytes), Some(Bytes(1600)));
        let untied = Decoder::new(&tree, &order, shape(1, false), None).unwrap();
        assert_eq!((untied.tie, untied.modules[2].weight_bytes), (None, Bytes(0)));
    }

    #[test]
    fn orders_that_do_not_fit_the_tree_are_refused() {
        let tree = tree(2, false);
        let order = execution_order(&tree);
        let new = |order: &[String], layers| Decoder::new(&tree, order, shape(layers, false), None).unwrap_err();
        let with = |path: &str| [order.clone(), vec![path.to_owned()]].concat();
        let path = |path: &str| path.to_owned();
        assert_eq!(new(&with("x"), 2), DecoderError::UnknownModule { path: path("x") });
        assert_eq!(new(&with("lm_head"), 2), DecoderError::Twice { path: path("lm_head") });
        let tensor = path("model.norm.weight");
        assert_eq!(
            new(&[order[..3].to_vec(), vec![path("lm_head")]].concat(), 2),
            DecoderError::LeftOut { tensor }
        );
        assert_eq!(new(&order, 3), DecoderError::Layers { expected: 3, found: 2 });
    }
}
