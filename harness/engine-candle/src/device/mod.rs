//! The devices of a request: the host, real GPUs, and logical slices of either.

mod backend;
mod host;
pub mod ledger;
pub mod link;
pub mod placed;

use candle_core::{Device, DeviceLocation};
use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::protocol::DeviceFacts;
use placebench_core::units::Bytes;
use thiserror::Error;

pub use backend::{Gpu, gpus};
pub use host::available_memory;
pub use ledger::{Ledger, Use};
pub use placed::Placed;

/// Position of a device in [`Devices`]. Slot 0 is the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) usize);

impl Slot {
    /// The host.
    pub const CPU: Self = Self(0);
}

/// A device that is open for use.
#[derive(Debug, Clone)]
struct OpenDevice {
    facts: DeviceFacts,
    /// Only logical devices have a budget that is enforced here; a real one enforces its own.
    budget: Option<Bytes>,
    handle: Device,
}

/// All devices a request may use, each with a candle handle of its own where the backend has handles.
#[derive(Debug, Clone)]
pub struct Devices {
    open: Vec<OpenDevice>,
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// It is not there.
    #[error("{device} is not available: {reason}; there is: {available}")]
    Missing {
        /// What was asked for.
        device: DeviceId,
        /// Why it is not there.
        reason: String,
        /// What is there.
        available: String,
    },
    /// A logical device that nobody declared.
    #[error("{device} is not declared: add it under [devices] with `on` and `memory`; there is: {available}")]
    Undeclared {
        /// What was asked for.
        device: DeviceId,
        /// What is there.
        available: String,
    },
    /// A logical device on something that is no physical device.
    #[error("logical device {device} lies on {on}: it must lie on `cpu`, `cuda:N` or `metal:N`")]
    NotPhysical {
        /// The logical device.
        device: DeviceId,
        /// What it is said to lie on.
        on: DeviceId,
    },
    /// A logical device with the name of a real one, or declared twice.
    #[error("logical device {device} has a name that is taken")]
    NameTaken {
        /// The logical device.
        device: DeviceId,
    },
}

impl Devices {
    /// Opens the host, all logical devices, and those of `wanted` that are physical.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn open(logical: &[LogicalDevice], wanted: &[DeviceId]) -> Result<Self, DeviceError> {
        let mut devices = Self {
            open: vec![host_device()],
        };
        for device in logical {
            devices.open_logical(device)?;
        }
        for id in wanted {
            if devices.slot(id).is_some() || id.kind() == DeviceKind::Disk {
                continue;
            }
            if id.kind() == DeviceKind::Logical {
                return Err(DeviceError::Undeclared {
                    device: id.clone(),
                    available: devices.names(),
                });
            }
            let (handle, gpu) = devices.open_physical(id)?;
            devices.open.push(OpenDevice {
                facts: DeviceFacts {
                    id: id.clone(),
                    on: id.clone(),
                    name: gpu.name,
                    memory_bytes: gpu.total_bytes,
                    architecture: gpu.architecture,
                },
                budget: None,
                handle,
            });
        }
        Ok(devices)
    }

    fn open_logical(&mut self, device: &LogicalDevice) -> Result<(), DeviceError> {
        if device.id.kind() != DeviceKind::Logical || self.slot(&device.id).is_some() {
            return Err(DeviceError::NameTaken {
                device: device.id.clone(),
            });
        }
        let (handle, name, architecture) = match device.on.kind() {
            DeviceKind::Cpu => (Device::Cpu, "slice of the host".to_owned(), None),
            DeviceKind::Cuda(_) | DeviceKind::Metal(_) => {
                let (handle, gpu) = self.open_physical(&device.on)?;
                (handle, format!("slice of {}", gpu.name), gpu.architecture)
            }
            DeviceKind::Disk | DeviceKind::Logical => {
                return Err(DeviceError::NotPhysical {
                    device: device.id.clone(),
                    on: device.on.clone(),
                });
            }
        };
        self.open.push(OpenDevice {
            facts: DeviceFacts {
                id: device.id.clone(),
                on: device.on.clone(),
                name,
                memory_bytes: device.memory_bytes,
                architecture,
            },
            budget: device.memory_bytes,
            handle,
        });
        Ok(())
    }

    fn open_physical(&self, id: &DeviceId) -> Result<(Device, Gpu), DeviceError> {
        backend::open(id).map_err(|reason| DeviceError::Missing {
            device: id.clone(),
            reason,
            available: self.names(),
        })
    }

    fn names(&self) -> String {
        let mut names: Vec<String> = self.open.iter().map(|device| device.facts.id.to_string()).collect();
        for gpu in gpus() {
            if !names.contains(&gpu.id.to_string()) {
                names.push(gpu.id.to_string());
            }
        }
        names.join(", ")
    }

    /// The slot of a device; `None` for `disk` and for what was not opened.
    #[must_use]
    pub fn slot(&self, id: &DeviceId) -> Option<Slot> {
        self.open.iter().position(|device| device.facts.id == *id).map(Slot)
    }

    /// All slots, the host first.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.open.len()).map(Slot)
    }

    /// The name of a device.
    #[must_use]
    pub fn id(&self, slot: Slot) -> &DeviceId {
        &self.open[slot.0].facts.id
    }

    /// The candle handle of a device.
    #[must_use]
    pub fn handle(&self, slot: Slot) -> &Device {
        &self.open[slot.0].handle
    }

    /// What a candle device is called here: the name of `slot` where its handle is that device, else the physical name.
    /// On the host all slices share one handle, so there the slot is taken at its word.
    #[must_use]
    pub(crate) fn name_of(&self, found: &Device, slot: Slot) -> DeviceId {
        if found.same_device(self.handle(slot)) {
            return self.id(slot).clone();
        }
        let name = match found.location() {
            DeviceLocation::Cpu => "cpu".to_owned(),
            DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
        };
        DeviceId::new(&name).unwrap_or_else(|_| DeviceId::cpu())
    }

    /// The budget that is enforced on a device.
    #[must_use]
    pub fn budget(&self, slot: Slot) -> Option<Bytes> {
        self.open[slot.0].budget
    }

    /// What the record says about the devices.
    #[must_use]
    pub fn facts(&self) -> Vec<DeviceFacts> {
        self.open.iter().map(|device| device.facts.clone()).collect()
    }
}

fn host_device() -> OpenDevice {
    OpenDevice {
        facts: DeviceFacts {
            id: DeviceId::cpu(),
            on: DeviceId::cpu(),
            name: "host".into(),
            memory_bytes: available_memory(),
            architecture: None,
        },
        budget: None,
        handle: Device::Cpu,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn logical(id: &str, on: &str, memory: Option<u64>) -> LogicalDevice {
        LogicalDevice {
            id: DeviceId::new(id).unwrap(),
            on: DeviceId::new(on).unwrap(),
            memory_bytes: memory.map(Bytes),
        }
    }

    /// `cpu`, `sim:0` with 1024 bytes, `sim:1` without a budget.
    pub(crate) fn two_logical_devices() -> Devices {
        Devices::open(
            &[logical("sim:0", "cpu", Some(1024)), logical("sim:1", "cpu", None)],
            &[],
        )
        .unwrap()
    }

    #[test]
    fn slots_follow_the_declaration() {
        let devices = two_logical_devices();
        let names: Vec<String> = devices.slots().map(|slot| devices.id(slot).to_string()).collect();
        assert_eq!(names, ["cpu", "sim:0", "sim:1"]);
        assert_eq!(devices.slot(&DeviceId::disk()), None);
        assert_eq!(devices.budget(Slot(1)), Some(Bytes(1024)));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let error = Devices::open(&[], &[DeviceId::new("sim:7").unwrap()]).unwrap_err();
        assert!(matches!(error, DeviceError::Undeclared { .. }));
        let error = Devices::open(&[logical("sim:0", "cpu", None)], &[DeviceId::new("cuda:99").unwrap()]).unwrap_err();
        assert!(matches!(error, DeviceError::Missing { .. }));
        assert!(error.to_string().contains("sim:0"), "{error}");
    }

    #[test]
    fn nonsensical_declarations_are_refused() {
        for (devices, wanted) in [
            (vec![logical("sim:0", "disk", None)], "it must lie on"),
            (vec![logical("sim:0", "sim:1", None)], "it must lie on"),
            (vec![logical("cuda:0", "cpu", None)], "taken"),
            (
                vec![logical("sim:0", "cpu", None), logical("sim:0", "cpu", None)],
                "taken",
            ),
        ] {
            let error = Devices::open(&devices, &[]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
