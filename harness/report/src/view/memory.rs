//! Memory of a case, device by device: what it was planned to hold, what it held, and what it might.
//!
//! What was held is the engine's own account: weights and caches with the bytes of their tensors, activations with what
//! modules hold at once. What the system and the driver saw of the whole process stands beside it.

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::planner::{DeviceFootprint, Forecast};
use placebench_core::protocol::MemoryKind;
use placebench_core::record::{Attempt, CaseMetrics, CaseSpec, IndexedRun};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::budget::{self, Budget, Refusal};
use super::forecast;
use super::memory_beside::{self, BesideView};
use super::words::line;

/// How far a peak may be from its plan to count as planned.
pub(super) const CLOSE: f64 = 0.05;

/// What kind of memory a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// A GPU, or a slice of any device.
    Accelerator,
    /// The memory of the host.
    Host,
    /// None: weights are read from their file at each use.
    Disk,
}

/// What a plan says of a device. Absent figures were not foreseen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Planned {
    /// Weights.
    pub weights: Option<Bytes>,
    /// Keys and values of complete sequences.
    pub cache: Option<Bytes>,
    /// The largest working set of a module, and logits.
    pub rest: Option<Bytes>,
    /// All of these.
    pub peak: Option<Bytes>,
}

/// Memory of a case on one device. Absent figures were not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryView {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run.
    pub colour: usize,
    /// What kind of memory it has.
    pub place: Where,
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
    /// Who sets the budget: `max_memory`, `logical device`, `memory of the GPU`; empty where there is none.
    pub source: &'static str,
    /// What was planned; absent where nothing was.
    #[serde(skip)]
    pub planned: Option<Planned>,
    /// Weights, cache, peak and budget in words, `–` where absent.
    pub words: [String; 4],
    /// What the peak holds besides weights and cache, in words.
    pub rest_words: String,
    /// The plan's weights, cache, rest and peak in words; absent where nothing was planned.
    pub planned_words: Option<[String; 4]>,
    /// The peak against the plan's: `+1.00 MiB (+12 %)`, `none`; empty where one of them is absent.
    pub difference: String,
    /// The peak in percent of the budget, in words; empty where one of them is absent.
    pub share: String,
    /// What is left of the budget, in words, `−1.00 MiB` where it is exceeded; empty where one of them is absent.
    pub head_room: String,
    /// The allocation it had no room for.
    pub refusal: Option<Refusal>,
}

impl MemoryView {
    /// What the peak holds besides weights and cache: activations, logits, copies.
    #[must_use]
    pub fn rest(&self) -> Option<Bytes> {
        let known = self
            .weights
            .unwrap_or_default()
            .0
            .saturating_add(self.cache.unwrap_or_default().0);
        Some(Bytes(self.peak?.0.saturating_sub(known)))
    }

    /// The largest figure that is no budget.
    #[must_use]
    pub fn largest(&self) -> Bytes {
        let parts: Bytes = self.weights.into_iter().chain(self.cache).sum();
        let planned = self.planned.unwrap_or_default();
        let refused = self.refusal.as_ref().and_then(|refusal| refusal.needed);
        let all = [self.peak, planned.peak, planned.weights, refused];
        all.into_iter().flatten().fold(parts, Bytes::max)
    }

    /// True where nothing of it was measured.
    #[must_use]
    pub fn is_unmeasured(&self) -> bool {
        self.weights.is_none() && self.cache.is_none() && self.peak.is_none()
    }

    /// Peak over budget, where both are known.
    #[must_use]
    pub fn utilisation(&self) -> Option<f64> {
        let budget = self.budget.filter(|budget| budget.0 > 0)?;
        Some(self.peak?.as_f64() / budget.as_f64())
    }

    /// Measured over planned peak; infinite where nothing was planned, but something was measured.
    #[must_use]
    pub fn against_plan(&self) -> Option<f64> {
        let (planned, measured) = (self.planned?.peak?.as_f64(), self.peak?.as_f64());
        Some(match (planned > 0.0, measured > 0.0) {
            (true, _) => measured / planned,
            (false, true) => f64::INFINITY,
            (false, false) => 1.0,
        })
    }

    /// `25 % over plan` where the peak is not as planned.
    #[must_use]
    pub fn off_plan(&self) -> Option<String> {
        let ratio = self.against_plan()?;
        Some(match ratio - 1.0 {
            apart if apart.abs() <= CLOSE => return None,
            apart if !apart.is_finite() => "nothing planned".into(),
            apart if apart >= 9.0 => format!("{ratio:.0} times the plan"),
            apart if apart > 0.0 => format!("{:.0} % over plan", apart * 100.0),
            apart => format!("{:.0} % under plan", apart * -100.0),
        })
    }
}

/// What the memory of a case is made from.
struct Source<'a> {
    spec: &'a CaseSpec,
    metrics: &'a CaseMetrics,
    /// The attempt whose placement is shown.
    placed: Option<&'a Attempt>,
    /// The attempt that the verdict speaks of.
    deciding: Option<&'a Attempt>,
    /// What all attempts were planned with.
    forecast: Option<&'a Forecast>,
    devices: &'a [String],
}

/// Memory per device, in the order of the run's devices, and what is known besides: of the attempt whose placement is
/// shown, and of the one that the verdict speaks of.
#[must_use]
pub(super) fn of_case<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    metrics: &'a CaseMetrics,
    [placed, deciding]: [Option<&'a Attempt>; 2],
    devices: &'a [String],
) -> (Vec<MemoryView>, BesideView) {
    let source = Source {
        spec,
        metrics,
        placed,
        deciding,
        forecast: forecast::shared(record, spec),
        devices,
    };
    let used = view(&source);
    let attempts: Vec<&Attempt> = record.deciding_attempts(spec).collect();
    let beside = memory_beside::view(spec, placed, &used, &attempts);
    (used, beside)
}

/// The judged figures, completed from the attempt where the judge has none. Devices that were planned for are there even
/// where nothing was measured.
fn view(source: &Source<'_>) -> Vec<MemoryView> {
    let mut names: Vec<&str> = Vec::new();
    let metrics = source.metrics;
    let judged = [
        &metrics.weights_bytes,
        &metrics.kv_cache_bytes,
        &metrics.peak_memory_bytes,
    ];
    let refusal = Refusal::of(source.deciding);
    let mut all: Vec<&str> = judged
        .into_iter()
        .flatten()
        .map(|figure| figure.device.as_str())
        .collect();
    if let Some(attempt) = source.placed {
        all.extend(attempt.realised.iter().flatten().map(|module| module.device.as_str()));
        all.extend(attempt.memory.iter().map(|figure| figure.device.as_str()));
    }
    let footprint = source.forecast.iter().flat_map(|forecast| &forecast.footprint.devices);
    all.extend(footprint.map(|entry| entry.device.as_str()));
    all.extend(refusal.iter().map(|refusal| refusal.device.as_str()));
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort_by_key(|name| source.devices.iter().position(|device| *device == line(name)));
    names
        .iter()
        .map(|device| one(device, source, refusal.as_ref()))
        .collect()
}

fn one(device: &str, source: &Source<'_>, refusal: Option<&Refusal>) -> MemoryView {
    let of = |figures: &[DeviceBytes]| {
        let mut figures = figures.iter().filter(|figure| figure.device.as_str() == device);
        figures.next().map(|figure| figure.bytes)
    };
    let attempt = source.placed;
    let seen = |kind: MemoryKind| {
        let figures = attempt.map(|attempt| attempt.memory.as_slice()).unwrap_or_default();
        let mut here = figures.iter().filter(|figure| figure.device.as_str() == device);
        here.find(|figure| figure.kind == kind).map(|figure| figure.bytes)
    };
    let loaded = || {
        let modules = attempt.and_then(|attempt| attempt.realised.as_deref())?;
        let here = modules.iter().filter(|module| module.device.as_str() == device);
        let bytes: Vec<Bytes> = here.map(|module| module.bytes).collect();
        (!bytes.is_empty()).then(|| bytes.into_iter().sum())
    };
    let budget = budget::of(device, source.spec, attempt, source.forecast);
    let mut view = MemoryView {
        device: line(device),
        colour: source
            .devices
            .iter()
            .position(|known| *known == line(device))
            .unwrap_or(0),
        place: match DeviceId::new(device).map(|id| id.kind()) {
            Ok(DeviceKind::Cpu) => Where::Host,
            Ok(DeviceKind::Disk) => Where::Disk,
            _ => Where::Accelerator,
        },
        weights: of(&source.metrics.weights_bytes)
            .or_else(|| seen(MemoryKind::Weights))
            .or_else(loaded),
        cache: of(&source.metrics.kv_cache_bytes).or_else(|| seen(MemoryKind::KvCache)),
        peak: of(&source.metrics.peak_memory_bytes).or_else(|| seen(MemoryKind::Peak)),
        budget: budget.map(|budget| budget.bytes),
        source: budget.map(|budget: Budget| budget.source).unwrap_or_default(),
        planned: planned(device, source),
        words: Default::default(),
        rest_words: String::new(),
        planned_words: None,
        difference: String::new(),
        share: String::new(),
        head_room: String::new(),
        refusal: refusal.filter(|refusal| refusal.device == device).cloned(),
    };
    say(&mut view);
    view
}

/// Puts the figures into words.
fn say(view: &mut MemoryView) {
    let word = |bytes: Option<Bytes>| bytes.map_or_else(|| "–".into(), |bytes| bytes.to_string());
    view.words = [view.weights, view.cache, view.peak, view.budget].map(word);
    view.rest_words = word(view.rest());
    view.planned_words = view
        .planned
        .map(|planned| [planned.weights, planned.cache, planned.rest, planned.peak].map(word));
    let peaks = view.planned.and_then(|planned| planned.peak).zip(view.peak);
    view.difference = peaks
        .map(|(planned, measured)| difference(planned, measured))
        .unwrap_or_default();
    view.head_room = match (view.budget, view.peak) {
        (Some(budget), Some(peak)) if peak > budget => format!("−{}", Bytes(peak.0 - budget.0)),
        (Some(budget), Some(peak)) => Bytes(budget.0 - peak.0).to_string(),
        _ => String::new(),
    };
    view.share = match view.utilisation() {
        Some(share) if share > 0.0 && share < 0.005 => "below 1 %".into(),
        Some(share) => format!("{:.0} %", share * 100.0),
        None => String::new(),
    };
}

/// What a device was planned to hold: by the forecast, else by the weights of the plan.
fn planned(device: &str, source: &Source<'_>) -> Option<Planned> {
    let of_forecast = |entry: &DeviceFootprint<DeviceId>| Planned {
        weights: Some(entry.weights_bytes),
        cache: Some(entry.kv_cache_bytes),
        rest: Some([entry.activation_bytes, entry.logits_bytes].into_iter().sum()),
        peak: Some(entry.total_bytes),
    };
    if let Some(forecast) = source.forecast {
        let mut devices = forecast.footprint.devices.iter();
        return devices.find(|entry| entry.device.as_str() == device).map(of_forecast);
    }
    let plan = source.placed?.planned.as_ref().filter(|plan| plan.forecast.is_none())?;
    let weights = plan
        .weights_bytes
        .iter()
        .find(|entry| entry.device.as_str() == device)?;
    Some(Planned {
        weights: Some(weights.bytes),
        ..Planned::default()
    })
}

/// `+12.0 KiB (+3 %)`; without percent where nothing was planned.
fn difference(planned: Bytes, measured: Bytes) -> String {
    if planned == measured {
        return "none".into();
    }
    let sign = if measured > planned { '+' } else { '−' };
    let apart = Bytes(measured.0.abs_diff(planned.0));
    if planned.0 == 0 {
        return format!("{sign}{apart}");
    }
    let percent = apart.as_f64() / planned.as_f64() * 100.0;
    let percent = if percent < 0.95 {
        "below 1".into()
    } else {
        format!("{sign}{percent:.0}")
    };
    format!("{sign}{apart} ({percent} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign() {
        let shown = [
            (0, 0),
            (1024, 2048),
            (2048, 1024),
            (0, 1024),
            (1 << 20, (1 << 20) + 1024),
        ]
        .map(|(planned, measured)| difference(Bytes(planned), Bytes(measured)));
        assert_eq!(
            shown,
            [
                "none",
                "+1.00 KiB (+100 %)",
                "−1.00 KiB (−50 %)",
                "+1.00 KiB",
                "+1.00 KiB (below 1 %)"
            ]
        );
    }
}
