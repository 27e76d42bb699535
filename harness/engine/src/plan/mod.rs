//! From a requested placement to a device for every module.
//!
//! The request is resolved against a module tree and the devices that are there, without touching a weight. Strategies
//! are answered by the planner in `placebench-core`; maps that people write are checked here, because engines place
//! whole modules (embedding, layers, norm, head) and nothing smaller.

mod manual;
pub mod numbering;
mod optimal;
mod strategy;
#[cfg(test)]
mod tests;
mod warnings;

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::module_tree::ModuleTree;
use placebench_core::outcome::FailureClass;
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, PlacementRequest};
use placebench_core::planner::{
    Decoder, DecoderError, DeviceIdentity, Forecast, ModelShape, NotPlaced, OptimalError, PlacedDecoder, Rates,
    Workload, along, forecast,
};
use placebench_core::protocol::PlannedPlacement;
use placebench_core::units::Bytes;
use thiserror::Error;

/// A placement with a device for every module.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// What is announced.
    pub planned: PlannedPlacement,
    /// Every module in order of execution, with the device its weights belong on.
    pub modules: Vec<(String, DeviceId)>,
}

/// What the planner may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Devices of the request that are there, each with what may be allocated on it, where that is limited.
    pub devices: Vec<(DeviceId, Option<Bytes>)>,
    /// All GPUs of the machine with their free memory; looked at only where no budget and no logical device is given.
    pub gpus: Vec<(DeviceId, Bytes)>,
    /// Free memory of the host.
    pub host_bytes: Option<Bytes>,
}

impl Machine {
    /// What may be allocated on a device; `None` where it is unlimited or not there.
    #[must_use]
    pub fn budget(&self, device: &DeviceId) -> Option<Bytes> {
        self.devices
            .iter()
            .find(|(id, _)| id == device)
            .and_then(|(_, budget)| *budget)
    }
}

/// What is asked of the model besides its weights.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The model's dimensions.
    pub shape: ModelShape,
    /// What it shall do.
    pub workload: Workload,
    /// How fast devices and links are, logical ones included, where that is known.
    pub rates: Option<&'a Rates<DeviceId>>,
    /// What is known about the hardware.
    pub hardware: &'a [DeviceIdentity<DeviceId>],
}

/// Why a placement cannot be resolved.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlanError {
    /// A key that names nothing in the model.
    #[error("the device map names `{key}`, which is no module of the model{}; there are: {available}", suggestion(nearest.as_deref()))]
    UnknownModule {
        /// The key as written.
        key: String,
        /// The module with the nearest name.
        nearest: Option<String>,
        /// All modules, layers as a range.
        available: String,
    },
    /// A key below what is placed as a whole.
    #[error("the device map names `{key}`, a part of {module}, which is placed as a whole: name {module} instead")]
    InsideModule {
        /// The key as written.
        key: String,
        /// The module it is inside of.
        module: String,
    },
    /// A range that is no range.
    #[error(
        "the device map names `{key}`: a range of layers is written `model.layers.FIRST-LAST` with FIRST not above LAST"
    )]
    BadRange {
        /// The key as written.
        key: String,
    },
    /// Two keys of the same rank name the same module.
    #[error("the device map gives {module} twice: by `{first}` and by `{second}`")]
    Overlap {
        /// The module.
        module: String,
        /// The key that named it first.
        first: String,
        /// The key that named it again.
        second: String,
    },
    /// Modules without a device.
    #[error("the device map gives no device for {}; there are: {available}", missing.join(", "))]
    Uncovered {
        /// The modules, layers as ranges.
        missing: Vec<String>,
        /// All modules, layers as a range.
        available: String,
    },
    /// The placement is for another engine.
    #[error("this engine places models by device_map; a placement with {key} is for another engine")]
    NoMap {
        /// The key it has instead.
        key: &'static str,
    },
    /// The planner refuses.
    #[error("the planner refuses: {0}")]
    Planner(#[from] placebench_core::planner::PlanError),
    /// There is no fastest placement.
    #[error("no optimal placement: {0}")]
    Optimal(#[from] OptimalError),
    /// The tree is none of a decoder that can be placed.
    #[error("the model cannot be placed: {0}")]
    Decoder(#[from] DecoderError),
    /// A map that divides what is placed as a whole.
    #[error(transparent)]
    NotPlaced(#[from] NotPlaced),
}

impl PlanError {
    /// The class in the protocol.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        FailureClass::PlacementInvalid
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}

/// The devices a request names, in its own order: those that have to be opened.
#[must_use]
pub fn devices_named(request: &PlacementRequest) -> Vec<DeviceId> {
    let mut named: Vec<DeviceId> = match &request.device_map {
        DeviceMapRequest::Strategy(_)
        | DeviceMapRequest::Optimal(_)
        | DeviceMapRequest::Ranks(_)
        | DeviceMapRequest::Stated(_) => Vec::new(),
        DeviceMapRequest::Single(device) => vec![device.clone()],
        DeviceMapRequest::Manual(map) => map.iter().map(|(_, device)| device.clone()).collect(),
    };
    if request.device_map.is_planned()
        && let Some(budgets) = &request.max_memory
    {
        named.extend(budgets.iter().map(|(device, _)| device.clone()));
    }
    named
}

/// Gives every module a device. `modules` are paths in order of execution.
///
/// # Errors
/// When the request does not fit the model or the machine.
pub fn resolve(
    request: &PlacementRequest,
    machine: &Machine,
    tree: &ModuleTree,
    modules: &[String],
    demand: &Demand<'_>,
) -> Result<Resolved, PlanError> {
    let decoder = Decoder::new(tree, modules, demand.shape, None)?;
    let budgets = request.max_memory.as_deref();
    let (device_map, budgets, mut warnings) = match &request.device_map {
        DeviceMapRequest::Single(device) => (vec![(String::new(), device.clone())], Vec::new(), Vec::new()),
        DeviceMapRequest::Manual(map) => (manual::expand(map, tree, modules)?, Vec::new(), Vec::new()),
        DeviceMapRequest::Strategy(name) => {
            let answer = strategy::plan(*name, request.planner, budgets, machine, tree)?;
            (answer.device_map, answer.budgets, answer.warnings)
        }
        DeviceMapRequest::Optimal(objective) => {
            let answer = optimal::plan(*objective, budgets, machine, &decoder, demand)?;
            (answer.device_map, answer.budgets, answer.warnings)
        }
        DeviceMapRequest::Ranks(_) => return Err(PlanError::NoMap { key: "launch" }),
        DeviceMapRequest::Stated(_) => return Err(PlanError::NoMap { key: "stated" }),
    };
    let placed = along(modules, &device_map).ok_or_else(|| {
        let covered = |module: &&String| along(std::slice::from_ref(*module), &device_map).is_none();
        PlanError::Uncovered {
            missing: manual::ranges(modules.iter().filter(covered)),
            available: manual::ranges(modules.iter()).join(", "),
        }
    })?;
    let forecast = foreseen(request, machine, &PlacedDecoder::new(&decoder, &device_map)?, demand);
    warnings.extend(warnings::about(request, machine, (tree, &decoder), &device_map, demand));
    Ok(Resolved {
        planned: PlannedPlacement {
            device_map,
            budgets,
            weights_bytes: forecast
                .footprint
                .devices
                .iter()
                .map(|entry| DeviceBytes {
                    device: entry.device.clone(),
                    bytes: entry.weights_bytes,
                })
                .collect(),
            warnings,
            forecast: (!runs_elsewhere(request, &placed)).then(|| Box::new(forecast)),
        },
        modules: placed,
    })
}

/// True where a module runs on another device than its weights are on. Nothing is foretold then: neither the time to
/// fetch weights at each use nor the caches beside them are part of a prediction.
fn runs_elsewhere(request: &PlacementRequest, placed: &[(String, DeviceId)]) -> bool {
    let is_on = |kind: DeviceKind| placed.iter().any(|(_, device)| device.kind() == kind);
    let has_accelerator = placed.iter().any(|(_, device)| device.is_accelerator());
    is_on(DeviceKind::Disk) || (request.offload == Offload::Stream && has_accelerator && is_on(DeviceKind::Cpu))
}

fn foreseen(
    request: &PlacementRequest,
    machine: &Machine,
    placed: &PlacedDecoder<'_, DeviceId>,
    demand: &Demand<'_>,
) -> Forecast {
    let objective = match request.device_map {
        DeviceMapRequest::Optimal(objective) => Some(objective),
        _ => None,
    };
    let usable = warnings::usable(request, machine);
    let limits: Vec<(DeviceId, Bytes)> = usable
        .into_iter()
        .filter_map(|(device, bytes)| Some((device, bytes?)))
        .collect();
    // Stages that work on different sequences at the same time are no sum: only their memory is foretold.
    let overlaps = matches!(request.concurrency, Concurrency::InFlight(sequences) if sequences > 1);
    let rates = demand.rates.filter(|_| !overlaps);
    forecast(placed, &demand.workload, &limits, rates, objective)
}
