//! The engines compiled into this binary.

use placebench_core::device::DeviceId;
use placebench_core::planner::DeviceIdentity;
use placebench_core::record::CaseSpec;
use placebench_core::units::Bytes;
use placebench_engine::Engine;

/// All of them, in reading order. A new engine is a line here.
pub(crate) fn all() -> Vec<&'static dyn Engine> {
    #[cfg_attr(
        not(feature = "candle"),
        expect(unused_mut, reason = "only some builds have engines that run models themselves")
    )]
    let mut engines: Vec<&'static dyn Engine> = vec![
        &placebench_engine::mock::MockEngine,
        &placebench_engine_openai::OpenAiEngine,
    ];
    #[cfg(feature = "candle")]
    engines.extend(placebench_engine_candle::engine::engines());
    engines
}

/// CUDA devices this build can use; 0 where it was built without CUDA. The driver is asked only where a case needs to
/// know: a sick one can make even that question hang.
pub(crate) fn cuda_devices_for(cases: &[CaseSpec]) -> u32 {
    if cases.iter().all(|case| case.requires_cuda == 0) {
        return 0;
    }
    #[cfg(feature = "candle")]
    {
        let gpus = placebench_engine_candle::device::gpus();
        u32::try_from(gpus.len()).unwrap_or(u32::MAX)
    }
    #[cfg(not(feature = "candle"))]
    {
        0
    }
}

/// The memory of this machine that nobody has taken, as far as this build can see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreeMemory {
    /// GPUs in the order of their numbers.
    pub(crate) gpus: Vec<(DeviceId, Bytes)>,
    /// What the GPUs are.
    pub(crate) hardware: Vec<DeviceIdentity<DeviceId>>,
    /// The host.
    pub(crate) host: Option<Bytes>,
}

/// Asks the system and the drivers.
#[cfg(feature = "candle")]
pub(crate) fn free_memory() -> FreeMemory {
    use placebench_engine_candle::device::{Gpu, available_memory, gpus};
    let gpus = gpus();
    let free = gpus.iter().filter_map(|gpu| Some((gpu.id.clone(), gpu.free_bytes?)));
    FreeMemory {
        gpus: free.collect(),
        hardware: gpus.iter().map(Gpu::identity).collect(),
        host: available_memory(),
    }
}

/// Builds without candle have nothing to run on and look at nothing.
#[cfg(not(feature = "candle"))]
pub(crate) fn free_memory() -> FreeMemory {
    FreeMemory::default()
}
