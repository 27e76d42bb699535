//! Memory of a case, device by device, against the budgets.

use placebench_core::device::DeviceBytes;
use placebench_core::protocol::MemoryKind;
use placebench_core::record::{Attempt, CaseMetrics, CaseSpec};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::words::line;

/// Memory of a case on one device. Absent figures were not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryView {
    /// The device.
    pub device: String,
    /// Weights.
    #[serde(skip)]
    pub weights: Option<Bytes>,
    /// Keys and values of past tokens.
    #[serde(skip)]
    pub cache: Option<Bytes>,
    /// Most that was in use at once.
    #[serde(skip)]
    pub peak: Option<Bytes>,
    /// What may be used.
    #[serde(skip)]
    pub budget: Option<Bytes>,
    /// The same four in words, `–` where absent.
    pub words: [String; 4],
    /// The peak in percent of the budget, in words; empty where one of them is absent.
    pub share: String,
}

impl MemoryView {
    /// The largest figure that is no budget.
    #[must_use]
    pub fn largest(&self) -> Bytes {
        let parts: Bytes = self.weights.into_iter().chain(self.cache).sum();
        self.peak.unwrap_or_default().max(parts)
    }

    /// Peak over budget, where both are known.
    #[must_use]
    pub fn utilisation(&self) -> Option<f64> {
        let budget = self.budget.filter(|budget| budget.0 > 0)?;
        Some(self.peak?.as_f64() / budget.as_f64())
    }
}

/// Memory per device, in the order of the run's devices: the judged figures, completed from the attempt where the judge
/// has none.
#[must_use]
pub fn view(spec: &CaseSpec, metrics: &CaseMetrics, attempt: Option<&Attempt>, devices: &[String]) -> Vec<MemoryView> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |device: &str| {
        if !names.iter().any(|known| known == device) {
            names.push(device.to_owned());
        }
    };
    let judged = [
        &metrics.weights_bytes,
        &metrics.kv_cache_bytes,
        &metrics.peak_memory_bytes,
    ];
    judged
        .into_iter()
        .flatten()
        .for_each(|figure| add(figure.device.as_str()));
    if let Some(attempt) = attempt {
        attempt
            .realised
            .iter()
            .flatten()
            .for_each(|module| add(module.device.as_str()));
        attempt.memory.iter().for_each(|figure| add(figure.device.as_str()));
    }
    names.sort_by_key(|name| devices.iter().position(|device| *device == line(name)));
    names.iter().map(|device| one(device, spec, metrics, attempt)).collect()
}

fn one(device: &str, spec: &CaseSpec, metrics: &CaseMetrics, attempt: Option<&Attempt>) -> MemoryView {
    let of = |figures: &[DeviceBytes]| {
        figures
            .iter()
            .find(|figure| figure.device.as_str() == device)
            .map(|figure| figure.bytes)
    };
    let seen = |kind: MemoryKind| {
        let figures = attempt.map(|attempt| attempt.memory.as_slice()).unwrap_or_default();
        figures
            .iter()
            .find(|figure| figure.device.as_str() == device && figure.kind == kind)
            .map(|figure| figure.bytes)
    };
    let loaded = || {
        let modules = attempt.and_then(|attempt| attempt.realised.as_deref())?;
        let here: Vec<Bytes> = modules
            .iter()
            .filter(|module| module.device.as_str() == device)
            .map(|module| module.bytes)
            .collect();
        (!here.is_empty()).then(|| here.into_iter().sum())
    };
    let mut view = MemoryView {
        device: line(device),
        weights: of(&metrics.weights_bytes)
            .or_else(|| seen(MemoryKind::Weights))
            .or_else(loaded),
        cache: of(&metrics.kv_cache_bytes).or_else(|| seen(MemoryKind::KvCache)),
        peak: of(&metrics.peak_memory_bytes).or_else(|| seen(MemoryKind::Peak)),
        budget: budget(device, spec, attempt),
        words: Default::default(),
        share: String::new(),
    };
    view.words = [view.weights, view.cache, view.peak, view.budget]
        .map(|bytes| bytes.map_or_else(|| "–".into(), |bytes| bytes.to_string()));
    view.share = view
        .utilisation()
        .map(|share| format!("{:.0} %", share * 100.0))
        .unwrap_or_default();
    view
}

/// What a device may hold: as enforced while it ran, else as the device says, else as the scenario declares.
fn budget(device: &str, spec: &CaseSpec, attempt: Option<&Attempt>) -> Option<Bytes> {
    let enforced = attempt.and_then(|attempt| {
        let mut figures = attempt.memory.iter().filter(|figure| figure.device.as_str() == device);
        figures.find_map(|figure| figure.allowed_bytes)
    });
    let reported = || {
        let mut devices = attempt?.devices.iter().filter(|facts| facts.id.as_str() == device);
        devices.find_map(|facts| facts.memory_bytes)
    };
    let declared = || {
        spec.devices
            .iter()
            .find(|logical| logical.id.as_str() == device)?
            .memory_bytes
    };
    enforced.or_else(reported).or_else(declared)
}
