//! Cases of kind `manual`.

use placebench_core::module_tree::ModuleTree;
use placebench_core::planner::{ManualAnswer, check_device_index, check_torch_device, resolve_manual};
use serde_json::{Value, json};

use super::{Disagreement, expect};

pub(crate) fn check(case: &Value, tree: &ModuleTree) -> Result<(), Disagreement> {
    let argument = &case["request"]["device_map"];
    let refused = !case["error"].is_null();
    let Some(map) = as_map(argument) else {
        return if refused {
            Ok(())
        } else {
            Err(Disagreement::new("argument", "a map", "refused"))
        };
    };
    if let Some(expected) = case.get("as_map") {
        let expected = as_map(expected).unwrap_or_default();
        expect("as_map", &json!(expected), &json!(map))?;
    }
    let answer = resolve_manual(tree, &map);
    compare(case, &answer)?;
    let is_complete = case["not_covered"].as_array().is_none_or(Vec::is_empty);
    let should_accept = !refused && is_complete;
    if answer.accepted().is_ok() != should_accept {
        return Err(Disagreement::new("accepted", should_accept, !should_accept));
    }
    Ok(())
}

fn compare(case: &Value, answer: &ManualAnswer<String>) -> Result<(), Disagreement> {
    let device = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let runs = answer
        .resolved_runs
        .iter()
        .map(|run| json!([run.first, run.last, run.device]));
    let tied: serde_json::Map<String, Value> = answer
        .tied_on_different_devices
        .iter()
        .map(|(name, device)| (name.clone(), json!(device)))
        .collect();
    let main = answer.main_device.clone().unwrap_or_else(|| "cpu".into());
    let got = [
        ("not_covered", json!(answer.not_covered)),
        ("unknown_keys", json!(answer.unknown_keys)),
        ("main_device", json!(main)),
        ("hooks", json!(answer.hooks)),
        ("resolved_runs", Value::Array(runs.collect())),
        ("tied_on_different_devices", Value::Object(tied)),
    ];
    for (key, got) in got {
        let Some(expected) = case.get(key) else {
            continue;
        };
        let expected = match (key, expected) {
            ("main_device", value) => json!(device(value)),
            ("resolved_runs", Value::Array(runs)) => runs
                .iter()
                .map(|run| json!([run[0], run[1], device(&run[2])]))
                .collect(),
            ("tied_on_different_devices", Value::Object(devices)) => {
                let named = devices.iter().map(|(name, value)| (name.clone(), json!(device(value))));
                Value::Object(named.collect())
            }
            (_, value) => value.clone(),
        };
        expect(key, &expected, &got)?;
    }
    Ok(())
}

/// The map that an argument means, `None` where it is refused. Devices by name, indices as digits.
fn as_map(argument: &Value) -> Option<Vec<(String, String)>> {
    let single = |device: String| Some(vec![(String::new(), device)]);
    match argument {
        Value::String(text) => single(check_torch_device(text).ok()?.to_owned()),
        Value::Number(index) => single(check_device_index(index.as_i64()?).ok()?.to_string()),
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| {
                let device = match &pair[1] {
                    Value::String(name) => name.clone(),
                    other => other.to_string(),
                };
                Some((pair[0].as_str()?.to_owned(), device))
            })
            .collect(),
        _ => None,
    }
}
