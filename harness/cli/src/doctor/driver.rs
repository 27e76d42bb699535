//! What the NVIDIA driver says, through its management library, which is loaded only if it is there.
//!
//! Called in a probe's process only: a sick driver can make even a question about its version hang.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, P2pCapabilitiesIndex, P2pStatus, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, cuda_driver_version_major, cuda_driver_version_minor};
use placebench_core::doctor::probe::{DriverFacts, DriverGpu, PeerFacts};
use placebench_runner::gpu::{foreign_processes, open_library, slowed_by};

/// Asks for everything. What the driver does not say is left out.
pub(crate) fn facts() -> DriverFacts {
    let nvml = match open_library() {
        Ok(nvml) => nvml,
        Err(error) => {
            return DriverFacts {
                absent: Some(in_words(&error)),
                ..DriverFacts::default()
            };
        }
    };
    let count = nvml.device_count().unwrap_or(0);
    let devices: Vec<Device<'_>> = (0..count)
        .filter_map(|index| nvml.device_by_index(index).ok())
        .collect();
    DriverFacts {
        absent: None,
        driver_version: nvml.sys_driver_version().ok(),
        cuda_version: nvml.sys_cuda_driver_version().ok().map(|version| {
            format!(
                "{}.{}",
                cuda_driver_version_major(version),
                cuda_driver_version_minor(version)
            )
        }),
        gpus: devices.iter().map(gpu).collect(),
        peers: peers(&devices),
    }
}

fn in_words(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) => "no NVIDIA driver (its management library cannot be loaded)".to_owned(),
        NvmlError::DriverNotLoaded => "the NVIDIA driver is installed but its kernel module is not loaded".to_owned(),
        NvmlError::LibRmVersionMismatch => {
            "the NVIDIA library and kernel module have different versions: the machine needs a restart".to_owned()
        }
        other => format!("the NVIDIA driver answers: {other}"),
    }
}

fn gpu(device: &Device<'_>) -> DriverGpu {
    let link = device
        .current_pcie_link_gen()
        .ok()
        .zip(device.current_pcie_link_width().ok());
    let held = device.current_throttle_reasons().unwrap_or(ThrottleReasons::empty());
    DriverGpu {
        uuid: device.uuid().ok(),
        bus_id: device.pci_info().ok().map(|pci| pci.bus_id),
        name: device.name().ok(),
        sm_clock_mhz: device.clock_info(Clock::SM).ok(),
        max_sm_clock_mhz: device.max_clock_info(Clock::SM).ok(),
        memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
        throttled_by: slowed_by(held).into_iter().map(str::to_owned).collect(),
        pcie: link.map(|(generation, width)| format!("gen {generation} x{width}")),
        processes: device.running_compute_processes_count().ok(),
        foreign_processes: foreign_processes(device),
    }
}

fn peers(devices: &[Device<'_>]) -> Vec<PeerFacts> {
    let named: Vec<(&Device<'_>, String)> = devices
        .iter()
        .filter_map(|device| Some((device, device.uuid().ok()?)))
        .collect();
    let mut peers = Vec::new();
    for (from, from_uuid) in &named {
        for (to, to_uuid) in named.iter().filter(|(_, uuid)| uuid != from_uuid) {
            let asked = [
                ("read", P2pCapabilitiesIndex::Read),
                ("write", P2pCapabilitiesIndex::Write),
                ("nvlink", P2pCapabilitiesIndex::NvLink),
            ];
            let says = asked.map(|(name, index)| format!("{name} {}", status(from.p2p_status(to, index))));
            peers.push(PeerFacts {
                from: from_uuid.clone(),
                to: to_uuid.clone(),
                says: says.join(", "),
            });
        }
    }
    peers
}

fn status(status: Result<P2pStatus, NvmlError>) -> &'static str {
    match status {
        Ok(P2pStatus::Ok) => "ok",
        Ok(P2pStatus::ChipsetNotSupported) => "not supported by the chipset",
        Ok(P2pStatus::GpuNotSupported) => "not supported by the card",
        Ok(P2pStatus::IohTopologyNotSupported) => "not supported by the topology",
        Ok(P2pStatus::DisabledByRegkey) => "disabled by a registry key",
        Ok(P2pStatus::NotSupported) => "not supported",
        Ok(P2pStatus::Unknown) | Err(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_says_so() {
        let facts = facts();
        if facts.absent.is_some() {
            assert!(facts.gpus.is_empty() && facts.driver_version.is_none(), "{facts:?}");
        } else {
            assert!(facts.driver_version.is_some(), "{facts:?}");
        }
        assert!(in_words(&NvmlError::DriverNotLoaded).contains("not loaded"));
    }
}
