//! Entries of the work list, and the model as the placement loop sees it.

use std::collections::HashSet;

use super::amount::Amount;
use super::request::Dialect;
use super::table::SizeTable;
use super::ties::Ties;
use crate::module_tree::ModuleTree;

/// Something that gets a device: a module, or a tensor that is directly in a divided one. By position in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Module(usize),
    Tensor(usize),
}

impl Entry {
    pub(super) fn name(self, tree: &ModuleTree) -> &str {
        let name = match self {
            Self::Module(module) => tree.modules().get(module).map(|module| &module.path),
            Self::Tensor(tensor) => tree.tensors().get(tensor).map(|tensor| &tensor.name),
        };
        name.map_or("", String::as_str)
    }
}

/// True where `inner` is `outer` or lies below it.
pub(super) fn contains(tree: &ModuleTree, outer: Entry, inner: Entry) -> bool {
    let Entry::Module(module) = outer else {
        return outer == inner;
    };
    let subtree = tree.subtree(module);
    match inner {
        Entry::Module(module) => subtree.contains(&module),
        Entry::Tensor(tensor) => subtree.contains(&tree.owner(tensor)),
    }
}

/// A tree with sizes, ties and undividable classes.
pub(super) struct Model<'a> {
    pub(super) tree: &'a ModuleTree,
    pub(super) table: &'a SizeTable,
    pub(super) ties: &'a Ties,
    pub(super) dialect: Dialect,
    /// For every module whether it has child modules and its class may be divided.
    divisible: Vec<bool>,
}

impl<'a> Model<'a> {
    pub(super) fn new(
        tree: &'a ModuleTree,
        table: &'a SizeTable,
        ties: &'a Ties,
        no_split: &HashSet<&str>,
        dialect: Dialect,
    ) -> Self {
        let is_whole: Vec<bool> = tree
            .classes()
            .iter()
            .map(|class| no_split.contains(class.as_str()))
            .collect();
        let classes = tree.class_of_module().iter().enumerate();
        let divisible =
            classes.map(|(module, &class)| !tree.children(module).is_empty() && is_whole.get(class) == Some(&false));
        Self {
            tree,
            table,
            ties,
            dialect,
            divisible: divisible.collect(),
        }
    }

    pub(super) fn name(&self, entry: Entry) -> &'a str {
        entry.name(self.tree)
    }

    pub(super) fn size(&self, entry: Entry) -> Amount {
        self.table.size(entry)
    }

    /// Child modules, each object once, by position.
    pub(super) fn child_modules(&self, module: usize) -> Vec<usize> {
        let children = self.tree.children(module);
        if self.tree.same_module().is_empty() {
            return children.to_vec();
        }
        let mut objects = HashSet::new();
        let is_first = |&child: &usize| objects.insert(self.tree.first_name(self.name(Entry::Module(child))));
        children.iter().copied().filter(is_first).collect()
    }

    /// Parameters directly in a module, each object once.
    fn direct_params(&self, module: usize) -> Vec<Entry> {
        let mut groups = HashSet::new();
        let is_first = |&tensor: &usize| {
            // Transformers 5 plans before it ties, so there every name is an object of its own.
            self.dialect == Dialect::Transformers5
                || self.ties.group_of(tensor).is_none_or(|group| groups.insert(group))
        };
        let params = self.tree.direct_params(module).iter().copied();
        params.filter(is_first).map(Entry::Tensor).collect()
    }

    /// True for modules with child modules whose class may be divided.
    pub(super) fn is_divisible(&self, entry: Entry) -> bool {
        match entry {
            Entry::Module(module) => self.divisible.get(module) == Some(&true),
            Entry::Tensor(_) => false,
        }
    }

    /// What a divided module is replaced by: its direct parameters, then its children. Direct buffers get no entry.
    pub(super) fn parts(&self, module: usize) -> Vec<Entry> {
        let mut parts = self.direct_params(module);
        parts.extend(self.child_modules(module).into_iter().map(Entry::Module));
        parts
    }

    /// The work list to begin with: the root's parameters, children and, unlike anywhere else, its buffers.
    pub(super) fn roots(&self) -> Vec<Entry> {
        let mut roots = self.parts(0);
        roots.extend(self.tree.direct_buffers(0).iter().map(|&tensor| Entry::Tensor(tensor)));
        roots
    }
}
