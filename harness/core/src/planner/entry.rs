//! Entries of the work list, and the model as the placement loop sees it.

use std::collections::HashSet;

use super::amount::Amount;
use super::request::Dialect;
use super::table::SizeTable;
use super::ties::TieGroup;
use crate::module_tree::ModuleTree;

/// Something that gets a device: a module, or a tensor that is directly in a divided one. By position in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Module(usize),
    Tensor(usize),
}

/// A tree with sizes, ties and undividable classes.
pub(super) struct Model<'a> {
    pub(super) tree: &'a ModuleTree,
    pub(super) table: &'a SizeTable,
    pub(super) ties: &'a [TieGroup],
    pub(super) no_split: &'a HashSet<&'a str>,
    pub(super) dialect: Dialect,
}

impl<'a> Model<'a> {
    pub(super) fn name(&self, entry: Entry) -> &'a str {
        let name = match entry {
            Entry::Module(module) => self.tree.modules().get(module).map(|module| &module.path),
            Entry::Tensor(tensor) => self.tree.tensors().get(tensor).map(|tensor| &tensor.name),
        };
        name.map_or("", String::as_str)
    }

    pub(super) fn size(&self, entry: Entry) -> Amount {
        self.table.size(entry)
    }

    /// True where `inner` is `outer` or lies below it.
    pub(super) fn contains(&self, outer: Entry, inner: Entry) -> bool {
        let Entry::Module(module) = outer else {
            return outer == inner;
        };
        let subtree = self.tree.subtree(module);
        match inner {
            Entry::Module(module) => subtree.contains(&module),
            Entry::Tensor(tensor) => subtree.contains(&self.tree.owner(tensor)),
        }
    }

    /// Child modules, each object once; none for tensors.
    pub(super) fn child_modules(&self, entry: Entry) -> Vec<Entry> {
        let Entry::Module(module) = entry else {
            return Vec::new();
        };
        let mut objects = HashSet::new();
        self.tree
            .children(module)
            .iter()
            .map(|&child| Entry::Module(child))
            .filter(|&child| {
                self.tree.same_module().is_empty() || objects.insert(self.tree.first_name(self.name(child)))
            })
            .collect()
    }

    /// Parameters directly in a module, each object once.
    fn direct_params(&self, module: usize) -> Vec<Entry> {
        let mut groups = HashSet::new();
        let is_first = |&tensor: &usize| {
            // Transformers 5 plans before it ties, so there every name is an object of its own.
            self.dialect == Dialect::Transformers5
                || self
                    .ties
                    .iter()
                    .position(|group| group.holds(tensor))
                    .is_none_or(|group| groups.insert(group))
        };
        let params = self.tree.direct_params(module).iter().copied();
        params.filter(is_first).map(Entry::Tensor).collect()
    }

    /// True for modules with child modules whose class may be divided.
    pub(super) fn is_divisible(&self, entry: Entry) -> bool {
        let Entry::Module(module) = entry else {
            return false;
        };
        let class = self
            .tree
            .modules()
            .get(module)
            .map_or("", |module| module.class.as_str());
        !self.tree.children(module).is_empty() && !self.no_split.contains(class)
    }

    /// What a divided module is replaced by: its direct parameters, then its children. Direct buffers get no entry.
    pub(super) fn parts(&self, module: usize) -> Vec<Entry> {
        let mut parts = self.direct_params(module);
        parts.extend(self.child_modules(Entry::Module(module)));
        parts
    }

    /// The work list to begin with: the root's parameters, children and, unlike anywhere else, its buffers.
    pub(super) fn roots(&self) -> Vec<Entry> {
        let mut roots = self.parts(0);
        roots.extend(self.tree.direct_buffers(0).iter().map(|&tensor| Entry::Tensor(tensor)));
        roots
    }
}
