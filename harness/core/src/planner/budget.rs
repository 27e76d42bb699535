//! Budgets: what a device may hold, before any balancing.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::device::PlanDevice;
use super::error::PlanError;
use super::request::{Dialect, MemoryLimit, PlanRequest};
use super::size_string::parse_size;

/// Budgets by device: accelerators by index, then `mps`, `cpu`, `disk`, whatever order the user gave.
pub(super) type Budget = BTreeMap<PlanDevice, Amount>;

/// What Transformers 5.23.0 leaves free of host memory that nobody limited.
const TRANSFORMERS5_CPU_SHARE: f64 = 0.9;

/// The user's budgets, or what the machine reported where there are none. Nothing is added to what the user named.
pub(super) fn normalise(request: &PlanRequest) -> Result<Budget, PlanError> {
    if let Some(limits) = &request.max_memory {
        return limits
            .iter()
            .map(|(device, limit)| Ok((*device, bytes_of(*device, limit)?)))
            .collect();
    }
    let free = request.free_memory.as_ref().ok_or(PlanError::NoBudget)?;
    let mut budget: Budget = free
        .iter()
        .map(|&(device, bytes)| (device, Amount::from(bytes)))
        .collect();
    if request.dialect == Dialect::Transformers5
        && let Some(cpu) = budget.get_mut(&PlanDevice::Cpu)
    {
        *cpu = cpu.scaled(TRANSFORMERS5_CPU_SHARE);
    }
    Ok(budget)
}

fn bytes_of(device: PlanDevice, limit: &MemoryLimit) -> Result<Amount, PlanError> {
    match limit {
        MemoryLimit::Bytes(Amount::Fractional(value)) if !value.is_finite() => Err(PlanError::BadBudget { device }),
        MemoryLimit::Bytes(bytes) => Ok(*bytes),
        MemoryLimit::Text(text) => parse_size(text).map_err(|source| PlanError::BadSize { device, source }),
    }
}
