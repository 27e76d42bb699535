//! `optimal`: the search of `placebench-core`, asked with this machine's devices.

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::planner::{Decoder, Objective, OptimalRequest, Rates, plan_optimal};
use placebench_core::units::Bytes;

use super::strategy::Answer;
use super::{Demand, Machine, PlanError};

pub(super) fn plan(
    objective: Objective,
    max_memory: Option<&[(DeviceId, Bytes)]>,
    machine: &Machine,
    decoder: &Decoder,
    demand: &Demand<'_>,
) -> Result<Answer, PlanError> {
    let devices = offered(max_memory, machine);
    let assumed = Rates::default();
    let answer = plan_optimal(&OptimalRequest {
        decoder,
        workload: &demand.workload,
        devices: &devices,
        rates: demand.rates.unwrap_or(&assumed),
        objective,
    })?;
    let mut warnings = Vec::new();
    if demand.rates.is_none() && devices.len() > 1 {
        warnings.push(
            "nobody said how fast the devices are, so they count as equal and the fewest hops win: state [rates], or \
             measure them with `placebench doctor`"
                .to_owned(),
        );
    }
    Ok(Answer {
        device_map: answer.chosen.device_map,
        budgets: devices
            .into_iter()
            .filter_map(|(device, bytes)| Some(DeviceBytes { device, bytes: bytes? }))
            .collect(),
        warnings,
    })
}

/// The devices that may be used, with what may be allocated: those of `max_memory`, else the logical devices, else all
/// GPUs, else the host. Nobody is moved to the host unasked while there is anything else.
fn offered(max_memory: Option<&[(DeviceId, Bytes)]>, machine: &Machine) -> Vec<(DeviceId, Option<Bytes>)> {
    if let Some(asked) = max_memory {
        let within = |(device, bytes): &(DeviceId, Bytes)| {
            let limit = machine.budget(device).map_or(*bytes, |limit| limit.min(*bytes));
            (device.clone(), Some(limit))
        };
        return asked.iter().map(within).collect();
    }
    let is_logical = |(device, _): &&(DeviceId, Option<Bytes>)| device.kind() == DeviceKind::Logical;
    let logical: Vec<(DeviceId, Option<Bytes>)> = machine.devices.iter().filter(is_logical).cloned().collect();
    if !logical.is_empty() {
        return logical;
    }
    if machine.gpus.is_empty() {
        return vec![(DeviceId::cpu(), machine.host_bytes)];
    }
    let free = machine.gpus.iter();
    free.map(|(device, bytes)| (device.clone(), Some(*bytes))).collect()
}
