//! Look-up tables of a module tree.

use std::collections::HashMap;

use super::{Module, Tensor};

/// Positions by name, and the tree as positions.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) module_of_path: HashMap<String, usize>,
    pub(super) tensor_of_name: HashMap<String, usize>,
    /// The module above each module; the root is above itself.
    pub(super) parent: Vec<usize>,
    pub(super) children: Vec<Vec<usize>>,
    pub(super) subtree_end: Vec<usize>,
    pub(super) direct_params: Vec<Vec<usize>>,
    pub(super) direct_buffers: Vec<Vec<usize>>,
    pub(super) owner: Vec<usize>,
    pub(super) classes: Kinds,
    pub(super) dtypes: Kinds,
}

/// Distinct words and, for every item, which one it has: a tree has thousands of modules but few classes.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds {
    pub(super) words: Vec<String>,
    pub(super) of_item: Vec<usize>,
}

impl Kinds {
    fn new<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut kinds = Self::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for word in words {
            let kind = *known.entry(word).or_insert_with(|| {
                kinds.words.push(word.to_owned());
                kinds.words.len() - 1
            });
            kinds.of_item.push(kind);
        }
        kinds
    }
}

/// The path of the module that holds a module or tensor; `None` for the root.
pub(super) fn parent_of(name: &str) -> Option<&str> {
    if name.is_empty() {
        return None;
    }
    Some(name.rsplit_once('.').map_or("", |(parent, _)| parent))
}

impl Index {
    /// Indexes checked modules in depth-first order and checked tensors.
    pub(super) fn new(modules: &[Module], tensors: &[Tensor]) -> Self {
        let module_of_path: HashMap<String, usize> = by_name(modules.iter().map(|module| &module.path));
        let mut index = Self {
            tensor_of_name: by_name(tensors.iter().map(|tensor| &tensor.name)),
            parent: Vec::new(),
            children: vec![Vec::new(); modules.len()],
            subtree_end: (1..=modules.len()).collect(),
            direct_params: vec![Vec::new(); modules.len()],
            direct_buffers: vec![Vec::new(); modules.len()],
            owner: Vec::with_capacity(tensors.len()),
            classes: Kinds::new(modules.iter().map(|module| module.class.as_str())),
            dtypes: Kinds::new(tensors.iter().map(|tensor| tensor.dtype.as_str())),
            module_of_path,
        };
        index.link_modules(modules);
        index.link_tensors(tensors);
        index
    }

    fn module_holding(&self, name: &str) -> Option<usize> {
        parent_of(name).and_then(|parent| self.module_of_path.get(parent).copied())
    }

    fn link_modules(&mut self, modules: &[Module]) {
        let parents: Vec<Option<usize>> = modules.iter().map(|module| self.module_holding(&module.path)).collect();
        for (position, parent) in parents.iter().enumerate() {
            if let Some(children) = parent.and_then(|parent| self.children.get_mut(parent)) {
                children.push(position);
            }
        }
        // Children come after their parents, so walking backwards sees every subtree complete.
        for (position, parent) in parents.iter().enumerate().rev() {
            let end = self.subtree_end.get(position).copied().unwrap_or(position);
            if let Some(parent_end) = parent.and_then(|parent| self.subtree_end.get_mut(parent)) {
                *parent_end = end.max(*parent_end);
            }
        }
        self.parent = parents.into_iter().map(|parent| parent.unwrap_or(0)).collect();
    }

    fn link_tensors(&mut self, tensors: &[Tensor]) {
        for (position, tensor) in tensors.iter().enumerate() {
            let owner = self.module_holding(&tensor.name).unwrap_or(0);
            self.owner.push(owner);
            let lists = if tensor.kind.is_buffer() {
                &mut self.direct_buffers
            } else {
                &mut self.direct_params
            };
            if let Some(list) = lists.get_mut(owner) {
                list.push(position);
            }
        }
    }
}

fn by_name<'a>(names: impl Iterator<Item = &'a String>) -> HashMap<String, usize> {
    names
        .enumerate()
        .map(|(position, name)| (name.clone(), position))
        .collect()
}
