//! Tensors as an audit sees them: copied to the host, byte by byte. Nothing here runs unless the context is audited.

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use placebench_core::audit::TensorPrint;
use placebench_engine::Context;
use placebench_engine::audit::changed;

use crate::device::Placed;
use crate::error::EngineError;

/// A tensor as it lies in memory, row by row, little-endian.
pub(crate) struct Image {
    bytes: Vec<u8>,
    element_bytes: usize,
    print: TensorPrint,
}

/// The value of an element from its bytes.
type ReadElement<'a> = &'a dyn Fn(&[u8]) -> f32;

impl Image {
    /// Waits for the tensor and reads it back.
    ///
    /// # Errors
    /// When the device cannot be read.
    fn of(tensor: &Placed) -> Result<Self, EngineError> {
        tensor
            .read(Self::read)
            .map_err(EngineError::candle("reading a tensor for the audit"))
    }

    fn read(tensor: &Tensor) -> candle_core::Result<Self> {
        let shape: Vec<u64> = tensor.dims().iter().map(|length| *length as u64).collect();
        let dtype = tensor.dtype();
        let flat = tensor.flatten_all()?;
        let f32_of = |element: &[u8]| element.try_into().map_or(f32::NAN, f32::from_le_bytes);
        let f16_of = |element: &[u8]| {
            element
                .try_into()
                .map_or(f32::NAN, |raw| f16::from_le_bytes(raw).to_f32())
        };
        let bf16_of = |element: &[u8]| {
            element
                .try_into()
                .map_or(f32::NAN, |raw| bf16::from_le_bytes(raw).to_f32())
        };
        let (bytes, value): (Vec<u8>, ReadElement<'_>) = match dtype {
            DType::F16 => (raw(&flat.to_vec1::<f16>()?, |x| x.to_le_bytes()), &f16_of),
            DType::BF16 => (raw(&flat.to_vec1::<bf16>()?, |x| x.to_le_bytes()), &bf16_of),
            // Every activation of this decoder is one of the three; others are shown as what they convert to.
            _ => {
                let values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                (raw(&values, |x| x.to_le_bytes()), &f32_of)
            }
        };
        Ok(Self {
            element_bytes: bytes.len() / tensor.elem_count().max(1),
            print: TensorPrint::of(dtype.as_str(), &shape, &bytes, value),
            bytes,
        })
    }
}

fn raw<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|x| bytes(*x)).collect()
}

/// What a module made.
///
/// # Errors
/// When the device cannot be read.
pub(crate) fn output(module: usize, made: &Placed, context: &mut Context) -> Result<(), EngineError> {
    if context.is_audited() {
        context.audit_output(module, Image::of(made)?.print);
    }
    Ok(())
}

/// What is about to leave a device; nothing where the context is not audited.
///
/// # Errors
/// When the device cannot be read.
pub(crate) fn sent(hop: usize, x: &Placed, context: &mut Context) -> Result<Option<Image>, EngineError> {
    if !context.is_audited() {
        return Ok(None);
    }
    let image = Image::of(x)?;
    context.audit_sent(hop, image.print.clone());
    Ok(Some(image))
}

/// What came of it on the other device.
///
/// # Errors
/// When the device cannot be read.
pub(crate) fn arrived(hop: usize, sent: Option<&Image>, x: &Placed, context: &mut Context) -> Result<(), EngineError> {
    if let Some(sent) = sent {
        let image = Image::of(x)?;
        let differs = changed(&sent.bytes, &image.bytes, image.element_bytes);
        context.audit_arrived(hop, image.print, differs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Slot;
    use candle_core::Device;

    fn image(tensor: &Tensor) -> Image {
        Image::of(&Placed::made_on(Slot::CPU, tensor.clone())).unwrap()
    }

    #[test]
    fn every_type_is_read_as_it_lies_in_memory() {
        let values = Tensor::new(&[[1.5_f32, -2.0, 0.0], [0.25, 4.0, -8.0]], &Device::Cpu).unwrap();
        for (dtype, bytes) in [(DType::F32, 4), (DType::F16, 2), (DType::BF16, 2)] {
            let image = image(&values.to_dtype(dtype).unwrap());
            assert_eq!(
                (image.bytes.len(), image.element_bytes),
                (6 * bytes, bytes),
                "{dtype:?}"
            );
            assert_eq!(image.print.dtype, dtype.as_str());
            assert_eq!(
                (image.print.min, image.print.max, image.print.zeros),
                (-8.0, 4.0, 1),
                "{dtype:?}"
            );
            assert_eq!(image.print.sample, [Some(0.25), Some(4.0), Some(-8.0)], "{dtype:?}");
        }
    }

    #[test]
    fn a_view_is_read_and_not_the_storage_behind_it() {
        let all = Tensor::arange(0_f32, 12.0, &Device::Cpu)
            .unwrap()
            .reshape((3, 4))
            .unwrap();
        let turned = image(&all.t().unwrap());
        assert_eq!(turned.print.shape, [4, 3]);
        assert_eq!(turned.print.sample, [Some(3.0), Some(7.0), Some(11.0)]);
        let row = image(&all.narrow(0, 2, 1).unwrap());
        assert_eq!(row.print.digest, image(&all).print.last_row);
        assert_eq!(row.bytes.len(), 16);
    }
}
