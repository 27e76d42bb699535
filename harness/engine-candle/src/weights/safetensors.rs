//! Weights in safetensors files.

use candle_core::{DType, Device, Tensor};

use super::mapped::WeightFiles;
use super::{Compute, WeightSource, WeightsError};
use crate::checkpoint::{Checkpoint, StoredDtype};
use crate::model::linear::Matrix;

/// The files of a checkpoint.
pub struct SafetensorsWeights {
    files: WeightFiles,
    dtype: DType,
}

impl SafetensorsWeights {
    /// Opens the files; weights are converted to `dtype` as they are read.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(checkpoint: &Checkpoint, dtype: DType) -> Result<Self, WeightsError> {
        Ok(Self {
            files: WeightFiles::open(checkpoint)?,
            dtype,
        })
    }

    fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, WeightsError> {
        let stored = self.files.find(name, shape)?;
        let StoredDtype::Plain(dtype) = stored.dtype else {
            return Err(WeightsError::Unreadable {
                name: name.to_owned(),
                reason: format!("{} is no type of this format", stored.dtype.name()),
            });
        };
        // Converted on the host: the device then never holds two copies of a weight.
        self.files.read(stored, |bytes| {
            Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)?
                .to_dtype(self.dtype)?
                .to_device(device)
        })
    }
}

impl WeightSource for SafetensorsWeights {
    fn matrix(&self, name: &str, (rows, columns): (usize, usize), device: &Device) -> Result<Matrix, WeightsError> {
        self.tensor(name, &[rows, columns], device).map(Matrix::Dense)
    }

    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError> {
        self.tensor(name, &[len], device)
    }

    fn compute(&self) -> Compute {
        Compute::Dense(self.dtype)
    }
}
