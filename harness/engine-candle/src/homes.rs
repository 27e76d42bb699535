//! Where modules run: on the device of their weights, or where offloaded weights are fetched to.

use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::placement::Offload;

use crate::device::{DeviceError, Devices, Slot};
use crate::model::Home;

/// A home for every module.
///
/// With `stream`, weights on `cpu` and `disk` are fetched to the main accelerator: the embedding's device, or the first
/// accelerator there is; without one they run on the host. With `execute` they run on the host.
///
/// # Errors
/// When a device is not open.
pub fn homes(modules: &[(String, DeviceId)], offload: Offload, devices: &Devices) -> Result<Vec<Home>, DeviceError> {
    let slot_of = |id: &DeviceId| {
        devices.slot(id).ok_or_else(|| DeviceError::Undeclared {
            device: id.clone(),
            available: devices
                .facts()
                .iter()
                .map(|facts| facts.id.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
    };
    // Modules are in order of execution, so the embedding comes first.
    let main = modules.iter().map(|(_, id)| id).find(|id| id.is_accelerator());
    let fetched_to = match (offload, main) {
        (Offload::Stream, Some(id)) => slot_of(id)?,
        (Offload::Stream, None) | (Offload::Execute, _) => Slot::CPU,
    };
    modules
        .iter()
        .map(|(_, id)| {
            Ok(match id.kind() {
                DeviceKind::Disk => Home {
                    weights: None,
                    runs_on: fetched_to,
                },
                DeviceKind::Cpu => Home {
                    weights: Some(Slot::CPU),
                    runs_on: fetched_to,
                },
                DeviceKind::Cuda(_) | DeviceKind::Metal(_) | DeviceKind::Logical => Home::at(slot_of(id)?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::two_logical_devices;

    fn homes_of(map: &[&str], offload: Offload) -> Vec<(Option<usize>, usize)> {
        let modules: Vec<(String, DeviceId)> = map
            .iter()
            .map(|id| (String::new(), DeviceId::new(id).unwrap()))
            .collect();
        let homes = homes(&modules, offload, &two_logical_devices()).unwrap();
        homes
            .iter()
            .map(|home| (home.weights.map(|slot| slot.0), home.runs_on.0))
            .collect()
    }

    #[test]
    fn offloaded_modules_run_on_the_host_or_on_the_main_accelerator() {
        let map = ["cpu", "sim:1", "disk"];
        assert_eq!(
            homes_of(&map, Offload::Execute),
            [(Some(0), 0), (Some(2), 2), (None, 0)]
        );
        assert_eq!(homes_of(&map, Offload::Stream), [(Some(0), 2), (Some(2), 2), (None, 2)]);
        assert_eq!(homes_of(&["cpu", "disk"], Offload::Stream), [(Some(0), 0), (None, 0)]);
    }

    #[test]
    fn a_device_that_is_not_open_is_refused() {
        let modules = vec![(String::new(), DeviceId::new("sim:9").unwrap())];
        assert!(homes(&modules, Offload::Execute, &two_logical_devices()).is_err());
    }
}
