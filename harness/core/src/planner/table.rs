//! The size table: bytes of every module and tensor.

use std::collections::HashSet;

use super::amount::Amount;
use super::entry::Entry;
use super::sizing::{DtypeTraits, Sizing};
use crate::module_tree::ModuleTree;

/// How often a tied parameter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Once, under the first of its names.
    Tied,
    /// Once for every name, as in a model whose weights are not tied yet.
    Untied,
}

/// Bytes of every path: each tensor's size is added to itself and to every module above it (Accelerate 1.4.0).
pub(super) struct SizeTable {
    modules: Vec<Amount>,
    tensors: Vec<Amount>,
    /// What received bytes, in the order in which it first did; the root is left out.
    order: Vec<Entry>,
}

impl SizeTable {
    pub(super) fn new(tree: &ModuleTree, sizing: &Sizing<'_>, counting: Counting) -> Self {
        let mut table = Self {
            modules: vec![Amount::ZERO; tree.modules().len()],
            tensors: vec![Amount::ZERO; tree.tensors().len()],
            order: Vec::with_capacity(tree.modules().len() + tree.tensors().len()),
        };
        let repeated = repeated_tensors(tree, counting);
        let dtypes: Vec<DtypeTraits> = tree.dtypes().iter().map(|dtype| DtypeTraits::of(dtype)).collect();
        let mut seen = vec![false; tree.modules().len()];
        let with_dtypes = tree.tensors().iter().zip(tree.dtype_of_tensor());
        for (position, (tensor, &dtype)) in with_dtypes.enumerate() {
            if !repeated.is_empty() && repeated.contains(&position) {
                continue;
            }
            let bytes = match dtypes.get(dtype) {
                Some(&dtype) => sizing.bytes_as(tensor, &tensor.name, dtype),
                None => sizing.bytes(tensor, &tensor.name),
            };
            table.add_above(tree, tree.owner(position), bytes, &mut seen);
            if let Some(size) = table.tensors.get_mut(position) {
                *size = bytes;
            }
            table.order.push(Entry::Tensor(position));
        }
        table
    }

    /// Adds a tensor's bytes to its module and to every module above. Tensor by tensor, in the tree's order, because
    /// sums of fractions depend on it.
    fn add_above(&mut self, tree: &ModuleTree, owner: usize, bytes: Amount, seen: &mut [bool]) {
        let first_new = self.order.len();
        for module in tree.upwards(owner) {
            if let Some(size) = self.modules.get_mut(module) {
                *size += bytes;
            }
            if let Some(seen) = seen.get_mut(module).filter(|seen| !**seen) {
                *seen = true;
                if module != 0 {
                    self.order.push(Entry::Module(module));
                }
            }
        }
        // Outermost modules receive first.
        if let Some(new) = self.order.get_mut(first_new..) {
            new.reverse();
        }
    }

    /// The bytes of an entry; 0 for what holds no counted tensor.
    pub(super) fn size(&self, entry: Entry) -> Amount {
        let size = match entry {
            Entry::Module(module) => self.modules.get(module),
            Entry::Tensor(tensor) => self.tensors.get(tensor),
        };
        size.copied().unwrap_or(Amount::ZERO)
    }

    /// The bytes of the whole model.
    pub(super) fn total(&self) -> Amount {
        self.size(Entry::Module(0))
    }

    /// Everything that holds a counted tensor, but for the root, in the order of first receipt.
    pub(super) fn order(&self) -> &[Entry] {
        &self.order
    }
}

/// Positions of tensors that are another name for one listed before.
fn repeated_tensors(tree: &ModuleTree, counting: Counting) -> HashSet<usize> {
    let mut repeated = HashSet::new();
    if !tree.same_module().is_empty() {
        // The same module object under a second path: its tensors are the same ones, tied or not.
        let is_alias = |name: &str| {
            let first = tree.first_name(name);
            *first != *name && tree.tensor_index(&first).is_some()
        };
        let names = tree.tensors().iter().enumerate();
        repeated.extend(
            names
                .filter(|(_, tensor)| is_alias(&tensor.name))
                .map(|(position, _)| position),
        );
    }
    if counting == Counting::Tied {
        for group in tree.tied() {
            let mut members: Vec<usize> = group.iter().filter_map(|name| tree.tensor_index(name)).collect();
            members.sort_unstable();
            repeated.extend(members.into_iter().skip(1));
        }
    }
    repeated
}
