//! The machine a report is about.

use serde::{Deserialize, Serialize};

use super::probe::DriverFacts;
use crate::units::Bytes;

/// The machine, as far as a normal user can see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// `linux x86_64`.
    pub platform: String,
    /// Kernel version.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Logical processors this process may use.
    pub cpu_count: usize,
    /// Threads the engine computes with.
    pub threads: usize,
    /// Memory of the host.
    pub memory_bytes: Bytes,
    /// What can be allocated without swapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<Bytes>,
    /// Programs that wanted a processor in the last minute, on average, before anything was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_average: Option<f64>,
    /// Limits of the control group this process is in.
    pub limits: ContainerLimits,
    /// How the processor's clock is chosen: `performance`, `powersave`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Clocks of the processors, in MHz: the slowest and the fastest now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<(u32, u32)>,
    /// Nodes of memory that are not equally near to every processor.
    pub numa_nodes: usize,
    /// What stands between devices and memory.
    pub iommu: IommuFacts,
    /// The NVIDIA driver.
    pub driver: DriverFacts,
    /// Variables that change placement, links or speed.
    pub environment: Vec<EnvironmentVariable>,
    /// Versions of what computes.
    pub versions: Vec<String>,
}

/// Limits of a control group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerLimits {
    /// Processors worth of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
}

/// The IOMMU and PCIe access control services, which redirect copies between cards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IommuFacts {
    /// Groups the kernel has made; 0 means that it is off or hidden.
    pub groups: usize,
    /// What the kernel does with devices by default: `DMA`, `DMA-FQ` (translated) or `identity` (passed through).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_domain: Option<String>,
    /// Words of the kernel's command line that are about it.
    pub kernel_arguments: Vec<String>,
    /// PCI bridges whose access control redirects requests between cards to the root; absent where a normal user
    /// cannot read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridges_with_redirect: Option<Vec<String>>,
}

/// An environment variable. Untrusted: escape it wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether workers get it.
    pub handed_on: bool,
}
