//! Which instructions of the processor kernels use, found out once, when the program runs.

use std::sync::OnceLock;

use half::bf16;

use super::format::Format;
use super::rows::QuantisedRow;
use super::{elementwise, portable};

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
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "no other set is known there")
        )]
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            available.extend(super::avx2::Avx2::detect().map(Self::Avx2));
        }
        available
    }

    /// The products of rows of quantised weights with one row of activations.
    pub(super) fn dot(self, format: Format, weights: [&[u8]; 4], x: QuantisedRow<'_>) -> [f32; 4] {
        match self {
            Self::Portable => portable::dot(format, weights, x),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.dot(format, weights, x),
        }
    }

    /// Writes out quantised weights.
    pub(super) fn dequantise(self, format: Format, bytes: &[u8], weights: &mut [f32]) {
        match self {
            Self::Portable => format.dequantise(bytes, weights),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.dequantise(format, bytes, weights),
        }
    }

    /// The products of rows of single-precision elements with one row of activations.
    pub(super) fn dot_f32(self, weights: [&[f32]; 4], x: &[f32]) -> [f32; 4] {
        match self {
            Self::Portable => weights.map(|row| portable::dot_elements(row, x, |weight| weight)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.dot_f32(weights, x),
        }
    }

    /// The same for weights in bfloat16.
    pub(super) fn dot_bf16(self, weights: [&[bf16]; 4], x: &[f32]) -> [f32; 4] {
        match self {
            Self::Portable => weights.map(|row| portable::dot_elements(row, x, bf16::to_f32)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.dot_bf16(weights, x),
        }
    }

    /// [`elementwise::softmax`].
    pub(super) fn softmax(self, scores: &mut [f32], scale: f32) {
        match self {
            Self::Portable => elementwise::softmax(scores, scale),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.softmax(scores, scale),
        }
    }

    /// [`elementwise::gated`].
    pub(super) fn gated(self, gate: &[f32], up: &[f32], output: &mut [f32]) {
        match self {
            Self::Portable => elementwise::gated(gate, up, output),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.gated(gate, up, output),
        }
    }

    /// [`elementwise::add_rows`].
    pub(super) fn add_rows(self, output: &mut [f32], weights: &[f32], rows: &[f32]) {
        match self {
            Self::Portable => elementwise::add_rows(output, weights, rows),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.add_rows(output, weights, rows),
        }
    }
}
