//! The planner knows accelerators by number; scenarios know devices by name.

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::planner::PlanDevice;

/// Numbers for the accelerators of a request: in the order of their names, as a driver would enumerate them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    accelerators: Vec<DeviceId>,
}

impl Numbering {
    /// Numbers all accelerators among the devices. `cuda:10` comes after `cuda:9`.
    pub fn new<'a>(devices: impl IntoIterator<Item = &'a DeviceId>) -> Self {
        let mut accelerators: Vec<DeviceId> = devices.into_iter().filter(|id| id.is_accelerator()).cloned().collect();
        accelerators.sort_by_key(sort_key);
        accelerators.dedup();
        Self { accelerators }
    }

    /// The planner's name of a device; `None` for an accelerator that was not numbered.
    #[must_use]
    pub fn to_plan(&self, id: &DeviceId) -> Option<PlanDevice> {
        match id.kind() {
            DeviceKind::Cpu => Some(PlanDevice::Cpu),
            DeviceKind::Disk => Some(PlanDevice::Disk),
            DeviceKind::Cuda(_) | DeviceKind::Metal(_) | DeviceKind::Logical => {
                let position = self.accelerators.iter().position(|known| known == id)?;
                i32::try_from(position).ok().map(PlanDevice::Accelerator)
            }
        }
    }

    /// The device behind the planner's name.
    #[must_use]
    pub fn from_plan(&self, device: PlanDevice) -> DeviceId {
        match device {
            PlanDevice::Accelerator(index) => {
                let id = usize::try_from(index)
                    .ok()
                    .and_then(|index| self.accelerators.get(index));
                id.map_or_else(DeviceId::cpu, DeviceId::clone)
            }
            PlanDevice::Mps | PlanDevice::Cpu => DeviceId::cpu(),
            PlanDevice::Disk => DeviceId::disk(),
        }
    }
}

fn sort_key(id: &DeviceId) -> (String, usize) {
    let (name, index) = id.as_str().split_once(':').unwrap_or((id.as_str(), "0"));
    (name.to_owned(), index.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_both_ways() {
        let ids = ["cuda:10", "cpu", "cuda:9", "disk", "cuda:9"].map(|name| DeviceId::new(name).unwrap());
        let numbering = Numbering::new(&ids);
        assert_eq!(numbering.to_plan(&ids[2]), Some(PlanDevice::Accelerator(0)));
        assert_eq!(numbering.to_plan(&ids[0]), Some(PlanDevice::Accelerator(1)));
        for id in &ids {
            assert_eq!(numbering.from_plan(numbering.to_plan(id).unwrap()), *id);
        }
        assert_eq!(numbering.to_plan(&DeviceId::new("sim:0").unwrap()), None);
    }
}
