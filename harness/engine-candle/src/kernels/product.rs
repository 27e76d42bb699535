//! Products of activations with a matrix of weights on the host.
//!
//! Few rows are bound by reading the weights: dot products with activations in 8 bits (quantised weights) or single
//! precision (bfloat16). Many rows are bound by arithmetic: some rows of weights at a time are written out in single
//! precision, few enough to stay in the cache, and multiplied by `gemm`.

use std::cell::RefCell;

use half::bf16;

use super::format::Format;
use super::gemm::{self, Strided};
use super::isa::Isa;
use super::panels::{Panel, for_each_panel, thread_count};
use super::rows::QuantisedRows;

/// From this many rows on quantised weights are written out. Measured on one thread (`benches/linear.rs`): with vector
/// instructions both take equally long at 15 rows (`Q4_0`) to 40 (`Q4_K`), without them at 1 or 2.
pub(super) fn many_rows(isa: Isa) -> usize {
    match isa {
        Isa::Portable => 2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => 16,
    }
}

/// What the weights of a panel may take, written out: less than the second-level cache of any processor in use.
const PANEL_BYTES: usize = 256 << 10;

/// A matrix of weights, `[out, in]`, row after row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weights<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// Blocks.
    Blocks(Format, &'a [u8]),
}

/// The sizes of a product: `rows` of activations, `input` elements each, `output` rows of weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// `x · Wᵀ`, `[rows, output]`, in single precision.
///
/// # Panics
/// When the lengths of `x` and `weights` are not what `sizes` says; the caller has checked the shapes.
pub(super) fn product(x: &[f32], weights: Weights<'_>, sizes: Sizes, isa: Isa) -> Vec<f32> {
    assert_eq!(x.len(), sizes.rows * sizes.input, "activations");
    let mut output = vec![0.0; sizes.rows * sizes.output];
    if sizes.input == 0 {
        return output;
    }
    if sizes.rows < many_rows(isa) {
        by_dots(x, weights, sizes, isa, &mut output);
    } else {
        by_panels(x, weights, sizes, isa, &mut output);
    }
    output
}

/// Dot products, four rows of weights at a time.
fn by_dots(x: &[f32], weights: Weights<'_>, sizes: Sizes, isa: Isa, output: &mut [f32]) {
    let quantised = match weights {
        Weights::Blocks(..) => Some(QuantisedRows::new(x, sizes.input)),
        Weights::F32(_) | Weights::Bf16(_) => None,
    };
    // A few pieces for each thread, so that one that comes late takes less. Smaller ones would break the stream of weights,
    // and neighbours would write to the same cache lines.
    let width = sizes.output.div_ceil(4 * thread_count()).next_multiple_of(16);
    for_each_panel(output, sizes.output, width, |mut panel| {
        let columns = panel.columns();
        for first in columns.clone().step_by(4) {
            let numbers: [usize; 4] = std::array::from_fn(|i| (first + i).min(columns.end - 1));
            for row in 0..sizes.rows {
                let products = match (&quantised, weights) {
                    (Some(x), Weights::Blocks(format, bytes)) => {
                        let row_bytes = format.row_bytes(sizes.input);
                        let weights = numbers.map(|number| &bytes[number * row_bytes..(number + 1) * row_bytes]);
                        isa.dot(format, weights, x.row(row))
                    }
                    _ => dot_elements(weights, numbers, &x[row * sizes.input..(row + 1) * sizes.input], isa),
                };
                let wanted = &mut panel.row(row)[first - columns.start..];
                for (output, product) in wanted.iter_mut().zip(products) {
                    *output = product;
                }
            }
        }
    });
}

fn dot_elements(weights: Weights<'_>, numbers: [usize; 4], x: &[f32], isa: Isa) -> [f32; 4] {
    let range = |number: usize| number * x.len()..(number + 1) * x.len();
    match weights {
        Weights::Blocks(..) => [f32::NAN; 4],
        Weights::F32(all) => isa.dot_f32(numbers.map(|number| &all[range(number)]), x),
        Weights::Bf16(all) => isa.dot_bf16(numbers.map(|number| &all[range(number)]), x),
    }
}

/// Panels of weights in single precision, each multiplied with all rows.
fn by_panels(x: &[f32], weights: Weights<'_>, sizes: Sizes, isa: Isa, output: &mut [f32]) {
    thread_local! {
        static WRITTEN_OUT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    let fitting = PANEL_BYTES / size_of::<f32>() / sizes.input;
    let width = (fitting / 16 * 16).clamp(16, 128);
    let x = Strided::rows(x, sizes.input);
    for_each_panel(output, sizes.output, width, |mut panel| {
        let columns = panel.columns();
        let elements = columns.start * sizes.input..columns.end * sizes.input;
        WRITTEN_OUT.with_borrow_mut(|buffer| {
            if buffer.len() < elements.len() {
                buffer.resize(elements.len(), 0.0);
            }
            let buffer = &mut buffer[..elements.len()];
            match weights {
                Weights::F32(all) => buffer.copy_from_slice(&all[elements]),
                Weights::Bf16(all) => widen(&all[elements], buffer),
                Weights::Blocks(format, bytes) => {
                    let row_bytes = format.row_bytes(sizes.input);
                    let bytes = &bytes[columns.start * row_bytes..columns.end * row_bytes];
                    isa.dequantise(format, bytes, buffer);
                }
            }
            multiply(x, buffer, sizes.input, &mut panel);
        });
    });
}

fn multiply(x: Strided<'_>, weights: &[f32], input: usize, panel: &mut Panel<'_>) {
    gemm::into_panel(x, Strided::rows(weights, input).transposed(), panel, 0);
}

fn widen(weights: &[bf16], buffer: &mut [f32]) {
    for (element, weight) in buffer.iter_mut().zip(weights) {
        *element = weight.to_f32();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::format;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    /// Numbers between -2 and 2 with groups of very different sizes among them.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let noise = |i: usize| ((i as f32 + seed as f32 * 7.1) * 78.233).sin();
        (0..count)
            .map(|i| noise(i) * if (i / 32).is_multiple_of(3) { 2.0 } else { 0.05 })
            .collect()
    }

    /// `x · Wᵀ` in double precision, and for each element the sum of the products' magnitudes.
    fn exactly(x: &[f32], weights: &[f32], sizes: Sizes) -> Vec<(f64, f64)> {
        let rows = x.chunks_exact(sizes.input);
        rows.flat_map(|x| {
            weights.chunks_exact(sizes.input).map(|weights| {
                let products = x.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b));
                products.fold((0.0, 0.0), |(sum, size), product| (sum + product, size + product.abs()))
            })
        })
        .collect()
    }

    /// What rounding each group of activations to 8 bits may change: half a step of its scale, times the weights.
    fn rounding(x: &[f32], weights: &[f32], sizes: Sizes) -> Vec<f64> {
        let rows = x.chunks_exact(sizes.input);
        rows.flat_map(|x| {
            weights.chunks_exact(sizes.input).map(|weights| {
                let groups = x.chunks(32).zip(weights.chunks(32));
                groups
                    .map(|(x, weights)| {
                        let largest = x.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                        let sum: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum();
                        f64::from(largest) / 127.0 * 0.5001 * sum
                    })
                    .sum()
            })
        })
        .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Every format, every set of instructions, few and many rows: off by no more than the rounding of activations
        /// (dot products only) and that of single precision.
        #[test]
        fn quantised_products_are_within_their_rounding(
            rows in 1_usize..20, blocks in 1_usize..4, output in 1_usize..40, seed in 0_u32..1000,
        ) {
            let sizes = Sizes { rows, input: 256 * blocks, output };
            let x = numbers(rows * sizes.input, seed);
            let weights = Tensor::from_vec(numbers(output * sizes.input, seed + 1), (output, sizes.input), &Device::Cpu);
            let weights = weights.unwrap();
            for (format, dtype) in format::ALL {
                let quantised = QTensor::quantize(&weights, dtype).unwrap();
                let dense = quantised.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let expected = exactly(&x, &dense, sizes);
                let rounding = rounding(&x, &dense, sizes);
                for isa in Isa::available() {
                    let found = product(&x, Weights::Blocks(format, &quantised.data().unwrap()), sizes, isa);
                    for ((found, (expected, size)), rounding) in found.iter().zip(&expected).zip(&rounding) {
                        let allowed = size * 1e-5 + if rows < many_rows(isa) { *rounding } else { 0.0 };
                        let error = (f64::from(*found) - expected).abs();
                        prop_assert!(error <= allowed, "{format:?} {isa:?}: {found} for {expected}, {allowed}");
                    }
                }
            }
        }

        /// The same number from every set of instructions but for the order of sums: rounding to 8 bits is the same.
        #[test]
        fn instructions_agree(blocks in 1_usize..4, output in 1_usize..9, groups in 1_usize..20, seed in 0_u32..1000) {
            for (format, dtype) in format::ALL {
                let is_k = matches!(format, Format::Q4K | Format::Q5K | Format::Q6K);
                let sizes = Sizes { rows: 1, input: if is_k { 256 * blocks } else { 32 * groups }, output };
                let x = numbers(sizes.input, seed);
                let weights = Tensor::from_vec(numbers(output * sizes.input, seed), (output, sizes.input), &Device::Cpu);
                let weights = QTensor::quantize(&weights.unwrap(), dtype).unwrap();
                let bytes = weights.data().unwrap();
                let portable = product(&x, Weights::Blocks(format, &bytes), sizes, Isa::Portable);
                let dense = weights.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let sizes_of = exactly(&x, &dense, sizes);
                for isa in Isa::available() {
                    let found = product(&x, Weights::Blocks(format, &bytes), sizes, isa);
                    for ((found, expected), (_, size)) in found.iter().zip(&portable).zip(&sizes_of) {
                        prop_assert!(f64::from((found - expected).abs()) <= size * 1e-5 + 1e-6, "{format:?} {isa:?}");
                    }
                }
            }
        }

        #[test]
        fn products_with_elements_are_within_single_precision(
            rows in 1_usize..20, input in 1_usize..70, output in 1_usize..40, seed in 0_u32..1000,
        ) {
            let sizes = Sizes { rows, input, output };
            let x = numbers(rows * input, seed);
            let singles = numbers(output * input, seed + 1);
            let brains: Vec<bf16> = singles.iter().map(|weight| bf16::from_f32(*weight)).collect();
            let dense: Vec<f32> = brains.iter().map(|weight| weight.to_f32()).collect();
            for (weights, values) in [(Weights::Bf16(&brains), &dense), (Weights::F32(&singles), &singles)] {
                let expected = exactly(&x, values, sizes);
                for isa in Isa::available() {
                    let found = product(&x, weights, sizes, isa);
                    for (found, (expected, size)) in found.iter().zip(&expected) {
                        let error = (f64::from(*found) - expected).abs();
                        prop_assert!(error <= size * 1e-5, "{isa:?}: {found} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_reaches_every_output() {
        let weights = QTensor::quantize(
            &Tensor::ones((5, 64), candle_core::DType::F32, &Device::Cpu).unwrap(),
            candle_core::quantized::GgmlDType::Q4_1,
        )
        .unwrap();
        for rows in [1, 20] {
            let x = vec![f32::NAN; rows * 64];
            let sizes = Sizes {
                rows,
                input: 64,
                output: 5,
            };
            for isa in Isa::available() {
                let found = product(&x, Weights::Blocks(Format::Q4_1, &weights.data().unwrap()), sizes, isa);
                assert!(found.iter().all(|output| output.is_nan()), "{isa:?}");
            }
        }
    }
}
