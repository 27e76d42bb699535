//! Cases of kind `plan` (Accelerate 1.4.0) and `plan5` (Transformers 5).

use std::collections::BTreeSet;

use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::StrategyName;
use placebench_core::planner::{
    Amount, DeviceMap, Dialect, Flow, PlanAnswer, PlanDevice, PlanError, PlanRequest, max_memory_from_json, plan,
    plan_budget,
};
use serde_json::{Value, json};

use super::{Disagreement, expect};

pub(crate) fn check(case: &Value, tree: &ModuleTree) -> Result<(), Disagreement> {
    let request = request_of(case);
    let answer = request
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|request| plan(tree, request));
    let fails_by_accident = has_quirk(case, "reference-crash");
    match answer {
        Ok(answer) if fails_by_accident => is_legal(tree, &answer),
        Ok(answer) if case["error"].is_null() => compare(case, &answer),
        Ok(answer) => Err(Disagreement::new("error", &case["error"], json!(answer))),
        Err(_) if fails_by_accident || !case["error"].is_null() => Ok(()),
        Err(error) => Err(Disagreement::new("answer", &case["device_map"], error)),
    }?;
    // The budget may be known where placing failed.
    match request {
        Ok(request) => compare_budget(case, tree, &request),
        Err(_) => Ok(()),
    }
}

fn has_quirk(case: &Value, quirk: &str) -> bool {
    case["quirks"]
        .as_array()
        .is_some_and(|quirks| quirks.iter().any(|other| other == quirk))
}

fn request_of(case: &Value) -> Result<PlanRequest, PlanError> {
    let asked = &case["request"];
    let model = &case["model"];
    let strategy = asked["strategy"].as_str().and_then(StrategyName::from_name);
    let flag = |key: &str, default: bool| asked[key].as_bool().unwrap_or(default);
    let free = asked["free_memory"].as_object().map(|free| {
        let gpus = free.get("gpus").and_then(Value::as_array).into_iter().flatten();
        let gpus = (0..).map(PlanDevice::Accelerator).zip(gpus);
        let named = [(PlanDevice::Mps, free.get("mps")), (PlanDevice::Cpu, free.get("cpu"))];
        let named = named.into_iter().filter_map(|(device, bytes)| Some((device, bytes?)));
        gpus.chain(named)
            .filter_map(|(device, bytes)| Some((device, bytes.as_u64()?)))
            .collect()
    });
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let special = model["special_dtypes"].as_object().into_iter().flatten();
    let special = special.filter_map(|(name, dtype)| Some((name.clone(), dtype.as_str()?.to_owned())));
    Ok(PlanRequest {
        dialect: if case["kind"] == "plan5" {
            Dialect::Transformers5
        } else {
            Dialect::Accelerate
        },
        flow: if case["flow"] == "accelerate" {
            Flow::Accelerate
        } else {
            Flow::Transformers
        },
        max_memory: match &asked["max_memory"] {
            Value::Null => None,
            budgets => Some(max_memory_from_json(budgets)?),
        },
        free_memory: free,
        dtype: model["dtype"].as_str().map(str::to_owned),
        special_dtypes: special.collect(),
        no_split: Some(words(&case["no_split"])),
        clean_result: flag("clean_result", true),
        offload_buffers: flag("offload_buffers", false),
        fallback_allocation: flag("fallback_allocation", false),
        ..PlanRequest::new(strategy.unwrap_or(StrategyName::Auto))
    })
}

/// Where the reference fails any plan will do that gives every tensor a device that is not known to be uncovered.
fn is_legal(tree: &ModuleTree, answer: &PlanAnswer) -> Result<(), Disagreement> {
    let map = DeviceMap::new(&answer.device_map);
    let forgotten = tree
        .stored_names()
        .into_iter()
        .find(|name| map.device_of(name).is_none() && !answer.not_covered.iter().any(|other| other == name));
    match forgotten {
        Some(name) => Err(Disagreement::new("legal plan", "every tensor has a device", name)),
        None => Ok(()),
    }
}

fn compare_budget(case: &Value, tree: &ModuleTree, request: &PlanRequest) -> Result<(), Disagreement> {
    let Some(Value::Object(expected)) = case.get("balanced_memory").or(case.get("budget_used")) else {
        return Ok(());
    };
    let amounts = |pairs: Vec<(String, Option<Amount>)>| format!("{pairs:?}");
    let expected: Vec<(String, Option<Amount>)> = expected
        .iter()
        .map(|(device, bytes)| (device.clone(), amount(bytes)))
        .collect();
    let got: Vec<(String, Option<Amount>)> = plan_budget(tree, request)
        .unwrap_or_default()
        .into_iter()
        .map(|(device, bytes)| (device.to_string(), Some(bytes)))
        .collect();
    if expected == got {
        return Ok(());
    }
    Err(Disagreement::new("budget", amounts(expected), amounts(got)))
}

fn compare(case: &Value, answer: &PlanAnswer) -> Result<(), Disagreement> {
    let is_ordered = !has_quirk(case, "order-unspecified");
    let got = json!(answer);
    if is_ordered {
        expect("device_map", &case["device_map"], &got["device_map"])?;
    } else {
        expect("device_map", &as_set(&case["device_map"]), &as_set(&got["device_map"]))?;
    }
    if case["kind"] == "plan5" {
        return Ok(());
    }
    if is_ordered {
        expect("main_device", &case["main_device"], &got["main_device"])?;
    }
    expect("offloaded", &as_set(&case["offloaded"]), &as_set(&got["offloaded"]))?;
    let not_covered = case.get("not_covered").cloned().unwrap_or(json!([]));
    expect("not_covered", &as_set(&not_covered), &as_set(&got["not_covered"]))?;
    if amount(&case["buffer_warning"]) != answer.buffer_warning_bytes {
        return Err(Disagreement::new(
            "buffer_warning",
            &case["buffer_warning"],
            &got["buffer_warning_bytes"],
        ));
    }
    compare_minimum(case, answer)
}

fn compare_minimum(case: &Value, answer: &PlanAnswer) -> Result<(), Disagreement> {
    let expected = case["minimum_required"].as_object().cloned().unwrap_or_default();
    let got = &answer.minimum_required;
    let is_same = expected.len() == got.len()
        && got.iter().all(|(device, bytes)| {
            let expected = expected.get(&device.to_string());
            expected.and_then(amount) == Some(*bytes)
        });
    if is_same {
        return Ok(());
    }
    Err(Disagreement::new(
        "minimum_required",
        Value::Object(expected),
        json!(got),
    ))
}

fn amount(value: &Value) -> Option<Amount> {
    serde_json::from_value(value.clone()).ok()
}

fn as_set(list: &Value) -> Value {
    let items: BTreeSet<String> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    json!(items)
}
