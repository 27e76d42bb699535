//! Where modules were asked to be, planned to be, and were.

use placebench_core::device::DeviceId;
use placebench_core::placement::{DeviceMapRequest, PlacementRequest};
use placebench_core::protocol::{LinkFacts, PlannedPlacement, RealisedModule};
use placebench_core::record::Attempt;
use placebench_core::units::Bytes;
use serde::Serialize;

use super::words::{count, line};

/// A module and its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleView {
    /// Dotted path.
    pub module: String,
    /// What a manual map asks for; absent where a planner decides.
    pub requested: Option<String>,
    /// What the planner answered.
    pub resolved: Option<String>,
    /// Where its tensors were found after loading.
    pub realised: Option<String>,
    /// Bytes of its tensors, where it was loaded.
    #[serde(skip)]
    pub bytes: Option<Bytes>,
    /// Those bytes in words.
    pub size: String,
    /// Two of the three devices differ.
    pub differs: bool,
}

/// Consecutive modules on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageView {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run.
    pub colour: usize,
    /// Number of modules.
    pub modules: usize,
    /// First module.
    pub first: String,
    /// Last module.
    pub last: String,
    /// Bytes of its tensors in words; empty where nothing was loaded.
    pub size: String,
}

/// The placement of a case, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlacementView {
    /// What was asked, in words.
    pub request: String,
    /// All modules in order of execution.
    pub modules: Vec<ModuleView>,
    /// Stages as loaded, or as planned where nothing was loaded.
    pub stages: Vec<StageView>,
    /// Stages as planned, where loading made something else of them.
    pub planned_stages: Vec<StageView>,
    /// The modules were really loaded.
    pub loaded: bool,
    /// Modules whose devices differ between request, plan and reality.
    pub differences: usize,
    /// Things the planner warned of.
    pub warnings: Vec<String>,
    /// Why nothing is known; empty where something is.
    pub missing: String,
}

/// The placement of an attempt.
#[must_use]
pub fn view(
    request: &PlacementRequest,
    attempt: Option<&Attempt>,
    devices: &[String],
    why_missing: &str,
) -> PlacementView {
    let planned = attempt.and_then(|attempt| attempt.planned.as_ref());
    let realised = attempt
        .and_then(|attempt| attempt.realised.as_deref())
        .unwrap_or_default();
    let modules = modules(request, planned, realised);
    let loaded = !realised.is_empty();
    let resolved_stages = stages(&modules, devices, |module| module.resolved.as_deref());
    let (stages, planned_stages) = if loaded {
        let realised_stages = stages(&modules, devices, |module| module.realised.as_deref());
        let parted = modules
            .iter()
            .any(|module| module.resolved.is_some() && module.resolved != module.realised);
        (realised_stages, if parted { resolved_stages } else { Vec::new() })
    } else {
        (resolved_stages, Vec::new())
    };
    PlacementView {
        request: request_words(request),
        missing: if stages.is_empty() {
            why_missing.to_owned()
        } else {
            String::new()
        },
        differences: modules.iter().filter(|module| module.differs).count(),
        stages,
        planned_stages,
        loaded,
        modules,
        warnings: planned
            .into_iter()
            .flat_map(|planned| planned.warnings.iter().map(|text| super::words::message(text)))
            .chain(
                attempt
                    .into_iter()
                    .flat_map(|attempt| attempt.links.iter().filter_map(detour)),
            )
            .collect(),
    }
}

/// A link that could not be used as asked.
fn detour(link: &LinkFacts) -> Option<String> {
    let reason = super::words::message(link.reason.as_deref()?);
    Some(format!(
        "activations from {} to {} go through the host: {reason}",
        link.from, link.to
    ))
}

fn modules(
    request: &PlacementRequest,
    planned: Option<&PlannedPlacement>,
    realised: &[RealisedModule],
) -> Vec<ModuleView> {
    let map = planned.map(|planned| planned.device_map.as_slice()).unwrap_or_default();
    let asked = match &request.device_map {
        DeviceMapRequest::Manual(map) => map.as_slice(),
        DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) | DeviceMapRequest::Single(_) => &[],
    };
    let one = |path: &str, realised: Option<&RealisedModule>| {
        let requested = match &request.device_map {
            DeviceMapRequest::Single(device) => Some(device.to_string()),
            DeviceMapRequest::Manual(_) | DeviceMapRequest::Strategy(_) | DeviceMapRequest::Optimal(_) => {
                lookup(asked, path)
            }
        };
        let resolved = lookup(map, path);
        let device = realised.map(|module| module.device.to_string());
        let known: Vec<&String> = [&requested, &resolved, &device].into_iter().flatten().collect();
        ModuleView {
            module: if path.is_empty() {
                "whole model".into()
            } else {
                line(path)
            },
            differs: known.windows(2).any(|pair| pair[0] != pair[1]),
            size: realised.map(|module| module.bytes.to_string()).unwrap_or_default(),
            bytes: realised.map(|module| module.bytes),
            requested,
            resolved,
            realised: device,
        }
    };
    if realised.is_empty() {
        map.iter().map(|(path, _)| one(path, None)).collect()
    } else {
        realised
            .iter()
            .map(|module| one(&module.module, Some(module)))
            .collect()
    }
}

/// The device a map gives a module: that of its longest prefix, or all devices of its parts where the map cuts deeper.
fn lookup(map: &[(String, DeviceId)], module: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for (path, device) in map {
        if !module.is_empty()
            && path.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
            && !parts.contains(&device.as_str())
        {
            parts.push(device.as_str());
        }
    }
    if !parts.is_empty() {
        return Some(parts.join(" + "));
    }
    map.iter()
        .filter(|(path, _)| covers(path, module))
        .max_by_key(|(path, _)| path.len())
        .map(|(_, device)| device.to_string())
}

/// True where `path` is the module, one of its ancestors, or a range `prefix.A-B` that holds it.
fn covers(path: &str, module: &str) -> bool {
    if path.is_empty() || path == module || module.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')) {
        return true;
    }
    let range = path.rsplit_once('.').and_then(|(prefix, last)| {
        let (from, to) = last.split_once('-')?;
        let index = module.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?;
        Some((
            from.parse::<u32>().ok()?,
            to.parse::<u32>().ok()?,
            index.parse::<u32>().ok()?,
        ))
    });
    range.is_some_and(|(from, to, index)| (from..=to).contains(&index))
}

fn stages<'a>(
    modules: &'a [ModuleView],
    devices: &[String],
    device: impl Fn(&'a ModuleView) -> Option<&'a str>,
) -> Vec<StageView> {
    let mut stages: Vec<(StageView, Option<Bytes>)> = Vec::new();
    for module in modules {
        let Some(device) = device(module) else { continue };
        match stages.last_mut().filter(|(stage, _)| stage.device == device) {
            Some((stage, bytes)) => {
                stage.modules += 1;
                stage.last.clone_from(&module.module);
                *bytes = bytes.zip(module.bytes).map(|(a, b)| [a, b].into_iter().sum());
            }
            None => stages.push((
                StageView {
                    device: device.to_owned(),
                    colour: devices.iter().position(|known| known == device).unwrap_or(0),
                    modules: 1,
                    first: module.module.clone(),
                    last: module.module.clone(),
                    size: String::new(),
                },
                module.bytes,
            )),
        }
    }
    (stages.into_iter())
        .map(|(stage, bytes)| StageView {
            size: bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
            ..stage
        })
        .collect()
}

/// What was asked, in words: `strategy auto, at most 2.00 MiB on sim:0`, `optimal for tpot`.
#[must_use]
pub fn request_words(request: &PlacementRequest) -> String {
    let mut words = match &request.device_map {
        DeviceMapRequest::Strategy(name) => format!("strategy {}", name.as_str()),
        DeviceMapRequest::Optimal(objective) => format!("optimal for {}", objective.as_str()),
        DeviceMapRequest::Single(device) => format!("everything on {device}"),
        DeviceMapRequest::Manual(map) => format!("a map of {}", count(map.len(), "entry", "entries")),
    };
    for (device, bytes) in request.max_memory.iter().flatten() {
        words.push_str(&format!(", at most {bytes} on {device}"));
    }
    if request.transfer == placebench_core::placement::Transfer::Host {
        words.push_str(", activations through host memory");
    }
    if request.offload == placebench_core::placement::Offload::Stream {
        words.push_str(", offloaded layers streamed");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> Vec<(String, DeviceId)> {
        entries
            .iter()
            .map(|(path, device)| ((*path).to_owned(), DeviceId::new(device).unwrap()))
            .collect()
    }

    #[test]
    fn maps_answer_for_modules() {
        let map = map(&[
            ("", "cpu"),
            ("model.layers.0-1", "sim:0"),
            ("model.layers.1", "sim:1"),
            ("model.layers.3.mlp", "sim:2"),
            ("model.layers.3.attn", "sim:1"),
        ]);
        for (module, device) in [
            ("lm_head", "cpu"),
            ("model.layers.0", "sim:0"),
            // The range is the longer text, but both name layer 1; a manual map that says so twice is refused earlier.
            ("model.layers.2", "cpu"),
            ("model.layers.10", "cpu"),
            ("model.layers.3", "sim:2 + sim:1"),
            ("model.layers.3.mlp.up", "sim:2"),
        ] {
            assert_eq!(lookup(&map, module).as_deref(), Some(device), "{module}");
        }
        assert_eq!(lookup(&[], "x"), None);
    }
}
