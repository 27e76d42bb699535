//! Products of activations with a matrix of weights on the host.
//!
//! Few rows are bound by reading the weights: dot products with activations in 8 bits (quantised weights) or single
//! precision (elements). Many rows are bound by arithmetic: some rows of weights at a time are written out in single
//! precision, few enough to stay in the cache, and multiplied by `gemm`.

use std::cell::RefCell;

use half::{bf16, f16};

use super::format::Format;
use super::gemm::{self, Strided};
use super::isa::Isa;
use super::panels::{Panel, for_each_panel};
use super::portable;
use super::rows::QuantisedRows;

/// From this many rows on weights are written out: measured where both take equally long (`benches/kernels.rs`).
const MANY_ROWS: usize = 10;

/// What the weights of a panel may take, written out: less than the second-level cache of any processor in use.
const PANEL_BYTES: usize = 256 << 10;

/// A matrix of weights, `[out, in]`, row after row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weights<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
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
    if sizes.rows < MANY_ROWS {
        few_rows(x, weights, sizes, isa, &mut output);
    } else {
        many_rows(x, weights, sizes, isa, &mut output);
    }
    output
}

/// Dot products, four rows of weights at a time.
fn few_rows(x: &[f32], weights: Weights<'_>, sizes: Sizes, isa: Isa, output: &mut [f32]) {
    let quantised = match weights {
        Weights::Blocks(..) => Some(QuantisedRows::new(x, sizes.input)),
        Weights::F32(_) | Weights::F16(_) | Weights::Bf16(_) => None,
    };
    // Wide enough for the pool to be worth asking, narrow enough for all threads to have some.
    for_each_panel(output, sizes.output, 16, |mut panel| {
        let columns = panel.columns();
        for first in columns.clone().step_by(4) {
            let numbers: [usize; 4] = std::array::from_fn(|i| (first + i).min(columns.end - 1));
            for row in 0..sizes.rows {
                let products = match (&quantised, weights) {
                    (Some(x), Weights::Blocks(format, bytes)) => {
                        let row_bytes = format.row_bytes(sizes.input);
                        let weights = numbers.map(|number| &bytes[number * row_bytes..(number + 1) * row_bytes]);
                        dot(format, weights, x, row, isa)
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

fn dot(format: Format, weights: [&[u8]; 4], x: &QuantisedRows, row: usize, isa: Isa) -> [f32; 4] {
    match isa {
        Isa::Portable => portable::dot(format, weights, x.row(row)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(proof) => proof.dot(format, weights, x.row(row)),
    }
}

fn dot_elements(weights: Weights<'_>, numbers: [usize; 4], x: &[f32], isa: Isa) -> [f32; 4] {
    let range = |number: usize| number * x.len()..(number + 1) * x.len();
    match (weights, isa) {
        (Weights::Blocks(..), _) => [f32::NAN; 4],
        (Weights::F32(all), Isa::Portable) => numbers.map(|number| portable::dot_elements(&all[range(number)], x, |w| w)),
        (Weights::F16(all), Isa::Portable) => numbers.map(|number| portable::dot_elements(&all[range(number)], x, f16::to_f32)),
        (Weights::Bf16(all), Isa::Portable) => numbers.map(|number| portable::dot_elements(&all[range(number)], x, bf16::to_f32)),
        #[cfg(target_arch = "x86_64")]
        (Weights::F32(all), Isa::Avx2(proof)) => proof.dot_f32(numbers.map(|number| &all[range(number)]), x),
        #[cfg(target_arch = "x86_64")]
        (Weights::F16(all), Isa::Avx2(proof)) => proof.dot_f16(numbers.map(|number| &all[range(number)]), x),
        #[cfg(target_arch = "x86_64")]
        (Weights::Bf16(all), Isa::Avx2(proof)) => proof.dot_bf16(numbers.map(|number| &all[range(number)]), x),
    }
}

/// Panels of weights in single precision, each multiplied with all rows.
fn many_rows(x: &[f32], weights: Weights<'_>, sizes: Sizes, isa: Isa, output: &mut [f32]) {
    thread_local! {
        static WRITTEN_OUT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    let fitting = PANEL_BYTES / size_of::<f32>() / sizes.input;
    let width = (fitting / 16 * 16).clamp(16, 128);
    let x = Strided::rows(x, sizes.input);
    for_each_panel(output, sizes.output, width, |mut panel| {
        let columns = panel.columns();
        let elements = columns.start * sizes.input..columns.end * sizes.input;
        if let Weights::F32(all) = weights {
            multiply(x, &all[elements], sizes.input, &mut panel);
            return;
        }
        WRITTEN_OUT.with_borrow_mut(|buffer| {
            if buffer.len() < elements.len() {
                buffer.resize(elements.len(), 0.0);
            }
            let buffer = &mut buffer[..elements.len()];
            match weights {
                Weights::F32(_) => {}
                Weights::F16(all) => widen(&all[elements], buffer, f16::to_f32),
                Weights::Bf16(all) => widen(&all[elements], buffer, bf16::to_f32),
                Weights::Blocks(format, bytes) => {
                    let row_bytes = format.row_bytes(sizes.input);
                    let bytes = &bytes[columns.start * row_bytes..columns.end * row_bytes];
                    dequantise(format, bytes, buffer, isa);
                }
            }
            multiply(x, buffer, sizes.input, &mut panel);
        });
    });
}

fn multiply(x: Strided<'_>, weights: &[f32], input: usize, panel: &mut Panel<'_>) {
    gemm::into_panel(x, Strided::rows(weights, input).transposed(), panel);
}

fn widen<T: Copy>(weights: &[T], buffer: &mut [f32], widen: impl Fn(T) -> f32) {
    for (element, weight) in buffer.iter_mut().zip(weights) {
        *element = widen(*weight);
    }
}

fn dequantise(format: Format, bytes: &[u8], weights: &mut [f32], isa: Isa) {
    match isa {
        Isa::Portable => format.dequantise(bytes, weights),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(proof) => proof.dequantise(format, bytes, weights),
    }
}
