//! Building a module tree from parts, with all checks.

use std::collections::{HashMap, HashSet};

use super::check::{check_modules, check_parent, check_path, check_same_modules, check_ties};
use super::index::{Index, parent_of};
use super::{Module, ModuleTree, Tensor, TensorKind, TreeError};
use crate::planner::{Amount, bytes_per_element};

/// Tensors above this many bytes are a mistake, and sums of those below it cannot overflow.
const MAX_BYTES: Amount = Amount::Whole(1 << 62);

/// Collects modules and tensors in any order and checks them all at once in [`Self::build`].
///
/// ```
/// use placebench_core::module_tree::{ModuleTree, TensorKind};
///
/// let tree = ModuleTree::builder("tiny", "TinyForCausalLM")
///     .module("embed", "Embedding")
///     .module("head", "Linear")
///     .tensor("embed.weight", TensorKind::Param, "float32", [32, 8])
///     .tensor("head.weight", TensorKind::Param, "float32", [32, 8])
///     .tie(["embed.weight", "head.weight"])
///     .build()?;
/// assert_eq!(tree.modules().len(), 3);
/// # Ok::<(), placebench_core::module_tree::TreeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModuleTreeBuilder {
    id: String,
    architecture: String,
    config: Option<serde_json::Value>,
    about: Option<String>,
    no_split_classes: Vec<String>,
    modules: Vec<Module>,
    tensors: Vec<Draft>,
    tied: Vec<Vec<String>>,
    same_module: Vec<(String, String)>,
}

/// A tensor whose bytes may still have to be computed.
#[derive(Debug, Clone)]
struct Draft {
    name: String,
    kind: TensorKind,
    dtype: String,
    shape: Vec<u64>,
    bytes: Option<Amount>,
}

impl ModuleTreeBuilder {
    /// A tree with only a root module of class `root_class`, which is also the architecture's name.
    #[must_use]
    pub fn new(id: impl Into<String>, root_class: impl Into<String>) -> Self {
        let root_class = root_class.into();
        let root = Module {
            path: String::new(),
            class: root_class.clone(),
        };
        Self::from_parts(id.into(), root_class, vec![root], Vec::new())
    }

    /// A tree with these modules (the root among them) and tensors.
    pub(super) fn from_parts(id: String, architecture: String, modules: Vec<Module>, tensors: Vec<Tensor>) -> Self {
        let draft = |tensor: Tensor| Draft {
            name: tensor.name,
            kind: tensor.kind,
            dtype: tensor.dtype,
            shape: tensor.shape,
            bytes: Some(tensor.bytes),
        };
        Self {
            id,
            architecture,
            config: None,
            about: None,
            no_split_classes: Vec::new(),
            modules,
            tensors: tensors.into_iter().map(draft).collect(),
            tied: Vec::new(),
            same_module: Vec::new(),
        }
    }

    /// Sets the hyper-parameters the tree is built from.
    #[must_use]
    pub fn config(mut self, config: Option<serde_json::Value>) -> Self {
        self.config = config;
        self
    }

    /// Says what the tree is for.
    #[must_use]
    pub fn about(mut self, about: Option<String>) -> Self {
        self.about = about;
        self
    }

    /// Adds a module. Its siblings keep the order in which they are added.
    #[must_use]
    pub fn module(mut self, path: impl Into<String>, class: impl Into<String>) -> Self {
        self.push_module(path, class);
        self
    }

    /// Adds a module, for loops; see [`Self::module`].
    pub fn push_module(&mut self, path: impl Into<String>, class: impl Into<String>) {
        self.modules.push(Module {
            path: path.into(),
            class: class.into(),
        });
    }

    /// Adds a tensor whose size follows from its dtype and shape. Tensors of one module keep their order.
    #[must_use]
    pub fn tensor(
        mut self,
        name: impl Into<String>,
        kind: TensorKind,
        dtype: impl Into<String>,
        shape: impl Into<Vec<u64>>,
    ) -> Self {
        self.push_tensor(name, kind, dtype, shape, None);
        self
    }

    /// Adds a tensor, for loops. `bytes` is needed only for packed dtypes (`q4_k`), whose name tells no element size.
    pub fn push_tensor(
        &mut self,
        name: impl Into<String>,
        kind: TensorKind,
        dtype: impl Into<String>,
        shape: impl Into<Vec<u64>>,
        bytes: Option<u64>,
    ) {
        self.tensors.push(Draft {
            name: name.into(),
            kind,
            dtype: dtype.into(),
            shape: shape.into(),
            bytes: bytes.map(Amount::from),
        });
    }

    /// Declares that these names are one and the same parameter.
    #[must_use]
    pub fn tie<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.push_tie(names);
        self
    }

    /// Declares that these names are one and the same parameter, for loops; see [`Self::tie`].
    pub fn push_tie<S: Into<String>>(&mut self, names: impl IntoIterator<Item = S>) {
        self.tied.push(names.into_iter().map(Into::into).collect());
    }

    /// Adds groups of tied names.
    #[must_use]
    pub fn ties(mut self, groups: Vec<Vec<String>>) -> Self {
        self.tied.extend(groups);
        self
    }

    /// Declares pairs `(path, first path)` of paths that lead to the same module object.
    #[must_use]
    pub fn same_modules(mut self, pairs: Vec<(String, String)>) -> Self {
        self.same_module.extend(pairs);
        self
    }

    /// Adds class names that a planner never divides.
    #[must_use]
    pub fn no_split_classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.no_split_classes.extend(classes.into_iter().map(Into::into));
        self
    }

    /// Checks everything and puts modules and tensors into canonical order.
    ///
    /// # Errors
    /// With the first thing that is wrong: see [`TreeError`].
    pub fn build(self) -> Result<ModuleTree, TreeError> {
        check_modules(&self.modules)?;
        let modules = depth_first(self.modules);
        let tensors = check_tensors(self.tensors, &modules)?;
        let index = Index::new(&modules, &tensors);
        let tree = ModuleTree {
            id: self.id,
            architecture: self.architecture,
            config: self.config,
            about: self.about,
            no_split_classes: self.no_split_classes,
            modules,
            tensors,
            tied: sorted_groups(self.tied),
            same_module: self.same_module,
            index,
        };
        check_ties(&tree)?;
        check_same_modules(&tree)?;
        Ok(tree)
    }
}

/// Parents before children, siblings in their order, every subtree contiguous.
fn depth_first(modules: Vec<Module>) -> Vec<Module> {
    let mut children: HashMap<String, Vec<Module>> = HashMap::new();
    let mut stack = Vec::new();
    for module in modules {
        match parent_of(&module.path) {
            None => stack.push(module),
            Some(parent) => children.entry(parent.to_owned()).or_default().push(module),
        }
    }
    let mut ordered = Vec::new();
    while let Some(module) = stack.pop() {
        stack.extend(children.remove(&module.path).into_iter().flatten().rev());
        ordered.push(module);
    }
    ordered
}

fn check_tensors(drafts: Vec<Draft>, modules: &[Module]) -> Result<Vec<Tensor>, TreeError> {
    let position: HashMap<&str, usize> = modules
        .iter()
        .enumerate()
        .map(|(position, module)| (module.path.as_str(), position))
        .collect();
    let mut names = HashSet::with_capacity(drafts.len());
    let mut tensors = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if draft.name.is_empty() {
            return Err(TreeError::BadPath { path: draft.name });
        }
        check_path(&draft.name)?;
        check_parent(&draft.name, |parent| position.contains_key(parent))?;
        if position.contains_key(draft.name.as_str()) || !names.insert(draft.name.clone()) {
            return Err(TreeError::Duplicate { name: draft.name });
        }
        tensors.push(with_bytes(draft)?);
    }
    let rank = |tensor: &Tensor| {
        let owner = parent_of(&tensor.name).and_then(|parent| position.get(parent));
        (tensor.kind.is_buffer(), owner.copied())
    };
    tensors.sort_by_key(rank);
    Ok(tensors)
}

fn with_bytes(draft: Draft) -> Result<Tensor, TreeError> {
    let name = || draft.name.clone();
    let elements = draft
        .shape
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size));
    let elements = elements.ok_or_else(|| TreeError::TooLarge { name: name() })?;
    let computed = bytes_per_element(&draft.dtype).map(|bytes| bytes.times(elements));
    let bytes = match (computed, draft.bytes) {
        (Some(computed), Some(listed)) if computed != listed => {
            return Err(TreeError::BytesMismatch {
                name: name(),
                listed: listed.to_string(),
                computed: computed.to_string(),
            });
        }
        (Some(computed), _) => computed,
        (None, Some(listed)) => listed,
        (None, None) => {
            return Err(TreeError::UnknownDtype {
                name: name(),
                dtype: draft.dtype.clone(),
            });
        }
    };
    if bytes < Amount::ZERO || bytes > MAX_BYTES {
        return Err(TreeError::TooLarge { name: name() });
    }
    Ok(Tensor {
        name: draft.name,
        kind: draft.kind,
        dtype: draft.dtype,
        shape: draft.shape,
        bytes,
    })
}

/// Names of a group in alphabetical order; a group of one ties nothing.
fn sorted_groups(mut groups: Vec<Vec<String>>) -> Vec<Vec<String>> {
    groups.retain(|group| group.len() > 1);
    groups.iter_mut().for_each(|group| group.sort());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAM: TensorKind = TensorKind::Param;

    fn two_layers() -> ModuleTreeBuilder {
        ModuleTree::builder("t", "Net")
            .module("a", "Linear")
            .module("b", "Linear")
            .tensor("a.weight", PARAM, "float32", [4, 2])
            .tensor("b.weight", PARAM, "float32", [4, 2])
    }

    #[test]
    fn order_becomes_canonical() {
        let tree = ModuleTree::builder("t", "Net")
            .module("b.x", "Linear")
            .module("a", "Linear")
            .module("b", "Group")
            .tensor("b.x.buf", TensorKind::Buffer, "bool", [9])
            .tensor("b.x.w", PARAM, "float16", [3])
            .tensor("a.w", PARAM, "int64", [2])
            .build()
            .unwrap();
        let paths: Vec<&str> = tree.modules().iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, ["", "a", "b", "b.x"]);
        let sizes: Vec<(&str, f64)> = tree
            .tensors()
            .iter()
            .map(|t| (t.name.as_str(), t.bytes.as_f64()))
            .collect();
        assert_eq!(sizes, [("a.w", 16.0), ("b.x.w", 6.0), ("b.x.buf", 1.125)]);
        assert_eq!(tree.subtree(2), 2..4);
        assert_eq!(tree.stored_names(), ["a.w", "b.x.w", "b.x.buf"]);
    }

    #[test]
    fn packed_dtypes_need_their_bytes() {
        let mut builder = two_layers();
        builder.push_tensor("a.q", PARAM, "q4_k", [256], Some(144));
        let tree = builder.build().unwrap();
        assert_eq!(tree.tensors()[1].bytes, Amount::Whole(144));
        let without = two_layers().tensor("a.q", PARAM, "q4_k", [256]).build();
        assert!(matches!(without, Err(TreeError::UnknownDtype { .. })));
    }

    #[test]
    fn a_module_registered_twice_has_a_first_name() {
        let same = |path: &str, first: &str| vec![(path.to_owned(), first.to_owned())];
        let tree = two_layers().same_modules(same("b", "a")).build().unwrap();
        assert_eq!(tree.first_name("b.weight"), "a.weight");
        assert_eq!(tree.first_name("bb.weight"), "bb.weight");
        let backwards = two_layers().same_modules(same("a", "b")).build();
        assert!(matches!(backwards, Err(TreeError::SameModule { .. })));
    }

    #[test]
    fn what_makes_no_tree_is_refused() {
        let name = || String::from("a.weight");
        let cases = [
            (two_layers().module("a", "X"), TreeError::Duplicate { name: "a".into() }),
            (
                two_layers().module("a.weight", "X"),
                TreeError::Duplicate { name: name() },
            ),
            (
                two_layers().module("a..x", "X"),
                TreeError::BadPath { path: "a..x".into() },
            ),
            (
                two_layers().tensor("", PARAM, "float32", [1]),
                TreeError::BadPath { path: String::new() },
            ),
            (
                two_layers().module("c.d", "X"),
                TreeError::Orphan {
                    name: "c.d".into(),
                    parent: "c".into(),
                },
            ),
            (
                two_layers().tensor("a.big", PARAM, "float32", [u64::MAX, 3]),
                TreeError::TooLarge { name: "a.big".into() },
            ),
            (
                two_layers().tie(["a.weight", "b.bias"]),
                TreeError::TiedUnknown { name: "b.bias".into() },
            ),
            (
                two_layers().tie(["a.weight", "a.weight"]),
                TreeError::TiedTwice { name: name() },
            ),
            (
                two_layers()
                    .tensor("b.w", PARAM, "float32", [8])
                    .tie(["a.weight", "b.w"]),
                TreeError::TiedDiffer {
                    name: "b.w".into(),
                    other: name(),
                },
            ),
        ];
        for (builder, expected) in cases {
            assert_eq!(builder.build().err(), Some(expected));
        }
    }

    #[test]
    fn files_are_checked_too() {
        let read = |text: &str| serde_json::from_str::<ModuleTree>(text).map_err(|error| error.to_string());
        assert!(read(r#"{"modules": [["", "Net"]], "tensors": []}"#).is_ok());
        for (text, expected) in [
            (r#"{"modules": [], "tensors": []}"#, "no root module"),
            (
                r#"{"modules": [["", "Net"]], "tensors": [["w", "param", "float32", [2], 9]]}"#,
                "shape and dtype make 8",
            ),
            (
                r#"{"modules": [["", "Net"]], "tensors": [["w", "weight", "float32", [2], 8]]}"#,
                "unknown variant `weight`",
            ),
        ] {
            let error = read(text).err().unwrap_or_default();
            assert!(error.contains(expected), "{error}");
        }
    }
}
