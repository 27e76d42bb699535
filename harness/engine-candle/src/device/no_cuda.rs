//! Stands in for `cuda.rs` in builds without the feature.

use candle_core::Device;
use placebench_core::device::DeviceId;

use super::Gpu;

pub(super) fn gpus() -> Vec<Gpu> {
    Vec::new()
}

pub(super) fn enable_peer_access(_from: &Device, _to: &Device) -> Result<(), String> {
    Err("this build has no CUDA support (feature `cuda`)".into())
}

pub(super) fn open(_id: &DeviceId, _ordinal: usize) -> Result<(Device, Gpu), String> {
    Err("this build has no CUDA support (feature `cuda`)".into())
}
