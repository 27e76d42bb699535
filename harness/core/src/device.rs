//! Names of devices, real and logical.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::units::Bytes;

/// Where a tensor lives: `cpu`, `disk`, `cuda:0`, `metal:0`, or the name of a logical device such as `sim:0`.
///
/// A bare number means a CUDA device, as in Hugging Face device maps (`0` is `cuda:0`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

/// What kind of thing a [`DeviceId`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The host's processor and memory.
    Cpu,
    /// Weights stay in their file and are read at each use.
    Disk,
    /// A CUDA device with its ordinal.
    Cuda(usize),
    /// A Metal device with its ordinal.
    Metal(usize),
    /// A logical device: a named slice of a physical one.
    Logical,
}

/// Why a text is no device name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no device name: use `cpu`, `disk`, `cuda:N`, `metal:N` or a logical device such as `sim:0`")]
pub struct DeviceIdError(pub String);

impl DeviceId {
    /// Parses a device name.
    ///
    /// # Errors
    /// When the text is neither a known physical device nor of the form `name:index`.
    pub fn new(text: &str) -> Result<Self, DeviceIdError> {
        let error = || DeviceIdError(text.to_owned());
        if text == "cpu" || text == "disk" {
            return Ok(Self(text.to_owned()));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let ordinal: usize = text.parse().map_err(|_| error())?;
            return Ok(Self(format!("cuda:{ordinal}")));
        }
        if text == "cuda" || text == "metal" {
            return Ok(Self(format!("{text}:0")));
        }
        let (name, index) = text.split_once(':').ok_or_else(error)?;
        let name_is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        let index: usize = index.parse().map_err(|_| error())?;
        if !name_is_plain || name == "cpu" || name == "disk" {
            return Err(error());
        }
        Ok(Self(format!("{name}:{index}")))
    }

    /// The host.
    #[must_use]
    pub fn cpu() -> Self {
        Self("cpu".into())
    }

    /// The file the weights come from.
    #[must_use]
    pub fn disk() -> Self {
        Self("disk".into())
    }

    /// The name as it is written in scenarios.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name stands for.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        let index = || self.0.split_once(':').and_then(|(_, index)| index.parse().ok());
        match self.0.split(':').next() {
            Some("cpu") => DeviceKind::Cpu,
            Some("disk") => DeviceKind::Disk,
            Some("cuda") => DeviceKind::Cuda(index().unwrap_or(0)),
            Some("metal") => DeviceKind::Metal(index().unwrap_or(0)),
            _ => DeviceKind::Logical,
        }
    }

    /// True for everything a planner treats as an accelerator: real GPUs and logical devices.
    #[must_use]
    pub fn is_accelerator(&self) -> bool {
        !matches!(self.kind(), DeviceKind::Cpu | DeviceKind::Disk)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, DeviceIdError> {
        Self::new(&text)
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

/// A named slice of a physical device with its own memory budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogicalDevice {
    /// Its name, used wherever a device is named.
    pub id: DeviceId,
    /// The physical device it is a slice of.
    pub on: DeviceId,
    /// What may be allocated on it; nothing is enforced where this is absent.
    pub memory_bytes: Option<Bytes>,
}

/// A number of bytes on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeviceBytes {
    /// The device.
    pub device: DeviceId,
    /// The bytes on it.
    pub bytes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, expected) in [
            ("0", "cuda:0"),
            ("cuda", "cuda:0"),
            ("cuda:3", "cuda:3"),
            ("cpu", "cpu"),
            ("disk", "disk"),
            ("sim:0", "sim:0"),
            ("half_a:1", "half_a:1"),
        ] {
            assert_eq!(DeviceId::new(text).map(|d| d.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "gpu", "cpu:0", "disk:1", "CUDA:0", "sim:", "sim:x", ":1", "-1", "a b:0", "../x:0",
        ] {
            assert_eq!(DeviceId::new(text), Err(DeviceIdError(text.into())), "{text}");
        }
    }

    #[test]
    fn logical_devices_count_as_accelerators() {
        let accelerators: Vec<bool> = ["sim:0", "cuda:1", "cpu", "disk"]
            .iter()
            .map(|text| DeviceId::new(text).unwrap().is_accelerator())
            .collect();
        assert_eq!(accelerators, [true, true, false, false]);
    }
}
