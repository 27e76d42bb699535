//! What must hold for modules and tensors to be a tree.

use std::collections::HashSet;

use super::index::parent_of;
use super::{Module, ModuleTree, Tensor, TreeError};

/// More components than any model's paths have; keeps every walk along a path short.
const MAX_DEPTH: usize = 256;

pub(super) fn check_modules(modules: &[Module]) -> Result<(), TreeError> {
    let mut paths: HashSet<&str> = HashSet::with_capacity(modules.len());
    for module in modules {
        check_path(&module.path)?;
        if !paths.insert(&module.path) {
            return Err(TreeError::Duplicate {
                name: module.path.clone(),
            });
        }
    }
    if !paths.contains("") {
        return Err(TreeError::NoRoot);
    }
    modules
        .iter()
        .try_for_each(|module| check_parent(&module.path, |parent| paths.contains(parent)))
}

pub(super) fn check_path(path: &str) -> Result<(), TreeError> {
    if path.is_empty() {
        return Ok(());
    }
    if path.split('.').any(str::is_empty) {
        return Err(TreeError::BadPath { path: path.to_owned() });
    }
    if path.split('.').count() > MAX_DEPTH {
        return Err(TreeError::TooDeep {
            path: path.to_owned(),
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}

pub(super) fn check_parent(name: &str, is_module: impl Fn(&str) -> bool) -> Result<(), TreeError> {
    match parent_of(name) {
        Some(parent) if !is_module(parent) => Err(TreeError::Orphan {
            name: name.to_owned(),
            parent: parent.to_owned(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_ties(tree: &ModuleTree) -> Result<(), TreeError> {
    let mut seen = HashSet::new();
    for group in &tree.tied {
        let mut first: Option<&Tensor> = None;
        for name in group {
            let tensor = tree.tensor_index(name).and_then(|tensor| tree.tensors.get(tensor));
            let Some(tensor) = tensor.filter(|tensor| !tensor.kind.is_buffer()) else {
                return Err(TreeError::TiedUnknown { name: name.clone() });
            };
            if !seen.insert(name.as_str()) {
                return Err(TreeError::TiedTwice { name: name.clone() });
            }
            let first = first.get_or_insert(tensor);
            if first.shape != tensor.shape || first.dtype != tensor.dtype {
                return Err(TreeError::TiedDiffer {
                    name: name.clone(),
                    other: first.name.clone(),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn check_same_modules(tree: &ModuleTree) -> Result<(), TreeError> {
    let mut paths = HashSet::new();
    for (path, first) in &tree.same_module {
        if !paths.insert(path) {
            return Err(TreeError::SameModuleTwice { path: path.clone() });
        }
        let in_order = match (tree.module_index(first), tree.module_index(path)) {
            (Some(first), Some(second)) => 0 < first && first < second,
            _ => false,
        };
        if !in_order {
            return Err(TreeError::SameModule {
                path: path.clone(),
                first: first.clone(),
            });
        }
        let is_below = path
            .strip_prefix(first.as_str())
            .is_some_and(|rest| rest.starts_with('.'));
        if is_below {
            return Err(TreeError::Cycle {
                path: path.clone(),
                first: first.clone(),
            });
        }
    }
    Ok(())
}
