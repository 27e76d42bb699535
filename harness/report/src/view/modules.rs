//! Where modules were asked to be, planned to be, and were.

use placebench_core::outcome::Outcome;
use placebench_core::placement::{DeviceMapRequest, PlacementRequest};
use placebench_core::protocol::{LinkFacts, PlannedPlacement, RealisedModule};
use placebench_core::record::{Attempt, CaseMetrics, CaseSpec};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::audit::AuditView;
use super::broken::{self, BrokenView};
use super::device_map::lookup;
use super::device_use::{self, DeviceUseView};
use super::hops::{self, HopView};
use super::memory::MemoryView;
use super::ranks;
use super::steps::StepView;
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
    /// Where it runs, if that is not where its tensors are: its weights are streamed there.
    pub runs_on: Option<String>,
    /// Bytes of its tensors, where it was loaded.
    #[serde(skip)]
    pub bytes: Option<Bytes>,
    /// Those bytes in words.
    pub size: String,
    /// Two of the three devices differ.
    pub differs: bool,
}

impl ModuleView {
    /// Where its weights rest: as loaded, else as planned.
    #[must_use]
    pub fn rests(&self) -> Option<&str> {
        self.realised.as_deref().or(self.resolved.as_deref())
    }

    /// Where it runs.
    #[must_use]
    pub fn runs(&self) -> Option<&str> {
        self.runs_on.as_deref().or(self.rests())
    }

    /// Where it was planned, if it was loaded elsewhere.
    #[must_use]
    pub fn missed(&self) -> Option<&str> {
        let planned = self.resolved.as_deref()?;
        self.realised.as_deref().filter(|loaded| *loaded != planned)?;
        Some(planned)
    }

    /// True where any of its devices is this one.
    #[must_use]
    pub fn mentions(&self, device: &str) -> bool {
        let all = [&self.requested, &self.resolved, &self.realised, &self.runs_on];
        all.into_iter().flatten().any(|known| names(known, device))
    }

    /// It was loaded, and has no tensor of its own: a tied head that shares the embedding's.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.bytes == Some(Bytes(0))
    }
}

/// True where a device, or one of several joined by ` + `, is this one.
#[must_use]
pub fn names(known: &str, device: &str) -> bool {
    known == device || (known.contains(" + ") && known.split(" + ").any(|part| part == device))
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
    /// How many differ, and the first of them: `5 of 11 modules: layers.6 planned on sim:1, loaded on cpu`; empty for none.
    pub difference: String,
    /// What is streamed from where to where; empty where nothing is.
    pub streamed: String,
    /// The devices it is about, with what they hold.
    pub devices: Vec<DeviceUseView>,
    /// Its hops, in order of execution.
    pub hops: Vec<HopView>,
    /// Where the case broke, if that is one of its modules or hops.
    pub broken: Option<BrokenView>,
    /// The type its numbers were asked to have; empty where they are as stored.
    pub dtype: &'static str,
    /// Things the planner warned of.
    pub warnings: Vec<String>,
    /// Why nothing is known; empty where something is.
    pub missing: String,
}

/// What the placement of a case is made from.
pub(super) struct Source<'a> {
    pub(super) spec: &'a CaseSpec,
    /// The attempt whose placement it is.
    pub(super) attempt: Option<&'a Attempt>,
    /// How the case ended, which may be another attempt.
    pub(super) outcome: Option<&'a Outcome>,
    pub(super) metrics: &'a CaseMetrics,
    pub(super) memory: &'a [MemoryView],
    /// A token after the first, by stages and hops.
    pub(super) decode: &'a StepView,
    pub(super) audit: Option<&'a AuditView>,
    pub(super) devices: &'a [String],
    pub(super) why_missing: &'a str,
}

/// The placement of a case.
#[must_use]
pub(super) fn view(source: &Source<'_>) -> PlacementView {
    let request = &source.spec.request;
    let attempt = source.attempt;
    let planned = attempt.and_then(|attempt| attempt.planned.as_ref());
    let realised = attempt
        .and_then(|attempt| attempt.realised.as_deref())
        .unwrap_or_default();
    let modules = modules(request, attempt, planned, realised);
    let loaded = !realised.is_empty();
    let resolved_stages = stages(&modules, source.devices, |module| module.resolved.as_deref());
    let (stages, planned_stages) = if loaded {
        let realised_stages = stages(&modules, source.devices, |module| module.realised.as_deref());
        let parted = modules.iter().any(|module| module.missed().is_some());
        (realised_stages, if parted { resolved_stages } else { Vec::new() })
    } else {
        (resolved_stages, Vec::new())
    };
    let uses = device_use::Source {
        spec: source.spec,
        attempt,
        outcome: source.outcome,
        memory: source.memory,
        devices: source.devices,
        is_loaded: loaded,
    };
    PlacementView {
        request: request_words(request),
        missing: match &request.device_map {
            DeviceMapRequest::Stated(_) => request_words(request),
            _ if stages.is_empty() => source.why_missing.to_owned(),
            _ => String::new(),
        },
        differences: modules.iter().filter(|module| module.differs).count(),
        difference: difference(&modules),
        streamed: streamed(&modules),
        devices: device_use::view(&uses, &modules),
        hops: hops::view(&modules, attempt, source.metrics, source.decode),
        broken: broken::view(source.outcome, &modules).or_else(|| broken::of_audit(source.audit?, &modules)),
        dtype: source.spec.dtype.map_or("", |dtype| dtype.as_str()),
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

/// A path without what all modules begin with.
#[must_use]
pub fn short(module: &str) -> &str {
    module.strip_prefix("model.").unwrap_or(module)
}

/// How many modules differ, and in what the first of them does.
fn difference(modules: &[ModuleView]) -> String {
    let mut differing = modules.iter().filter(|module| module.differs);
    let Some(first) = differing.next() else {
        return String::new();
    };
    let stations = [
        ("asked for", &first.requested),
        ("planned", &first.resolved),
        ("loaded", &first.realised),
    ];
    let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
    for (verb, device) in stations {
        let Some(device) = device else { continue };
        match groups.last_mut().filter(|(_, known)| known == device) {
            Some((verbs, _)) => verbs.push(verb),
            None => groups.push((vec![verb], device)),
        }
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|(verbs, device)| format!("{} on {device}", verbs.join(" and ")))
        .collect();
    let what = format!("{} {}", short(&first.module), parts.join(", "));
    match differing.count() {
        0 if modules.len() == 1 => what,
        more => format!("{} of {} modules: {what}", more + 1, modules.len()),
    }
}

/// `layers.4 … norm: weights rest on cpu and are streamed to sim:0 for each token`.
fn streamed(modules: &[ModuleView]) -> String {
    let moved: Vec<&ModuleView> = modules.iter().filter(|module| module.runs_on.is_some()).collect();
    let (Some(first), Some(last)) = (moved.first(), moved.last()) else {
        return String::new();
    };
    let one = |of: fn(&ModuleView) -> Option<&str>| {
        let mut devices: Vec<&str> = moved.iter().filter_map(|module| of(module)).collect();
        devices.dedup();
        devices.join(", ")
    };
    let range = match moved.as_slice() {
        [only] => short(&only.module).to_owned(),
        _ => format!("{} … {}", short(&first.module), short(&last.module)),
    };
    format!(
        "{range}: weights rest on {} and are streamed to {} for each token",
        one(ModuleView::rests),
        one(ModuleView::runs)
    )
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
    attempt: Option<&Attempt>,
    planned: Option<&PlannedPlacement>,
    realised: &[RealisedModule],
) -> Vec<ModuleView> {
    let map = planned.map(|planned| planned.device_map.as_slice()).unwrap_or_default();
    let places = attempt.map(|attempt| attempt.places.as_slice()).unwrap_or_default();
    let device_in = |map: &[_], path: &str| lookup(map, path).map(|device| line(&device));
    let one = |path: &str, realised: Option<&RealisedModule>| {
        let requested = match &request.device_map {
            DeviceMapRequest::Single(device) => Some(line(device.as_str())),
            DeviceMapRequest::Manual(asked) => device_in(asked, path),
            DeviceMapRequest::Strategy(_)
            | DeviceMapRequest::Optimal(_)
            | DeviceMapRequest::Ranks(_)
            | DeviceMapRequest::Stated(_) => None,
        };
        let resolved = device_in(map, path);
        let device = realised.map(|module| line(module.device.as_str()));
        let runs_on = device_in(places, path).filter(|place| device.as_ref().is_some_and(|rests| rests != place));
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
            runs_on,
        }
    };
    if realised.iter().any(|module| module.rank.is_some()) {
        return ranks::modules(realised);
    }
    if !realised.is_empty() {
        return realised
            .iter()
            .map(|module| one(&module.module, Some(module)))
            .collect();
    }
    // A map may say everything with one prefix; places name what it means.
    let paths = if places.is_empty() { map } else { places };
    paths.iter().map(|(path, _)| one(path, None)).collect()
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
                    colour: ranks::colour(device, devices),
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
        DeviceMapRequest::Ranks(ranks) => format!(
            "{} ranks under {}, {} parallel",
            ranks.processes,
            ranks.launcher.as_str(),
            ranks.parallel.as_str()
        ),
        DeviceMapRequest::Stated(words) => format!("as stated and not read back: {}", line(words)),
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
