//! Module trees: what a model is made of, without its weights.
//!
//! A [`ModuleTree`] lists dotted module paths with class names in registration order, and the tensors in them with
//! dtype, shape and bytes. It is all a planner needs. Trees are read from JSON, built from a model's configuration
//! ([`from_config()`]) and the headers of its weight files ([`from_headers()`]), or put together with
//! [`ModuleTreeBuilder`].

mod build;
mod check;
mod error;
mod file;
mod from_config;
mod from_headers;
mod gguf_header;
mod index;
mod safetensors;

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::build::ModuleTreeBuilder;
pub use self::error::TreeError;
use self::file::TreeFile;
pub use self::from_config::{ConfigTreeError, from_config, supported_model_types};
pub use self::from_headers::{CheckpointTree, HeaderTreeError, TensorHeader, from_headers};
pub use self::gguf_header::{GGUF_MAGIC, GgufHeaderError, gguf_header_length};
use self::index::Index;
pub use self::safetensors::{SafetensorsError, safetensors_header, safetensors_index};
use crate::planner::Amount;

/// A module: its dotted path (`""` is the root) and the name of its class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct Module {
    /// The dotted path, `""` for the root.
    pub path: String,
    /// The class name, such as `Qwen2DecoderLayer`.
    pub class: String,
}

impl From<(String, String)> for Module {
    fn from((path, class): (String, String)) -> Self {
        Self { path, class }
    }
}

impl From<Module> for (String, String) {
    fn from(module: Module) -> Self {
        (module.path, module.class)
    }
}

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorKind {
    /// A weight.
    Param,
    /// A buffer that is stored with the weights.
    Buffer,
    /// A buffer that is computed when the model is built, such as rotary frequencies; no file holds it.
    BufferNp,
}

impl TensorKind {
    /// True where a weight file holds the tensor, so that a device map must cover it.
    #[must_use]
    pub fn is_stored(self) -> bool {
        !matches!(self, Self::BufferNp)
    }

    /// True for both kinds of buffers.
    #[must_use]
    pub fn is_buffer(self) -> bool {
        !matches!(self, Self::Param)
    }
}

/// A tensor of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "TensorRow", into = "TensorRow")]
pub struct Tensor {
    /// The full dotted name, module path included.
    pub name: String,
    /// Parameter or buffer.
    pub kind: TensorKind,
    /// The dtype's name as PyTorch spells it (`float32`), or the name of a packed format (`q4_k`).
    pub dtype: String,
    /// The dimensions.
    pub shape: Vec<u64>,
    /// Its own size in bytes, as stored; a `bool` counts 1/8 byte per element, as in Accelerate 1.4.0.
    pub bytes: Amount,
}

impl Tensor {
    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &size| product.saturating_mul(size))
    }
}

/// How a tensor is written in JSON.
type TensorRow = (String, TensorKind, String, Vec<u64>, Amount);

impl From<TensorRow> for Tensor {
    fn from((name, kind, dtype, shape, bytes): TensorRow) -> Self {
        Self {
            name,
            kind,
            dtype,
            shape,
            bytes,
        }
    }
}

impl From<Tensor> for TensorRow {
    fn from(tensor: Tensor) -> Self {
        (tensor.name, tensor.kind, tensor.dtype, tensor.shape, tensor.bytes)
    }
}

/// The modules and tensors of a model, checked and in canonical order.
///
/// Modules are in depth-first order, children in registration order. Tensors are first all parameters, then all
/// buffers, each in module order. In JSON: `id`, `architecture`, `config`, `about`, `no_split_classes`,
/// `no_split_modules` (derived), `tied`, `modules` as `[path, class]`, `tensors` as
/// `[name, kind, dtype, shape, bytes]`, and `same_module` as `[path, first path]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "TreeFile", into = "TreeFile")]
pub struct ModuleTree {
    id: String,
    architecture: String,
    config: Option<serde_json::Value>,
    about: Option<String>,
    no_split_classes: Vec<String>,
    modules: Vec<Module>,
    tensors: Vec<Tensor>,
    tied: Vec<Vec<String>>,
    same_module: Vec<(String, String)>,
    index: Index,
}

impl ModuleTree {
    /// Starts a tree whose root module has class `root_class`, which is also the architecture's name.
    #[must_use]
    pub fn builder(id: impl Into<String>, root_class: impl Into<String>) -> ModuleTreeBuilder {
        ModuleTreeBuilder::new(id, root_class)
    }

    /// The tree's own name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The class name of the model, or `synthetic`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The hyper-parameters the tree was built from.
    #[must_use]
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.config.as_ref()
    }

    /// What the tree is for, in words.
    #[must_use]
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Class names that a planner never divides for this architecture.
    #[must_use]
    pub fn no_split_classes(&self) -> &[String] {
        &self.no_split_classes
    }

    /// Paths of all modules whose class is in [`Self::no_split_classes`].
    #[must_use]
    pub fn no_split_modules(&self) -> Vec<&str> {
        let is_whole = |module: &&Module| self.no_split_classes.contains(&module.class);
        self.modules
            .iter()
            .filter(is_whole)
            .map(|module| module.path.as_str())
            .collect()
    }

    /// All modules, the root first.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// All tensors, parameters before buffers.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Groups of names that are one and the same parameter.
    #[must_use]
    pub fn tied(&self) -> &[Vec<String>] {
        &self.tied
    }

    /// Pairs `(path, first path)`: the same module object under two paths.
    #[must_use]
    pub fn same_module(&self) -> &[(String, String)] {
        &self.same_module
    }

    /// The module's position in [`Self::modules`].
    #[must_use]
    pub fn module_index(&self, path: &str) -> Option<usize> {
        self.index.module_of_path.get(path).copied()
    }

    /// The tensor's position in [`Self::tensors`].
    #[must_use]
    pub fn tensor_index(&self, name: &str) -> Option<usize> {
        self.index.tensor_of_name.get(name).copied()
    }

    /// Positions of the child modules of the module at `module`, in registration order.
    #[must_use]
    pub fn children(&self, module: usize) -> &[usize] {
        self.index.children.get(module).map_or(&[], Vec::as_slice)
    }

    /// Position of the module above the module at `module`; `None` for the root.
    #[must_use]
    pub fn parent(&self, module: usize) -> Option<usize> {
        let parent = self.index.parent.get(module).copied();
        parent.filter(|_| module != 0)
    }

    /// Positions of the module at `module` and of all modules above it, innermost first.
    pub fn upwards(&self, module: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(module), |&module| self.parent(module))
    }

    /// The distinct class names, in order of their first module.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.index.classes.words
    }

    /// For every module the position of its class in [`Self::classes`].
    #[must_use]
    pub fn class_of_module(&self) -> &[usize] {
        &self.index.classes.of_item
    }

    /// The distinct dtypes, in order of their first tensor.
    #[must_use]
    pub fn dtypes(&self) -> &[String] {
        &self.index.dtypes.words
    }

    /// For every tensor the position of its dtype in [`Self::dtypes`].
    #[must_use]
    pub fn dtype_of_tensor(&self) -> &[usize] {
        &self.index.dtypes.of_item
    }

    /// Positions of the parameters directly in the module at `module`.
    #[must_use]
    pub fn direct_params(&self, module: usize) -> &[usize] {
        self.index.direct_params.get(module).map_or(&[], Vec::as_slice)
    }

    /// Positions of the buffers directly in the module at `module`.
    #[must_use]
    pub fn direct_buffers(&self, module: usize) -> &[usize] {
        self.index.direct_buffers.get(module).map_or(&[], Vec::as_slice)
    }

    /// Positions of the module at `module` and everything below it: modules are in depth-first order.
    #[must_use]
    pub fn subtree(&self, module: usize) -> Range<usize> {
        module..self.index.subtree_end.get(module).copied().unwrap_or(module)
    }

    /// Position of the module that directly holds the tensor at `tensor`.
    #[must_use]
    pub fn owner(&self, tensor: usize) -> usize {
        self.index.owner.get(tensor).copied().unwrap_or(0)
    }

    /// The name under which a module or tensor is met first, where it lies in a module registered twice.
    #[must_use]
    pub fn first_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let mut current = Cow::Borrowed(name);
        // Every replacement leads to an earlier module, so there are at most as many as pairs.
        for _ in 0..self.same_module.len() {
            let replacement = self.same_module.iter().find_map(|(path, first)| {
                let rest = current.strip_prefix(path.as_str())?;
                (rest.is_empty() || rest.starts_with('.')).then(|| format!("{first}{rest}"))
            });
            match replacement {
                Some(replacement) => current = Cow::Owned(replacement),
                None => break,
            }
        }
        current
    }

    /// Names of all tensors that a weight file holds, module by module, parameters before buffers within a module.
    #[must_use]
    pub fn stored_names(&self) -> Vec<&str> {
        (0..self.modules.len())
            .flat_map(|module| self.direct_params(module).iter().chain(self.direct_buffers(module)))
            .filter_map(|&tensor| self.tensors.get(tensor))
            .filter(|tensor| tensor.kind.is_stored())
            .map(|tensor| tensor.name.as_str())
            .collect()
    }
}
