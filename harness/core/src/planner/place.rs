//! Placement: walking the model in registration order, filling one device after the other.

use super::amount::Amount;
use super::budget::Budget;
use super::device::PlanDevice;
use super::entry::{Entry, Model};
use super::fallback;
use super::largest::Layers;
use super::request::Dialect;
use super::ties::Partners;
use super::trial::{Recorder, Room, Trial, TrialResult};
use super::work::WorkList;

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

/// Places the whole model (the rules are Accelerate 1.4.0's, or Transformers 5.23.0's where it differs), and tells
/// `recorder` of every trial.
pub(super) fn place(
    model: &Model<'_>,
    budget: &Budget,
    fallback_allocation: bool,
    recorder: &mut impl Recorder,
) -> Placed {
    let (modules, tensors) = (model.tree.modules().len(), model.tree.tensors().len());
    let mut placer = Placer {
        model,
        fallback_allocation: fallback_allocation && model.dialect == Dialect::Accelerate,
        current: 0,
        layers: Layers::new(model),
        work: WorkList::new(modules, tensors, &model.roots()),
        placed: Placed {
            map: Vec::new(),
            modules: Vec::new(),
            slots: slots(budget),
        },
        fallbacks_in_a_row: 0,
    };
    while let Some(entry) = placer.work.pop_front() {
        placer.step(entry, recorder);
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
    layers: Layers,
    work: WorkList,
    fallbacks_in_a_row: usize,
}

impl Placer<'_> {
    fn step(&mut self, entry: Entry, recorder: &mut impl Recorder) {
        self.layers.forget(self.model, entry);
        let partners = Partners::of(self.model, entry, |other| self.work.contains(other));
        let room = self.room();
        recorder.tried(&Trial {
            entry,
            bytes: self.model.size(entry),
            partners: &partners,
            device: self.device(),
            room,
            layers: &self.layers,
        });
        let result = self.decide(entry, &partners, room);
        recorder.decided(result);
    }

    fn decide(&mut self, entry: Entry, partners: &Partners, room: Option<Room>) -> TrialResult {
        let Some(room) = room.filter(|room| !room.holds(partners.size)) else {
            self.put(entry, partners);
            return TrialResult::Placed;
        };
        let size = self.model.size(entry);
        if room.holds(size)
            && let Some(partner) = self.divide_partner(entry, partners)
        {
            return TrialResult::PartnerDivided(partner);
        }
        // "At least", not "more": what fits exactly, but for its partners, is divided too.
        let is_too_large = room.used + size >= room.limit();
        if (is_too_large || self.model.dialect == Dialect::Transformers5) && self.divide(entry) {
            return TrialResult::Divided;
        }
        if room.used == Amount::ZERO
            && let Some(found) = self.fall_back(entry, partners, room.budget)
        {
            return TrialResult::Overtaken(found);
        }
        self.leave_device(entry, partners, room);
        TrialResult::DeviceLeft
    }

    fn device(&self) -> PlanDevice {
        let slot = self.placed.slots.get(self.current);
        slot.map_or(PlanDevice::Disk, |slot| slot.device)
    }

    /// `None` on the disk.
    fn room(&self) -> Option<Room> {
        let slot = self.placed.slots.get(self.current)?;
        Some(Room {
            budget: slot.budget?,
            reserve: if slot.keeps_reserve {
                self.layers.size()
            } else {
                Amount::ZERO
            },
            used: slot.used,
        })
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
        self.placed.map.push((entry, device));
        self.layers.placed(self.model, entry);
        for &partner in &partners.entries {
            // One entry may hold several of the tied parameters.
            if self.work.remove(partner) {
                self.placed.map.push((partner, device));
                self.layers.placed(self.model, partner);
            }
        }
    }

    /// Replaces the first partner that can be divided by its parts, so that less has to come along.
    fn divide_partner(&mut self, entry: Entry, partners: &Partners) -> Option<Entry> {
        let mut partners = partners.entries.iter().copied();
        let partner = partners.find(|&partner| self.model.is_divisible(partner))?;
        let Entry::Module(module) = partner else {
            return None;
        };
        self.work.replace(partner, &self.model.parts(module));
        self.work.push_front(entry);
        self.layers.look_again();
        self.fallbacks_in_a_row = 0;
        Some(partner)
    }

    fn divide(&mut self, entry: Entry) -> bool {
        let Entry::Module(module) = entry else {
            return false;
        };
        if !self.model.is_divisible(entry) {
            return false;
        }
        self.work.push_all_front(&self.model.parts(module));
        self.layers.look_again();
        self.fallbacks_in_a_row = 0;
        true
    }

    /// Puts something that fits the empty device in front of `entry`, and says what.
    fn fall_back(&mut self, entry: Entry, partners: &Partners, budget: Amount) -> Option<Entry> {
        // Two entries could be put in front of each other for ever: no search succeeds more often than there are entries.
        let entries = self.model.tree.modules().len() + self.model.tree.tensors().len();
        if !self.fallback_allocation || self.fallbacks_in_a_row > entries {
            return None;
        }
        let limit = budget - self.layers.size().max(partners.size);
        let found = fallback::take_first_fitting(self.model, &mut self.work, limit)?;
        self.work.push_front(entry);
        self.work.push_front(found);
        self.fallbacks_in_a_row += 1;
        Some(found)
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
