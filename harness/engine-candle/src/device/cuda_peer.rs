//! Peer access between two CUDA cards: calls that cudarc has in its unsafe layer only.
#![expect(
    unsafe_code,
    reason = "cudarc has no safe wrapper of peer access and of the access of memory pools"
)]

use std::ffi::{c_int, c_uint};

use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};

/// Why one card does not reach the memory of another.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The hardware or its topology does not allow it.
    Unable,
    /// The driver's error.
    Driver(DriverError),
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

/// `CUmemAccessDesc`. Bindings of CUDA 13.2 and later spell its second field as a union of the same size; the driver's
/// layout is the same in all of them.
#[repr(C)]
struct AccessDescription {
    location_type: c_uint,
    location_id: c_int,
    flags: c_uint,
}

const _: () = assert!(size_of::<AccessDescription>() == size_of::<sys::CUmemAccessDesc>());
const _: () = assert!(align_of::<AccessDescription>() == align_of::<sys::CUmemAccessDesc>());

/// Lets `accessor` reach memory of `owner`: what was allocated the old way, and what comes from the owner's memory pool,
/// which has permissions of its own.
pub(super) fn allow(accessor: &CudaContext, owner: &CudaContext) -> Result<(), Refusal> {
    let mut is_able: c_int = 0;
    // SAFETY: both devices come from live contexts, and the answer is written to a live integer.
    unsafe { sys::cuDeviceCanAccessPeer(&raw mut is_able, accessor.cu_device(), owner.cu_device()) }.result()?;
    if is_able == 0 {
        return Err(Refusal::Unable);
    }
    accessor.bind_to_thread()?;
    // SAFETY: the accessor's context was just made current on this thread, and the owner's lives as long as `owner`.
    match unsafe { sys::cuCtxEnablePeerAccess(owner.cu_ctx(), 0) } {
        sys::CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED => {}
        answer => answer.result()?,
    }
    if owner.has_async_alloc() {
        let description = AccessDescription {
            location_type: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE as c_uint,
            location_id: accessor.cu_device(),
            flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE as c_uint,
        };
        // SAFETY: the pool is the one the owner's live context allocates from, and the one description that is passed has
        // the size, alignment and layout of the driver's type (checked above).
        unsafe {
            let pool = result::device::get_mem_pool(owner.cu_device())?;
            sys::cuMemPoolSetAccess(pool, (&raw const description).cast(), 1).result()?;
        }
    }
    Ok(())
}
