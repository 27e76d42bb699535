//! What a placement puts on each device, against what that device may hold.

use placebench_core::outcome::Outcome;
use placebench_core::protocol::PlannedPlacement;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::budget::{self, Budget};
use super::memory::MemoryView;
use super::modules::ModuleView;
use super::ranks;

/// A device of a placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceUseView {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run.
    pub colour: usize,
    /// Weights on it.
    #[serde(skip)]
    pub weights: Option<Bytes>,
    /// Keys and values of past tokens on it.
    #[serde(skip)]
    pub cache: Option<Bytes>,
    /// What it may hold.
    #[serde(skip)]
    pub budget: Option<Bytes>,
    /// Weights in words; empty where nobody knows.
    pub weights_words: String,
    /// Keys and values in words; empty where nobody knows.
    pub cache_words: String,
    /// The budget in words, and who set it; empty where there is none.
    pub budget_words: String,
    /// The figures are of the plan: nothing was loaded.
    pub is_planned: bool,
    /// More than it may hold.
    pub is_over: bool,
    /// All of it as one phrase: `2.00 MiB of 16.0 MiB`.
    pub words: String,
}

impl DeviceUseView {
    /// There is a budget to show a part of.
    #[must_use]
    pub fn has_bar(&self) -> bool {
        self.is_over || self.shares().is_some()
    }

    /// Weights and cache in parts of the budget, each from 0 to 1; absent without a budget.
    #[must_use]
    pub fn shares(&self) -> Option<(f64, f64)> {
        let budget = self.budget.filter(|budget| budget.0 > 0)?.as_f64();
        let weights = (self.weights?.as_f64() / budget).min(1.0);
        let cache = (self.cache.unwrap_or_default().as_f64() / budget).min(1.0 - weights);
        Some((weights, cache))
    }
}

/// What the devices of a case are made from.
pub(super) struct Source<'a> {
    pub(super) spec: &'a CaseSpec,
    pub(super) attempt: Option<&'a Attempt>,
    /// How the case ended, which may be another attempt.
    pub(super) outcome: Option<&'a Outcome>,
    pub(super) memory: &'a [MemoryView],
    pub(super) devices: &'a [String],
    pub(super) is_loaded: bool,
}

/// The devices that any module is asked for, planned, loaded or run on, in the order of the run's devices.
pub(super) fn view(source: &Source<'_>, modules: &[ModuleView]) -> Vec<DeviceUseView> {
    let realised = source
        .attempt
        .and_then(|attempt| attempt.realised.as_deref())
        .unwrap_or_default();
    if realised.iter().any(|module| module.rank.is_some()) {
        return ranks::lanes(realised, source.devices);
    }
    let used = |device: &&String| modules.iter().any(|module| module.mentions(device));
    source
        .devices
        .iter()
        .enumerate()
        .filter(|(_, device)| used(device))
        .map(|(colour, device)| one(source, device, colour))
        .collect()
}

fn one(source: &Source<'_>, device: &str, colour: usize) -> DeviceUseView {
    let seen = source.memory.iter().find(|figure| figure.device == device);
    let planned = source.attempt.and_then(|attempt| attempt.planned.as_ref());
    let (weights, cache) = match (source.is_loaded, planned) {
        (false, Some(planned)) => foreseen(planned, device),
        _ => (
            seen.and_then(|figure| figure.weights),
            seen.and_then(|figure| figure.cache),
        ),
    };
    let out = out_of_memory(source.outcome, device);
    let limit = match out {
        Some((_, bytes)) => Some(Budget {
            bytes,
            source: "as enforced",
        }),
        None => budget(source, device, seen),
    };
    let budget = limit.map(|limit| limit.bytes);
    let used: Option<Bytes> = weights.map(|weights| [weights, cache.unwrap_or_default()].into_iter().sum());
    let is_over = out.is_some() || used.zip(budget).is_some_and(|(used, budget)| used > budget);
    let of = budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
    let words = match (out, used) {
        (Some((needed, _)), _) => format!("ran out: {needed}{of}"),
        (None, None) => String::new(),
        (None, Some(used)) if !source.is_loaded => format!("needs {used}{of}"),
        (None, Some(used)) if is_over => format!("over: {used}{of}"),
        (None, Some(used)) => format!("{used}{of}"),
    };
    let or_empty = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
    DeviceUseView {
        device: device.to_owned(),
        colour,
        weights_words: or_empty(weights),
        cache_words: or_empty(cache),
        budget_words: limit.map_or_else(String::new, |limit| format!("{}, {}", limit.bytes, limit.source)),
        weights,
        cache,
        budget,
        is_planned: !source.is_loaded,
        is_over,
        words,
    }
}

/// Weights and cache of a device according to the plan.
fn foreseen(planned: &PlannedPlacement, device: &str) -> (Option<Bytes>, Option<Bytes>) {
    let footprint = planned.forecast.as_ref().and_then(|forecast| {
        let mut devices = forecast.footprint.devices.iter();
        devices.find(|footprint| footprint.device.as_str() == device)
    });
    let weights = || {
        let mut figures = planned.weights_bytes.iter();
        figures
            .find(|figure| figure.device.as_str() == device)
            .map(|figure| figure.bytes)
    };
    match footprint {
        Some(footprint) => (Some(footprint.weights_bytes), Some(footprint.kv_cache_bytes)),
        None => (weights(), None),
    }
}

/// The budget of its memory, and who sets it; the same for a device of which no memory is known.
fn budget(source: &Source<'_>, device: &str, seen: Option<&MemoryView>) -> Option<Budget> {
    let known = seen.map(|figure| {
        let bytes = figure.budget?;
        Some(Budget {
            bytes,
            source: figure.source,
        })
    });
    known.unwrap_or_else(|| {
        let planned = source.attempt.and_then(|attempt| attempt.planned.as_ref());
        let forecast = planned.and_then(|planned| planned.forecast.as_deref());
        budget::of(device, source.spec, source.attempt, forecast)
    })
}

/// Bytes that were needed and allowed, where this is the device that had too few.
fn out_of_memory(outcome: Option<&Outcome>, device: &str) -> Option<(Bytes, Bytes)> {
    let Some(Outcome::OutOfMemory { failure }) = outcome else {
        return None;
    };
    failure.device.as_ref().filter(|named| named.as_str() == device)?;
    failure.needed_bytes.zip(failure.allowed_bytes)
}
