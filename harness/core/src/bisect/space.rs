//! What a placement is made of, and how two of them differ.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceId, DeviceKind};
use crate::placement::{DeviceMapRequest, Offload, Transfer};
use crate::units::Bytes;

/// A placement in full: a device for every module, in the order in which modules run, and how tensors travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The device of each module of [`Space::modules`].
    pub devices: Vec<DeviceId>,
    /// How activations travel.
    pub transfer: Transfer,
    /// How layers on `cpu` and `disk` run.
    pub offload: Offload,
}

/// A maximal run of modules on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Its first module.
    pub(super) first: usize,
    /// Its last module.
    pub(super) last: usize,
    /// Where they are.
    pub(super) device: DeviceId,
}

/// One thing in which two configurations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// The device of the module at that position.
    Module(usize),
    /// How activations travel.
    Transfer,
    /// How offloaded layers run.
    Offload,
}

impl Configuration {
    /// The runs of modules on one device; between two of them lies a hop.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            match runs.last_mut().filter(|run| run.device == *device) {
                Some(run) => run.last = index,
                None => runs.push(Run {
                    first: index,
                    last: index,
                    device: device.clone(),
                }),
            }
        }
        runs
    }

    /// The positions before each hop: a hop at 3 is between module 3 and module 4.
    #[must_use]
    pub fn hops(&self) -> Vec<usize> {
        let pairs = self.devices.windows(2).enumerate();
        pairs
            .filter(|(_, pair)| pair[0] != pair[1])
            .map(|(index, _)| index)
            .collect()
    }

    /// What has no effect put to its default, so that configurations that do the same are equal: without a hop it does not
    /// matter how activations travel, and without a layer beside an accelerator not how such layers run.
    pub(super) fn canonical(&self) -> Self {
        let mut same = self.clone();
        if self.hops().is_empty() {
            same.transfer = Transfer::default();
        }
        let has = |kind: DeviceKind| self.devices.iter().any(|device| device.kind() == kind);
        let has_accelerator = self.devices.iter().any(DeviceId::is_accelerator);
        let is_offloaded = has(DeviceKind::Disk) || (has(DeviceKind::Cpu) && has_accelerator);
        if !is_offloaded {
            same.offload = Offload::default();
        }
        same
    }

    /// The same with every module on one device.
    pub(super) fn all_on(&self, device: &DeviceId) -> Self {
        Self {
            devices: vec![device.clone(); self.devices.len()],
            ..self.clone()
        }
    }

    /// The same with one module elsewhere.
    pub(super) fn with_module(&self, module: usize, device: &DeviceId) -> Self {
        let mut moved = self.clone();
        if let Some(place) = moved.devices.get_mut(module) {
            place.clone_from(device);
        }
        moved
    }

    /// The same with the other way of moving activations.
    pub(super) fn with_other_transfer(&self) -> Self {
        Self {
            transfer: match self.transfer {
                Transfer::Direct => Transfer::Host,
                Transfer::Host => Transfer::Direct,
            },
            ..self.clone()
        }
    }

    /// The same with two devices exchanged.
    pub(super) fn swapped(&self, a: &DeviceId, b: &DeviceId) -> Self {
        let other = |device: &DeviceId| match device {
            device if device == a => b.clone(),
            device if device == b => a.clone(),
            device => device.clone(),
        };
        Self {
            devices: self.devices.iter().map(other).collect(),
            ..self.clone()
        }
    }

    /// In what it differs from another one, leaving out what has no effect.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let modules = self.devices.iter().zip(&other.devices).enumerate();
        let mut differences: Vec<Difference> = modules
            .filter(|(_, (a, b))| a != b)
            .map(|(index, _)| Difference::Module(index))
            .collect();
        if self.canonical().transfer != other.canonical().transfer && self.transfer != other.transfer {
            differences.push(Difference::Transfer);
        }
        if self.canonical().offload != other.canonical().offload && self.offload != other.offload {
            differences.push(Difference::Offload);
        }
        differences
    }

    /// This one with some of its properties taken from another.
    pub(super) fn taking(&self, differences: &[Difference], from: &Self) -> Self {
        let mut mixed = self.clone();
        for difference in differences {
            match difference {
                Difference::Module(index) => {
                    if let (Some(place), Some(device)) = (mixed.devices.get_mut(*index), from.devices.get(*index)) {
                        place.clone_from(device);
                    }
                }
                Difference::Transfer => mixed.transfer = from.transfer,
                Difference::Offload => mixed.offload = from.offload,
            }
        }
        mixed
    }

    /// What a scenario would ask for: one device, or a map with a key for each module.
    #[must_use]
    pub fn device_map(&self, modules: &[String]) -> DeviceMapRequest {
        match self.runs().as_slice() {
            [only] => DeviceMapRequest::Single(only.device.clone()),
            _ => DeviceMapRequest::Manual(modules.iter().cloned().zip(self.devices.iter().cloned()).collect()),
        }
    }

    /// `model.embed_tokens … model.layers.3 on sim:0, model.layers.4 … lm_head on sim:1`.
    #[must_use]
    pub fn words(&self, modules: &[String]) -> String {
        let name = |index: usize| modules.get(index).map_or("?", String::as_str);
        let runs = self.runs();
        if let [only] = runs.as_slice() {
            return format!("everything on {}", only.device);
        }
        let parts: Vec<String> = runs
            .iter()
            .map(|run| match run.first == run.last {
                true => format!("{} on {}", name(run.first), run.device),
                false => format!("{} … {} on {}", name(run.first), name(run.last), run.device),
            })
            .collect();
        parts.join(", ")
    }
}

/// Where the failure was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspect {
    /// On the way from the module at that position to the next.
    Hop(usize),
    /// In the module at that position.
    Module(usize),
}

/// What is searched: everything in which two placements differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The modules in the order in which they run.
    pub modules: Vec<String>,
    /// Their weights, where they are known; otherwise empty.
    pub weights_bytes: Vec<Bytes>,
    /// What may be put on the devices, where that is limited.
    pub capacities: Vec<(DeviceId, Bytes)>,
    /// The configuration that fails.
    pub failing: Configuration,
    /// The configuration that passes.
    pub passing: Configuration,
    /// Where the failure was seen.
    pub suspect: Option<Suspect>,
}

impl Space {
    /// False where the weights alone are more than a device holds: such a placement need not be tried.
    #[must_use]
    pub fn fits(&self, configuration: &Configuration) -> bool {
        self.capacities.iter().all(|(device, capacity)| {
            let placed = configuration.devices.iter().zip(&self.weights_bytes);
            let used: Bytes = placed
                .filter(|(place, _)| *place == device)
                .map(|(_, bytes)| *bytes)
                .sum();
            used <= *capacity
        })
    }

    /// `model.layers.3 -> model.layers.4`.
    pub(super) fn hop_name(&self, before: usize) -> String {
        format!("{} -> {}", self.name(before), self.name(before + 1))
    }

    /// The name of a module.
    pub(super) fn name(&self, module: usize) -> &str {
        self.modules.get(module).map_or("?", String::as_str)
    }
}
