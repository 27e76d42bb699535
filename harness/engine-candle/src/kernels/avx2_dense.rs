//! Dot products of weights that are elements, on 256-bit vectors of x86-64.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::avx2_vector::{horizontal_sum, load_bf16, load_f16, load_f32};

/// Rows of single-precision weights with one row of activations.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_f32(weights: [&[f32]; 4], x: &[f32]) -> [f32; 4] {
    dot(weights, x, |part| load_f32(part), |weight| weight)
}

/// The same in half precision.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_f16(weights: [&[f16]; 4], x: &[f32]) -> [f32; 4] {
    dot(weights, x, |part| load_f16(part), f16::to_f32)
}

/// The same in bfloat16.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_bf16(weights: [&[bf16]; 4], x: &[f32]) -> [f32; 4] {
    dot(weights, x, |part| load_bf16(part), bf16::to_f32)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot<T: Copy>(weights: [&[T]; 4], x: &[f32], load: impl Fn(&[T; 8]) -> __m256, widen: impl Fn(T) -> f32) -> [f32; 4] {
    let [a, b, c, d] = weights.map(|row| row.as_chunks::<16>().0);
    let (whole, rest) = x.as_chunks::<16>();
    let mut sums = [[_mm256_setzero_ps(); 4]; 2];
    for ((((a, b), c), d), x) in a.iter().zip(b).zip(c).zip(d).zip(whole) {
        for (half, sums) in sums.iter_mut().enumerate() {
            let x = load_f32(&x.as_chunks::<8>().0[half]);
            for (sum, weights) in sums.iter_mut().zip([a, b, c, d]) {
                *sum = _mm256_fmadd_ps(load(&weights.as_chunks::<8>().0[half]), x, *sum);
            }
        }
    }
    let [low, high] = sums;
    let mut totals: [f32; 4] = std::array::from_fn(|row| horizontal_sum(_mm256_add_ps(low[row], high[row])));
    for (total, row) in totals.iter_mut().zip(weights) {
        let (_, weights) = row.as_chunks::<16>();
        *total += weights
            .iter()
            .zip(rest)
            .map(|(weight, x)| widen(*weight) * x)
            .sum::<f32>();
    }
    totals
}
