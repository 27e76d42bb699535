//! What a person should know about a placement before it runs.

use placebench_core::device::DeviceId;
use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::{DeviceMapRequest, PlacementRequest};
use placebench_core::planner::{Decoder, Situation, UNEVEN_RATIO, advise};
use placebench_core::units::Bytes;

use super::{Demand, Machine};

/// One sentence for each thing, the most serious first.
pub(super) fn about(
    request: &PlacementRequest,
    machine: &Machine,
    (tree, decoder): (&ModuleTree, &Decoder),
    device_map: &[(String, DeviceId)],
    demand: &Demand<'_>,
) -> Vec<String> {
    let devices = usable(request, machine);
    let named = super::devices_named(request);
    let advice = advise(&Situation {
        tree,
        decoder,
        device_map,
        workload: &demand.workload,
        devices: &devices,
        named: &named,
        // Prompts are made where the first stage is.
        input: None,
        hardware: demand.hardware,
        uneven_ratio: UNEVEN_RATIO,
    });
    let is_optimal = matches!(request.device_map, DeviceMapRequest::Optimal(_));
    let said = advice
        .iter()
        .filter(|advice| !(is_optimal && advice.is_weighed_by_optimal()));
    let mut warnings: Vec<String> = said.map(ToString::to_string).collect();
    if !is_optimal && request.device_map.is_planned() {
        warnings.extend(larger_than_the_device(request, machine));
    }
    warnings
}

/// What may be allocated on every device that the request could use: no more than the device has, whatever it allows.
pub(super) fn usable(request: &PlacementRequest, machine: &Machine) -> Vec<(DeviceId, Option<Bytes>)> {
    let asked = |device: &DeviceId| {
        let budgets = request.max_memory.iter().flatten();
        let mut here = budgets.filter(|(id, _)| id == device);
        here.next().map(|(_, bytes)| *bytes)
    };
    let free = |device: &DeviceId| {
        let gpu = machine.gpus.iter().find(|(id, _)| id == device);
        gpu.map(|(_, bytes)| *bytes)
    };
    let is_offered = |device: &DeviceId| {
        let restricted = request.device_map.is_planned() && request.max_memory.is_some();
        !restricted || asked(device).is_some()
    };
    let there = machine.devices.iter().filter(|(device, _)| is_offered(device));
    let devices = there.map(|(device, budget)| {
        let limits = [*budget, asked(device), free(device)];
        (device.clone(), limits.into_iter().flatten().min())
    });
    devices.collect()
}

/// Budgets that promise the planner more than a device has; `optimal` keeps to what there is.
fn larger_than_the_device(request: &PlacementRequest, machine: &Machine) -> Vec<String> {
    let asked = request.max_memory.iter().flatten();
    asked
        .filter_map(|(device, budget)| {
            let there = machine.budget(device)?;
            (*budget > there).then(|| {
                format!("max_memory allows {budget} on {device}, which has {there}: loading may run out of memory")
            })
        })
        .collect()
}
