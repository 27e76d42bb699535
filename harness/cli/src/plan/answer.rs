//! From a module tree and a request to everything there is to say about the placement.

use placebench_core::device::{DeviceBytes, DeviceId};
use placebench_core::module_tree::ModuleTree;
use placebench_core::planner::{
    Advice, Decoder, ExplanationStep, Footprint, ModelShape, OptimalRequest, PlacedDecoder, PlanDevice, PlanRequest,
    Prediction, Rates, Situation, UNEVEN_RATIO, Workload, advise, execution_order, explain, footprint, plan,
    plan_optimal, predict, resolve_manual,
};
use placebench_core::units::Bytes;
use placebench_engine::plan::numbering::Numbering;

use super::request::{Asked, Placing};
use crate::error::CliError;

/// A placement with all that follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Name of the model.
    pub(crate) model: String,
    /// Key to device, in the planner's order.
    pub(crate) device_map: Vec<(String, DeviceId)>,
    /// Budgets the planner placed into, after balancing.
    pub(crate) budgets: Vec<DeviceBytes>,
    /// Where offloaded layers run.
    pub(crate) main_device: Option<DeviceId>,
    /// Keys whose weights are fetched at each use.
    pub(crate) offloaded: Vec<String>,
    /// Stored tensors without a device.
    pub(crate) not_covered: Vec<String>,
    /// Tied parameters on different devices.
    pub(crate) tied_on_different_devices: Vec<(String, DeviceId)>,
    /// Memory per device and hops; absent where the tree is no decoder whose shape is known.
    pub(crate) footprint: Option<Footprint<DeviceId>>,
    /// The request the memory is for.
    pub(crate) workload: Option<Workload>,
    /// CUDA devices are shown as numbers.
    pub(crate) numbered: bool,
    /// Expected times, where rates are stated or the strategy is `optimal`.
    pub(crate) prediction: Option<Prediction<DeviceId>>,
    /// The rates behind the prediction were stated; otherwise all devices counted as alike.
    pub(crate) rates_are_stated: bool,
    /// Worst first.
    pub(crate) warnings: Vec<String>,
    /// Why a module is where it is, where that was asked.
    pub(crate) explanation: Vec<String>,
}

/// Plans.
pub(crate) fn answer(tree: &ModuleTree, asked: &Asked, explained: Option<&str>) -> Result<Answer, CliError> {
    let decoder = decoder(tree, asked);
    let mut answer = match &asked.device_map {
        Placing::Strategy(strategy) => by_strategy(tree, asked, *strategy, explained)?,
        Placing::Optimal => optimal(tree, asked, decoder.as_ref().map_err(String::as_str))?,
        Placing::Map(map) => by_hand(tree, map)?,
    };
    if let Some(budgets) = &asked.budgets {
        answer.warnings.extend(budgets.notes.iter().cloned());
        answer.numbered = budgets.numbered;
    }
    if let Ok(decoder) = &decoder {
        describe(tree, asked, decoder, &mut answer);
    }
    if explained.is_some() && !matches!(asked.device_map, Placing::Strategy(_)) {
        return Err(super::request::usage(
            "--explain goes with a strategy of Accelerate or Transformers".to_owned(),
        ));
    }
    Ok(answer)
}

/// The decoder in a tree, or why there is none.
fn decoder(tree: &ModuleTree, asked: &Asked) -> Result<Decoder, String> {
    let config = tree.config().ok_or("the tree does not say what it was made from")?;
    let shape = ModelShape::from_config(config).map_err(|error| error.to_string())?;
    Decoder::new(tree, &execution_order(tree), shape, asked.dtype.as_deref()).map_err(|error| error.to_string())
}

fn by_strategy(
    tree: &ModuleTree,
    asked: &Asked,
    strategy: placebench_core::placement::StrategyName,
    explained: Option<&str>,
) -> Result<Answer, CliError> {
    let budgets = asked.budgets.as_ref().ok_or_else(|| {
        super::request::usage(
            "a strategy needs budgets: --max-memory '{\"0\": \"24GiB\", \"1\": \"24GiB\", \"cpu\": \"64GiB\"}'"
                .to_owned(),
        )
    })?;
    let numbering = Numbering::new(budgets.limits.iter().map(|(device, _)| device));
    let mut request = PlanRequest::new(strategy);
    request.dialect = asked.dialect;
    request.flow = asked.flow;
    request.dtype.clone_from(&asked.dtype);
    if budgets.is_free_memory {
        let free = budgets.bytes.iter();
        let free = free.filter_map(|(device, bytes)| Some((numbering.to_plan(device)?, bytes.0)));
        request.free_memory = Some(free.collect());
    } else {
        let limits = budgets.limits.iter();
        let limits = limits.filter_map(|(device, limit)| Some((numbering.to_plan(device)?, limit.clone())));
        request.max_memory = Some(limits.collect());
    }
    let failed = |error: placebench_core::planner::PlanError| CliError::setup(error.to_string());
    let planned = plan(tree, &request).map_err(failed)?;
    let explanation: Vec<ExplanationStep> = match explained {
        Some(module) => explain(tree, &request, module).map_err(failed)?.steps,
        None => Vec::new(),
    };
    let named = |device: &PlanDevice| numbering.from_plan(*device);
    let mut warnings: Vec<String> = Vec::new();
    for (device, bytes) in &planned.minimum_required {
        let bytes = Bytes(bytes.whole_bytes());
        warnings.push(format!(
            "{} holds nothing: its budget would have to be at least {bytes}",
            named(device)
        ));
    }
    Ok(Answer {
        model: tree.id().to_owned(),
        device_map: planned
            .device_map
            .iter()
            .map(|(key, device)| (key.clone(), named(device)))
            .collect(),
        budgets: planned
            .budget
            .iter()
            .map(|(device, amount)| DeviceBytes {
                device: named(device),
                bytes: Bytes(amount.whole_bytes()),
            })
            .collect(),
        main_device: Some(named(&planned.main_device)),
        offloaded: planned.offloaded,
        not_covered: planned.not_covered,
        tied_on_different_devices: planned
            .tied_on_different_devices
            .iter()
            .map(|(name, device)| (name.clone(), named(device)))
            .collect(),
        footprint: None,
        workload: None,
        numbered: false,
        prediction: None,
        rates_are_stated: false,
        warnings,
        explanation: explanation.iter().map(ToString::to_string).collect(),
    })
}

fn by_hand(tree: &ModuleTree, map: &[(String, DeviceId)]) -> Result<Answer, CliError> {
    let resolved = resolve_manual(tree, map)
        .accepted()
        .map_err(|error| CliError::setup(error.to_string()))?;
    let unknown = resolved.unknown_keys.iter();
    Ok(Answer {
        model: tree.id().to_owned(),
        device_map: map.to_vec(),
        budgets: Vec::new(),
        main_device: resolved.main_device,
        offloaded: resolved.offloaded,
        not_covered: resolved.not_covered,
        tied_on_different_devices: resolved.tied_on_different_devices,
        footprint: None,
        workload: None,
        numbered: false,
        prediction: None,
        rates_are_stated: false,
        warnings: unknown
            .map(|key| format!("`{key}` is no module of the model and has no effect"))
            .collect(),
        explanation: Vec::new(),
    })
}

fn optimal(tree: &ModuleTree, asked: &Asked, decoder: Result<&Decoder, &str>) -> Result<Answer, CliError> {
    let decoder =
        decoder.map_err(|why| CliError::setup(format!("optimal plans decoders whose shape is known: {why}")))?;
    let budgets = asked
        .budgets
        .as_ref()
        .ok_or_else(|| super::request::usage("optimal needs budgets: --max-memory".to_owned()))?;
    let devices: Vec<(DeviceId, Option<Bytes>)> = budgets
        .bytes
        .iter()
        .map(|(id, bytes)| (id.clone(), Some(*bytes)))
        .collect();
    let chosen = plan_optimal(&OptimalRequest {
        decoder,
        workload: &workload(asked, decoder),
        devices: &devices,
        rates: asked.rates.as_ref().unwrap_or(&Rates::default()),
        objective: asked.objective,
    })
    .map_err(|error| CliError::setup(error.to_string()))?
    .chosen;
    by_hand(tree, &chosen.device_map)
}

/// Memory, hops and advice.
fn describe(tree: &ModuleTree, asked: &Asked, decoder: &Decoder, answer: &mut Answer) {
    let workload = workload(asked, decoder);
    answer.workload = Some(workload);
    let devices: Vec<(DeviceId, Option<Bytes>)> = asked
        .budgets
        .iter()
        .flat_map(|budgets| &budgets.bytes)
        .map(|(id, bytes)| (id.clone(), Some(*bytes)))
        .collect();
    let named: Vec<DeviceId> = match &asked.budgets {
        Some(budgets) if budgets.is_free_memory => Vec::new(),
        _ => devices.iter().map(|(id, _)| id.clone()).collect(),
    };
    let hardware = asked.budgets.as_ref().map(|budgets| budgets.hardware.as_slice());
    if let Ok(placed) = PlacedDecoder::new(decoder, &answer.device_map) {
        let budgets = asked
            .budgets
            .as_ref()
            .map(|budgets| budgets.bytes.as_slice())
            .unwrap_or_default();
        answer.footprint = Some(footprint(&placed, &workload, budgets));
        let equal = (asked.device_map == Placing::Optimal).then(Rates::default);
        let rates = asked.rates.as_ref().or(equal.as_ref());
        answer.prediction = rates.map(|rates| predict(&placed, &workload, rates));
        answer.rates_are_stated = asked.rates.is_some();
    }
    let advice: Vec<Advice<DeviceId>> = advise(&Situation {
        tree,
        decoder,
        device_map: &answer.device_map,
        workload: &workload,
        devices: &devices,
        named: &named,
        input: asked.input.as_ref(),
        hardware: hardware.unwrap_or_default(),
        uneven_ratio: UNEVEN_RATIO,
    });
    let is_optimal = asked.device_map == Placing::Optimal;
    let said = advice
        .iter()
        .filter(|advice| !(is_optimal && advice.is_weighed_by_optimal()));
    answer.warnings.extend(said.map(ToString::to_string));
}

/// Cache and hidden state have the element type of the weights.
fn workload(asked: &Asked, decoder: &Decoder) -> Workload {
    /// What is looked at where nobody says how long sequences are.
    const USUAL_TOKENS: u64 = 2048;
    let element = asked
        .dtype
        .as_deref()
        .and_then(placebench_core::planner::bytes_per_element);
    let element_bytes = element.map_or(4, |bytes| bytes.whole_bytes().clamp(1, 8));
    let half = (decoder.shape.max_positions / 2).clamp(1, USUAL_TOKENS);
    let mut workload = Workload::new(
        asked.prompt_tokens.unwrap_or(half).max(1),
        asked.output_tokens.unwrap_or(half).max(1),
        element_bytes,
    );
    workload.batch = asked.batch.max(1);
    workload
}
