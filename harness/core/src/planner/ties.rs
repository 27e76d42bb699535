//! Tied parameters during placement: what has to come along.

use std::collections::HashMap;

use super::amount::Amount;
use super::entry::{Entry, Model};
use super::request::Dialect;
use crate::module_tree::ModuleTree;

/// Groups of tied parameters, and which entries cover which of their members.
pub(super) struct Ties {
    /// Members by position of the tensor.
    groups: Vec<Vec<usize>>,
    group_of: HashMap<usize, usize>,
    /// The members an entry covers, as `(group, member)` in ascending order; entries that cover none are left out.
    covered: HashMap<Entry, Vec<(usize, usize)>>,
}

impl Ties {
    pub(super) fn of(tree: &ModuleTree) -> Self {
        let mut ties = Self {
            groups: Vec::with_capacity(tree.tied().len()),
            group_of: HashMap::new(),
            covered: HashMap::new(),
        };
        for (group, names) in tree.tied().iter().enumerate() {
            let members: Vec<usize> = names.iter().filter_map(|name| tree.tensor_index(name)).collect();
            for (member, &tensor) in members.iter().enumerate() {
                ties.group_of.insert(tensor, group);
                ties.note_covers(tree, tensor, (group, member));
            }
            ties.groups.push(members);
        }
        ties
    }

    /// The group that a tensor belongs to.
    pub(super) fn group_of(&self, tensor: usize) -> Option<usize> {
        self.group_of.get(&tensor).copied()
    }

    /// Finds the entries that cover a parameter.
    ///
    /// Accelerate 1.4.0 takes a path for covering if it occurs *anywhere* in the parameter's, up to a dot or its end,
    /// not only at its start; a tree where that matters is rare, and the answer should be the same. A path that starts
    /// where no entry of the root is named can be ruled out by its first component.
    fn note_covers(&mut self, tree: &ModuleTree, tensor: usize, member: (usize, usize)) {
        let Some(name) = tree.tensors().get(tensor).map(|tensor| tensor.name.as_str()) else {
            return;
        };
        let entry_of = |path: &str| {
            let module = tree.module_index(path).map(Entry::Module);
            module.or_else(|| tree.tensor_index(path).map(Entry::Tensor))
        };
        for (start, _) in name.char_indices() {
            let tail = name.get(start..).unwrap_or("");
            let ends = tail.match_indices('.').map(|(dot, _)| dot).chain([tail.len()]);
            for (component, end) in ends.enumerate() {
                match tail.get(..end).and_then(entry_of) {
                    Some(entry) if end > 0 => self.cover(entry, member),
                    _ if component == 0 => break,
                    _ => {}
                }
            }
        }
    }

    fn cover(&mut self, entry: Entry, member: (usize, usize)) {
        let covered = self.covered.entry(entry).or_default();
        // A path may occur twice in one name.
        if covered.last() != Some(&member) {
            covered.push(member);
        }
    }

    /// The members outside an entry, of all groups that it covers in part.
    fn outside(&self, entry: Entry) -> impl Iterator<Item = usize> + '_ {
        let covered = self.covered.get(&entry).map_or(&[][..], Vec::as_slice);
        covered.chunk_by(|(a, _), (b, _)| a == b).flat_map(|inside| {
            let members = inside.first().and_then(|&(group, _)| self.groups.get(group));
            members
                .into_iter()
                .flatten()
                .enumerate()
                .filter(|(member, _)| !inside.iter().any(|(_, covered)| covered == member))
                .map(|(_, &tensor)| tensor)
        })
    }
}

/// What an entry has to be placed together with.
pub(super) struct Partners {
    /// Entries of the work list that hold the other names of the entry's tied parameters; may repeat.
    pub(super) entries: Vec<Entry>,
    /// The entry's size and what the partners add to it.
    pub(super) size: Amount,
}

impl Partners {
    /// Looks the partners of `entry` up among the entries that are still to be placed.
    pub(super) fn of(model: &Model<'_>, entry: Entry, is_waiting: impl Fn(Entry) -> bool) -> Self {
        let mut partners = Self {
            entries: Vec::new(),
            size: model.size(entry),
        };
        if model.ties.covered.is_empty() {
            return partners;
        }
        for param in model.ties.outside(entry) {
            partners.add(model, param, &is_waiting);
        }
        partners
    }

    fn add(&mut self, model: &Model<'_>, param: usize, is_waiting: impl Fn(Entry) -> bool) {
        let mut above = model.tree.upwards(model.tree.owner(param)).map(Entry::Module);
        let param = Entry::Tensor(param);
        // No entry lies in another one, so there is at most one.
        let holder = above.find(|&module| is_waiting(module));
        if let Some(holder) = holder {
            match model.dialect {
                // A holder of two tied parameters counts twice.
                Dialect::Accelerate => self.size += model.size(holder) - model.size(param),
                Dialect::Transformers5 if self.entries.contains(&holder) => return,
                Dialect::Transformers5 => self.size += model.size(holder),
            }
            self.entries.push(holder);
        } else if is_waiting(param) {
            // The reference fails where a tied parameter is an entry of its own, or is placed already. Here the first
            // comes along with its bytes, and the second stays where it is.
            self.size += model.size(param);
            self.entries.push(param);
        }
    }
}
