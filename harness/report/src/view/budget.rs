//! What limits the memory of a device, and what a device was asked for when it had no more.

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::outcome::Outcome;
use placebench_core::planner::Forecast;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::words::line;

/// The tightest limit of a device, with whoever sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) bytes: Bytes,
    pub(super) source: &'static str,
}

/// What a scenario allows a planner.
const MAX_MEMORY: &str = "max_memory";
/// What a slice of a device is made with; nothing beyond it is allocated.
const LOGICAL: &str = "logical device";
/// What could be had of a GPU when the placement was planned.
const FREE: &str = "free when planned";

/// The smallest of what the scenario allows, what was enforced or the device has, and what was free. The first of equals
/// names it.
pub(super) fn of(
    device: &str,
    spec: &CaseSpec,
    attempt: Option<&Attempt>,
    forecast: Option<&Forecast>,
) -> Option<Budget> {
    let asked = spec.request.max_memory.iter().flatten();
    let asked = asked.filter(|(id, _)| id.as_str() == device).map(|(_, bytes)| *bytes);
    let foreseen = forecast.and_then(|forecast| {
        let mut devices = forecast.footprint.devices.iter();
        devices.find(|entry| entry.device.as_str() == device)?.budget_bytes
    });
    let budget = |source| move |bytes| Budget { bytes, source };
    let limits = [
        asked.min().map(budget(MAX_MEMORY)),
        held(device, spec, attempt),
        foreseen.map(budget(FREE)),
    ];
    limits.into_iter().flatten().min_by_key(|budget| budget.bytes)
}

/// What a device may hold: as enforced while it ran, else as the device says, else as the scenario declares.
fn held(device: &str, spec: &CaseSpec, attempt: Option<&Attempt>) -> Option<Budget> {
    let declared = spec.devices.iter().find(|logical| logical.id.as_str() == device);
    let enforced = attempt.and_then(|attempt| {
        let mut figures = attempt.memory.iter().filter(|figure| figure.device.as_str() == device);
        figures.find_map(|figure| figure.allowed_bytes)
    });
    let facts = attempt.and_then(|attempt| attempt.devices.iter().find(|facts| facts.id.as_str() == device));
    let source = match DeviceId::new(device).map(|id| id.kind()) {
        Ok(DeviceKind::Cpu) => "free memory of the host",
        Ok(DeviceKind::Cuda(_) | DeviceKind::Metal(_)) if declared.is_none() => "memory of the GPU",
        _ => LOGICAL,
    };
    let bytes = enforced
        .or_else(|| facts?.memory_bytes)
        .or_else(|| declared?.memory_bytes)?;
    Some(Budget { bytes, source })
}

/// An allocation that a device had no room for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The device.
    #[serde(skip)]
    pub device: String,
    /// What would have been in use; absent where nobody said.
    #[serde(skip)]
    pub needed: Option<Bytes>,
    /// `model.layers.4 needs 4.26 MiB, 4.00 MiB allowed`.
    pub words: String,
}

impl Refusal {
    /// What an attempt was refused; `None` where it was not, or nobody said on which device.
    pub(super) fn of(attempt: Option<&Attempt>) -> Option<Self> {
        let Some(Outcome::OutOfMemory { failure }) = attempt.map(|attempt| &attempt.outcome) else {
            return None;
        };
        let device = failure.device.as_ref()?;
        let who = match &failure.place {
            Some(place) => line(&place.name()).replace("->", "→"),
            None => format!("phase {}", failure.phase),
        };
        let words = match (failure.needed_bytes, failure.allowed_bytes) {
            (Some(needed), Some(allowed)) if needed > allowed && needed.to_string() == allowed.to_string() => {
                let more = Bytes(needed.0 - allowed.0);
                format!("{who} needs {more} more than the {allowed} allowed")
            }
            (Some(needed), Some(allowed)) => format!("{who} needs {needed}, {allowed} allowed"),
            (Some(needed), None) => format!("{who} needs {needed}"),
            (None, _) => format!("{who} got no memory"),
        };
        Some(Self {
            device: device.as_str().to_owned(),
            needed: failure.needed_bytes,
            words,
        })
    }
}
