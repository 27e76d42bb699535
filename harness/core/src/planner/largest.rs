//! The largest layer that is still to be placed: what a device must keep room for.

use std::collections::HashMap;
use std::ops::Range;

use super::amount::Amount;
use super::entry::{Entry, Model};

/// All layers of a model, and which of them were the largest when that was last looked at.
///
/// A layer is a module that has no child modules or may not be divided. The reference walks the whole rest of the model
/// again and again; here layers are sorted by size once, so that a look costs no more than what was placed since the
/// last one.
pub(super) struct Layers {
    /// Layers in the tree's order. The first look counts what is directly in the root as well: its parameters come
    /// first, its buffers last.
    entries: Vec<Entry>,
    /// For every module, how many `entries` come before it; with the number of all of them at the end.
    before_module: Vec<usize>,
    root_tensors: HashMap<usize, usize>,
    /// Distinct sizes, ascending, and the position of every entry's size among them.
    sizes: Vec<Amount>,
    rank: Vec<usize>,
    /// By rank, how many entries are not placed yet.
    waiting: Vec<usize>,
    look: Look,
    /// For every entry the number of the last look at which it was left out or since which it was forgotten.
    forgotten: Vec<usize>,
    /// For every entry the number of the last look before it was placed; the largest number for those that are not.
    placed_after: Vec<usize>,
}

/// What was found when the largest layers were last looked for.
struct Look {
    number: usize,
    rank: Option<usize>,
    /// How many of the largest layers are not forgotten yet.
    left: usize,
}

impl Layers {
    /// Collects the layers and takes the first look.
    pub(super) fn new(model: &Model<'_>) -> Self {
        let (entries, before_module, root_tensors) = in_order(model);
        let (sizes, rank) = ranked(entries.iter().map(|&entry| model.size(entry)).collect());
        let mut layers = Self {
            forgotten: vec![0; entries.len()],
            placed_after: vec![usize::MAX; entries.len()],
            waiting: vec![0; sizes.len()],
            look: Look {
                number: 0,
                rank: None,
                left: 0,
            },
            entries,
            before_module,
            root_tensors,
            sizes,
            rank,
        };
        for &rank in &layers.rank {
            if let Some(waiting) = layers.waiting.get_mut(rank) {
                *waiting += 1;
            }
        }
        layers.look_among(0..0);
        // Only modules count from the second look on.
        let tensors: Vec<usize> = layers.root_tensors.values().copied().collect();
        for layer in tensors {
            layers.count_as_placed(layer..layer + 1);
        }
        layers
    }

    /// The size of the largest layers at the last look.
    pub(super) fn size(&self) -> Amount {
        let size = self.look.rank.and_then(|rank| self.sizes.get(rank)).copied();
        size.filter(|&size| size > Amount::ZERO).unwrap_or(Amount::ZERO)
    }

    /// One of the largest layers that are not forgotten. It may be placed since the last look: so it is with a partner
    /// of a tied parameter in the reference.
    pub(super) fn one(&self) -> Option<Entry> {
        let rank = self.look.rank?;
        let number = self.look.number;
        let is_left = |&layer: &usize| {
            self.rank.get(layer) == Some(&rank)
                && self.forgotten.get(layer) != Some(&number)
                && self.placed_after.get(layer).is_some_and(|&look| look >= number)
        };
        let layer = (0..self.entries.len()).find(is_left)?;
        self.entries.get(layer).copied()
    }

    /// Looks anew among everything that is not placed yet.
    pub(super) fn look_again(&mut self) {
        self.look_among(0..0);
    }

    /// Forgets the layers in `entry`, which is about to be placed. Where no largest one is left, looks for the largest
    /// of the others.
    pub(super) fn forget(&mut self, model: &Model<'_>, entry: Entry) {
        let inside = self.range(model, entry);
        if self.look.left > 0 {
            for layer in inside.clone() {
                self.forget_layer(layer);
            }
        }
        if self.look.left == 0 {
            // The root's tensors are out of the count since the first look.
            self.look_among(if matches!(entry, Entry::Module(_)) {
                inside
            } else {
                0..0
            });
        }
    }

    /// Takes note that a module is placed.
    pub(super) fn placed(&mut self, model: &Model<'_>, entry: Entry) {
        if matches!(entry, Entry::Module(_)) {
            self.count_as_placed(self.range(model, entry));
        }
    }

    fn count_as_placed(&mut self, layers: Range<usize>) {
        for layer in layers {
            if let Some(placed_after) = self.placed_after.get_mut(layer) {
                *placed_after = self.look.number;
            }
            let rank = self.rank.get(layer).copied();
            if let Some(waiting) = rank.and_then(|rank| self.waiting.get_mut(rank)) {
                *waiting = waiting.saturating_sub(1);
            }
        }
        while self.waiting.last() == Some(&0) {
            self.waiting.pop();
        }
    }

    fn forget_layer(&mut self, layer: usize) {
        let Some(forgotten) = self.forgotten.get_mut(layer) else {
            return;
        };
        if *forgotten != self.look.number {
            *forgotten = self.look.number;
            if self.rank.get(layer).copied() == self.look.rank {
                self.look.left = self.look.left.saturating_sub(1);
            }
        }
    }

    /// Looks for the largest of all layers that are not placed, `except` some.
    fn look_among(&mut self, except: Range<usize>) {
        let number = self.look.number + 1;
        let mut left_out: HashMap<usize, usize> = HashMap::new();
        for layer in except {
            if let (Some(forgotten), Some(&rank)) = (self.forgotten.get_mut(layer), self.rank.get(layer)) {
                *forgotten = number;
                *left_out.entry(rank).or_default() += 1;
            }
        }
        let left = |rank: usize| {
            let waiting = self.waiting.get(rank).copied().unwrap_or(0);
            waiting.saturating_sub(left_out.get(&rank).copied().unwrap_or(0))
        };
        let rank = (0..self.waiting.len()).rev().find(|&rank| left(rank) > 0);
        self.look = Look {
            number,
            rank,
            left: rank.map_or(0, left),
        };
    }

    fn range(&self, model: &Model<'_>, entry: Entry) -> Range<usize> {
        let before = |module: usize| self.before_module.get(module).copied().unwrap_or(self.entries.len());
        match entry {
            Entry::Module(module) => {
                let subtree = model.tree.subtree(module);
                before(subtree.start)..before(subtree.end)
            }
            // Only the first look knows of tensors.
            Entry::Tensor(tensor) if self.look.number == 1 => {
                let layer = self.root_tensors.get(&tensor);
                layer.map_or(0..0, |&layer| layer..layer + 1)
            }
            Entry::Tensor(_) => 0..0,
        }
    }
}

/// All layers in the tree's order between the root's own parameters and buffers; for every module the number of
/// entries before it; the positions of the tensors.
fn in_order(model: &Model<'_>) -> (Vec<Entry>, Vec<usize>, HashMap<usize, usize>) {
    let mut entries = Vec::new();
    let mut is_layer = vec![false; model.tree.modules().len()];
    let mut buffers = Vec::new();
    let mut stack = Vec::new();
    for entry in model.roots() {
        match entry {
            Entry::Module(module) => stack.push(module),
            Entry::Tensor(_) if stack.is_empty() => entries.push(entry),
            Entry::Tensor(_) => buffers.push(entry),
        }
    }
    while let Some(module) = stack.pop() {
        if model.is_divisible(Entry::Module(module)) {
            stack.extend(model.child_modules(module));
        } else if let Some(is_layer) = is_layer.get_mut(module) {
            *is_layer = true;
        }
    }
    let mut before_module = Vec::with_capacity(is_layer.len() + 1);
    for (module, is_layer) in is_layer.into_iter().enumerate() {
        before_module.push(entries.len());
        if is_layer {
            entries.push(Entry::Module(module));
        }
    }
    before_module.push(entries.len());
    entries.extend(buffers);
    let positions = entries.iter().enumerate();
    let tensors = positions.filter_map(|(position, entry)| match entry {
        Entry::Tensor(tensor) => Some((*tensor, position)),
        Entry::Module(_) => None,
    });
    let tensors = tensors.collect();
    (entries, before_module, tensors)
}

/// The distinct sizes in ascending order, and every size's position among them.
fn ranked(sizes: Vec<Amount>) -> (Vec<Amount>, Vec<usize>) {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    let size = |layer: &usize| sizes.get(*layer).copied().unwrap_or(Amount::ZERO);
    order.sort_by(|a, b| size(a).partial_cmp(&size(b)).unwrap_or(std::cmp::Ordering::Equal));
    let mut distinct: Vec<Amount> = Vec::new();
    let mut rank = vec![0; sizes.len()];
    for layer in order {
        let size = size(&layer);
        if distinct.last().is_none_or(|&last| last < size) {
            distinct.push(size);
        }
        if let Some(rank) = rank.get_mut(layer) {
            *rank = distinct.len() - 1;
        }
    }
    (distinct, rank)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::request::{Dialect, PlanRequest};
    use super::super::sizing::Sizing;
    use super::super::table::{Counting, SizeTable};
    use super::super::ties::Ties;
    use super::*;
    use crate::module_tree::{ModuleTree, TensorKind};
    use crate::placement::StrategyName;

    /// A root parameter of 80 bytes and layers of 40, 80, 40 and 20 bytes, the middle two in a group.
    fn tree() -> ModuleTree {
        let mut builder = ModuleTree::builder("t", "Net").module("g", "Group");
        builder.push_tensor("p", TensorKind::Param, "float32", [20], None);
        for (path, elements) in [("a", 10), ("g.b", 20), ("g.c", 10), ("d", 5)] {
            builder.push_module(path, "Linear");
            builder.push_tensor(format!("{path}.w"), TensorKind::Param, "float32", [elements], None);
        }
        builder.build().unwrap()
    }

    #[test]
    fn the_largest_layer_of_the_rest_is_known() {
        let tree = tree();
        let request = PlanRequest::new(StrategyName::Sequential);
        let table = SizeTable::new(&tree, &Sizing::new(&request).unwrap(), Counting::Tied);
        let ties = Ties::of(&tree);
        let model = Model::new(&tree, &table, &ties, &HashSet::new(), Dialect::Accelerate);
        let module = |path: &str| Entry::Module(tree.module_index(path).unwrap());
        let mut layers = Layers::new(&model);
        assert_eq!(
            (layers.size(), layers.one()),
            (Amount::Whole(80), Some(Entry::Tensor(0)))
        );
        layers.forget(&model, Entry::Tensor(0));
        assert_eq!((layers.size(), layers.one()), (Amount::Whole(80), Some(module("g.b"))));
        layers.forget(&model, module("g"));
        assert_eq!((layers.size(), layers.one()), (Amount::Whole(40), Some(module("a"))));
        // Divided instead of placed, so its layers are back.
        layers.look_again();
        assert_eq!(layers.size(), Amount::Whole(80));
        layers.forget(&model, module("g.b"));
        layers.placed(&model, module("g.b"));
        assert_eq!(layers.size(), Amount::Whole(40));
        // A partner keeps its size reserved until the next look.
        for placed in ["a", "g.c"] {
            layers.placed(&model, module(placed));
        }
        assert_eq!((layers.size(), layers.one()), (Amount::Whole(40), Some(module("g.c"))));
        layers.look_again();
        assert_eq!((layers.size(), layers.one()), (Amount::Whole(20), Some(module("d"))));
        layers.forget(&model, module("d"));
        assert_eq!((layers.size(), layers.one()), (Amount::ZERO, None));
    }
}
