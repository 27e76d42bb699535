//! Loads into 256-bit vectors, and what is left of a vector at the end.
//!
//! The loads take arrays of the right size, so that nothing else has to be known of the memory they read.
#![expect(unsafe_code, reason = "vector loads take pointers")]

use std::arch::x86_64::*;

use half::bf16;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the array is as long as the vector; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_signed(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: the array is as long as the vector; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array is as long as the vector; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(elements: &[f32; 8]) -> __m256 {
    // SAFETY: the array is as long as the vector; the load needs no alignment.
    unsafe { _mm256_loadu_ps(elements.as_ptr()) }
}

/// A bfloat16 is the upper half of a single.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_bf16(elements: &[bf16; 8]) -> __m256 {
    // SAFETY: `bf16` is two bytes without padding, so the array is as long as the vector; the load needs no alignment.
    let halves = unsafe { _mm_loadu_si128(elements.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}

/// Four pairs.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_pairs(pairs: &[[f32; 2]; 4]) -> __m256 {
    // SAFETY: arrays lie without gaps, so these are eight elements; the load needs no alignment.
    unsafe { _mm256_loadu_ps(pairs.as_ptr().cast()) }
}

/// The first and the second elements of eight pairs.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_factors(pairs: &[[f32; 2]; 8]) -> (__m256, __m256) {
    // SAFETY: arrays lie without gaps, so these are sixteen elements; the loads need no alignment.
    let (low, high) = unsafe {
        let first: *const f32 = pairs.as_ptr().cast();
        (_mm256_loadu_ps(first), _mm256_loadu_ps(first.add(8)))
    };
    let in_order = |mixed: __m256| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(mixed)));
    let first = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
    let second = _mm256_shuffle_ps::<0b11_01_11_01>(low, high);
    (in_order(first), in_order(second))
}

/// The sum of the eight elements.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn horizontal_sum(vector: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps::<1>(vector));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
