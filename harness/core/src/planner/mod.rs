//! Planners: from a module tree and budgets to a device map.
//!
//! [`plan`] answers as Hugging Face Accelerate 1.4.0 does, rule by rule: size table, budgets, balancing, placement,
//! tidying. Where the reference fails by accident (a tied parameter that is placed already, ids with gaps, a `disk`
//! budget), the answer here is a legal plan. [`Dialect::Transformers5`] answers as the planner of Transformers 5.23.0.
//! [`resolve_manual`] reads a map that a user wrote. [`explain()`] says why a module landed where it did.
//!
//! Everything is deterministic and free of side effects.

mod advice;
mod advice_find;
#[cfg(test)]
mod advice_tests;
mod advice_text;
mod amount;
mod balance;
mod budget;
mod buffers;
mod device;
mod dtype;
mod entry;
mod error;
mod explain;
mod explain_text;
mod fallback;
mod footprint;
mod footprint_workload;
mod forecast;
mod largest;
mod manual;
mod optimal;
mod optimal_groups;
mod optimal_search;
mod optimal_tables;
#[cfg(test)]
mod optimal_tests;
mod place;
mod predict;
mod predict_rates;
mod predict_step;
mod request;
mod resolve;
mod shape;
mod shape_decoder;
mod shape_placed;
#[cfg(test)]
mod shape_testing;
mod size_string;
mod sizing;
mod stages;
mod table;
mod tidy;
mod ties;
mod trial;
mod work;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use self::advice::{Advice, DeviceIdentity, Load, Severity, Situation, UNEVEN_RATIO, advise};
pub use self::amount::Amount;
use self::balance::Balance;
use self::budget::Budget;
pub use self::device::{MapDevice, PlanDevice, UnknownDevice};
pub use self::dtype::{bytes_per_element, is_integral};
use self::entry::Model;
pub use self::error::PlanError;
pub use self::explain::{Balancing, Explanation, ExplanationStep, PlacementTrial, TrialOutcome, TrialRoom, explain};
pub use self::footprint::{DeviceFootprint, Footprint, Room, footprint};
pub use self::footprint_workload::{Attention, LogitPositions, Workload};
pub use self::forecast::{Forecast, forecast};
pub use self::manual::{
    ManualAnswer, ManualError, ParameterRun, check_device_index, check_torch_device, resolve_manual,
};
pub use self::optimal::{
    Alternative, MAX_OPTIMAL_DEVICES, OptimalAnswer, OptimalError, OptimalRequest, Shortfall, plan_optimal,
};
use self::place::Placed;
pub use self::predict::{Bound, DeviceTime, HopTime, Objective, Prediction, StageTime, StepTime, predict};
pub use self::predict_rates::{DeviceRates, Link, LinkRates, RateError, Rates};
pub use self::request::{Dialect, Flow, MemoryLimit, PlanRequest, UnknownName, max_memory_from_json};
use self::resolve::Dispatch;
pub use self::resolve::{DeviceMap, expand_to_modules, expand_to_tensors};
pub use self::shape::{Mlp, ModelShape, ShapeError};
pub use self::shape_decoder::{Decoder, DecoderError, DecoderModule, ModuleRole, Tie, execution_order};
pub use self::shape_placed::{NotPlaced, PlacedDecoder};
pub use self::size_string::{SizeError, parse_size};
use self::sizing::Sizing;
pub use self::stages::{Stage, along, stages};
use self::table::{Counting, SizeTable};
use self::ties::Ties;
use self::trial::Recorder;
use crate::module_tree::ModuleTree;
use crate::placement::StrategyName;

/// A planned placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The budgets that were placed into, after balancing, in filling order.
    pub budget: Vec<(PlanDevice, Amount)>,
    /// Module path or tensor name to device; every key covers what is below it.
    pub device_map: Vec<(String, PlanDevice)>,
    /// Where offloaded layers run and outputs arrive: the first device of the map that is neither `cpu` nor `disk`; the
    /// only device where there is one; otherwise `cpu`.
    pub main_device: PlanDevice,
    /// Keys whose weights are fetched for each forward pass.
    pub offloaded: Vec<String>,
    /// Stored tensors that no key covers, so that a dispatcher refuses the map: buffers directly in a divided module.
    pub not_covered: Vec<String>,
    /// Names, with their devices, of tied parameters that ended on different devices.
    pub tied_on_different_devices: Vec<(String, PlanDevice)>,
    /// Bytes of the buffers of offloaded modules, where no accelerator has room for them.
    pub buffer_warning_bytes: Option<Amount>,
    /// For devices on which nothing could be put: the bytes it would have taken.
    pub minimum_required: Vec<(PlanDevice, Amount)>,
}

/// Plans the placement of a model.
///
/// # Errors
/// When the request is wrong: no budgets, budgets or dtypes that cannot be read.
pub fn plan(tree: &ModuleTree, request: &PlanRequest) -> Result<PlanAnswer, PlanError> {
    plan_and_record(tree, request, &mut ())
}

fn plan_and_record(
    tree: &ModuleTree,
    request: &PlanRequest,
    recorder: &mut impl Recorder,
) -> Result<PlanAnswer, PlanError> {
    let sizing = Sizing::new(request)?;
    let no_split = no_split_classes(tree, request);
    let table = SizeTable::new(tree, &sizing, Counting::Tied);
    let budget = balanced_budget(tree, request, &sizing, &no_split, &table)?;
    let ties = Ties::of(tree);
    let model = Model::new(tree, &table, &ties, &no_split, request.dialect);
    let placed = place::place(&model, &budget, request.fallback_allocation, recorder);
    let mut map: Vec<(String, PlanDevice)> = placed
        .map
        .iter()
        .map(|&(entry, device)| (model.name(entry).to_owned(), device))
        .collect();
    if request.clean_result {
        map = tidy::tidy(map);
    }
    let mut answer = described(tree, map, budget, &placed);
    if !request.offload_buffers {
        answer.buffer_warning_bytes = buffers::too_large_for_any_accelerator(tree, &sizing, &placed);
    }
    Ok(answer)
}

/// The budgets that a plan places into: the user's or the machine's, balanced unless the strategy is `sequential`.
///
/// # Errors
/// As for [`plan`].
pub fn plan_budget(tree: &ModuleTree, request: &PlanRequest) -> Result<Vec<(PlanDevice, Amount)>, PlanError> {
    let sizing = Sizing::new(request)?;
    let no_split = no_split_classes(tree, request);
    let table = SizeTable::new(tree, &sizing, Counting::Tied);
    Ok(balanced_budget(tree, request, &sizing, &no_split, &table)?
        .into_iter()
        .collect())
}

fn no_split_classes<'a>(tree: &'a ModuleTree, request: &'a PlanRequest) -> HashSet<&'a str> {
    let classes = request.no_split.as_deref().unwrap_or(tree.no_split_classes());
    classes.iter().map(String::as_str).collect()
}

fn balanced_budget(
    tree: &ModuleTree,
    request: &PlanRequest,
    sizing: &Sizing<'_>,
    no_split: &HashSet<&str>,
    tied: &SizeTable,
) -> Result<Budget, PlanError> {
    let budget = budget::normalise(request)?;
    if request.strategy == StrategyName::Sequential {
        return Ok(budget);
    }
    let untied = counts_untied(tree, request).then(|| SizeTable::new(tree, sizing, Counting::Untied));
    let balance = Balance::new(tree, request, no_split, untied.as_ref().unwrap_or(tied));
    Ok(balance.apply(budget))
}

/// True where balancing counts tied parameters once for every name, and the tree has any.
fn counts_untied(tree: &ModuleTree, request: &PlanRequest) -> bool {
    request.dialect == Dialect::Accelerate && request.flow == Flow::Transformers && !tree.tied().is_empty()
}

/// The answer, but for the buffer warning.
fn described(tree: &ModuleTree, map: Vec<(String, PlanDevice)>, budget: Budget, placed: &Placed) -> PlanAnswer {
    let dispatch = Dispatch::of(&map);
    let only_device = map.first().filter(|_| !dispatch.hooks).map(|&(_, device)| device);
    let lookup = DeviceMap::new(&map);
    PlanAnswer {
        budget: budget.into_iter().collect(),
        main_device: dispatch.accelerator.or(only_device).unwrap_or(PlanDevice::Cpu),
        offloaded: dispatch.offloaded,
        not_covered: resolve::not_covered(tree, &lookup),
        tied_on_different_devices: resolve::tied_on_different_devices(tree, &lookup),
        buffer_warning_bytes: None,
        minimum_required: placed
            .slots
            .iter()
            .filter_map(|slot| Some((slot.device, slot.minimum?)))
            .collect(),
        device_map: map,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module_tree::TensorKind;

    /// Four layers of 400 bytes and a head that is tied to the first.
    fn tree() -> ModuleTree {
        let mut builder = ModuleTree::builder("t", "Net");
        for layer in ["embed", "l0", "l1", "l2", "head"] {
            builder.push_module(layer, "Linear");
            builder.push_tensor(format!("{layer}.weight"), TensorKind::Param, "float32", [100], None);
        }
        builder.tie(["embed.weight", "head.weight"]).build().unwrap()
    }

    fn request(strategy: StrategyName, budgets: &[(PlanDevice, u64)]) -> PlanRequest {
        let limits = budgets
            .iter()
            .map(|&(device, bytes)| (device, MemoryLimit::from(bytes)));
        PlanRequest {
            max_memory: Some(limits.collect()),
            ..PlanRequest::new(strategy)
        }
    }

    fn shown(answer: &PlanAnswer) -> Vec<String> {
        let pairs = answer.device_map.iter();
        pairs.map(|(key, device)| format!("{key}={device}")).collect()
    }

    #[test]
    fn the_head_follows_the_embedding() {
        use PlanDevice::{Accelerator, Cpu};
        let budgets = [(Accelerator(1), 800), (Accelerator(0), 1200), (Cpu, 10_000)];
        let answer = plan(&tree(), &request(StrategyName::Sequential, &budgets)).unwrap();
        assert_eq!(shown(&answer), ["embed=0", "head=0", "l0=0", "l1=1", "l2=1"]);
        assert_eq!(answer.main_device, Accelerator(0));
        assert!(answer.tied_on_different_devices.is_empty());
    }

    #[test]
    fn what_fails_in_the_reference_is_planned() {
        use PlanDevice::{Accelerator, Disk};
        let gap = [(Accelerator(1), 900), (Accelerator(3), 900)];
        let tied_first = PlanRequest {
            flow: Flow::Accelerate,
            ..request(StrategyName::BalancedLow0, &gap)
        };
        let answer = plan(&tree(), &tied_first).unwrap();
        assert_eq!(answer.budget[0], (Accelerator(1), Amount::Whole(700)));
        let disk = [(Accelerator(0), 3000), (Disk, 1)];
        let answer = plan(&tree(), &request(StrategyName::Auto, &disk)).unwrap();
        assert_eq!(shown(&answer), ["=0"]);
    }

    #[test]
    fn requests_are_checked() {
        let none = PlanRequest::new(StrategyName::Auto);
        assert_eq!(plan(&tree(), &none), Err(PlanError::NoBudget));
        let unknown = PlanRequest {
            dtype: Some("q4_k".into()),
            ..request(StrategyName::Auto, &[])
        };
        assert!(matches!(plan(&tree(), &unknown), Err(PlanError::UnknownDtype { .. })));
        let budgets = serde_json::json!({"0": "4 parsecs"});
        let unreadable = PlanRequest {
            max_memory: Some(max_memory_from_json(&budgets).unwrap()),
            ..none
        };
        assert!(matches!(plan(&tree(), &unreadable), Err(PlanError::BadSize { .. })));
        for wrong in ["[]", r#"{"tpu": 5}"#, r#"{"0": null}"#] {
            let value = serde_json::from_str(wrong).unwrap();
            assert!(max_memory_from_json(&value).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_budgets_disk_takes_everything() {
        let answer = plan(&tree(), &request(StrategyName::Auto, &[])).unwrap();
        assert_eq!(shown(&answer), ["=disk"]);
        assert_eq!(answer.main_device, PlanDevice::Disk);
    }
}
