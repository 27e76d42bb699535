//! Which instructions of the processor kernels use, found out once, when the program runs.

use std::sync::OnceLock;

/// A set of instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// What the program was compiled for, in loops that the compiler can vectorise.
    Portable,
    /// 256-bit vectors: AVX2, FMA and F16C, on every x86-64 processor since about 2014.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
}

impl Isa {
    /// The best that this processor has.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::Portable))
    }

    /// All that this processor has, the best last.
    pub(super) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "no other set is known there"))]
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            available.extend(super::avx2::Avx2::detect().map(Self::Avx2));
            }
        available
    }
}
