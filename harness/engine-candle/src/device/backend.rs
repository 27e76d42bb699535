//! Real GPUs. The CUDA half exists twice, with and without the feature, so that nobody else needs a `cfg`.

use candle_core::{Device, DeviceLocation};
use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::planner::DeviceIdentity;
use placebench_core::units::Bytes;

use super::link::PeerAccess;

#[cfg(feature = "cuda")]
#[path = "cuda.rs"]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "no_cuda.rs"]
mod cuda;

/// A GPU of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its name in device maps.
    pub id: DeviceId,
    /// What the driver calls it.
    pub name: String,
    /// What names the hardware whatever its number: `GPU-…`, if the driver tells.
    pub uuid: Option<String>,
    /// Its memory.
    pub total_bytes: Option<Bytes>,
    /// What nobody has allocated.
    pub free_bytes: Option<Bytes>,
    /// The generation of its processor: `sm90`, if the driver tells.
    pub architecture: Option<String>,
}

impl Gpu {
    /// What the planner wants to know about it.
    #[must_use]
    pub fn identity(&self) -> DeviceIdentity<DeviceId> {
        DeviceIdentity {
            device: self.id.clone(),
            model: self.name.clone(),
            uuid: self.uuid.clone(),
        }
    }
}

/// All GPUs this build can use, in the order of their numbers. Empty where there are none or the build has no backend.
#[must_use]
pub fn gpus() -> Vec<Gpu> {
    let mut found = cuda::gpus();
    if cfg!(feature = "metal") {
        // Metal shares the host's memory; one device is all such machines have.
        found.extend(
            DeviceId::new("metal:0")
                .ok()
                .and_then(|id| open(&id).ok())
                .map(|(_, gpu)| gpu),
        );
    }
    found
}

/// Opens a GPU with a handle of its own: every call gives another one.
///
/// # Errors
/// A sentence that says why it cannot be opened.
pub(super) fn open(id: &DeviceId) -> Result<(Device, Gpu), String> {
    match id.kind() {
        DeviceKind::Cuda(ordinal) => cuda::open(id, ordinal),
        DeviceKind::Metal(ordinal) => {
            if !cfg!(feature = "metal") {
                return Err("this build has no Metal support (feature `metal`)".into());
            }
            let handle = Device::new_metal(ordinal).map_err(|error| first_line(&error))?;
            let gpu = Gpu {
                id: id.clone(),
                name: "Metal device".into(),
                uuid: None,
                total_bytes: super::available_memory(),
                free_bytes: super::available_memory(),
                architecture: None,
            };
            Ok((handle, gpu))
        }
        DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Logical => Err("it is no GPU".into()),
    }
}

/// Lets both devices reach each other's memory, where they are two cards of one backend.
pub(super) fn enable_peer_access(from: &Device, to: &Device) -> PeerAccess {
    match (from.location(), to.location()) {
        (DeviceLocation::Cuda { gpu_id: a }, DeviceLocation::Cuda { gpu_id: b }) if a != b => {
            cuda::enable_peer_access(from, to).map_or_else(PeerAccess::Refused, |()| PeerAccess::Enabled)
        }
        // Logical devices of one card share its primary context and memory.
        _ => PeerAccess::NotNeeded,
    }
}

/// candle adds a backtrace to its messages where `RUST_BACKTRACE` asks for one.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or("unknown error").to_owned()
}
