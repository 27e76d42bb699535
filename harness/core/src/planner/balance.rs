//! Balancing: shrinking budgets so that every accelerator gets a similar share.

use std::collections::HashSet;

use super::amount::Amount;
use super::budget::Budget;
use super::device::PlanDevice;
use super::entry::Entry;
use super::request::{Dialect, PlanRequest};
use super::table::SizeTable;
use crate::module_tree::ModuleTree;
use crate::placement::StrategyName;

/// What the only accelerator may hold of its free memory where the user set no budget (Accelerate 1.4.0).
const ONLY_DEVICE_SHARE: f64 = 0.9;

/// By how much the margin exceeds the layer it is made for (Accelerate 1.4.0).
const MARGIN_FACTOR: f64 = 1.25;

/// What balancing looks at besides the budgets.
pub(super) struct Balance<'a> {
    tree: &'a ModuleTree,
    table: &'a SizeTable,
    no_split: &'a HashSet<&'a str>,
    dialect: Dialect,
    /// Keep the first accelerator free.
    low_zero: bool,
    /// The budgets are the user's, not the machine's free memory.
    user_set: bool,
}

/// How the share of every accelerator but the last comes about: `total / divided_by + margin`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    /// Accelerators with a budget above zero.
    pub(super) accelerators: usize,
    /// Bytes of the model, as they are counted for balancing.
    pub(super) total: Amount,
    /// How many accelerators share the total: one less where the first is kept free.
    pub(super) divided_by: usize,
    /// The layer that the margin is made for: the larger of `block` and `other`.
    pub(super) block: Amount,
    pub(super) other: Amount,
    /// 1.25 of that layer, cut to whole bytes.
    pub(super) margin: Amount,
    /// What each accelerator but the last may hold.
    pub(super) cap: Amount,
    /// The first accelerator is kept as free as the others allow.
    pub(super) low_zero: bool,
    /// The only accelerator's budget is the machine's and is multiplied by 0.9.
    pub(super) spares_only_device: bool,
}

impl<'a> Balance<'a> {
    pub(super) fn new(
        tree: &'a ModuleTree,
        request: &PlanRequest,
        no_split: &'a HashSet<&'a str>,
        table: &'a SizeTable,
    ) -> Self {
        Self {
            tree,
            table,
            no_split,
            dialect: request.dialect,
            low_zero: request.strategy == StrategyName::BalancedLow0,
            user_set: request.max_memory.is_some(),
        }
    }

    /// Caps every accelerator but the last at an equal share of the model plus a margin of one layer.
    ///
    /// Budgets of `cpu` and `disk` are left alone. A `disk` budget makes the reference fail here; it is ignored.
    pub(super) fn apply(&self, mut budget: Budget) -> Budget {
        let Some(share) = self.share(&budget) else {
            return budget;
        };
        if share.spares_only_device {
            spare_first(&mut budget);
        }
        self.cap(&mut budget, share.cap, share.low_zero);
        if share.low_zero {
            self.lower_first(&mut budget, share.accelerators);
        }
        budget
    }

    /// The share of an accelerator; `None` where there is none to balance.
    pub(super) fn share(&self, budget: &Budget) -> Option<Share> {
        let counted = budget
            .iter()
            .filter(|&(&device, &bytes)| self.counts(device) && bytes > Amount::ZERO);
        let accelerators = counted.count();
        if accelerators == 0 {
            return None;
        }
        let low_zero = self.low_zero && accelerators > 1;
        let divided_by = if low_zero { accelerators - 1 } else { accelerators };
        let total = self.table.total();
        let (block, other) = match self.dialect {
            Dialect::Accelerate => (self.first_block(), self.mean_leaf()),
            Dialect::Transformers5 => (self.largest_block(), self.largest_holder()),
        };
        let margin = Amount::Whole(block.max(other).scaled(MARGIN_FACTOR).truncated());
        Some(Share {
            accelerators,
            total,
            divided_by,
            block,
            other,
            margin,
            cap: total.floor_div(divided_by) + margin,
            low_zero,
            spares_only_device: accelerators == 1 && !self.user_set,
        })
    }

    /// `mps` takes part only in Transformers 5.
    fn counts(&self, device: PlanDevice) -> bool {
        match self.dialect {
            Dialect::Accelerate => matches!(device, PlanDevice::Accelerator(_)),
            Dialect::Transformers5 => device.is_accelerator(),
        }
    }

    fn cap(&self, budget: &mut Budget, share: Amount, low_zero: bool) {
        let usable = usable_indices(budget);
        for &index in usable.split_last().map_or(&[][..], |(_, all_but_last)| all_but_last) {
            if low_zero && index == 0 {
                continue;
            }
            if let Some(bytes) = budget.get_mut(&PlanDevice::Accelerator(index)) {
                *bytes = share.min(*bytes);
            }
        }
    }

    /// Leaves the first accelerator what the others cannot hold.
    ///
    /// The reference reads the others' budgets by the ids 1 to n-1 and fails where one is missing; then the usable
    /// accelerators are taken in their order instead.
    fn lower_first(&self, budget: &mut Budget, count: usize) {
        let ids: Vec<i32> = (0..i32::try_from(count).unwrap_or(i32::MAX)).collect();
        let all_exist = ids.iter().all(|&id| budget.contains_key(&PlanDevice::Accelerator(id)));
        let indices = if all_exist { ids } else { usable_indices(budget) };
        let Some((&first, others)) = indices.split_first() else {
            return;
        };
        let elsewhere: Amount = others
            .iter()
            .filter_map(|&index| budget.get(&PlanDevice::Accelerator(index)).copied())
            .sum();
        let needed = Amount::ZERO.max(self.table.total() - elsewhere);
        if let Some(bytes) = budget.get_mut(&PlanDevice::Accelerator(first)) {
            *bytes = needed.min(*bytes);
        }
    }

    /// Over the undividable classes, the size of the first module of each; of these the largest.
    fn first_block(&self) -> Amount {
        // By class. Tensors have a class name too, and a user may list it as undividable.
        let mut is_open = self.whole_classes();
        let mut class_named = |name: &str| {
            let known = self.tree.classes().iter().position(|class| class == name);
            known.unwrap_or_else(|| {
                is_open.push(self.no_split.contains(name));
                is_open.len() - 1
            })
        };
        let (param, buffer) = (class_named("Parameter"), class_named("Tensor"));
        let mut largest = Amount::ZERO;
        for &entry in self.table.order() {
            let class = match entry {
                Entry::Module(module) => self.tree.class_of_module().get(module).copied(),
                Entry::Tensor(tensor) => match self.tree.tensors().get(tensor) {
                    Some(tensor) if tensor.kind.is_buffer() => Some(buffer),
                    _ => Some(param),
                },
            };
            let is_open = class.and_then(|class| is_open.get_mut(class));
            if let Some(is_open) = is_open.filter(|is_open| **is_open) {
                *is_open = false;
                largest = largest.max(self.table.size(entry));
            }
        }
        largest
    }

    /// For every class of the tree whether it is undividable.
    fn whole_classes(&self) -> Vec<bool> {
        let classes = self.tree.classes().iter();
        classes.map(|class| self.no_split.contains(class.as_str())).collect()
    }

    /// The mean size of modules that hold tensors and have no sub-module that does, cut to whole bytes.
    fn mean_leaf(&self) -> Amount {
        let modules = || {
            self.table.order().iter().filter_map(|&entry| match entry {
                Entry::Module(module) => Some(module),
                Entry::Tensor(_) => None,
            })
        };
        let mut holds_holder = vec![false; self.tree.modules().len()];
        for module in modules() {
            let parent = self.tree.parent(module).and_then(|parent| holds_holder.get_mut(parent));
            if let Some(holds_holder) = parent {
                *holds_holder = true;
            }
        }
        let leaves = modules().filter(|&module| holds_holder.get(module) == Some(&false));
        let (total, count) = leaves.fold((Amount::ZERO, 0), |(total, count), module| {
            (total + self.table.size(Entry::Module(module)), count + 1)
        });
        Amount::Whole(Amount::Fractional(total.mean_over(count)).truncated())
    }

    /// The largest of all undividable modules.
    fn largest_block(&self) -> Amount {
        let is_whole = self.whole_classes();
        let classes = self.tree.class_of_module().iter().enumerate();
        classes
            .filter(|&(_, &class)| is_whole.get(class) == Some(&true))
            .map(|(position, _)| self.table.size(Entry::Module(position)))
            .fold(Amount::ZERO, Amount::max)
    }

    /// The most bytes that any module but the root holds directly.
    fn largest_holder(&self) -> Amount {
        let direct = |module: usize| -> Amount {
            let tensors = self
                .tree
                .direct_params(module)
                .iter()
                .chain(self.tree.direct_buffers(module));
            tensors.map(|&tensor| self.table.size(Entry::Tensor(tensor))).sum()
        };
        (1..self.tree.modules().len())
            .map(direct)
            .fold(Amount::ZERO, Amount::max)
    }
}

/// Multiplies the first accelerator's budget by 0.9: the reference's only safety factor.
fn spare_first(budget: &mut Budget) {
    let first = budget
        .iter_mut()
        .find(|(device, _)| matches!(device, PlanDevice::Accelerator(_)));
    if let Some((_, bytes)) = first {
        *bytes = bytes.scaled(ONLY_DEVICE_SHARE);
    }
}

/// Indices of accelerators with a budget above zero, ascending.
fn usable_indices(budget: &Budget) -> Vec<i32> {
    budget
        .iter()
        .filter(|&(_, &bytes)| bytes > Amount::ZERO)
        .filter_map(|(device, _)| match device {
            PlanDevice::Accelerator(index) => Some(*index),
            _ => None,
        })
        .collect()
}
