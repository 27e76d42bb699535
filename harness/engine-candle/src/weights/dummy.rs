//! Random weights in real shapes: `load_format = "dummy"`, for measuring placements of models that are not here.
//!
//! A weight is a function of the seed, its tensor's name and its position, and of nothing else: a model is the same under
//! every placement, on every number of threads, and in every element type up to rounding. Tensors are made one at a time,
//! straight in the type that is computed in; only weights for another device are in memory twice, one tensor at a time.

use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16};
use rayon::prelude::*;

use super::{Compute, WeightSource, WeightsError};
use crate::model::linear::Matrix;

/// Numbers one step of the generator gives.
const LANES: usize = 4;

/// Steps a thread makes at least: fewer are not worth waking it.
const STEPS_A_THREAD: usize = 1 << 14;

/// How far norms are from one, and biases from zero.
const SMALL: f32 = 0.1;

/// Weights that are made when they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct DummyWeights {
    seed: u64,
    dtype: DType,
}

impl DummyWeights {
    /// Weights of that seed in `dtype`: f32, f16 or bf16.
    #[must_use]
    pub fn new(seed: u64, dtype: DType) -> Self {
        Self { seed, dtype }
    }

    fn tensor(&self, name: &str, shape: &[usize], spread: Spread, device: &Device) -> Result<Tensor, WeightsError> {
        let stream = Stream::new(self.seed, name);
        match self.dtype {
            DType::F16 => fill(stream, shape, |unit| f16::from_f32(spread.at(unit)), device),
            DType::BF16 => fill(stream, shape, |unit| bf16::from_f32(spread.at(unit)), device),
            _ => fill(stream, shape, |unit| spread.at(unit), device),
        }
        .map_err(|reason| WeightsError::Unreadable {
            name: name.to_owned(),
            reason,
        })
    }
}

impl WeightSource for DummyWeights {
    /// Uniform with variance `1 / columns`, so that a product with numbers of variance 1 has variance 1 again
    /// (LeCun et al., *Efficient BackProp*, 1998, section 4.6): activations neither vanish nor overflow, at any width. The
    /// output of attention is scaled down.
    fn matrix(&self, name: &str, (rows, columns): (usize, usize), device: &Device) -> Result<Matrix, WeightsError> {
        let spread = Spread {
            centre: 0.0,
            half_width: (3.0 / columns.max(1) as f32).sqrt() * scale(name),
        };
        self.tensor(name, &[rows, columns], spread, device).map(Matrix::Dense)
    }

    /// Biases near zero, everything else (norms) near one.
    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError> {
        let spread = Spread {
            centre: if name.ends_with("bias") { 0.0 } else { 1.0 },
            half_width: SMALL,
        };
        self.tensor(name, &[len], spread, device)
    }

    fn compute(&self) -> Compute {
        Compute::Dense(self.dtype)
    }
}

/// Attention adds less to the hidden state than its fan-in would give. Random attention averages over all positions, so
/// that they grow alike from layer to layer (Dong et al., *Attention is not all you need*, 2021) and every step would
/// choose the same token, which is what a broken placement looks like.
fn scale(name: &str) -> f32 {
    if name.ends_with("o_proj.weight") { 0.25 } else { 1.0 }
}

/// A uniform distribution.
#[derive(Debug, Clone, Copy)]
struct Spread {
    centre: f32,
    half_width: f32,
}

impl Spread {
    /// The value for a number in `[-1, 1)`.
    fn at(self, unit: f32) -> f32 {
        self.centre + self.half_width * unit
    }
}

/// `SplitMix64` (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, 2014), whose n-th number can be
/// computed without the others.
#[derive(Debug, Clone, Copy)]
struct Stream(u64);

impl Stream {
    /// The stream of a tensor. Names are hashed with FNV-1a: the standard library's hashes may change.
    fn new(seed: u64, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mix(hash ^ mix(seed)))
    }

    /// The n-th four numbers in `[-1, 1)`, of 16 bits each: more than half-precision weights can hold.
    fn units(self, step: usize) -> [f32; LANES] {
        let bits = mix(self.0.wrapping_add((step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let [a, b, c, d, e, f, g, h] = bits.to_le_bytes();
        [[a, b], [c, d], [e, f], [g, h]].map(|pair| f32::from(i16::from_le_bytes(pair)) / 32_768.0)
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Makes a tensor in parallel, in its final buffer where the device is the host.
fn fill<T: WithDType>(
    stream: Stream,
    shape: &[usize],
    value: impl Fn(f32) -> T + Sync,
    device: &Device,
) -> Result<Tensor, String> {
    let too_large = |elements: &str| format!("out of memory: {elements} elements of {:?}", T::DTYPE);
    let elements = shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .ok_or_else(|| too_large(&format!("{shape:?}")))?;
    let steps = elements.div_ceil(LANES);
    let mut values: Vec<[T; LANES]> = Vec::new();
    // A collection that cannot grow would end the process; this reports.
    values
        .try_reserve_exact(steps)
        .map_err(|_| too_large(&elements.to_string()))?;
    values.par_extend(
        (0..steps)
            .into_par_iter()
            .with_min_len(STEPS_A_THREAD)
            .map(|step| stream.units(step).map(&value)),
    );
    let mut values = values.into_flattened();
    values.truncate(elements);
    Tensor::from_vec(values, shape, device).map_err(|error| crate::error::first_line(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(seed: u64, name: &str, shape: (usize, usize), dtype: DType) -> Vec<f32> {
        let source = DummyWeights::new(seed, dtype);
        let made = source.matrix(name, shape, &Device::Cpu).unwrap().dense().unwrap();
        assert_eq!((made.dtype(), made.dims2().unwrap()), (dtype, shape));
        made.to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    fn moments(values: &[f32]) -> (f32, f32) {
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
        (mean, variance)
    }

    #[test]
    fn weights_depend_on_seed_and_name_alone() {
        // Larger than what one thread makes, and no multiple of the lanes.
        let shape = (301, 301);
        let here = || matrix(1, "a.weight", shape, DType::F32);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(here(), alone.install(here));
        assert_ne!(here(), matrix(2, "a.weight", shape, DType::F32));
        assert_ne!(here(), matrix(1, "b.weight", shape, DType::F32));
    }

    /// Approved texts of scenarios depend on these numbers, which a second implementation of the generator gave.
    #[test]
    fn the_numbers_are_fixed_for_good() {
        let made = matrix(0, "model.embed_tokens.weight", (2, 3), DType::F32);
        let units = [27_018.0, -6790.0, -23_770.0, -803.0, -20_765.0, -7847.0];
        // Three columns: half a width of exactly one.
        assert_eq!(made, units.map(|unit: f32| unit / 32_768.0));
    }

    #[test]
    fn element_types_differ_by_rounding_only() {
        let exact = matrix(3, "w", (64, 96), DType::F32);
        for (dtype, unit_roundoff) in [(DType::F16, 4.9e-4_f32), (DType::BF16, 3.91e-3)] {
            let rounded = matrix(3, "w", (64, 96), dtype);
            for (value, exact) in rounded.iter().zip(&exact) {
                assert!(
                    (value - exact).abs() <= unit_roundoff * exact.abs() + 1e-7,
                    "{value} {exact}"
                );
            }
        }
    }

    #[test]
    fn products_keep_their_size_and_norms_are_near_one() {
        for columns in [64, 4096] {
            let (mean, variance) = moments(&matrix(5, "w", (256, columns), DType::F32));
            let expected = 1.0 / columns as f32;
            assert!(mean.abs() < 0.05 * expected.sqrt(), "{mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{variance}");
        }
        let vector = |name: &str| -> Vec<f32> {
            let source = DummyWeights::new(5, DType::F32);
            source.vector(name, 2048, &Device::Cpu).unwrap().to_vec1().unwrap()
        };
        let (norm, _) = moments(&vector("model.norm.weight"));
        let (bias, _) = moments(&vector("q_proj.bias"));
        assert!((norm - 1.0).abs() < 0.01 && bias.abs() < 0.01, "{norm} {bias}");
    }

    #[test]
    fn what_no_memory_holds_is_out_of_memory() {
        for shape in [(usize::MAX, 2), (1 << 40, 1 << 20)] {
            let error = DummyWeights::new(0, DType::F32)
                .matrix("w", shape, &Device::Cpu)
                .unwrap_err();
            assert_eq!(
                error.class(),
                placebench_core::outcome::FailureClass::OutOfMemory,
                "{error}"
            );
        }
    }
}
