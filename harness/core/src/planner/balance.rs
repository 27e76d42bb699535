//! Balancing: shrinking budgets so that every accelerator gets a similar share.

use std::collections::{HashMap, HashSet};

use super::amount::Amount;
use super::budget::Budget;
use super::device::PlanDevice;
use super::entry::Entry;
use super::request::Dialect;
use super::table::SizeTable;
use crate::module_tree::ModuleTree;

/// What the only accelerator may hold of its free memory where the user set no budget (Accelerate 1.4.0).
const ONLY_DEVICE_SHARE: f64 = 0.9;

/// By how much the margin exceeds the layer it is made for (Accelerate 1.4.0).
const MARGIN_FACTOR: f64 = 1.25;

/// What balancing looks at besides the budgets.
pub(super) struct Balance<'a> {
    pub(super) tree: &'a ModuleTree,
    pub(super) table: &'a SizeTable,
    pub(super) no_split: &'a HashSet<&'a str>,
    pub(super) dialect: Dialect,
    /// Keep the first accelerator free.
    pub(super) low_zero: bool,
    /// The budgets are the user's, not the machine's free memory.
    pub(super) user_set: bool,
}

impl Balance<'_> {
    /// Caps every accelerator but the last at an equal share of the model plus a margin of one layer.
    ///
    /// Budgets of `cpu` and `disk` are left alone. A `disk` budget makes the reference fail here; it is ignored.
    pub(super) fn apply(&self, mut budget: Budget) -> Budget {
        let counted = budget
            .iter()
            .filter(|&(&device, &bytes)| self.counts(device) && bytes > Amount::ZERO);
        let count = counted.count();
        if count == 0 {
            return budget;
        }
        if count == 1 && !self.user_set {
            spare_first(&mut budget);
        }
        let low_zero = self.low_zero && count > 1;
        let share = self.table.total().floor_div(if low_zero { count - 1 } else { count });
        self.cap(&mut budget, share + self.margin(), low_zero);
        if low_zero {
            self.lower_first(&mut budget, count);
        }
        budget
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

    fn margin(&self) -> Amount {
        let layer = match self.dialect {
            Dialect::Accelerate => self.first_block().max(self.mean_leaf()),
            Dialect::Transformers5 => self.largest_block().max(self.largest_holder()),
        };
        Amount::Whole(layer.scaled(MARGIN_FACTOR).truncated())
    }

    /// Over the undividable classes, the size of the first module of each; of these the largest.
    fn first_block(&self) -> Amount {
        let mut first_of_class: HashMap<&str, Amount> = HashMap::new();
        for &entry in self.table.order() {
            let class = self.class_of(entry);
            if self.no_split.contains(class) {
                first_of_class.entry(class).or_insert_with(|| self.table.size(entry));
            }
        }
        first_of_class.into_values().fold(Amount::ZERO, Amount::max)
    }

    /// The class name; tensors have one too, since a user may list it as undividable.
    fn class_of(&self, entry: Entry) -> &str {
        match entry {
            Entry::Module(module) => self
                .tree
                .modules()
                .get(module)
                .map_or("", |module| module.class.as_str()),
            Entry::Tensor(tensor) => match self.tree.tensors().get(tensor) {
                Some(tensor) if tensor.kind.is_buffer() => "Tensor",
                _ => "Parameter",
            },
        }
    }

    /// The mean size of modules that hold tensors and have no sub-module that does, cut to whole bytes.
    fn mean_leaf(&self) -> Amount {
        let modules = || {
            self.table.order().iter().filter_map(|&entry| match entry {
                Entry::Module(module) => Some(module),
                Entry::Tensor(_) => None,
            })
        };
        let with_bytes: HashSet<usize> = modules().collect();
        let is_leaf = |&module: &usize| {
            !self
                .tree
                .children(module)
                .iter()
                .any(|child| with_bytes.contains(child))
        };
        let sizes: Vec<Amount> = modules()
            .filter(is_leaf)
            .map(|module| self.table.size(Entry::Module(module)))
            .collect();
        let total: Amount = sizes.iter().copied().sum();
        Amount::Whole(Amount::Fractional(total.mean_over(sizes.len())).truncated())
    }

    /// The largest of all undividable modules.
    fn largest_block(&self) -> Amount {
        let modules = self.tree.modules().iter().enumerate();
        modules
            .filter(|(_, module)| self.no_split.contains(module.class.as_str()))
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
