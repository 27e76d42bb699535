//! The placement that is predicted to be fastest, within every device's budget.
//!
//! Where Accelerate fills one device after another, this chooses the devices, their order, and the boundaries between
//! them, so that the predicted time is least. Each device gets one run of modules; only a tied head may return to the
//! embedding's device, where it needs no second copy. Budgets hold weights, KV cache, activations and logits as
//! [`super::footprint()`] counts them. Nothing is put anywhere unasked: what does not fit is refused with what is missing.
//!
//! The answer is exact, see `optimal_search`. Equal times are decided by fewer stages, then by the fullest device being
//! the least full, then by the order of the devices.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::device::MapDevice;
use super::footprint::{Footprint, Room, footprint, need};
use super::footprint_workload::Workload;
use super::optimal_groups::{Group, Links, groups};
use super::optimal_search::{Found, number_of_sets, search};
use super::optimal_tables::{Minimise, Tables};
use super::predict::{Objective, Prediction, predict};
use super::predict_rates::{RateError, Rates};
use super::shape_decoder::Decoder;
use super::shape_placed::PlacedDecoder;
use crate::units::Bytes;

/// A request for the fastest placement.
#[derive(Debug, Clone, Copy)]
pub struct OptimalRequest<'a, D> {
    /// The model.
    pub decoder: &'a Decoder,
    /// What it shall do.
    pub workload: &'a Workload,
    /// Devices that may be used, preferred ones first, each with its budget; `None` is unlimited. Host memory is used
    /// only where it is listed.
    pub devices: &'a [(D, Option<Bytes>)],
    /// How fast they are. [`Rates::default`] makes them equal, so that the fewest hops win.
    pub rates: &'a Rates<D>,
    /// Which time shall be least.
    pub objective: Objective,
}

/// A placement with what it is expected to need and to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative<D> {
    /// The device of every module, in order of execution.
    pub device_map: Vec<(String, D)>,
    /// Bytes.
    pub footprint: Footprint<D>,
    /// Seconds.
    pub prediction: Prediction<D>,
}

/// The fastest placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimalAnswer<D> {
    /// It.
    pub chosen: Alternative<D>,
    /// The fastest placement on any other choice of devices, if there is one. Devices that are alike count as the same.
    pub runner_up: Option<Alternative<D>>,
    /// The fastest placement on one device, if there is one: what spreading has to beat.
    pub single: Option<Alternative<D>>,
}

/// Why there is no fastest placement.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum OptimalError {
    /// A decoder without modules.
    #[error("there is no module to place")]
    NoModules,
    /// An empty list of devices.
    #[error("there is no device to place modules on")]
    NoDevices,
    /// A device that is listed twice.
    #[error("device {device} is listed twice")]
    Twice {
        /// The device.
        device: String,
    },
    /// A device that computes nothing.
    #[error("nothing can be computed on {device}: list the devices that shall run the model")]
    Disk {
        /// The device.
        device: String,
    },
    /// Host memory would be taken for as fast as an accelerator.
    #[error("{device} is listed beside other devices without rates of its own: say how fast it is, or leave it out")]
    HostWithoutRates {
        /// The device.
        device: String,
    },
    /// Impossible rates.
    #[error(transparent)]
    Rates(#[from] RateError),
    /// More devices or modules than can be searched exactly.
    #[error(
        "{devices} devices of {kinds} kinds and {modules} modules are more than can be searched exactly: list fewer \
         devices, or give devices of one kind the same rates and budgets (12 unlike devices, or {MAX_OPTIMAL_DEVICES} alike, \
         are possible)"
    )]
    TooMany {
        /// Devices.
        devices: usize,
        /// Groups of devices that are alike.
        kinds: usize,
        /// Modules.
        modules: usize,
    },
    /// The budgets are too small.
    #[error(transparent)]
    DoesNotFit(#[from] Box<Shortfall>),
}

/// What is missing, in the placement that misses least.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error(
    "the model does not fit: at least {missing_bytes} are missing in all; {device_missing_bytes} of them on {device} \
     ({device_bytes} needed, {budget_bytes} allowed), where `{largest_module}` alone needs {largest_module_bytes}; raise \
     the budgets, list another device, or shorten the sequences"
)]
pub struct Shortfall {
    /// Bytes above the budgets, over all devices.
    pub missing_bytes: Bytes,
    /// The device that lacks most.
    pub device: String,
    /// What it lacks.
    pub device_missing_bytes: Bytes,
    /// What it would need.
    pub device_bytes: Bytes,
    /// What it allows.
    pub budget_bytes: Bytes,
    /// The largest module there.
    pub largest_module: String,
    /// What that module needs by itself, with its cache and its working set.
    pub largest_module_bytes: Bytes,
}

/// More are refused, however alike they are.
pub const MAX_OPTIMAL_DEVICES: usize = 64;
/// More modules than any decoder has; keeps tables of stages small.
const MAX_MODULES: usize = 1024;
/// Twelve unlike devices.
const MAX_SETS: usize = 1 << 12;
/// States of the search, 16 bytes each.
const MAX_STATES: usize = 1 << 23;

/// Finds the placement with the least predicted time.
///
/// # Errors
/// When the request is wrong or too large, or when no placement keeps the budgets: see [`OptimalError`].
pub fn plan_optimal<D: MapDevice + fmt::Display>(
    request: &OptimalRequest<'_, D>,
) -> Result<OptimalAnswer<D>, OptimalError> {
    check(request)?;
    let links = Links::new(request.devices, request.rates);
    let groups = groups(request.devices, request.rates, &links);
    let sizes = checked_sizes(request, &groups)?;
    let tables = |minimise| Tables::new(request.decoder, request.workload, &groups, &links, minimise);
    let found = search(&tables(Minimise::Time(request.objective)), &sizes);
    let Some(best) = found.best else {
        let least = search(&tables(Minimise::Deficit), &sizes);
        let stages = least.best.map(|found| on_devices(request, &groups, &found));
        return Err(stages
            .and_then(|stages| PlacedDecoder::from_ranges(request.decoder, &stages))
            .and_then(|placed| shortfall(request, &placed))
            .map_or(OptimalError::NoModules, |shortfall| Box::new(shortfall).into()));
    };
    let alternative = |found: &Found| {
        let placed = PlacedDecoder::from_ranges(request.decoder, &on_devices(request, &groups, found))?;
        Some(described(request, &placed))
    };
    Ok(OptimalAnswer {
        chosen: alternative(&best).ok_or(OptimalError::NoModules)?,
        runner_up: found.runner_up.as_ref().and_then(alternative),
        single: fastest_single(request),
    })
}

fn check<D: MapDevice + fmt::Display>(request: &OptimalRequest<'_, D>) -> Result<(), OptimalError> {
    let devices = request.devices;
    if request.decoder.modules.is_empty() {
        return Err(OptimalError::NoModules);
    }
    if devices.is_empty() {
        return Err(OptimalError::NoDevices);
    }
    if devices.len() > MAX_OPTIMAL_DEVICES || request.decoder.modules.len() > MAX_MODULES {
        return Err(too_many(request, devices.len()));
    }
    for (position, (device, _)) in devices.iter().enumerate() {
        if devices.iter().take(position).any(|(known, _)| known == device) {
            return Err(OptimalError::Twice {
                device: device.to_string(),
            });
        }
        if device.is_disk() {
            return Err(OptimalError::Disk {
                device: device.to_string(),
            });
        }
        if device.is_cpu() && devices.len() > 1 && !request.rates.knows(device) {
            return Err(OptimalError::HostWithoutRates {
                device: device.to_string(),
            });
        }
    }
    Ok(request.rates.check()?)
}

fn too_many<D>(request: &OptimalRequest<'_, D>, kinds: usize) -> OptimalError {
    OptimalError::TooMany {
        devices: request.devices.len(),
        kinds,
        modules: request.decoder.modules.len(),
    }
}

/// The groups' sizes, none larger than the number of modules, as a device without a module is not used.
fn checked_sizes<D>(request: &OptimalRequest<'_, D>, groups: &[Group]) -> Result<Vec<usize>, OptimalError> {
    let modules = request.decoder.modules.len();
    let sizes: Vec<usize> = groups.iter().map(|group| group.members.len().min(modules)).collect();
    let sets = number_of_sets(&sizes);
    let states = sets.saturating_mul(sizes.len()).saturating_mul(modules + 1);
    if sets > MAX_SETS || states > MAX_STATES {
        return Err(too_many(request, groups.len()));
    }
    Ok(sizes)
}

/// Names the devices of a placement: members of a group in their order.
fn on_devices<D: Clone>(
    request: &OptimalRequest<'_, D>,
    groups: &[Group],
    found: &Found,
) -> Vec<(std::ops::Range<usize>, D)> {
    let mut taken = vec![0; groups.len()];
    let mut stages: Vec<(std::ops::Range<usize>, D)> = Vec::new();
    for (position, (range, group)) in found.stages.iter().enumerate() {
        let is_return = found.returns && position + 1 == found.stages.len();
        let device = if is_return {
            stages.first().map(|(_, device)| device.clone())
        } else {
            let member = taken.get_mut(*group).and_then(|next| {
                *next += 1;
                groups.get(*group)?.members.get(*next - 1)
            });
            member
                .and_then(|&member| request.devices.get(member))
                .map(|(device, _)| device.clone())
        };
        stages.extend(device.map(|device| (range.clone(), device)));
    }
    stages
}

fn budgets<D: Clone>(devices: &[(D, Option<Bytes>)]) -> Vec<(D, Bytes)> {
    let limited = devices
        .iter()
        .filter_map(|(device, budget)| Some((device.clone(), (*budget)?)));
    limited.collect()
}

fn described<D: Clone + PartialEq>(request: &OptimalRequest<'_, D>, placed: &PlacedDecoder<'_, D>) -> Alternative<D> {
    Alternative {
        device_map: placed.device_map(),
        footprint: footprint(placed, request.workload, &budgets(request.devices)),
        prediction: predict(placed, request.workload, request.rates),
    }
}

fn fastest_single<D: Clone + PartialEq>(request: &OptimalRequest<'_, D>) -> Option<Alternative<D>> {
    let alternatives = request.devices.iter().filter_map(|(device, _)| {
        let placed = all_on(request.decoder, device)?;
        Some(described(request, &placed))
    });
    let seconds = |alternative: &Alternative<D>| alternative.prediction.seconds(request.objective);
    alternatives
        .filter(|alternative| alternative.footprint.fits())
        .min_by(|a, b| seconds(a).total_cmp(&seconds(b)))
}

fn all_on<'d, D: Clone + PartialEq>(decoder: &'d Decoder, device: &D) -> Option<PlacedDecoder<'d, D>> {
    PlacedDecoder::from_ranges(decoder, &[(0..decoder.modules.len(), device.clone())])
}

fn shortfall<D: Clone + PartialEq + fmt::Display>(
    request: &OptimalRequest<'_, D>,
    placed: &PlacedDecoder<'_, D>,
) -> Option<Shortfall> {
    let footprint = footprint(placed, request.workload, &budgets(request.devices));
    let missing = footprint.devices.iter().map(|device| device.room.deficit());
    let worst = footprint
        .devices
        .iter()
        .rev()
        .max_by_key(|device| device.room.deficit())?;
    let tokens = request.workload.sequence_tokens();
    let alone = |position: usize| need(request.decoder, request.workload, &[position], tokens).total();
    let (_, modules) = placed
        .modules_per_device()
        .into_iter()
        .find(|(device, _)| *device == worst.device)?;
    let largest = modules.into_iter().rev().max_by_key(|&position| alone(position))?;
    Some(Shortfall {
        missing_bytes: missing.sum(),
        device: worst.device.to_string(),
        device_missing_bytes: Room::deficit(worst.room),
        device_bytes: worst.total_bytes,
        budget_bytes: worst.budget_bytes?,
        largest_module: request.decoder.modules.get(largest)?.path.clone(),
        largest_module_bytes: Bytes(alone(largest)),
    })
}
