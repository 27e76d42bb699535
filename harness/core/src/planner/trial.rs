//! Trials: what the placement loop knows when it tries an entry on a device, and what comes of it.

use super::amount::Amount;
use super::device::PlanDevice;
use super::entry::Entry;
use super::largest::Layers;
use super::ties::Partners;

/// What is known of a device when an entry is tried on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) budget: Amount,
    pub(super) reserve: Amount,
    pub(super) used: Amount,
}

impl Room {
    pub(super) fn limit(self) -> Amount {
        self.budget - self.reserve
    }

    pub(super) fn holds(self, size: Amount) -> bool {
        self.used + size <= self.limit()
    }
}

/// An entry on a device, before anything is decided.
pub(super) struct Trial<'a> {
    pub(super) entry: Entry,
    pub(super) bytes: Amount,
    pub(super) partners: &'a Partners,
    pub(super) device: PlanDevice,
    /// `None` on the disk, where everything fits.
    pub(super) room: Option<Room>,
    pub(super) layers: &'a Layers,
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrialResult {
    /// The entry and its partners are on the device.
    Placed,
    /// Its parts are tried next.
    Divided,
    /// This partner is replaced by its parts, and the entry is tried again.
    PartnerDivided(Entry),
    /// This entry, which is smaller, is tried before it.
    Overtaken(Entry),
    /// The device is left for good, and the entry is tried on the next one.
    DeviceLeft,
}

/// Who listens to trials. `()` does not, and costs nothing.
pub(super) trait Recorder {
    /// An entry is about to be tried.
    fn tried(&mut self, _trial: &Trial<'_>) {}
    /// What came of it.
    fn decided(&mut self, _result: TrialResult) {}
}

impl Recorder for () {}
