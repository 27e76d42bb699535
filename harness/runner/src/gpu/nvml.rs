//! Questions to NVML. Every answer may be missing: cards differ in what they tell, and containers hide some of it.

use std::ffi::OsString;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use placebench_core::record::GpuProcess;
use placebench_core::units::Bytes;
use thiserror::Error;

use super::processes::{Census, Listed, Procfs};

/// Name of the environment variable that says where NVML is, for systems whose loader does not find it.
pub const LIBRARY_ENV: &str = "PLACEBENCH_NVML_LIBRARY";

/// What the driver package installs; the name without a number is a development package's.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// An open management library.
#[derive(Debug)]
pub(crate) struct Driver {
    nvml: Nvml,
}

/// Why the driver cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("NVIDIA's management library does not answer: {0}")]
pub(crate) struct DriverError(String);

/// What stays true of a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GpuFacts {
    /// Its number in NVML: by bus, whatever CUDA calls it.
    pub(crate) index: u32,
    /// `GPU-…`, which stays with the hardware.
    pub(crate) uuid: String,
    /// Its model.
    pub(crate) name: String,
    /// Where it is plugged in: `00000000:3B:00.0`.
    pub(crate) bus_id: String,
    /// Its memory.
    pub(crate) memory_bytes: Option<Bytes>,
    /// The highest clock of its processors.
    pub(crate) sm_clock_limit_mhz: Option<u32>,
}

/// A GPU at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) memory_used: Option<Bytes>,
    pub(super) utilisation_percent: Option<u32>,
    pub(super) power_w: Option<f64>,
    pub(super) sm_clock_mhz: Option<u32>,
    pub(super) temperature_c: Option<u32>,
    pub(super) throttle_reasons: Vec<&'static str>,
}

/// Loads the library named by [`LIBRARY_ENV`], else the one the driver installed, and opens it.
///
/// # Errors
/// When there is none, or its driver does not work.
pub fn open_library() -> Result<Nvml, NvmlError> {
    let named = std::env::var_os(LIBRARY_ENV);
    let candidates: Vec<OsString> = named.map_or_else(|| LIBRARIES.map(OsString::from).into(), |path| vec![path]);
    let mut last = NvmlError::DriverNotLoaded;
    for path in &candidates {
        match Nvml::builder().lib_path(path).init() {
            Ok(nvml) => return Ok(nvml),
            Err(error) => {
                // Found, but its driver is sick: another name leads to the same.
                let is_absent = matches!(error, NvmlError::LibloadingError(_));
                last = error;
                if !is_absent {
                    break;
                }
            }
        }
    }
    Err(last)
}

impl Driver {
    /// Opens the library.
    ///
    /// # Errors
    /// When there is none, or its driver does not work.
    pub(crate) fn open() -> Result<Self, DriverError> {
        let opened = open_library();
        opened
            .map(|nvml| Self { nvml })
            .map_err(|error| DriverError(error.to_string()))
    }

    /// The driver's version: `580.65.06`.
    #[must_use]
    pub(crate) fn version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok()
    }

    /// All GPUs, in the order of their bus.
    #[must_use]
    pub(crate) fn gpus(&self) -> Vec<GpuFacts> {
        let count = self.nvml.device_count().unwrap_or(0);
        (0..count).filter_map(|index| self.facts(index)).collect()
    }

    fn facts(&self, index: u32) -> Option<GpuFacts> {
        let device = self.nvml.device_by_index(index).ok()?;
        Some(GpuFacts {
            index,
            uuid: device.uuid().unwrap_or_default(),
            name: device.name().unwrap_or_default(),
            bus_id: device.pci_info().map(|pci| pci.bus_id).unwrap_or_default(),
            memory_bytes: device.memory_info().ok().map(|memory| Bytes(memory.total)),
            sm_clock_limit_mhz: device.max_clock_info(Clock::SM).ok(),
        })
    }

    /// How a GPU does now; `None` where it has gone.
    pub(super) fn sample(&self, index: u32) -> Option<Sample> {
        let device = self.nvml.device_by_index(index).ok()?;
        let reasons = device
            .current_throttle_reasons()
            .unwrap_or_else(|_| ThrottleReasons::empty());
        Some(Sample {
            memory_used: device.memory_info().ok().map(|memory| Bytes(memory.used)),
            utilisation_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
            power_w: device
                .power_usage()
                .ok()
                .map(|milliwatts| f64::from(milliwatts) / 1000.0),
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            throttle_reasons: slowed_by(reasons),
        })
    }

    /// The processes with a compute context on a GPU, clients of the multi-process service among them.
    pub(super) fn compute_processes(&self, index: u32) -> Vec<Listed> {
        let Ok(device) = self.nvml.device_by_index(index) else {
            return Vec::new();
        };
        compute_processes(&device)
    }
}

fn compute_processes(device: &Device<'_>) -> Vec<Listed> {
    let lists = [
        device.running_compute_processes(),
        device.mps_running_compute_processes(),
    ];
    let mut listed: Vec<Listed> = lists
        .into_iter()
        .flatten()
        .flatten()
        .map(|process| Listed {
            pid: process.pid,
            memory: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
                UsedGpuMemory::Unavailable => None,
            },
            instance: process.gpu_instance_id,
        })
        .collect();
    listed.sort_by_key(|process| process.pid);
    listed.dedup_by_key(|process| process.pid);
    listed
}

/// The processes of others that compute on a GPU now. May hang with its driver.
#[must_use]
pub fn foreign_processes(device: &Device<'_>) -> Vec<GpuProcess> {
    let index = device.index().unwrap_or(0);
    let mut census = Census::default();
    census.count(&compute_processes(device), &Procfs);
    census.foreign(index, &Procfs)
}

/// Reasons that make a measurement doubtful; an idle GPU clocks down, and somebody may have fixed its clocks.
#[must_use]
pub fn slowed_by(reasons: ThrottleReasons) -> Vec<&'static str> {
    const NAMED: [(ThrottleReasons, &str); 5] = [
        (ThrottleReasons::SW_POWER_CAP, "power cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "too hot (software)"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "too hot (hardware)"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
    ];
    let present = NAMED.iter().filter(|(reason, _)| reasons.contains(*reason));
    present.map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spoils_a_measurement_is_a_reason() {
        assert_eq!(
            slowed_by(ThrottleReasons::GPU_IDLE | ThrottleReasons::SYNC_BOOST),
            [""; 0]
        );
        let hot = ThrottleReasons::HW_THERMAL_SLOWDOWN | ThrottleReasons::GPU_IDLE;
        assert_eq!(slowed_by(hot), ["too hot (hardware)"]);
    }
}
