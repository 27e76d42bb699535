//! The product of a linear map as an operation on candle's tensors.

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Storage, Tensor, WithDType, bail};
use half::bf16;

use super::format::Format;
use super::isa::Isa;
use super::product::{Sizes, Weights, many_rows, product};

/// The weights of a map, where they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// Elements, `[out, in]`.
    Dense(&'a Tensor),
    /// Blocks, `[out, in]`.
    Quantised(&'a QTensor),
}

/// `x · Wᵀ` where these kernels do better than candle: quantised weights of a format they know, bfloat16, and a few rows in
/// single precision. `None` for everything else, which is left to candle.
///
/// # Errors
/// When the shapes do not match.
pub(crate) fn multiply(x: &Tensor, weights: Operand<'_>) -> Result<Option<Tensor>> {
    let (Device::Cpu, [rows, input]) = (x.device(), x.dims()) else {
        return Ok(None);
    };
    let (rows, input) = (*rows, *input);
    let is_served = match weights {
        Operand::Quantised(tensor) => {
            tensor.device().is_cpu()
                && x.dtype() == DType::F32
                && Format::of(tensor.dtype()).is_some_and(|format| is_better(format, rows))
        }
        // A single row candle multiplies as fast as memory delivers single and half precision; bfloat16 it widens at every
        // product. For a few rows in single precision it packs the weights first, which takes longer than the product.
        Operand::Dense(tensor) => {
            let is_on_host = tensor.device().is_cpu() && tensor.is_contiguous();
            let is_better = match tensor.dtype() {
                DType::F32 => FEW_ROWS.contains(&rows),
                dtype => dtype == DType::BF16,
            };
            is_on_host && is_better && tensor.dtype() == x.dtype()
        }
    };
    if !is_served {
        return Ok(None);
    }
    let shape = match weights {
        Operand::Dense(tensor) => tensor.dims2()?,
        Operand::Quantised(tensor) => tensor.shape().dims2()?,
    };
    if shape.1 != input {
        bail!("activations of {input} elements do not fit weights of the shape {shape:?}");
    }
    let operation = Product {
        weights,
        sizes: Sizes {
            rows,
            input,
            output: shape.0,
        },
    };
    x.contiguous()?.apply_op1_no_bwd(&operation).map(Some)
}

/// Rows of single precision, as a batch of sequences has them while decoding.
const FEW_ROWS: std::ops::RangeInclusive<usize> = 2..=8;

/// On ARM candle has dot products of its own for most formats, and there are none for that processor here.
fn is_better(format: Format, rows: usize) -> bool {
    let has_minimum_or_fifth_bit = matches!(format, Format::Q4_1 | Format::Q5_0 | Format::Q5_1);
    !cfg!(target_arch = "aarch64") || has_minimum_or_fifth_bit || rows >= many_rows(Isa::best())
}

struct Product<'a> {
    weights: Operand<'a>,
    sizes: Sizes,
}

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = Shape::from((self.sizes.rows, self.sizes.output));
        let output = match self.weights {
            Operand::Quantised(tensor) => {
                let Some(format) = Format::of(tensor.dtype()) else {
                    bail!("no kernel for {:?}", tensor.dtype())
                };
                let data = tensor.data()?;
                let x = elements::<f32>(storage, layout)?;
                CpuStorage::F32(product(x, Weights::Blocks(format, &data), self.sizes, Isa::best()))
            }
            Operand::Dense(tensor) => {
                let (weights, weights_layout) = tensor.storage_and_layout();
                let Storage::Cpu(weights) = &*weights else {
                    bail!("weights are not on the host")
                };
                if tensor.dtype() == DType::F32 {
                    let weights = Weights::F32(elements(weights, weights_layout)?);
                    let x = elements::<f32>(storage, layout)?;
                    return Ok((CpuStorage::F32(product(x, weights, self.sizes, Isa::best())), shape));
                }
                let weights = Weights::Bf16(elements(weights, weights_layout)?);
                let x: Vec<f32> = elements::<bf16>(storage, layout)?.iter().map(|x| x.to_f32()).collect();
                let output = product(&x, weights, self.sizes, Isa::best());
                CpuStorage::BF16(output.into_iter().map(bf16::from_f32).collect())
            }
        };
        Ok((output, shape))
    }
}

/// The elements of a contiguous tensor.
///
/// # Errors
/// When it is not contiguous or has another dtype.
pub(super) fn elements<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a tensor is not contiguous")
    };
    let all = storage.as_slice::<T>()?;
    all.get(start..end)
        .ok_or_else(|| candle_core::Error::Msg("a tensor is shorter than its shape".into()))
}
