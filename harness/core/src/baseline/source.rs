//! Where figures of a baseline come from.

use serde::{Deserialize, Serialize};

use crate::compare::fingerprint;
use crate::device::{DeviceId, DeviceKind};
use crate::protocol::DeviceFacts;
use crate::record::{Attempt, Environment, GpuTelemetry, RunInfo, Tool};
use crate::units::Bytes;

/// An accelerator as the driver told of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CardSeen {
    /// Its number.
    pub index: u32,
    /// Its model.
    pub name: String,
    /// Its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    /// The driver's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

impl CardSeen {
    /// What is hardware of it.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.name, self.memory_bytes.unwrap_or_default().0)
    }
}

/// A run, or what cases of it saw of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The run.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The program.
    pub tool: Option<Tool>,
    /// Build profile of the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The machine, as far as figures depend on it; absent in a baseline for all machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The accelerators that workers saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<(DeviceId, String)>,
    /// The same as the driver tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardSeen>,
}

impl Source {
    /// What attempts of a case of a run come from.
    #[must_use]
    pub fn new(info: &RunInfo, environment: &Environment, attempts: &[&Attempt]) -> Self {
        let mut devices: Vec<(DeviceId, String)> = Vec::new();
        for device in attempts.iter().flat_map(|attempt| &attempt.devices) {
            let seen = (device.id.clone(), device.name.clone());
            if is_physical_accelerator(&device.id) && !devices.contains(&seen) {
                devices.push(seen);
            }
        }
        devices.sort();
        Self {
            run_id: info.run_id.clone(),
            started_at: info.started_at.clone(),
            tool: Some(info.tool.clone()),
            profile: attempts.iter().find_map(|attempt| attempt.profile.clone()),
            environment: Some(fingerprint::comparable(environment)),
            devices,
            cards: cards(attempts.iter().copied()),
        }
    }

    /// The same without the machine.
    #[must_use]
    pub fn of_any_machine(self) -> Self {
        Self {
            profile: None,
            environment: None,
            devices: Vec::new(),
            cards: Vec::new(),
            ..self
        }
    }

    /// The accelerators as a worker tells of them.
    pub(super) fn device_facts(&self) -> Vec<DeviceFacts> {
        let facts = |(id, name): &(DeviceId, String)| DeviceFacts {
            id: id.clone(),
            on: id.clone(),
            name: name.clone(),
            memory_bytes: None,
            architecture: None,
        };
        self.devices.iter().map(facts).collect()
    }

    /// The same as the driver tells.
    pub(super) fn telemetry(&self) -> Vec<GpuTelemetry> {
        let telemetry = |card: &CardSeen| GpuTelemetry {
            index: card.index,
            name: card.name.clone(),
            memory_bytes: card.memory_bytes,
            driver: card.driver.clone(),
            ..GpuTelemetry::default()
        };
        self.cards.iter().map(telemetry).collect()
    }
}

/// The accelerators that attempts were made with: as the driver tells, else as workers do.
#[must_use]
pub fn cards<'a>(attempts: impl Iterator<Item = &'a Attempt> + Clone) -> Vec<CardSeen> {
    let told = attempts.clone().flat_map(|attempt| &attempt.gpus).map(|gpu| CardSeen {
        index: gpu.index,
        name: gpu.name.clone(),
        memory_bytes: gpu.memory_bytes,
        driver: gpu.driver.clone(),
    });
    let mut cards: Vec<CardSeen> = told.collect();
    if cards.is_empty() {
        let seen = attempts.flat_map(|attempt| &attempt.devices).filter_map(|device| {
            let index = match device.id.kind() {
                DeviceKind::Cuda(index) | DeviceKind::Metal(index) => index,
                DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Logical => return None,
            };
            Some(CardSeen {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                name: device.name.clone(),
                memory_bytes: None,
                driver: None,
            })
        });
        cards.extend(seen);
    }
    cards.sort();
    cards.dedup();
    cards
}

fn is_physical_accelerator(id: &DeviceId) -> bool {
    matches!(id.kind(), DeviceKind::Cuda(_) | DeviceKind::Metal(_))
}
