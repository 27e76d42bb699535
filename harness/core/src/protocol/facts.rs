//! What a worker found, planned and loaded.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceBytes, DeviceId};
use crate::placement::Transfer;
use crate::planner::Forecast;
use crate::units::Bytes;

/// A device as the worker found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeviceFacts {
    /// Its name in maps.
    pub id: DeviceId,
    /// The physical device below it; the same as `id` for a physical one.
    pub on: DeviceId,
    /// What the driver or system calls it.
    pub name: String,
    /// Memory that may be used: the budget of a logical device, else what the system reports.
    pub memory_bytes: Option<Bytes>,
    /// The generation of its processor, of a logical device that of the one below: `sm90`. Absent where it does not matter
    /// or is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// What the planner answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedPlacement {
    /// Module path (or prefix) to device, in the planner's order: the resolved map.
    pub device_map: Vec<(String, DeviceId)>,
    /// Budgets the planner worked with, after balancing.
    pub budgets: Vec<DeviceBytes>,
    /// Weights per device according to the plan.
    pub weights_bytes: Vec<DeviceBytes>,
    /// Things a person should know: spills, split ties, one device would do.
    pub warnings: Vec<String>,
    /// What the placement is expected to need and to take. Absent from engines that foresee nothing.
    #[serde(default)]
    pub forecast: Option<Box<Forecast>>,
}

/// One module as it was really loaded, read back from its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RealisedModule {
    /// `model.embed_tokens`, `model.layers.3`, `model.norm`, `lm_head`, in the order of execution.
    pub module: String,
    /// Where its tensors are.
    pub device: DeviceId,
    /// Bytes of its tensors there. A tied head that shares the embedding's tensor counts 0.
    pub bytes: Bytes,
    /// The rank that holds it, where the engine runs as several processes: each then lists what it holds itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// How activations travel from one device to another, as it was settled before the first generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LinkFacts {
    /// Where they come from.
    pub from: DeviceId,
    /// Where they go.
    pub to: DeviceId,
    /// How they travel: not always as asked.
    pub transfer: Transfer,
    /// A pattern sent this way was read back unchanged.
    pub verified: bool,
    /// Why they are staged through the host although `direct` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Weights.
    Weights,
    /// Keys and values of past tokens.
    KvCache,
    /// Most that was in use at once: weights, cache and activations.
    Peak,
}

/// A figure of memory on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MemoryFigure {
    /// The device.
    pub device: DeviceId,
    /// What is counted.
    pub kind: MemoryKind,
    /// The bytes.
    pub bytes: Bytes,
    /// The budget of the device, if it has one.
    pub allowed_bytes: Option<Bytes>,
}
