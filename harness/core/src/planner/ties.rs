//! Tied parameters during placement: what has to come along.

use super::amount::Amount;
use super::entry::{Entry, Model};
use super::request::Dialect;
use crate::module_tree::ModuleTree;

/// A group of tied parameters.
pub(super) struct TieGroup {
    members: Vec<Member>,
}

struct Member {
    tensor: usize,
    /// The name and a final dot, so that a search for `path.` matches whole components at its end.
    dotted: String,
}

impl TieGroup {
    pub(super) fn all(tree: &ModuleTree) -> Vec<Self> {
        let member = |name: &String| {
            Some(Member {
                tensor: tree.tensor_index(name)?,
                dotted: format!("{name}."),
            })
        };
        tree.tied()
            .iter()
            .map(|group| Self {
                members: group.iter().filter_map(member).collect(),
            })
            .collect()
    }

    pub(super) fn holds(&self, tensor: usize) -> bool {
        self.members.iter().any(|member| member.tensor == tensor)
    }

    /// The members outside `name`, where it covers some but not all of the group.
    ///
    /// Accelerate 1.4.0 takes a path for covered if it occurs *anywhere* in the parameter's, not only at its start; a
    /// tree where that matters is rare, and the answer should be the same.
    fn outside(&self, dotted_name: &str) -> Vec<usize> {
        let outside: Vec<usize> = self
            .members
            .iter()
            .filter(|member| !member.dotted.contains(dotted_name))
            .map(|member| member.tensor)
            .collect();
        if outside.len() == self.members.len() {
            Vec::new()
        } else {
            outside
        }
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
    /// Looks the partners of `entry` up in `work`.
    pub(super) fn of<'w>(model: &Model<'_>, entry: Entry, work: impl Iterator<Item = &'w Entry> + Clone) -> Self {
        let mut partners = Self {
            entries: Vec::new(),
            size: model.size(entry),
        };
        if model.ties.is_empty() {
            return partners;
        }
        let dotted = format!("{}.", model.name(entry));
        for param in model.ties.iter().flat_map(|group| group.outside(&dotted)) {
            partners.add(model, param, work.clone());
        }
        partners
    }

    fn add<'w>(&mut self, model: &Model<'_>, param: usize, mut work: impl Iterator<Item = &'w Entry> + Clone) {
        let param = Entry::Tensor(param);
        let holder = work
            .clone()
            .find(|&&other| other != param && model.contains(other, param));
        if let Some(&holder) = holder {
            match model.dialect {
                // A holder of two tied parameters counts twice.
                Dialect::Accelerate => self.size += model.size(holder) - model.size(param),
                Dialect::Transformers5 if self.entries.contains(&holder) => return,
                Dialect::Transformers5 => self.size += model.size(holder),
            }
            self.entries.push(holder);
        } else if work.any(|&other| other == param) {
            // The reference fails where a tied parameter is an entry of its own, or is placed already. Here the first
            // comes along with its bytes, and the second stays where it is.
            self.size += model.size(param);
            self.entries.push(param);
        }
    }
}
