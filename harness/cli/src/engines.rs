//! The engines compiled into this binary.

use placebench_core::record::CaseSpec;
use placebench_engine::Engine;

/// All of them, in reading order. A new engine is a line here.
pub(crate) fn all() -> Vec<&'static dyn Engine> {
    #[cfg_attr(
        not(feature = "candle"),
        expect(unused_mut, reason = "only some builds have more than the mock engine")
    )]
    let mut engines: Vec<&'static dyn Engine> = vec![&placebench_engine::mock::MockEngine];
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
