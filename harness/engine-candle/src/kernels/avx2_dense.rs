//! Dot products of weights that are elements, on 256-bit vectors of x86-64.

use std::arch::x86_64::*;

use half::bf16;

use super::avx2_vector::{horizontal_sum, load_bf16, load_f32};

/// Rows of single-precision weights with one row of activations.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_f32(weights: [&[f32]; 4], x: &[f32]) -> [f32; 4] {
    dot(weights, x, |part| load_f32(part), |weight| weight)
}

/// The same in bfloat16.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_bf16(weights: [&[bf16]; 4], x: &[f32]) -> [f32; 4] {
    dot(weights, x, |part| load_bf16(part), bf16::to_f32)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot<T: Copy>(weights: [&[T]; 4], x: &[f32], load: impl Fn(&[T; 8]) -> __m256, widen: impl Fn(T) -> f32) -> [f32; 4] {
    let (parts, rest) = x.as_chunks::<32>();
    weights.map(|row| {
        let (weights, last) = row.as_chunks::<32>();
        let mut sums = [_mm256_setzero_ps(); 4];
        for (weights, x) in weights.iter().zip(parts) {
            let eights = weights.as_chunks::<8>().0.iter().zip(x.as_chunks::<8>().0);
            for (sum, (weights, x)) in sums.iter_mut().zip(eights) {
                *sum = _mm256_fmadd_ps(load(weights), load_f32(x), *sum);
            }
        }
        let [a, b, c, d] = sums;
        let whole = horizontal_sum(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
        whole + last.iter().zip(rest).map(|(weight, x)| widen(*weight) * x).sum::<f32>()
    })
}
