//! What figures depend on besides their placement, as names with values.

use std::collections::{BTreeMap, BTreeSet};

use placebench_core::device::DeviceId;
use placebench_core::protocol::DeviceFacts;
use placebench_core::record::{CaseSpec, GpuTelemetry, RunInfo, RunRecord, Tool};

use super::Fact;
use super::machines;
use super::stack;
use super::words::{Lines, count, line, list, shell, visible};

/// What all placements of a scenario share.
pub(super) fn of_scenario(info: &RunInfo, specs: &[&CaseSpec]) -> Vec<Fact> {
    let distinct = |value: &dyn Fn(&CaseSpec) -> String| {
        let mut values: Vec<String> = Vec::new();
        for value in specs.iter().map(|spec| value(spec)) {
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
        list(&values)
    };
    let mut facts = vec![
        Fact::new("model", distinct(&|spec| line(&spec.model.label()))),
        Fact::new("engine", distinct(&|spec| line(&spec.engine))),
        Fact::new(
            "program",
            distinct(&|spec| {
                let program = spec.foreign_program();
                program.map(|program| shell(&program.command)).unwrap_or_default()
            }),
        ),
        Fact::new("Python", distinct(&stack::python)),
        Fact::new("server", distinct(&stack::server)),
        Fact::new(
            "dtype",
            distinct(&|spec| {
                spec.dtype
                    .map_or_else(|| "as stored".into(), |dtype| dtype.as_str().into())
            }),
        ),
        Fact::new("measured", distinct(&measured_words)),
        Fact::new("tags", distinct(&|spec| line(&spec.tags.join(", ")))),
        Fact::new("file", distinct(&|spec| line(&spec.file))),
    ];
    facts.extend(machines::of_cases(info, specs));
    facts.retain(|fact| !fact.value.is_empty());
    facts
}

fn measured_words(spec: &CaseSpec) -> String {
    let mut repetitions = count(spec.measure.repetitions as usize, "repetition", "repetitions");
    if let Some(first) = spec
        .measure
        .first_look
        .filter(|first| *first < spec.measure.repetitions)
    {
        repetitions = format!("{first} to {repetitions}");
    }
    let warmup = count(spec.measure.warmup as usize, "warm-up", "warm-ups");
    let most = count(spec.generation.max_new_tokens as usize, "token", "tokens");
    format!("{repetitions} after {warmup}, at most {most} each")
}

/// The machine and the programs.
pub(super) fn of_machine(record: &RunRecord) -> Vec<Fact> {
    let environment = &record.info.environment;
    let tool = &record.info.tool;
    let mut facts = vec![Fact::new("tool", tool_words(tool))];
    facts.extend(machines::of_run(&record.info));
    let versions: BTreeSet<&String> = record.attempts.iter().flat_map(|attempt| &attempt.versions).collect();
    facts.extend(versions.into_iter().map(|version| Fact::new("engine", line(version))));
    // Free memory of the host changes from attempt to attempt: the first one to name a device tells of it.
    let mut seen: BTreeMap<&DeviceId, &DeviceFacts> = BTreeMap::new();
    for device in record.attempts.iter().flat_map(|attempt| &attempt.devices) {
        seen.entry(&device.id).or_insert(device);
    }
    facts.extend(
        seen.into_values()
            .map(|device| Fact::new("device", device_words(device))),
    );
    facts.extend(gpus(record).into_iter().map(|gpu| Fact::new("GPU", gpu)));
    facts.extend(
        (environment.worker_env.iter())
            .map(|(name, value)| Fact::new("worker variable", line(&format!("{name}={value}")))),
    );
    facts.retain(|fact| !fact.value.trim().is_empty());
    facts
}

pub(super) fn tool_words(tool: &Tool) -> String {
    line(&format!("{} {}, {} build", tool.name, tool.version, tool.profile))
}

/// The cards as their driver knows them, with what makes figures doubtful; the busiest attempt speaks for a card.
fn gpus(record: &RunRecord) -> Vec<String> {
    let mut cards: BTreeMap<&str, Vec<&GpuTelemetry>> = BTreeMap::new();
    for gpu in record.attempts.iter().flat_map(|attempt| &attempt.gpus) {
        cards.entry(&gpu.uuid).or_default().push(gpu);
    }
    let words = |seen: Vec<&GpuTelemetry>| {
        let first = seen.first()?;
        let mut parts = vec![format!("{} ({}, bus {})", first.name, first.uuid, first.bus_id)];
        parts.extend(first.driver.as_ref().map(|driver| format!("driver {driver}")));
        let peak = seen.iter().filter_map(|gpu| gpu.memory_peak_bytes).max();
        parts.extend(peak.map(|peak| match first.memory_bytes {
            Some(all) => format!("peak {peak} of {all}, all programs together"),
            None => format!("peak {peak}, all programs together"),
        }));
        let busiest = seen.iter().filter_map(|gpu| gpu.utilisation_max_percent).max();
        parts.extend(busiest.map(|percent| format!("busy up to {percent} %")));
        let power = seen.iter().filter_map(|gpu| gpu.power_max_w).reduce(f64::max);
        parts.extend(power.map(|watts| format!("up to {watts:.0} W")));
        let slowed: BTreeSet<&str> = seen
            .iter()
            .flat_map(|gpu| gpu.throttle_reasons.iter().map(String::as_str))
            .collect();
        if !slowed.is_empty() {
            let reasons: Vec<&str> = slowed.into_iter().collect();
            parts.push(format!("slowed down: {}", reasons.join(", ")));
        }
        Some(visible(&parts.join(", "), Lines::Join, 320))
    };
    cards.into_values().filter_map(words).collect()
}

fn device_words(device: &DeviceFacts) -> String {
    let below = if device.on == device.id {
        String::new()
    } else {
        format!(", a slice of {}", device.on)
    };
    let memory = device
        .memory_bytes
        .map_or_else(|| "no known limit".into(), |bytes| bytes.to_string());
    visible(
        &format!("{}{below}: {}, {memory}", device.id, device.name),
        Lines::Join,
        160,
    )
}
