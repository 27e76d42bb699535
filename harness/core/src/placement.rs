//! What a scenario asks for: a device map or a strategy, budgets, and how tensors travel.

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;
use crate::planner::{Dialect, Objective};
use crate::units::Bytes;

/// A strategy name as Hugging Face spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// The same as `balanced` everywhere, kept because people write it.
    Auto,
    /// Equal shares on all accelerators.
    Balanced,
    /// Equal shares on all accelerators but the first, which is kept free for generation.
    #[serde(rename = "balanced_low_0")]
    BalancedLow0,
    /// Fill one device after the other.
    Sequential,
}

impl StrategyName {
    /// All strategies, in the order people meet them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Balanced, Self::BalancedLow0, Self::Sequential];

    /// The name as written in a scenario.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Balanced => "balanced",
            Self::BalancedLow0 => "balanced_low_0",
            Self::Sequential => "sequential",
        }
    }

    /// The strategy of that name, if there is one. Names are case-sensitive, as in Accelerate.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name)
    }
}

/// The device map a placement asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceMapRequest {
    /// A planner of Hugging Face decides.
    Strategy(StrategyName),
    /// Whatever is predicted to be fastest: the least of that time.
    Optimal(Objective),
    /// Everything on one device.
    Single(DeviceId),
    /// Module path (or `model.layers.A-B` range) to device, in the order of the file.
    Manual(Vec<(String, DeviceId)>),
    /// Several processes instead of a map: each has a rank and a device of its own.
    Ranks(RanksSpec),
    /// The engine places the model by itself, and this is how, in the words of whoever wrote the scenario. It is not read back.
    Stated(String),
}

/// What starts the ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Launcher {
    /// `python -m torch.distributed.run`.
    #[default]
    Torchrun,
    /// `accelerate launch`.
    Accelerate,
}

impl Launcher {
    /// The name in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Torchrun => "torchrun",
            Self::Accelerate => "accelerate",
        }
    }
}

/// How the ranks share the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parallelism {
    /// Each rank holds the whole model and generates the same text.
    #[default]
    Data,
    /// Each rank holds a part of every layer (`tp_plan = "auto"`).
    Tensor,
}

impl Parallelism {
    /// The name in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tensor => "tensor",
        }
    }
}

/// A distributed configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanksSpec {
    /// What starts them.
    pub launcher: Launcher,
    /// How many there are, from 2.
    pub processes: u32,
    /// `gloo`, `nccl`, …; absent: `nccl` on GPUs, else `gloo`.
    pub backend: Option<String>,
    /// How they share the work.
    pub parallel: Parallelism,
}

impl DeviceMapRequest {
    /// True where a planner chooses the devices, so that they follow from budgets and from what is there.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        matches!(self, Self::Strategy(_) | Self::Optimal(_))
    }
}

/// How an activation moves from one device to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// The backend's own device-to-device copy.
    #[default]
    Direct,
    /// Staged through host memory.
    Host,
}

/// What happens to layers on `cpu` or `disk` when an accelerator exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Offload {
    /// Weights are copied to the accelerator at each use, as Accelerate does.
    Stream,
    /// The layer is computed where its weights are, as llama.cpp does.
    #[default]
    Execute,
}

/// How many sequences are generated together, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// One sequence.
    #[default]
    Single,
    /// So many as the rows of one step: every module reads its weights once for all of them.
    Batch(u32),
    /// So many at once, each by itself, every stage working on another one: pipelining.
    InFlight(u32),
}

impl Concurrency {
    /// The number of sequences, at least 1.
    #[must_use]
    pub fn sequences(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Batch(sequences) | Self::InFlight(sequences) => sequences.max(1),
        }
    }
}

/// A named request of a scenario: what was *asked*. What was planned and what happened are other types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRequest {
    /// The device map or strategy.
    pub device_map: DeviceMapRequest,
    /// Budgets for the planner, in the order of the file; absent means the declared memory of the devices.
    pub max_memory: Option<Vec<(DeviceId, Bytes)>>,
    /// How activations travel.
    pub transfer: Transfer,
    /// How layers on `cpu` and `disk` run.
    pub offload: Offload,
    /// Whose rules answer a strategy.
    #[serde(default)]
    pub planner: Dialect,
    /// How many sequences are generated together.
    #[serde(default)]
    pub concurrency: Concurrency,
}
