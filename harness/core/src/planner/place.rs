//! Placement: walking the model in registration order, filling one device after the other.

use std::collections::{HashSet, VecDeque};

use super::amount::Amount;
use super::budget::Budget;
use super::device::PlanDevice;
use super::entry::{Entry, Model};
use super::fallback;
use super::largest::Largest;
use super::request::Dialect;
use super::ties::Partners;

/// A device while it is being filled, and what happened on it.
pub(super) struct Slot {
    pub(super) device: PlanDevice,
    /// `None` for the disk, which is never full.
    pub(super) budget: Option<Amount>,
    /// Room for the largest layer must stay free here, for layers that are fetched when they run.
    keeps_reserve: bool,
    /// Bytes placed, and the reserve once the device is left.
    pub(super) used: Amount,
    /// What it would take to put anything here, where nothing could be.
    pub(super) minimum: Option<Amount>,
}

/// Where everything went.
pub(super) struct Placed {
    pub(super) map: Vec<(Entry, PlanDevice)>,
    /// Modules that were placed for their own sake, not as partners of tied parameters.
    pub(super) modules: Vec<(usize, PlanDevice)>,
    pub(super) slots: Vec<Slot>,
}

/// Places the whole model (the rules are Accelerate 1.4.0's, or Transformers 5.23.0's where it differs).
pub(super) fn place(model: &Model<'_>, budget: &Budget, fallback_allocation: bool) -> Placed {
    let work: VecDeque<Entry> = model.roots().into();
    let mut placer = Placer {
        model,
        fallback_allocation: fallback_allocation && model.dialect == Dialect::Accelerate,
        current: 0,
        largest: Largest::of(model, work.iter().copied()),
        work,
        placed: Placed {
            map: Vec::new(),
            modules: Vec::new(),
            slots: slots(budget),
        },
        mapped: HashSet::new(),
        fallbacks_in_a_row: 0,
    };
    while let Some(entry) = placer.work.pop_front() {
        placer.step(entry);
    }
    placer.placed
}

/// All devices in filling order; the disk comes last, with or without a budget.
fn slots(budget: &Budget) -> Vec<Slot> {
    let accelerators = || budget.keys().copied().filter(|device| device.is_accelerator());
    let first = accelerators().next();
    let has_mps = accelerators().any(|device| device == PlanDevice::Mps);
    let keeps_reserve = |device| match device {
        PlanDevice::Mps => true,
        PlanDevice::Disk => false,
        PlanDevice::Cpu => !has_mps,
        PlanDevice::Accelerator(_) => !has_mps && first == Some(device),
    };
    let bounded = budget.iter().filter(|&(&device, _)| device != PlanDevice::Disk);
    bounded
        .map(|(&device, &bytes)| (device, Some(bytes)))
        .chain([(PlanDevice::Disk, None)])
        .map(|(device, budget)| Slot {
            device,
            budget,
            keeps_reserve: keeps_reserve(device),
            used: Amount::ZERO,
            minimum: None,
        })
        .collect()
}

struct Placer<'a> {
    model: &'a Model<'a>,
    fallback_allocation: bool,
    placed: Placed,
    current: usize,
    largest: Largest,
    work: VecDeque<Entry>,
    mapped: HashSet<Entry>,
    fallbacks_in_a_row: usize,
}

/// What is known of the current device when an entry is tried on it.
#[derive(Clone, Copy)]
struct Room {
    budget: Amount,
    reserve: Amount,
    used: Amount,
}

impl Room {
    fn limit(self) -> Amount {
        self.budget - self.reserve
    }

    fn holds(self, size: Amount) -> bool {
        self.used + size <= self.limit()
    }
}

impl Placer<'_> {
    fn step(&mut self, entry: Entry) {
        if self.largest.forget(self.model, entry) {
            self.find_largest();
        }
        let partners = Partners::of(self.model, entry, self.work.iter());
        let Some(room) = self.room().filter(|room| !room.holds(partners.size)) else {
            return self.put(entry, &partners);
        };
        let size = self.model.size(entry);
        if room.holds(size) && self.divide_partner(entry, &partners) {
            return;
        }
        // "At least", not "more": what fits exactly, but for its partners, is divided too.
        let is_too_large = room.used + size >= room.limit();
        if (is_too_large || self.model.dialect == Dialect::Transformers5) && self.divide(entry) {
            return;
        }
        if room.used == Amount::ZERO && self.fall_back(entry, &partners, room.budget) {
            return;
        }
        self.leave_device(entry, &partners, room);
    }

    /// `None` on the disk.
    fn room(&self) -> Option<Room> {
        let slot = self.placed.slots.get(self.current)?;
        Some(Room {
            budget: slot.budget?,
            reserve: if slot.keeps_reserve {
                self.largest.size
            } else {
                Amount::ZERO
            },
            used: slot.used,
        })
    }

    /// Only modules count from here on: parameters and buffers do in the first search alone.
    fn find_largest(&mut self) {
        let modules = self
            .work
            .iter()
            .copied()
            .filter(|entry| matches!(entry, Entry::Module(_)));
        self.largest = Largest::of(self.model, modules);
    }

    fn put(&mut self, entry: Entry, partners: &Partners) {
        self.fallbacks_in_a_row = 0;
        let Some(slot) = self.placed.slots.get_mut(self.current) else {
            return;
        };
        slot.used += partners.size;
        let device = slot.device;
        if let Entry::Module(module) = entry {
            self.placed.modules.push((module, device));
        }
        for &placed in std::iter::once(&entry).chain(&partners.entries) {
            if self.mapped.insert(placed) {
                self.placed.map.push((placed, device));
            }
        }
        if !partners.entries.is_empty() {
            self.work.retain(|other| !partners.entries.contains(other));
        }
    }

    /// Replaces the first partner that can be divided by its parts, so that less has to come along.
    fn divide_partner(&mut self, entry: Entry, partners: &Partners) -> bool {
        let divisible = partners
            .entries
            .iter()
            .copied()
            .find(|&partner| self.model.is_divisible(partner));
        let Some(partner @ Entry::Module(module)) = divisible else {
            return false;
        };
        replace(&mut self.work, partner, self.model.parts(module));
        self.work.push_front(entry);
        self.find_largest();
        self.fallbacks_in_a_row = 0;
        true
    }

    fn divide(&mut self, entry: Entry) -> bool {
        let Entry::Module(module) = entry else {
            return false;
        };
        if !self.model.is_divisible(entry) {
            return false;
        }
        for part in self.model.parts(module).into_iter().rev() {
            self.work.push_front(part);
        }
        self.find_largest();
        self.fallbacks_in_a_row = 0;
        true
    }

    /// Puts something that fits the empty device in front of `entry`.
    fn fall_back(&mut self, entry: Entry, partners: &Partners, budget: Amount) -> bool {
        // Two entries could be put in front of each other for ever: no search succeeds more often than there are entries.
        let entries = self.model.tree.modules().len() + self.model.tree.tensors().len();
        if !self.fallback_allocation || self.fallbacks_in_a_row > entries {
            return false;
        }
        let limit = budget - self.largest.size.max(partners.size);
        let Some(found) = fallback::take_first_fitting(self.model, &mut self.work, limit) else {
            return false;
        };
        self.work.push_front(entry);
        self.work.push_front(found);
        self.fallbacks_in_a_row += 1;
        true
    }

    /// Goes on to the next device; there is no way back.
    fn leave_device(&mut self, entry: Entry, partners: &Partners, room: Room) {
        self.fallbacks_in_a_row = 0;
        if let Some(slot) = self.placed.slots.get_mut(self.current) {
            if slot.used == Amount::ZERO {
                slot.minimum = Some(partners.size + room.reserve);
            }
            slot.used += room.reserve;
        }
        self.current += 1;
        self.work.push_front(entry);
    }
}

/// Puts `parts` where `entry` is in the list.
pub(super) fn replace(work: &mut VecDeque<Entry>, entry: Entry, parts: Vec<Entry>) {
    let Some(position) = work.iter().position(|&other| other == entry) else {
        return;
    };
    let behind = work.split_off(position + 1);
    work.pop_back();
    work.extend(parts);
    work.extend(behind);
}
