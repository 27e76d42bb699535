//! Dot products on 256-bit vectors of x86-64: AVX2, FMA and F16C.
//!
//! Weights are read in the order they lie in, which is what the processor's prefetching expects, with several sums beside
//! each other so that none waits for the one before. Unsafe are the loads from arrays of the right size, and the step from the proof that the processor has the
//! instructions into functions that are compiled for them.

use std::arch::x86_64::*;

use half::bf16;

use super::avx2_dense::{dot_bf16, dot_f32};
use super::avx2_vector::{horizontal_sum, load_bytes, load_factors, load_half, load_pairs, load_signed};
use super::elementwise;
use super::format::{Format, scales_and_minima};
use super::rows::{GROUP, QuantisedRow};

/// Proof that this processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, where the processor has them.
    pub(super) fn detect() -> Option<Self> {
        let found =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    /// The products of rows of quantised weights with one row of activations.
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn dot(self, format: Format, weights: [&[u8]; 4], x: QuantisedRow<'_>) -> [f32; 4] {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { dot(format, weights, x) }
    }

    /// Writes out quantised weights.
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn dequantise(self, format: Format, bytes: &[u8], weights: &mut [f32]) {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { dequantise(format, bytes, weights) }
    }

    /// The products of rows of single-precision weights with one row of activations.
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn dot_f32(self, weights: [&[f32]; 4], x: &[f32]) -> [f32; 4] {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { dot_f32(weights, x) }
    }

    /// The same for weights in bfloat16.
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn dot_bf16(self, weights: [&[bf16]; 4], x: &[f32]) -> [f32; 4] {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { dot_bf16(weights, x) }
    }

    /// [`elementwise::softmax`].
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn softmax(self, scores: &mut [f32], scale: f32) {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { softmax(scores, scale) }
    }

    /// [`elementwise::gated`].
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn gated(self, gate: &[f32], up: &[f32], output: &mut [f32]) {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { gated(gate, up, output) }
    }

    /// [`elementwise::add_rows`].
    #[expect(unsafe_code, reason = "instructions that not every processor has")]
    pub(super) fn add_rows(self, output: &mut [f32], weights: &[f32], rows: &[f32]) {
        // SAFETY: a value of this type exists only where the instructions were found.
        unsafe { add_rows(output, weights, rows) }
    }
}

/// The portable text, compiled for these instructions.
#[target_feature(enable = "avx2,fma,f16c")]
fn dequantise(format: Format, bytes: &[u8], weights: &mut [f32]) {
    format.dequantise(bytes, weights);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn softmax(scores: &mut [f32], scale: f32) {
    elementwise::softmax(scores, scale);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn gated(gate: &[f32], up: &[f32], output: &mut [f32]) {
    elementwise::gated(gate, up, output);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows(output: &mut [f32], weights: &[f32], rows: &[f32]) {
    elementwise::add_rows(output, weights, rows);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot(format: Format, weights: [&[u8]; 4], x: QuantisedRow<'_>) -> [f32; 4] {
    match format {
        Format::Q4_0 => dot_groups(
            weights,
            x,
            8,
            |b: &[u8; 18], x| dot_bytes(nibbles(part(b, 2)), x),
            scale_only,
        ),
        Format::Q4_1 => dot_groups(
            weights,
            x,
            0,
            |b: &[u8; 20], x| dot_bytes(nibbles(part(b, 4)), x),
            scale_and_minimum,
        ),
        Format::Q5_0 => dot_groups(
            weights,
            x,
            16,
            |b: &[u8; 22], x| dot_bytes(or(nibbles(part(b, 6)), fifth_bits([b[2], b[3], b[4], b[5]])), x),
            scale_only,
        ),
        Format::Q5_1 => dot_groups(
            weights,
            x,
            0,
            |b: &[u8; 24], x| dot_bytes(or(nibbles(part(b, 8)), fifth_bits([b[4], b[5], b[6], b[7]])), x),
            scale_and_minimum,
        ),
        Format::Q8_0 => dot_groups(
            weights,
            x,
            0,
            |b: &[u8; 34], x| dot_signed_bytes(load_bytes(part(b, 2)), x),
            scale_only,
        ),
        Format::Q4K => dot_k_groups(weights, x, |b: &[u8; 144], index| k_nibbles(b, 16, index)),
        Format::Q5K => dot_k_groups(weights, x, |b: &[u8; 176], index| {
            let bits = load_bytes(part(b, 16));
            let bit = _mm256_set1_epi8(1_i8 << (index % 8));
            let present = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
            or(k_nibbles(b, 48, index), _mm256_and_si256(present, _mm256_set1_epi8(16)))
        }),
        Format::Q6K => dot_q6k(weights, x),
    }
}

/// Formats with one group a block. `offset` is taken from every number; `product` multiplies the numbers of a block with
/// activations, `scales` returns the bits of scale and minimum in half precision, the scale low.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_groups<const BYTES: usize>(
    weights: [&[u8]; 4],
    x: QuantisedRow<'_>,
    offset: i8,
    product: impl Fn(&[u8; BYTES], __m256i) -> __m256i,
    scales: impl Fn(&[u8; BYTES]) -> i32,
) -> [f32; 4] {
    let whole = |block: &[u8; BYTES], numbers: &[i8; GROUP]| {
        let numbers = load_signed(numbers);
        let taken = if offset == 0 {
            _mm256_setzero_si256()
        } else {
            times_ones(numbers, offset)
        };
        _mm256_cvtepi32_ps(_mm256_sub_epi32(product(block, numbers), taken))
    };
    let (numbers, last_numbers) = x.numbers.as_chunks::<4>();
    let (factors, last_factors) = x.factors.as_chunks::<4>();
    weights.map(|row| {
        let (blocks, last_blocks) = row.as_chunks::<BYTES>().0.as_chunks::<4>();
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut minima = _mm256_setzero_ps();
        for ((blocks, numbers), factors) in blocks.iter().zip(numbers).zip(factors) {
            // [scale, minimum] of four blocks, times [scale, sum] of the activations.
            let [a, b, c, d] = blocks;
            let bits = _mm_set_epi32(scales(d), scales(c), scales(b), scales(a));
            let scaled = _mm256_mul_ps(_mm256_cvtph_ps(bits), load_pairs(factors));
            minima = _mm256_add_ps(minima, scaled);
            for (((block, numbers), sum), lane) in blocks.iter().zip(numbers).zip(&mut sums).zip([0, 2, 4, 6]) {
                *sum = _mm256_fmadd_ps(whole(block, numbers), broadcast(scaled, lane), *sum);
            }
        }
        for ((block, numbers), [scale, sum]) in last_blocks.iter().zip(last_numbers).zip(last_factors) {
            let bits = _mm_cvtsi32_si128(scales(block));
            let scaled = _mm256_mul_ps(
                _mm256_cvtph_ps(bits),
                _mm256_set_ps(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *sum, *scale),
            );
            minima = _mm256_add_ps(minima, scaled);
            sums[0] = _mm256_fmadd_ps(whole(block, numbers), broadcast(scaled, 0), sums[0]);
        }
        let minima = _mm256_blend_ps::<0b1010_1010>(_mm256_setzero_ps(), minima);
        let [a, b, c, d] = sums;
        let total = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
        horizontal_sum(_mm256_add_ps(total, minima))
    })
}

/// `Q4_K` and `Q5_K`: eight groups a block, scales and minima of 6 bits each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_k_groups<const BYTES: usize>(
    weights: [&[u8]; 4],
    x: QuantisedRow<'_>,
    numbers: impl Fn(&[u8; BYTES], u8) -> __m256i,
) -> [f32; 4] {
    let activations = x.numbers.as_chunks::<8>().0.iter().zip(x.factors.as_chunks::<8>().0);
    weights.map(|row| {
        let mut sums = [_mm256_setzero_ps(); 2];
        let mut minima = _mm256_setzero_ps();
        for (block, (activations, factors)) in row.as_chunks::<BYTES>().0.iter().zip(activations.clone()) {
            let (block_scales, block_minima) = scales_and_minima(block);
            let (scales, of_minima) = load_factors(factors);
            let halves = _mm_cvtph_ps(_mm_cvtsi32_si128(scale_and_minimum(block)));
            let scale = _mm256_mul_ps(_mm256_broadcastss_ps(halves), widen(block_scales));
            let scale = _mm256_mul_ps(scale, scales);
            let minimum = _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(halves)), widen(block_minima));
            minima = _mm256_fmadd_ps(minimum, of_minima, minima);
            for (index, activations) in (0..).zip(activations) {
                let whole = _mm256_cvtepi32_ps(dot_bytes(numbers(block, index), load_signed(activations)));
                let sum = &mut sums[usize::from(index % 2)];
                *sum = _mm256_fmadd_ps(whole, broadcast(scale, index), *sum);
            }
        }
        horizontal_sum(_mm256_sub_ps(_mm256_add_ps(sums[0], sums[1]), minima))
    })
}

/// `Q6_K`: sixteen half groups a block with a scale each, so the halves of a vector have their own.
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_q6k(weights: [&[u8]; 4], x: QuantisedRow<'_>) -> [f32; 4] {
    let activations = x.numbers.as_chunks::<8>().0.iter().zip(x.factors.as_chunks::<8>().0);
    weights.map(|row| {
        let mut sums = [_mm256_setzero_ps(); 2];
        for (block, (activations, factors)) in row.as_chunks::<210>().0.iter().zip(activations.clone()) {
            let unit = i32::from(u16::from_le_bytes([block[208], block[209]]));
            let unit = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(unit)));
            let first = _mm256_mul_ps(unit, widen_signed(part(block, 192)));
            let second = _mm256_mul_ps(unit, widen_signed(part(block, 200)));
            for (index, (activations, [scale, _])) in (0..).zip(activations.iter().zip(factors)) {
                let activations = load_signed(activations);
                let whole = dot_bytes(q6k_numbers(block, index), activations);
                let whole = _mm256_cvtepi32_ps(_mm256_sub_epi32(whole, times_ones(activations, 32)));
                let scales = two_scales(if index < 4 { first } else { second }, index % 4);
                let sum = &mut sums[usize::from(index % 2)];
                *sum = _mm256_fmadd_ps(whole, _mm256_mul_ps(scales, _mm256_set1_ps(*scale)), *sum);
            }
        }
        horizontal_sum(_mm256_add_ps(sums[0], sums[1]))
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn q6k_numbers(block: &[u8; 210], index: u8) -> __m256i {
    let (half, quarter) = (usize::from(index / 4), index % 4);
    let low = load_bytes(part(block, half * 64 + usize::from(quarter % 2) * 32));
    let high = load_bytes(part(block, 128 + half * 32));
    let (low, high) = match quarter {
        0 => (low, _mm256_slli_epi16::<4>(high)),
        1 => (low, _mm256_slli_epi16::<2>(high)),
        2 => (_mm256_srli_epi16::<4>(low), high),
        _ => (_mm256_srli_epi16::<4>(low), _mm256_srli_epi16::<2>(high)),
    };
    let low = _mm256_and_si256(low, _mm256_set1_epi8(0x0f));
    or(low, _mm256_and_si256(high, _mm256_set1_epi8(0x30)))
}

/// The 4-bit numbers of a `Q4_K` or `Q5_K` block that begin at `at`: two groups share 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn k_nibbles<const BYTES: usize>(block: &[u8; BYTES], at: usize, index: u8) -> __m256i {
    let bytes = load_bytes(part(block, at + usize::from(index / 2) * 32));
    let bytes = if index.is_multiple_of(2) {
        bytes
    } else {
        _mm256_srli_epi16::<4>(bytes)
    };
    _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f))
}

/// The low halves of 16 bytes, then the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: &[u8; 16]) -> __m256i {
    let bytes = load_half(bytes);
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
    _mm256_and_si256(both, _mm256_set1_epi8(0x0f))
}

/// 16 where a bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn fifth_bits(bits: [u8; 4]) -> __m256i {
    // Each byte gets the byte its bit is in, and keeps that bit.
    let spread = _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
    let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(i32::from_le_bytes(bits)), spread);
    let mask = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
    let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
    _mm256_and_si256(is_set, _mm256_set1_epi8(16))
}

/// Unsigned bytes below 128 times signed ones, added by fours: no sum of two products leaves 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_bytes(unsigned: __m256i, signed: __m256i) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned, signed), _mm256_set1_epi16(1))
}

/// The same for two vectors of signed bytes, of which the second never is -128.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_signed_bytes(a: __m256i, b: __m256i) -> __m256i {
    dot_bytes(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a))
}

/// `factor` times the sums by fours of signed bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn times_ones(bytes: __m256i, factor: i8) -> __m256i {
    dot_bytes(_mm256_set1_epi8(factor), bytes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn or(a: __m256i, b: __m256i) -> __m256i {
    _mm256_or_si256(a, b)
}

/// The bytes of a block from `at`.
#[inline]
fn part<const BYTES: usize, const SIZE: usize>(block: &[u8; BYTES], at: usize) -> &[u8; SIZE] {
    let rest = block.get(at..).and_then(|rest| rest.first_chunk());
    rest.expect("parts of a block end where it does")
}

/// The bits of the scale at the start of a block; no minimum.
#[inline]
fn scale_only<const BYTES: usize>(block: &[u8; BYTES]) -> i32 {
    i32::from(u16::from_le_bytes([block[0], block[1]]))
}

/// The bits of scale and minimum at the start of a block.
#[inline]
fn scale_and_minimum<const BYTES: usize>(block: &[u8; BYTES]) -> i32 {
    i32::from_le_bytes([block[0], block[1], block[2], block[3]])
}

/// One element everywhere.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast(vector: __m256, index: u8) -> __m256 {
    _mm256_permutevar8x32_ps(vector, _mm256_set1_epi32(i32::from(index)))
}

/// Elements `2 * pair` and `2 * pair + 1`, four times each.
#[inline]
#[target_feature(enable = "avx2")]
fn two_scales(vector: __m256, pair: u8) -> __m256 {
    let offset = _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0);
    _mm256_permutevar8x32_ps(vector, _mm256_add_epi32(_mm256_set1_epi32(2 * i32::from(pair)), offset))
}

/// Eight unsigned bytes as numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(bytes: [u8; 8]) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))))
}

/// Eight signed bytes as numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn widen_signed(bytes: &[u8; 8]) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes))))
}
