//! What `doctor` asks of a probe, and what the probe answers: one request on standard input, one JSON object a line on
//! standard output.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceId, LogicalDevice};
use crate::fault::Fault;
use crate::placement::Transfer;
use crate::planner::{DeviceRates, LinkRates};
use crate::record::GpuProcess;
use crate::units::Bytes;

/// Version of requests and events. Both ends are one program, so another version means a program that was replaced
/// while it ran.
pub const PROBE_VERSION: u32 = 1;

/// What a probe is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// [`PROBE_VERSION`].
    pub version: u32,
    /// Fewer and smaller samples.
    pub quick: bool,
    /// Logical devices that are declared.
    pub devices: Vec<LogicalDevice>,
    /// Faults to inject into copies; a hop is named by [`hop_name`].
    pub faults: Vec<Fault>,
    /// What to do.
    pub task: ProbeTask,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum ProbeTask {
    /// Look for GPUs and ask the driver about them.
    Inventory,
    /// Measure a device.
    Device {
        /// The device.
        device: DeviceId,
    },
    /// Copy patterns from one device to another and compare what arrives.
    Link {
        /// Where the pattern is.
        from: DeviceId,
        /// Where it goes; the same as `from` means two slices of it.
        to: DeviceId,
        /// The ways to try, in this order.
        paths: Vec<Transfer>,
    },
}

/// What a probe says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProbeEvent {
    /// The next step begins. A probe that falls silent has stalled in the last one it named.
    Step {
        /// What it is doing, in words.
        what: String,
    },
    /// The GPUs this build can use.
    Gpus {
        /// In the order of their numbers.
        gpus: Vec<GpuFacts>,
    },
    /// What the driver says.
    Driver {
        /// Its answers.
        driver: DriverFacts,
    },
    /// How fast a device is.
    Device {
        /// The figures.
        figures: DeviceFigures,
    },
    /// How one way of copying did.
    Path {
        /// Which.
        transfer: Transfer,
        /// Copies by size, the smallest first.
        copies: Vec<CopyFigures>,
        /// From the times of the copies; absent where they are too short to tell.
        rates: Option<LinkRates>,
    },
    /// The probe cannot go on.
    Failed {
        /// Why, in words.
        message: String,
    },
    /// Everything was said.
    Done,
}

/// A GPU as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFacts {
    /// Its name in device maps; the number is CUDA's and not the driver's.
    pub id: DeviceId,
    /// What it is.
    pub name: String,
    /// What names the hardware whatever its number.
    pub uuid: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<Bytes>,
    /// What nobody has allocated.
    pub free_bytes: Option<Bytes>,
}

/// The NVIDIA driver's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverFacts {
    /// Why there are none; absent where the driver answers.
    pub absent: Option<String>,
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// The newest CUDA it can run: `13.0`.
    pub cuda_version: Option<String>,
    /// All its GPUs, also those hidden from CUDA, in the driver's order.
    pub gpus: Vec<DriverGpu>,
    /// What it says about copies between two of them; that it says yes proves nothing.
    pub peers: Vec<PeerFacts>,
}

/// The driver's word on copies between two GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFacts {
    /// UUID of the one.
    pub from: String,
    /// UUID of the other.
    pub to: String,
    /// In words: `read ok, write ok, nvlink not supported`.
    pub says: String,
}

/// A GPU as the driver sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverGpu {
    /// `GPU-…`.
    pub uuid: Option<String>,
    /// `00000000:3B:00.0`.
    pub bus_id: Option<String>,
    /// What it is.
    pub name: Option<String>,
    /// Clock of the multiprocessors now, in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// The highest it can have.
    pub max_sm_clock_mhz: Option<u32>,
    /// Clock of the memory now, in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Temperature in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// What holds the clocks down now.
    pub throttled_by: Vec<String>,
    /// Generation and width of its PCIe link now: `gen 5 x16`.
    pub pcie: Option<String>,
    /// Processes that use it.
    pub processes: Option<u32>,
    /// Those of others that compute on it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_processes: Vec<GpuProcess>,
}

/// How fast a device is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeviceFigures {
    /// What the decoder achieves.
    pub rates: DeviceRates,
    /// Bytes read and written in a second by a plain copy of memory: what there is to achieve.
    pub copy_bytes_per_s: f64,
    /// Operations a second of a matrix product alone, in single precision.
    pub matmul_flops_per_s: f64,
    /// Bytes of weights the matrix-vector products went through, much more than the caches hold.
    pub weights_bytes: Bytes,
}

/// Copies of one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyFigures {
    /// Size of each copy.
    pub bytes: Bytes,
    /// Copies that were compared, each with a pattern of its own.
    pub compared: u32,
    /// Wrong bytes of the worst of them.
    pub wrong_bytes: Bytes,
    /// Position of the first wrong byte of the worst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_wrong_byte: Option<u64>,
    /// What arrived in place of what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Arrived>,
    /// Median time of a copy, the receiving device waited for; absent where copies are wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_s: Option<f64>,
}

/// What arrived in place of a pattern: what most of the wrong words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrived {
    /// Zeros.
    Zeros,
    /// What was written into the target's memory before: the copy never came.
    NeverWritten,
    /// The pattern of an earlier copy.
    Stale,
    /// Words of this pattern, at other places.
    Shifted,
    /// Anything else.
    Other,
}

impl Arrived {
    /// In words: `zeros arrived`.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Zeros => "zeros arrived",
            Self::NeverWritten => "the target was never written",
            Self::Stale => "the data of an earlier copy arrived",
            Self::Shifted => "the data arrived at other places",
            Self::Other => "other data arrived",
        }
    }
}

/// The name of a copy for [`crate::fault::FaultPoint::hop`]: `sim:0 -> sim:1`, and through the host
/// `sim:0 -> host -> sim:1`.
#[must_use]
pub fn hop_name(from: &DeviceId, to: &DeviceId, transfer: Transfer) -> String {
    match transfer {
        Transfer::Direct => format!("{from} -> {to}"),
        Transfer::Host => format!("{from} -> host -> {to}"),
    }
}
