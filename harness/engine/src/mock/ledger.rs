//! What a mock generation takes on each device, against its budget.

use placebench_core::device::{DeviceBytes, DeviceId, LogicalDevice};
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::protocol::{MemoryFigure, MemoryKind};
use placebench_core::units::Bytes;

use crate::Context;
use crate::faults::Leak;

/// What is in use on each device.
#[derive(Clone)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    device: DeviceId,
    allowed: Option<Bytes>,
    weights: u64,
    kv_cache: u64,
    largest_kv_cache: u64,
    /// What the injected fault `leak` keeps.
    leaked: u64,
    peak: u64,
}

impl Entry {
    fn used(&self) -> u64 {
        self.weights + self.kv_cache + self.leaked
    }
}

impl Ledger {
    pub(super) fn new(devices: &[LogicalDevice]) -> Self {
        let entry = |device: DeviceId, allowed| Entry {
            device,
            allowed,
            weights: 0,
            kv_cache: 0,
            largest_kv_cache: 0,
            leaked: 0,
            peak: 0,
        };
        let logical = devices
            .iter()
            .map(|device| entry(device.id.clone(), device.memory_bytes));
        Self {
            entries: logical
                .chain([entry(DeviceId::cpu(), None), entry(DeviceId::disk(), None)])
                .collect(),
        }
    }

    /// Takes bytes on a device.
    pub(super) fn charge(
        &mut self,
        device: &DeviceId,
        kind: MemoryKind,
        bytes: Bytes,
        what: &str,
        context: &Context,
    ) -> Result<(), WorkerFailure> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.device == *device) else {
            return Err(context.failure(FailureClass::DeviceMissing, format!("{device} is not declared")));
        };
        let needed = Bytes(entry.used() + bytes.0);
        let exceeded = entry.allowed.filter(|allowed| needed > *allowed);
        if let Some(allowed) = exceeded.or_else(|| context.fault_at_allocation(needed)) {
            return Err(context.out_of_memory(device, what, needed, allowed));
        }
        match kind {
            MemoryKind::KvCache => entry.kv_cache += bytes.0,
            MemoryKind::Weights | MemoryKind::Peak => entry.weights += bytes.0,
        }
        entry.largest_kv_cache = entry.largest_kv_cache.max(entry.kv_cache);
        entry.peak = entry.peak.max(needed.0);
        Ok(())
    }

    /// Gives back the caches: a generation has ended. A leak keeps what it is told to.
    pub(super) fn end_generation(&mut self, leak: Option<Leak>, last: Option<&DeviceId>) {
        for entry in &mut self.entries {
            entry.leaked += match leak {
                Some(Leak::Caches) => entry.kv_cache,
                Some(Leak::Bytes(bytes)) if last == Some(&entry.device) => bytes.0,
                Some(Leak::Bytes(_)) | None => 0,
            };
            entry.kv_cache = 0;
        }
    }

    /// What is in use, where anything ever was.
    pub(super) fn held(&self) -> Vec<DeviceBytes> {
        let used = self.entries.iter().filter(|entry| entry.peak > 0);
        used.map(|entry| DeviceBytes {
            device: entry.device.clone(),
            bytes: Bytes(entry.used()),
        })
        .collect()
    }

    pub(super) fn figures(&self) -> Vec<MemoryFigure> {
        let used = self.entries.iter().filter(|entry| entry.peak > 0);
        used.flat_map(|entry| {
            [
                (MemoryKind::Weights, entry.weights),
                (MemoryKind::KvCache, entry.largest_kv_cache),
                (MemoryKind::Peak, entry.peak),
            ]
            .map(|(kind, bytes)| MemoryFigure {
                device: entry.device.clone(),
                kind,
                bytes: Bytes(bytes),
                allowed_bytes: entry.allowed,
            })
        })
        .collect()
    }
}
