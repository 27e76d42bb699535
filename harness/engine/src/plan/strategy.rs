//! Strategies: the planner of `placebench-core`, asked with this machine's devices.

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::StrategyName;
use placebench_core::planner::{Dialect, MemoryLimit, PlanRequest, plan as plan_tree};
use placebench_core::units::Bytes;

use super::numbering::Numbering;
use super::{Machine, PlanError};

/// The planner's answer in this machine's names.
pub(super) struct Answer {
    pub(super) device_map: Vec<(String, DeviceId)>,
    pub(super) budgets: Vec<DeviceBytes>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn plan(
    strategy: StrategyName,
    dialect: Dialect,
    max_memory: Option<&[(DeviceId, Bytes)]>,
    machine: &Machine,
    tree: &ModuleTree,
) -> Result<Answer, PlanError> {
    let free = max_memory.is_none().then(|| free_memory(machine));
    let budgets = max_memory
        .map(<[_]>::to_vec)
        .or_else(|| free.clone())
        .unwrap_or_default();
    let numbering = Numbering::new(budgets.iter().map(|(id, _)| id));
    let from_plan = |device| numbering.from_plan(device);
    let numbered = || {
        budgets
            .iter()
            .filter_map(|(id, bytes)| Some((numbering.to_plan(id)?, bytes.0)))
    };
    let mut request = PlanRequest::new(strategy);
    request.dialect = dialect;
    if free.is_some() {
        request.free_memory = Some(numbered().collect());
    } else {
        request.max_memory = Some(
            numbered()
                .map(|(device, bytes)| (device, MemoryLimit::from(bytes)))
                .collect(),
        );
    }
    let answer = plan_tree(tree, &request)?;
    let needs = answer.minimum_required.iter().map(|(device, bytes)| {
        format!(
            "{} holds nothing: its budget would have to be at least {}",
            from_plan(*device),
            Bytes(bytes.whole_bytes())
        )
    });
    Ok(Answer {
        warnings: needs.collect(),
        device_map: answer
            .device_map
            .iter()
            .map(|(key, device)| (key.clone(), from_plan(*device)))
            .collect(),
        budgets: answer
            .budget
            .iter()
            .map(|(device, amount)| DeviceBytes {
                device: from_plan(*device),
                bytes: Bytes(amount.whole_bytes()),
            })
            .collect(),
    })
}

/// What Accelerate would find free: the declared memory of the logical devices, or the free memory of all GPUs where
/// none is declared; and the host's.
fn free_memory(machine: &Machine) -> Vec<(DeviceId, Bytes)> {
    let host = machine.host_bytes.unwrap_or(Bytes(0));
    let logical = machine
        .devices
        .iter()
        .filter(|(id, _)| id.kind() == DeviceKind::Logical);
    let mut free: Vec<(DeviceId, Bytes)> = logical
        .map(|(id, budget)| (id.clone(), budget.unwrap_or(host)))
        .collect();
    if free.is_empty() {
        free.extend(machine.gpus.iter().cloned());
    }
    free.push((DeviceId::cpu(), host));
    free
}
