//! Devices as the planner knows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::device::{DeviceId, DeviceKind};

/// A device of a plan. The order of the variants is the order in which a planner fills them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Spelling", try_from = "Spelling")]
pub enum PlanDevice {
    /// The accelerator with this index, whatever hardware it is. The reference takes any integer for an index, even a
    /// negative one, and only warns where there is no such device.
    Accelerator(i32),
    /// Apple's shared-memory GPU under its PyTorch name.
    Mps,
    /// Host memory.
    Cpu,
    /// The weights' file; never full.
    Disk,
}

/// Why a text names no device of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("device `{0}` is not known to the planner: use an accelerator's index, `mps`, `cpu` or `disk`")]
pub struct UnknownDevice(pub String);

impl PlanDevice {
    /// True for everything but host memory and disk.
    #[must_use]
    pub fn is_accelerator(self) -> bool {
        matches!(self, Self::Accelerator(_) | Self::Mps)
    }
}

impl fmt::Display for PlanDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accelerator(index) => write!(f, "{index}"),
            Self::Mps => f.write_str("mps"),
            Self::Cpu => f.write_str("cpu"),
            Self::Disk => f.write_str("disk"),
        }
    }
}

impl FromStr for PlanDevice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text {
            "mps" => Ok(Self::Mps),
            "cpu" => Ok(Self::Cpu),
            "disk" => Ok(Self::Disk),
            _ if text.starts_with('+') => Err(UnknownDevice(text.to_owned())),
            _ => text
                .parse()
                .map(Self::Accelerator)
                .map_err(|_| UnknownDevice(text.to_owned())),
        }
    }
}

/// In JSON an accelerator is a number, everything else a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelling {
    Index(i32),
    Name(String),
}

impl From<PlanDevice> for Spelling {
    fn from(device: PlanDevice) -> Self {
        match device {
            PlanDevice::Accelerator(index) => Self::Index(index),
            other => Self::Name(other.to_string()),
        }
    }
}

impl TryFrom<Spelling> for PlanDevice {
    type Error = UnknownDevice;

    fn try_from(spelling: Spelling) -> Result<Self, UnknownDevice> {
        match spelling {
            Spelling::Index(index) => Ok(Self::Accelerator(index)),
            Spelling::Name(name) => name.parse(),
        }
    }
}

/// What a device map's values must tell about themselves, so that maps may use any device names.
pub trait MapDevice: Clone + PartialEq {
    /// Host memory.
    fn is_cpu(&self) -> bool;
    /// The weights' file.
    fn is_disk(&self) -> bool;
}

impl MapDevice for PlanDevice {
    fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }

    fn is_disk(&self) -> bool {
        *self == Self::Disk
    }
}

impl MapDevice for DeviceId {
    fn is_cpu(&self) -> bool {
        self.kind() == DeviceKind::Cpu
    }

    fn is_disk(&self) -> bool {
        self.kind() == DeviceKind::Disk
    }
}

impl MapDevice for String {
    fn is_cpu(&self) -> bool {
        self == "cpu"
    }

    fn is_disk(&self) -> bool {
        self == "disk"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_round_trip() {
        for (device, json) in [
            (PlanDevice::Accelerator(3), "3"),
            (PlanDevice::Accelerator(-1), "-1"),
            (PlanDevice::Mps, "\"mps\""),
            (PlanDevice::Cpu, "\"cpu\""),
            (PlanDevice::Disk, "\"disk\""),
        ] {
            assert_eq!(serde_json::to_string(&device).unwrap(), json);
            assert_eq!(serde_json::from_str::<PlanDevice>(json).unwrap(), device);
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in ["", "tpu", "-", "+1", "CPU", "cuda:0", "99999999999"] {
            assert_eq!(text.parse::<PlanDevice>(), Err(UnknownDevice(text.into())), "{text}");
        }
    }
}
