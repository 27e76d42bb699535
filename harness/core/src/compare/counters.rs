//! Hard gates: what can be counted is the same on a quiet machine and on a busy one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::Direction;
use super::reason::{NoVerdictReason, SideName};
use super::spec::GateSpec;
use super::tokens;
use crate::outcome::Outcome;
use crate::protocol::{Generation, MemoryKind};
use crate::record::Attempt;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// The resolved map.
    Plan,
    /// The realised map.
    Realised,
    /// Activations moved between devices.
    Hops,
    /// Bytes moved by them.
    TransferBytes,
    /// Weights copied in for offloaded layers.
    StreamedBytes,
    /// Weights on a device, read back.
    WeightsBytes,
    /// Most memory in use at once on a device.
    PeakBytes,
    /// Generated tokens.
    TokenIds,
}

impl Counter {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Realised => "realised",
            Self::Hops => "hops",
            Self::TransferBytes => "transfer_bytes",
            Self::StreamedBytes => "streamed_bytes",
            Self::WeightsBytes => "weights_bytes",
            Self::PeakBytes => "peak_bytes",
            Self::TokenIds => "token_ids",
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Plan | Self::Realised => "map",
            Self::Hops => "hops",
            Self::TransferBytes | Self::StreamedBytes | Self::WeightsBytes | Self::PeakBytes => "bytes",
            Self::TokenIds => "tokens",
        }
    }

    /// Which way is better. Weights are what they are: fewer of them is another model.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            Self::Hops | Self::TransferBytes | Self::StreamedBytes | Self::PeakBytes => Direction::Lower,
            Self::Plan | Self::Realised | Self::WeightsBytes | Self::TokenIds => Direction::Equal,
        }
    }
}

/// The judgement on a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CounterChange {
    /// The same, or within its tolerance.
    Same,
    /// Less of what is better less. No failure, but the baseline is out of date.
    Better,
    /// More of it.
    Worse,
    /// Another map, other weights, other tokens.
    Differs,
    /// The figures cannot be compared.
    NoVerdict,
}

/// A counter of a case on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CounterRow {
    /// The counter.
    pub counter: Counter,
    /// Which of its figures: a device, `prefill` or `decode`; empty where there is one.
    pub of: String,
    /// Its unit.
    pub unit: String,
    /// Which way is better.
    pub direction: Direction,
    /// The base's figure, where it is a number.
    pub base: Option<u64>,
    /// The new side's figure.
    pub new: Option<u64>,
    /// Relative tolerance; 0 is exact.
    pub tolerance: f64,
    /// The judgement.
    pub change: CounterChange,
    /// What differs, in words. Holds names of modules and devices: escape it where shown.
    pub detail: Option<String>,
    /// Why there is no judgement.
    pub reason: Option<NoVerdictReason>,
}

/// Compares everything that can be counted. A counter that neither side has is left out (not every engine has a planner),
/// but tokens are always there.
pub(crate) fn compare(base: &[&Attempt], new: &[&Attempt], spec: &GateSpec) -> Vec<CounterRow> {
    let (base, new) = (completed(base), completed(new));
    let mut rows = Vec::new();
    rows.extend(map_row(Counter::Plan, &base, &new, planned));
    rows.extend(map_row(Counter::Realised, &base, &new, realised));
    let steps: [(Counter, Steps); 3] = [
        (Counter::Hops, |generation| {
            generation.hops.iter().map(|&hops| u64::from(hops)).collect()
        }),
        (Counter::TransferBytes, |generation| generation.transfer_bytes.clone()),
        (Counter::StreamedBytes, |generation| generation.streamed_bytes.clone()),
    ];
    for (counter, read) in steps {
        rows.extend(step_rows(counter, &base, &new, read, spec));
    }
    rows.extend(memory_rows(
        Counter::WeightsBytes,
        MemoryKind::Weights,
        &base,
        &new,
        0.0,
        spec,
    ));
    rows.extend(memory_rows(
        Counter::PeakBytes,
        MemoryKind::Peak,
        &base,
        &new,
        spec.peak_tolerance,
        spec,
    ));
    rows.push(tokens::row(&base, &new, spec));
    rows
}

/// What did not complete has no counts to speak of; that it did not is another judgement's business.
fn completed<'a>(attempts: &[&'a Attempt]) -> Vec<&'a Attempt> {
    let completed = attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Completed));
    completed.copied().collect()
}

pub(super) fn row(counter: Counter, of: &str) -> CounterRow {
    CounterRow {
        counter,
        of: of.to_owned(),
        unit: counter.unit().to_owned(),
        direction: counter.direction(),
        base: None,
        new: None,
        tolerance: 0.0,
        change: CounterChange::NoVerdict,
        detail: None,
        reason: None,
    }
}

impl CounterRow {
    pub(super) fn without_verdict(mut self, reason: NoVerdictReason) -> Self {
        self.change = CounterChange::NoVerdict;
        self.reason = Some(reason);
        self
    }

    pub(super) fn judged(mut self, change: CounterChange, detail: Option<String>) -> Self {
        self.change = change;
        self.detail = detail;
        self
    }
}

type Map = BTreeMap<String, String>;

fn planned(attempt: &Attempt) -> Option<Map> {
    let map = &attempt.planned.as_ref()?.device_map;
    Some(
        map.iter()
            .map(|(module, device)| (module.clone(), device.to_string()))
            .collect(),
    )
}

fn realised(attempt: &Attempt) -> Option<Map> {
    let modules = attempt.realised.as_ref()?;
    Some(
        modules
            .iter()
            .map(|module| (module.module.clone(), module.device.to_string()))
            .collect(),
    )
}

/// What all attempts of a side agree on; why there is nothing, otherwise.
fn agreed<T: PartialEq>(
    side: SideName,
    attempts: &[&Attempt],
    read: impl Fn(&Attempt) -> Option<T>,
    differ: impl Fn(&T, &T) -> Option<String>,
) -> Result<T, NoVerdictReason> {
    let mut figures = attempts.iter().map(|attempt| read(attempt));
    let first = figures.next().flatten().ok_or(NoVerdictReason::Missing { side })?;
    for figure in figures {
        let figure = figure.ok_or(NoVerdictReason::Missing { side })?;
        if let Some(detail) = differ(&first, &figure) {
            return Err(NoVerdictReason::Varies { side, detail });
        }
    }
    Ok(first)
}

/// What both sides have. `None` where neither has anything.
fn both<T: PartialEq>(
    base: &[&Attempt],
    new: &[&Attempt],
    read: impl Fn(&Attempt) -> Option<T>,
    differ: impl Fn(&T, &T) -> Option<String>,
) -> Option<Result<(T, T), NoVerdictReason>> {
    if base.iter().chain(new).all(|attempt| read(attempt).is_none()) {
        return None;
    }
    let base = agreed(SideName::Base, base, &read, &differ);
    let new = agreed(SideName::New, new, &read, &differ);
    Some(base.and_then(|base| new.map(|new| (base, new))))
}

fn map_row(
    counter: Counter,
    base: &[&Attempt],
    new: &[&Attempt],
    read: fn(&Attempt) -> Option<Map>,
) -> Option<CounterRow> {
    let row = row(counter, "");
    Some(match both(base, new, read, maps_differ)? {
        Err(reason) => row.without_verdict(reason),
        Ok((base, new)) => match maps_differ(&base, &new) {
            None => row.judged(CounterChange::Same, None),
            Some(detail) => row.judged(CounterChange::Differs, Some(detail)),
        },
    })
}

fn maps_differ(base: &Map, new: &Map) -> Option<String> {
    let modules: std::collections::BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let differing: Vec<&String> = modules
        .into_iter()
        .filter(|module| base.get(*module) != new.get(*module))
        .collect();
    let first = *differing.first()?;
    let told = |map: &Map| map.get(first).cloned().unwrap_or_else(|| "nowhere".to_owned());
    let module = if first.is_empty() { "the whole model" } else { first };
    let others = match differing.len() - 1 {
        0 => String::new(),
        1 => " (and one more)".to_owned(),
        n => format!(" (and {n} more)"),
    };
    Some(format!("{module}: {} instead of {}{others}", told(new), told(base)))
}

/// Reads a count per step.
type Steps = fn(&Generation) -> Vec<u64>;

/// The prompt's step and the decode steps. Only steps that both sides made are counted: after a near-tie one text may
/// end sooner.
fn step_rows(counter: Counter, base: &[&Attempt], new: &[&Attempt], read: Steps, spec: &GateSpec) -> Vec<CounterRow> {
    let steps_of = |attempt: &Attempt| -> Option<Vec<Vec<u64>>> {
        let all: Vec<Vec<u64>> = attempt.generations.iter().map(read).collect();
        let is_counted = !all.is_empty() && all.iter().all(|steps| !steps.is_empty());
        is_counted.then_some(all)
    };
    // Each generation of each attempt against the first of the first.
    let differ = |first: &Vec<Vec<u64>>, other: &Vec<Vec<u64>>| {
        let one = first.first()?;
        let mut generations = first.iter().chain(other);
        let differing = generations.find(|steps| steps.iter().zip(one).any(|(a, b)| a != b))?;
        let step = differing.iter().zip(one).position(|(a, b)| a != b)?;
        Some(format!(
            "{} in step {step}, then {}",
            one.get(step)?,
            differing.get(step)?
        ))
    };
    match both(base, new, steps_of, differ) {
        None => Vec::new(),
        Some(Err(reason)) => vec![row(counter, "").without_verdict(reason)],
        Some(Ok((base, new))) => {
            let (Some(base), Some(new)) = (base.first(), new.first()) else {
                return Vec::new();
            };
            let common = base.len().min(new.len());
            let sum = |steps: &[u64], from: usize, to: usize| steps.iter().take(to).skip(from).sum::<u64>();
            let amounts = |from, to| (sum(base, from, to), sum(new, from, to));
            let mut rows = vec![amount_row(row(counter, "prefill"), amounts(0, 1), 0.0, spec)];
            if common > 1 {
                rows.push(amount_row(row(counter, "decode"), amounts(1, common), 0.0, spec));
            }
            rows
        }
    }
}

/// A row for each device that either side has a figure of.
fn memory_rows(
    counter: Counter,
    kind: MemoryKind,
    base: &[&Attempt],
    new: &[&Attempt],
    tolerance: f64,
    spec: &GateSpec,
) -> Vec<CounterRow> {
    let figures = base.iter().chain(new).flat_map(|attempt| &attempt.memory);
    let devices: std::collections::BTreeSet<&str> = figures
        .filter(|figure| figure.kind == kind)
        .map(|figure| figure.device.as_str())
        .collect();
    let rows = devices.into_iter().filter_map(|device| {
        let read = |attempt: &Attempt| -> Option<u64> {
            let mut figures = attempt.memory.iter();
            let figure = figures.find(|figure| figure.kind == kind && figure.device.as_str() == device)?;
            Some(figure.bytes.0)
        };
        let differ = |first: &u64, other: &u64| {
            (!within(*first, *other, tolerance)).then(|| format!("{first} bytes, then {other}"))
        };
        let row = row(counter, device);
        Some(match both(base, new, read, differ)? {
            Err(reason) => row.without_verdict(reason),
            Ok(amounts) => amount_row(row, amounts, tolerance, spec),
        })
    });
    rows.collect()
}

fn within(base: u64, new: u64, tolerance: f64) -> bool {
    base.abs_diff(new) as f64 <= tolerance * base.max(new) as f64
}

fn amount_row(row: CounterRow, (base, new): (u64, u64), tolerance: f64, spec: &GateSpec) -> CounterRow {
    let row = CounterRow {
        base: Some(base),
        new: Some(new),
        tolerance,
        ..row
    };
    if within(base, new, tolerance) {
        return row.judged(CounterChange::Same, None);
    }
    let detail = Some(format!("{new} instead of {base}"));
    match row.direction {
        Direction::Equal => row.judged(CounterChange::Differs, detail),
        // A count that vanished was more likely not counted than saved (uni-db#230).
        Direction::Lower if (new as f64) * spec.implausible_factor < base as f64 => {
            let ratio = new as f64 / base as f64;
            row.without_verdict(NoVerdictReason::Implausible { ratio })
        }
        Direction::Lower if new < base => row.judged(CounterChange::Better, detail),
        Direction::Higher if new > base => row.judged(CounterChange::Better, detail),
        Direction::Lower | Direction::Higher => row.judged(CounterChange::Worse, detail),
    }
}
