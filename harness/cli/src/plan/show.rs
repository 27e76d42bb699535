//! A plan for people and for programs.

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::planner::{DeviceTime, HopTime, Prediction, Room};
use placebench_core::units::human_seconds;
use serde_json::{Value, json};

use super::answer::Answer;
use crate::terminal::{counted, printable};

/// One JSON object. Devices are spelled as in the request: `cuda:0`, `sim:1`, `cpu`, or `0` as Accelerate does.
pub(crate) fn as_json(answer: &Answer) -> Value {
    let spelled = |device: &DeviceId| match device.kind() {
        DeviceKind::Cuda(number) if answer.numbered => Value::from(number),
        _ => Value::from(device.as_str()),
    };
    let map = |pairs: &[(String, DeviceId)]| -> Value {
        let entries = pairs.iter().map(|(key, device)| (key.clone(), spelled(device)));
        entries.collect::<serde_json::Map<String, Value>>().into()
    };
    let budgets: serde_json::Map<String, Value> = answer
        .budgets
        .iter()
        .map(|entry| (plain(&spelled(&entry.device)), entry.bytes.0.into()))
        .collect();
    json!({
        "model": answer.model,
        "device_map": map(&answer.device_map),
        "budgets_bytes": budgets,
        "main_device": answer.main_device.as_ref().map(spelled),
        "offloaded": answer.offloaded,
        "not_covered": answer.not_covered,
        "tied_on_different_devices": map(&answer.tied_on_different_devices),
        "workload": answer.workload,
        "footprint": answer.footprint,
        "prediction": answer.prediction,
        "rates": answer.prediction.as_ref().map(|_| if answer.rates_are_stated { "stated" } else { "equal" }),
        "warnings": answer.warnings,
        "explanation": answer.explanation,
    })
}

/// Lines of text.
pub(crate) fn as_text(title: &str, answer: &Answer) -> Vec<String> {
    let mut lines = vec![printable(title)];
    lines.extend(map_lines(&answer.device_map));
    if let Some(footprint) = &answer.footprint {
        lines.push(String::new());
        lines.push(format!(
            "{:<10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10}  room",
            "device", "weights", "kv cache", "activations", "logits", "total", "budget"
        ));
        for device in &footprint.devices {
            let budget = device
                .budget_bytes
                .map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            let room = match device.room {
                Room::Headroom(bytes) => format!("{bytes} free"),
                Room::Deficit(bytes) => format!("{bytes} missing"),
                Room::Unlimited => "unlimited".to_owned(),
            };
            let ends = device
                .exhausted_at_token
                .map(|token| format!(", full at token {token}"))
                .unwrap_or_default();
            lines.push(format!(
                "{:<10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10}  {room}{ends}",
                device.device.as_str(),
                device.weights_bytes.to_string(),
                device.kv_cache_bytes.to_string(),
                device.activation_bytes.to_string(),
                device.logits_bytes.to_string(),
                device.total_bytes.to_string(),
                budget
            ));
        }
        if let Some(workload) = &answer.workload {
            lines.push(format!(
                "for {} of prompt and {} of answer, {}",
                counted(workload.prompt_tokens, "token"),
                counted(workload.output_tokens, "token"),
                counted(workload.batch, "sequence")
            ));
        }
        lines.push(format!(
            "{} per token, {} each while decoding, {} each in the prefill",
            counted(footprint.hops_per_token, "hop"),
            footprint.decode_hop_bytes,
            footprint.prefill_hop_bytes
        ));
    }
    if let Some(prediction) = &answer.prediction {
        let rates = if answer.rates_are_stated {
            "the stated rates"
        } else {
            "equal rates, which mean something only between placements"
        };
        lines.push(format!(
            "expected with {rates}: {} to the first token, {} per token",
            human_seconds(prediction.ttft.time_s),
            human_seconds(prediction.tpot.time_s)
        ));
        lines.extend(prediction_lines(prediction));
    }
    section(&mut lines, "warnings", &answer.warnings);
    section(&mut lines, "why", &answer.explanation);
    if !answer.not_covered.is_empty() {
        section(
            &mut lines,
            "without a device (a dispatcher refuses this map)",
            &answer.not_covered,
        );
    }
    lines
}

/// What the time of a token is made of, by device and hop.
fn prediction_lines(prediction: &Prediction<DeviceId>) -> Vec<String> {
    let stages = prediction.tpot.per_device();
    let device_line = |device: &DeviceTime<DeviceId>| {
        format!(
            "  {:<10} {} per token: weights {}, kv cache {}, arithmetic {} beside them, fixed {}",
            device.device.as_str(),
            human_seconds(device.time_s),
            human_seconds(device.weights_s),
            human_seconds(device.kv_s),
            human_seconds(device.compute_s),
            human_seconds(device.overhead_s)
        )
    };
    let hop_line = |hop: &HopTime<DeviceId>| {
        format!(
            "  hop        {} per token: {} -> {}, before {}",
            human_seconds(hop.time_s),
            hop.from,
            hop.to,
            printable(&hop.before)
        )
    };
    let hops = prediction.tpot.hops.iter().map(hop_line);
    stages.iter().map(device_line).chain(hops).collect()
}

/// A name without quotes, for keys of an object.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The map with runs of layers on one device joined.
fn map_lines(map: &[(String, DeviceId)]) -> Vec<String> {
    let mut runs: Vec<(String, String, &DeviceId)> = Vec::new();
    for (key, device) in map {
        let shown = if key.is_empty() {
            "(everything)".to_owned()
        } else {
            printable(key)
        };
        match runs.last_mut() {
            Some((_, last, on)) if *on == device => *last = shown,
            _ => runs.push((shown.clone(), shown, device)),
        }
    }
    let line = |(first, last, device): &(String, String, &DeviceId)| {
        let modules = if first == last {
            first.clone()
        } else {
            format!("{first} … {last}")
        };
        format!("  {:<10} {modules}", device.as_str())
    };
    runs.iter().map(line).collect()
}

fn section(lines: &mut Vec<String>, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(format!("{title}:"));
    lines.extend(items.iter().map(|item| format!("  - {}", printable(item))));
}
