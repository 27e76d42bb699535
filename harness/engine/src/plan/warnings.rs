//! What a person should know about a placement before it runs.

use placebench_core::device::{DeviceBytes, DeviceId};
use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::{DeviceMapRequest, PlacementRequest};
use placebench_core::units::Bytes;

use super::Machine;
use super::manual::ranges;

/// One sentence for each thing.
pub(super) fn about(
    request: &PlacementRequest,
    machine: &Machine,
    tree: &ModuleTree,
    placed: &[(String, DeviceId)],
    weights: &[DeviceBytes],
    budgets: &[DeviceBytes],
) -> Vec<String> {
    let mut warnings = split_ties(tree, placed);
    if matches!(request.device_map, DeviceMapRequest::Strategy(_)) {
        warnings.extend(spills(placed, weights, budgets));
        warnings.extend(would_fit_one(request, machine, weights));
        warnings.extend(larger_than_the_device(request, machine));
    }
    warnings.extend(over_budget(machine, weights));
    warnings
}

/// Layers on the host or the disk although there are accelerators, without anybody having asked for it.
fn spills(placed: &[(String, DeviceId)], weights: &[DeviceBytes], budgets: &[DeviceBytes]) -> Vec<String> {
    let has_accelerator = budgets
        .iter()
        .any(|budget| budget.device.is_accelerator() && budget.bytes.0 > 0);
    let offloaded = weights
        .iter()
        .filter(|entry| has_accelerator && !entry.device.is_accelerator());
    offloaded
        .map(|entry| {
            let modules = placed.iter().filter(|(_, device)| *device == entry.device).map(|(module, _)| module);
            format!(
                "{} ({}) did not fit the accelerators' budgets and went to {}: every token waits for it; raise max_memory \
                 or use a smaller dtype",
                ranges(modules).join(", "),
                entry.bytes,
                entry.device
            )
        })
        .collect()
}

fn split_ties(tree: &ModuleTree, placed: &[(String, DeviceId)]) -> Vec<String> {
    let mut sentences = Vec::new();
    for group in tree.tied() {
        let located: Vec<(&str, &DeviceId)> = group
            .iter()
            .filter_map(|name| Some((name.as_str(), device_of_tensor(placed, name)?)))
            .collect();
        let [(first, at), (second, and_at), ..] = located.as_slice() else {
            continue;
        };
        if at != and_at {
            let bytes = group
                .iter()
                .find_map(|name| tree.tensor_index(name))
                .and_then(|index| tree.tensors().get(index));
            let bytes = bytes.map_or(Bytes(0), |tensor| Bytes(tensor.bytes.whole_bytes()));
            sentences.push(format!(
                "{first} and {second} are one tensor but are on {at} and {and_at}: its {bytes} are kept on both"
            ));
        }
    }
    sentences
}

/// True for all names of a tied tensor but the one that comes first in the tree.
pub(super) fn is_tied_to_an_earlier(tree: &ModuleTree, name: &str) -> bool {
    let Some(group) = tree
        .tied()
        .iter()
        .find(|group| group.iter().any(|member| member == name))
    else {
        return false;
    };
    let own = tree.tensor_index(name);
    group.iter().any(|member| {
        tree.tensor_index(member)
            .is_some_and(|index| own.is_some_and(|own| index < own))
    })
}

/// Devices other than `home` on which the tied tensor `name` is needed too.
pub(super) fn other_homes_of_tied(
    tree: &ModuleTree,
    name: &str,
    home: &DeviceId,
    placed: &[(String, DeviceId)],
) -> Vec<DeviceId> {
    let group = tree
        .tied()
        .iter()
        .find(|group| group.iter().any(|member| member == name));
    let mut others: Vec<DeviceId> = Vec::new();
    for member in group.into_iter().flatten() {
        if let Some(device) = device_of_tensor(placed, member)
            && device != home
            && !others.contains(device)
        {
            others.push(device.clone());
        }
    }
    others
}

fn device_of_tensor<'a>(placed: &'a [(String, DeviceId)], name: &str) -> Option<&'a DeviceId> {
    let is_in = |module: &str| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    placed
        .iter()
        .find(|(module, _)| is_in(module))
        .map(|(_, device)| device)
}

/// Hops for nothing.
fn would_fit_one(request: &PlacementRequest, machine: &Machine, weights: &[DeviceBytes]) -> Option<String> {
    let used = weights.iter().filter(|entry| entry.bytes.0 > 0).count();
    if used < 2 {
        return None;
    }
    let total: Bytes = weights.iter().map(|entry| entry.bytes).sum();
    let limit = |id: &DeviceId| -> Option<Bytes> {
        let declared = machine.budget(id);
        let asked = request.max_memory.as_ref().map(|budgets| {
            let found = budgets.iter().find(|(device, _)| device == id);
            found.map_or(Bytes(0), |(_, bytes)| *bytes)
        });
        match (declared, asked) {
            (Some(declared), Some(asked)) => Some(declared.min(asked)),
            (one, other) => one.or(other),
        }
    };
    weights.iter().find_map(|entry| {
        let allowed = limit(&entry.device).filter(|allowed| entry.device.is_accelerator() && *allowed >= total)?;
        Some(format!(
            "the weights ({total}) would fit on {} alone ({allowed} allowed), without hops between devices",
            entry.device
        ))
    })
}

/// Budgets for planning above what the device has.
fn larger_than_the_device(request: &PlacementRequest, machine: &Machine) -> Vec<String> {
    let budgets = request.max_memory.iter().flatten();
    budgets
        .filter_map(|(id, bytes)| {
            let has = machine.budget(id)?;
            (*bytes > has)
                .then(|| format!("max_memory allows {bytes} on {id}, which has {has}: loading may run out of memory"))
        })
        .collect()
}

/// More weights than the device's memory: loading will fail.
fn over_budget(machine: &Machine, weights: &[DeviceBytes]) -> Vec<String> {
    weights
        .iter()
        .filter_map(|entry| {
            let has = machine.budget(&entry.device)?;
            (entry.bytes > has).then(|| {
                format!(
                    "{} has {has} but gets {} of weights: loading will run out of memory",
                    entry.device, entry.bytes
                )
            })
        })
        .collect()
}
