//! Looking for what advice is about, one thing at a time.

use super::advice::{Advice, Load, Situation};
use super::device::MapDevice;
use super::footprint::{Footprint, Room, footprint as footprint_of};
use super::resolve::{DeviceMap, tied_on_different_devices};
use super::shape_decoder::ModuleRole;
use super::shape_placed::PlacedDecoder;
use crate::units::Bytes;

pub(super) fn blocks_cut<D: MapDevice>(situation: &Situation<'_, D>) -> Vec<Advice<D>> {
    let map = DeviceMap::new(situation.device_map);
    let tree = situation.tree;
    let mut cut = Vec::new();
    for block in tree.no_split_modules() {
        let inside = |name: &str| name.strip_prefix(block).is_some_and(|rest| rest.starts_with('.'));
        if !situation.device_map.iter().any(|(key, _)| inside(key)) {
            continue;
        }
        let mut devices: Vec<D> = Vec::new();
        let tensors = tree
            .tensors()
            .iter()
            .filter(|tensor| tensor.kind.is_stored() && inside(&tensor.name));
        for device in tensors.filter_map(|tensor| map.device_of(&tensor.name)) {
            if !devices.contains(device) {
                devices.push(device.clone());
            }
        }
        if devices.len() > 1 {
            cut.push(Advice::BlockCut {
                block: block.to_owned(),
                devices,
            });
        }
    }
    cut
}

pub(super) fn tied_apart<D: MapDevice>(situation: &Situation<'_, D>) -> Vec<Advice<D>> {
    let tree = situation.tree;
    let map = DeviceMap::new(situation.device_map);
    let apart = tied_on_different_devices(tree, &map);
    let ends = situation.decoder.tie.and_then(|tie| {
        let path = |position: usize| Some(situation.decoder.modules.get(position)?.path.as_str());
        Some((tie.bytes, path(tie.embedding)?, path(tie.head)?))
    });
    let is_in = |name: &str, module: &str| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    let mut advice = Vec::new();
    let mut is_head_told = false;
    for group in tree.tied() {
        let names: Vec<(String, D)> = apart.iter().filter(|(name, _)| group.contains(name)).cloned().collect();
        let tensor = names
            .first()
            .and_then(|(name, _)| tree.tensors().get(tree.tensor_index(name)?));
        let Some(tensor) = tensor else { continue };
        let ends = ends.filter(|(_, _, head)| names.iter().any(|(name, _)| is_in(name, head)));
        is_head_told |= ends.is_some();
        // What the decoder counts is the size as loaded.
        let bytes = ends.map_or(Bytes(tensor.bytes.whole_bytes()), |(bytes, ..)| bytes);
        advice.push(Advice::TiedApart { names, bytes });
    }
    // A file that leaves a tied head out tells of no tie.
    if let Some((bytes, embedding, head)) = ends.filter(|_| !is_head_told)
        && let (Some(first), Some(second)) = (map.device_of(embedding), map.device_of(head))
        && first != second
    {
        let names = [(embedding, first), (head, second)];
        let names = names.map(|(path, device)| (path.to_owned(), device.clone())).into();
        advice.push(Advice::TiedApart { names, bytes });
    }
    advice
}

pub(super) fn spills<D: MapDevice>(
    situation: &Situation<'_, D>,
    placed: &PlacedDecoder<'_, D>,
    footprint: &Footprint<D>,
) -> Vec<Advice<D>> {
    let is_host = |device: &D| device.is_cpu() || device.is_disk();
    let offered = situation.devices.iter().map(|(device, _)| device);
    if offered.chain(placed.devices()).all(is_host) {
        return Vec::new();
    }
    let unasked = footprint
        .devices
        .iter()
        .filter(|entry| is_host(&entry.device) && !situation.named.contains(&entry.device));
    unasked
        .map(|entry| {
            let modules = placed
                .device_map()
                .into_iter()
                .filter(|(_, device)| *device == entry.device);
            Advice::SilentSpill {
                device: entry.device.clone(),
                modules: modules.map(|(path, _)| path).collect(),
                weights_bytes: entry.weights_bytes,
            }
        })
        .collect()
}

pub(super) fn memory<D: MapDevice>(situation: &Situation<'_, D>, footprint: &Footprint<D>) -> Vec<Advice<D>> {
    let mut advice = Vec::new();
    let limited = footprint
        .devices
        .iter()
        .filter_map(|entry| Some((entry, entry.budget_bytes?)));
    for (entry, budget_bytes) in limited {
        if matches!(entry.room, Room::Deficit(_)) {
            advice.push(Advice::OverBudget {
                device: entry.device.clone(),
                needed_bytes: entry.total_bytes,
                budget_bytes,
                weights_alone: entry.weights_bytes > budget_bytes,
                at_token: entry.exhausted_at_token.filter(|&token| token > 0),
            });
        }
    }
    let fits = advice.is_empty();
    let first = footprint
        .devices
        .iter()
        .filter_map(|entry| Some((entry.exhausted_at_token?, entry.device.clone())))
        .min_by_key(|(token, _)| *token);
    if let Some((at_token, device)) = first.filter(|_| fits) {
        advice.push(Advice::RunsOut {
            device,
            at_token,
            max_positions: situation.decoder.shape.max_positions,
        });
    }
    advice
}

/// Unlike the check of weights that planners make, this counts everything. A device in use is named before another.
pub(super) fn one_would_do<D: MapDevice>(situation: &Situation<'_, D>, footprint: &Footprint<D>) -> Option<Advice<D>> {
    if footprint.devices.len() < 2 {
        return None;
    }
    let decoder = situation.decoder;
    let is_used = |device: &D| footprint.devices.iter().any(|entry| entry.device == *device);
    let alone = |(device, budget): &(D, Option<Bytes>)| {
        let placed = PlacedDecoder::from_ranges(decoder, &[(0..decoder.modules.len(), device.clone())])?;
        let budgets: Vec<(D, Bytes)> = budget.iter().map(|&budget| (device.clone(), budget)).collect();
        let alone = footprint_of(&placed, situation.workload, &budgets);
        alone
            .devices
            .into_iter()
            .next()
            .filter(|entry| entry.room.deficit() == Bytes(0))
    };
    let accelerators = situation
        .devices
        .iter()
        .filter(|(device, _)| !device.is_cpu() && !device.is_disk());
    let mut fitting: Vec<_> = accelerators.filter_map(alone).collect();
    fitting.sort_by_key(|entry| !is_used(&entry.device));
    let entry = fitting.first()?;
    Some(Advice::OneWouldDo {
        device: entry.device.clone(),
        needed_bytes: entry.total_bytes,
        budget_bytes: entry.budget_bytes,
        hops_per_token: footprint.hops_per_token,
    })
}

pub(super) fn head_apart<D: MapDevice>(
    situation: &Situation<'_, D>,
    placed: &PlacedDecoder<'_, D>,
) -> Option<Advice<D>> {
    let device_of = |role: ModuleRole| {
        let position = situation
            .decoder
            .modules
            .iter()
            .position(|module| module.role == role)?;
        placed.devices().get(position).cloned()
    };
    let embedding = device_of(ModuleRole::Embedding)?;
    let head = device_of(ModuleRole::Head)?;
    (embedding != head).then_some(Advice::HeadApart { embedding, head })
}

pub(super) fn input_elsewhere<D: MapDevice>(
    situation: &Situation<'_, D>,
    placed: &PlacedDecoder<'_, D>,
) -> Option<Advice<D>> {
    let first_stage = placed.devices().first()?.clone();
    let input = situation.input.filter(|input| **input != first_stage)?.clone();
    Some(Advice::InputElsewhere { input, first_stage })
}

pub(super) fn uneven<D: MapDevice>(situation: &Situation<'_, D>, footprint: &Footprint<D>) -> Option<Advice<D>> {
    let is_host = |device: &D| device.is_cpu() || device.is_disk();
    let entries = footprint
        .devices
        .iter()
        .filter(|entry| !is_host(&entry.device) && entry.total_bytes > Bytes(0));
    let load = if entries
        .clone()
        .all(|entry| entry.budget_bytes.is_some_and(|budget| budget.0 > 0))
    {
        Load::BudgetShare
    } else {
        Load::Bytes
    };
    let loads: Vec<(f64, &D)> = entries
        .map(|entry| {
            let of = match load {
                Load::BudgetShare => entry.budget_bytes.map_or(1.0, Bytes::as_f64),
                Load::Bytes => 1.0,
            };
            (entry.total_bytes.as_f64() / of, &entry.device)
        })
        .collect();
    let (most, most_device) = *loads.iter().rev().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let (least, least_device) = *loads.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let ratio = most / least;
    (ratio > situation.uneven_ratio).then(|| Advice::Uneven {
        most: most_device.clone(),
        least: least_device.clone(),
        ratio,
        bound: situation.uneven_ratio,
        load,
    })
}

/// Numbers of unlike devices depend on the driver's order (fastest first, or by bus), so the same map may mean others.
pub(super) fn order_ambiguous<D: MapDevice>(
    situation: &Situation<'_, D>,
    footprint: &Footprint<D>,
) -> Option<Advice<D>> {
    let is_used = |device: &D| footprint.devices.iter().any(|entry| entry.device == *device);
    let hardware = situation.hardware;
    let differ = hardware
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.model != b.model));
    let unknown = hardware
        .iter()
        .any(|identity| is_used(&identity.device) && identity.uuid.is_none());
    (differ && unknown).then(|| Advice::OrderAmbiguous {
        devices: hardware
            .iter()
            .map(|identity| (identity.device.clone(), identity.model.clone()))
            .collect(),
    })
}
