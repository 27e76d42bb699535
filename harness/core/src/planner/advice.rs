//! What a person should know about a placement before it runs, as data.
//!
//! Each piece of advice is found by looking at a device map, the decoder it places, what the machine has and what was
//! asked for; its sentence ([`std::fmt::Display`]) says what to do about it.

use serde::{Deserialize, Serialize};

use super::advice_find;
use super::device::MapDevice;
use super::footprint::footprint;
use super::footprint_workload::Workload;
use super::shape_decoder::Decoder;
use super::shape_placed::PlacedDecoder;
use crate::module_tree::ModuleTree;
use crate::units::Bytes;

/// A piece of advice about a placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Advice<D> {
    /// A block that must run in one piece is divided.
    BlockCut {
        /// The block's path.
        block: String,
        /// The devices of its parts.
        devices: Vec<D>,
    },
    /// Modules without a device.
    NotPlaced {
        /// The first of them.
        module: String,
    },
    /// Weights are on the host or the disk although nobody named it and there are accelerators.
    SilentSpill {
        /// `cpu` or `disk`.
        device: D,
        /// The modules there, in order of execution.
        modules: Vec<String>,
        /// Their weights.
        weights_bytes: Bytes,
    },
    /// A device needs more than its budget for this request.
    OverBudget {
        /// The device.
        device: D,
        /// What it needs.
        needed_bytes: Bytes,
        /// What it allows.
        budget_bytes: Bytes,
        /// Whether the weights alone are too many.
        weights_alone: bool,
        /// The length of the sequences at which memory ends, if it is not exceeded at once.
        at_token: Option<u64>,
    },
    /// This request fits, but a longer one will not.
    RunsOut {
        /// The device that is full first.
        device: D,
        /// The length of the sequences at which that happens.
        at_token: u64,
        /// The positions the model was made for.
        max_positions: u64,
    },
    /// Several devices are used although one would do, KV cache, activations and logits included.
    OneWouldDo {
        /// That device.
        device: D,
        /// What it would need.
        needed_bytes: Bytes,
        /// What it allows; `None` where nothing limits it.
        budget_bytes: Option<Bytes>,
        /// Hops per token that it would save.
        hops_per_token: u64,
    },
    /// Names of one tensor that are on different devices.
    TiedApart {
        /// The names with their devices.
        names: Vec<(String, D)>,
        /// The bytes that are held more than once.
        bytes: Bytes,
    },
    /// The head is on another device than the embedding.
    HeadApart {
        /// The embedding's device.
        embedding: D,
        /// The head's device.
        head: D,
    },
    /// Inputs are made on another device than the one that reads them.
    InputElsewhere {
        /// Where they are.
        input: D,
        /// The first stage's device.
        first_stage: D,
    },
    /// One device carries much more than another.
    Uneven {
        /// The most loaded device.
        most: D,
        /// The least loaded device.
        least: D,
        /// How many times as much.
        ratio: f64,
        /// What counts as uneven.
        bound: f64,
        /// What was compared.
        load: Load,
    },
    /// Unlike devices that are told apart by a number only.
    OrderAmbiguous {
        /// The devices with their models.
        devices: Vec<(D, String)>,
    },
}

/// What the load of a device is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Bytes over the budget's bytes, where every device has a budget.
    BudgetShare,
    /// Bytes.
    Bytes,
}

/// How much a piece of advice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Works, but could be better.
    Note,
    /// Works, but may surprise: slow, or out of memory later.
    Warning,
    /// Does not run.
    Error,
}

impl<D> Advice<D> {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::BlockCut { .. } | Self::NotPlaced { .. } | Self::OverBudget { .. } => Severity::Error,
            Self::SilentSpill { .. }
            | Self::TiedApart { .. }
            | Self::InputElsewhere { .. }
            | Self::OrderAmbiguous { .. } => Severity::Warning,
            Self::RunsOut { .. } | Self::OneWouldDo { .. } | Self::HeadApart { .. } | Self::Uneven { .. } => {
                Severity::Note
            }
        }
    }

    /// True for what the search for the fastest placement has weighed already: it spread because that is faster.
    #[must_use]
    pub fn is_weighed_by_optimal(&self) -> bool {
        matches!(
            self,
            Self::OneWouldDo { .. } | Self::HeadApart { .. } | Self::Uneven { .. }
        )
    }
}

/// What a machine says about one of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceIdentity<D> {
    /// The device as maps name it.
    pub device: D,
    /// The hardware's model name.
    pub model: String,
    /// The identifier that stays with the hardware, if it is known.
    pub uuid: Option<String>,
}

/// A placement and its circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a, D> {
    /// The model's tree.
    pub tree: &'a ModuleTree,
    /// The modules that run.
    pub decoder: &'a Decoder,
    /// The map.
    pub device_map: &'a [(String, D)],
    /// What the model shall do.
    pub workload: &'a Workload,
    /// Devices that could be used, each with its budget; `None` is unlimited.
    pub devices: &'a [(D, Option<Bytes>)],
    /// The devices that the request named itself, as keys of `max_memory` or in a manual map.
    pub named: &'a [D],
    /// Where the prompt's tokens are, if that is known.
    pub input: Option<&'a D>,
    /// What is known about the hardware.
    pub hardware: &'a [DeviceIdentity<D>],
    /// How many times as loaded as the least loaded device the most loaded one may be; [`UNEVEN_RATIO`] is usual.
    pub uneven_ratio: f64,
}

/// One device with half as much again as another.
pub const UNEVEN_RATIO: f64 = 1.5;

/// Everything worth saying about a placement, the most serious first.
#[must_use]
pub fn advise<D: MapDevice>(situation: &Situation<'_, D>) -> Vec<Advice<D>> {
    let mut advice = advice_find::blocks_cut(situation);
    advice.extend(advice_find::tied_apart(situation));
    match PlacedDecoder::new(situation.decoder, situation.device_map) {
        Ok(placed) => {
            let limited = situation.devices.iter();
            let budgets: Vec<(D, Bytes)> = limited
                .filter_map(|(device, budget)| Some((device.clone(), (*budget)?)))
                .collect();
            let footprint = footprint(&placed, situation.workload, &budgets);
            advice.extend(advice_find::spills(situation, &placed, &footprint));
            advice.extend(advice_find::memory(situation, &footprint));
            advice.extend(advice_find::one_would_do(situation, &footprint));
            advice.extend(advice_find::head_apart(situation, &placed));
            advice.extend(advice_find::input_elsewhere(situation, &placed));
            advice.extend(advice_find::uneven(situation, &footprint));
            advice.extend(advice_find::order_ambiguous(situation, &footprint));
        }
        // A block that is cut has been said to be.
        Err(missing)
            if advice
                .iter()
                .any(|known| matches!(known, Advice::BlockCut { block, .. } if *block == missing.module)) => {}
        Err(missing) => advice.push(Advice::NotPlaced { module: missing.module }),
    }
    advice.sort_by_key(|advice| std::cmp::Reverse(advice.severity()));
    advice
}
