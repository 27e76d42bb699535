//! Weights in a GGUF file: quantised as stored, or dequantised.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use super::mapped::WeightFiles;
use super::{Compute, WeightSource, WeightsError};
use crate::checkpoint::{Checkpoint, StoredDtype, StoredTensor};
use crate::model::linear::Matrix;

/// An open GGUF file.
pub struct GgufWeights {
    file: WeightFiles,
    compute: Compute,
}

impl GgufWeights {
    /// Opens the file of a checkpoint.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(checkpoint: &Checkpoint, compute: Compute) -> Result<Self, WeightsError> {
        Ok(Self {
            file: WeightFiles::open(checkpoint)?,
            compute,
        })
    }

    fn quantised(&self, stored: &StoredTensor, blocks: GgmlDType, device: &Device) -> Result<QTensor, WeightsError> {
        self.file.read(stored, |bytes| {
            // candle looks at the bytes as blocks, of which the most demanding begin with a 32-bit number.
            if !bytes.as_ptr().cast::<u32>().is_aligned() {
                candle_core::bail!("it begins at byte {}, which is no multiple of 4", stored.offset);
            }
            let storage = QStorage::from_data(Cow::Borrowed(bytes), device, blocks)?;
            QTensor::new(storage, stored.shape.as_slice())
        })
    }

    fn dense(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor, WeightsError> {
        let stored = self.file.find(name, shape)?;
        // Made on the host: only there are all formats exact to the bit, and the device then never holds two copies.
        let made = match stored.dtype {
            StoredDtype::Plain(plain) => self.file.read(stored, |bytes| {
                Tensor::from_raw_buffer(bytes, plain, shape, &Device::Cpu)
            })?,
            StoredDtype::Packed(blocks) => self
                .quantised(stored, blocks, &Device::Cpu)?
                .dequantize(&Device::Cpu)
                .map_err(WeightsError::unreadable(name))?,
        };
        made.to_dtype(dtype)
            .and_then(|tensor| tensor.to_device(device))
            .map_err(WeightsError::unreadable(name))
    }
}

impl WeightSource for GgufWeights {
    fn matrix(&self, name: &str, (rows, columns): (usize, usize), device: &Device) -> Result<Matrix, WeightsError> {
        let shape = [rows, columns];
        let stored = self.file.find(name, &shape)?;
        match (self.compute, stored.dtype) {
            (Compute::Dense(dtype), _) => self.dense(name, &shape, dtype, device).map(Matrix::Dense),
            (Compute::Quantised, StoredDtype::Plain(_)) => {
                self.dense(name, &shape, DType::F32, device).map(Matrix::Dense)
            }
            (Compute::Quantised, StoredDtype::Packed(blocks)) => self
                .quantised(stored, blocks, device)
                .map(|tensor| Matrix::Quantised(Arc::new(tensor))),
        }
    }

    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError> {
        self.dense(name, &[len], self.compute.activations(), device)
    }

    fn compute(&self) -> Compute {
        self.compute
    }
}
