//! Going through one trail: its own defects, which need no other trail to be seen.

use std::collections::HashMap;

use super::became::{Became, Earlier};
use super::{AuditEntry, AuditStep, Side};
use crate::device::DeviceId;
use crate::outcome::{Hop, Place};

/// Where an entry stands in a trail: its step, and its position in it.
pub(super) type Position = (usize, usize);

/// Something wrong with a trail by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Defect {
    pub(super) position: Position,
    pub(super) token: u32,
    pub(super) place: Place,
    pub(super) stage: Stage,
    pub(super) became: Became,
    /// Length of what it should have been, where that is known.
    pub(super) right_l2: Option<f64>,
}

/// Between which two tensors the difference came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the input of a module to its output.
    Computing,
    /// From the output of a module to what its hop sent: it changed where it lay.
    Resting,
    /// From what was sent to what arrived.
    Moving,
}

/// The first thing that is wrong with a trail by itself: something that arrived otherwise than it was sent, or is not
/// finite.
pub(super) fn first_defect(steps: &[AuditStep]) -> Option<Defect> {
    let mut history = History::default();
    for (number, step) in steps.iter().enumerate() {
        let mut previous: Option<&AuditEntry> = None;
        for (at, entry) in step.entries.iter().enumerate() {
            let found = defect(entry, previous, history.of(entry, previous), step.token);
            if let Some(found) = found {
                return Some(Defect {
                    position: (number, at),
                    ..found
                });
            }
            history.remember(step.token, entry, previous);
            previous = Some(entry);
        }
    }
    None
}

fn defect(entry: &AuditEntry, previous: Option<&AuditEntry>, earlier: &[Earlier], token: u32) -> Option<Defect> {
    let made = |stage, place, became, right_l2| Defect {
        position: (0, 0),
        token,
        place,
        stage,
        became,
        right_l2,
    };
    match (entry.side, previous) {
        (Side::Output, _) if entry.print.non_finite > 0 => {
            let place = module_place(entry);
            Some(made(Stage::Computing, place, Became::not_finite(&entry.print), None))
        }
        (Side::Output, _) | (Side::Sent | Side::Arrived, None) => None,
        // A hop may carry only the last row of what was made.
        (Side::Sent, Some(output)) => {
            let whole = entry.print.digest == output.print.digest;
            let last = entry.print.rows() == 1 && entry.print.digest == output.print.last_row;
            let is_other_part = entry.print.shape != output.print.shape && entry.print.rows() > 1;
            (!whole && !last && !is_other_part).then(|| {
                let became = Became::of(&entry.print, &output.print, None, earlier);
                made(Stage::Resting, module_place(output), became, Some(output.print.l2))
            })
        }
        (Side::Arrived, Some(sent)) => {
            let same = entry.print.digest == sent.print.digest && entry.print.dtype == sent.print.dtype;
            (!same).then(|| {
                let became = Became::of(&entry.print, &sent.print, entry.changed, earlier);
                let place = hop_place(entry, &sent.device);
                made(Stage::Moving, place, became, Some(sent.print.l2))
            })
        }
    }
}

pub(super) fn module_place(entry: &AuditEntry) -> Place {
    Place::Module {
        module: entry.at.clone(),
        device: entry.device.clone(),
    }
}

fn hop_place(arrived: &AuditEntry, from: &DeviceId) -> Place {
    let (from_module, to_module) = arrived.at.split_once(" -> ").unwrap_or((&arrived.at, &arrived.at));
    Place::Hop(Hop {
        from_module: from_module.to_owned(),
        to_module: to_module.to_owned(),
        from_device: from.clone(),
        to_device: arrived.device.clone(),
    })
}

/// Earlier tensors: of each module what it made, of each link what it delivered.
#[derive(Debug, Default)]
pub(super) struct History {
    seen: HashMap<Key, Vec<Earlier>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Module(String),
    Link(DeviceId, DeviceId),
}

impl Key {
    fn of(entry: &AuditEntry, previous: Option<&AuditEntry>) -> Option<Self> {
        match (entry.side, previous) {
            (Side::Output, _) => Some(Self::Module(entry.at.clone())),
            (Side::Arrived, Some(sent)) => Some(Self::Link(sent.device.clone(), entry.device.clone())),
            (Side::Sent | Side::Arrived, _) => None,
        }
    }
}

impl History {
    /// What was seen of this place or link before.
    pub(super) fn of(&self, entry: &AuditEntry, previous: Option<&AuditEntry>) -> &[Earlier] {
        let seen = Key::of(entry, previous).and_then(|key| self.seen.get(&key));
        seen.map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn remember(&mut self, token: u32, entry: &AuditEntry, previous: Option<&AuditEntry>) {
        if let Some(key) = Key::of(entry, previous) {
            self.seen.entry(key).or_default().push(Earlier {
                token,
                at: entry.at.clone(),
                digest: entry.print.digest,
                last_row: entry.print.last_row,
            });
        }
    }
}
