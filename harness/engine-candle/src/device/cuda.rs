//! CUDA devices: what is there, and a handle for each logical device.

use std::sync::Arc;

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::CudaContext;
use placebench_core::device::DeviceId;
use placebench_core::units::Bytes;

use super::Gpu;

#[path = "cuda_peer.rs"]
mod peer;

/// Libraries that cudarc opens on first use; it panics where one is missing, so they are looked for beforehand.
#[cfg(target_os = "linux")]
const LIBRARIES: &[&str] = &[
    "libcuda.so.1",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcurand.so.10",
];
#[cfg(not(target_os = "linux"))]
const LIBRARIES: &[&str] = &[];

fn missing_library() -> Option<String> {
    LIBRARIES.iter().find_map(|name| {
        #[expect(
            unsafe_code,
            reason = "loading NVIDIA's libraries runs their initialisers, which using them would do too"
        )]
        let loaded = unsafe { libloading::Library::new(*name) };
        loaded.err().map(|_| (*name).to_owned())
    })
}

pub(super) fn gpus() -> Vec<Gpu> {
    if missing_library().is_some() {
        return Vec::new();
    }
    let count = CudaContext::device_count().unwrap_or(0);
    (0..usize::try_from(count).unwrap_or(0))
        .filter_map(|ordinal| {
            let id = DeviceId::new(&format!("cuda:{ordinal}")).ok()?;
            open(&id, ordinal).ok().map(|(_, gpu)| gpu)
        })
        .collect()
}

pub(super) fn open(id: &DeviceId, ordinal: usize) -> Result<(Device, Gpu), String> {
    if let Some(library) = missing_library() {
        return Err(format!(
            "{library} cannot be loaded: is the NVIDIA driver (CUDA 13) installed?"
        ));
    }
    let count = CudaContext::device_count().map_err(|error| format!("the driver answers {error}"))?;
    if !usize::try_from(count).is_ok_and(|count| ordinal < count) {
        return Err(format!("the driver has {count} CUDA devices, numbered from 0"));
    }
    let handle = Device::new_cuda(ordinal).map_err(|error| super::first_line(&error))?;
    let stream = handle
        .as_cuda_device()
        .map_err(|error| super::first_line(&error))?
        .cuda_stream();
    let context = stream.context();
    let memory = context.mem_get_info().ok();
    let gpu = Gpu {
        id: id.clone(),
        name: context.name().unwrap_or_else(|_| "CUDA device".into()),
        uuid: context.uuid().ok().map(|uuid| spelled(&uuid.bytes)),
        free_bytes: memory.map(|(free, _)| Bytes(free as u64)),
        total_bytes: memory.map(|(_, total)| Bytes(total as u64)),
        architecture: context
            .compute_capability()
            .ok()
            .map(|(major, minor)| format!("sm{major}{minor}")),
    };
    Ok((handle, gpu))
}

/// Allows kernels and copies of each card to reach the memory of the other. Nobody below does it: neither candle nor
/// cudarc's safe layer asks for peer access, so that the driver would stage every copy through the host.
///
/// # Errors
/// What the driver says against it, for either direction.
pub(super) fn enable_peer_access(from: &Device, to: &Device) -> Result<(), String> {
    let contexts = [context_of(from)?, context_of(to)?];
    let [from, to] = &contexts;
    for (accessor, owner) in [(to, from), (from, to)] {
        peer::allow(accessor, owner).map_err(|error| {
            let (accessor, owner) = (accessor.ordinal(), owner.ordinal());
            match error {
                peer::Refusal::Unable => format!("cuda:{accessor} cannot reach the memory of cuda:{owner}"),
                peer::Refusal::Driver(error) => {
                    format!("the driver does not let cuda:{accessor} reach the memory of cuda:{owner}: {error}")
                }
            }
        })?;
    }
    Ok(())
}

fn context_of(device: &Device) -> Result<Arc<CudaContext>, String> {
    let device = device.as_cuda_device().map_err(|error| super::first_line(&error))?;
    Ok(Arc::clone(device.cuda_stream().context()))
}

/// As `nvidia-smi -L` and `CUDA_VISIBLE_DEVICES` spell it: `GPU-8b1c3a5e-….`
fn spelled(bytes: &[std::ffi::c_char; 16]) -> String {
    let mut text = "GPU-".to_owned();
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", byte.cast_unsigned()));
    }
    text
}
