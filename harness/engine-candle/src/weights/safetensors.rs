//! Weights in safetensors files, read through a memory map.

use std::path::PathBuf;

use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Tensor};

use super::{Compute, WeightSource, WeightsError};
use crate::model::linear::Matrix;

/// The mapped files of a checkpoint.
pub struct SafetensorsWeights {
    files: MmapedSafetensors,
    dtype: DType,
}

impl SafetensorsWeights {
    /// Maps the files; weights are converted to `dtype` as they are read.
    ///
    /// # Errors
    /// When a file cannot be mapped or its header cannot be read.
    pub fn open(files: &[PathBuf], dtype: DType) -> Result<Self, WeightsError> {
        #[expect(
            unsafe_code,
            reason = "the map is read-only, and a checkpoint that changes while it is measured is no checkpoint"
        )]
        let mapped = unsafe { MmapedSafetensors::multi(files) };
        Ok(Self {
            files: mapped.map_err(WeightsError::unreadable("model.safetensors"))?,
            dtype,
        })
    }

    fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, WeightsError> {
        let view = self
            .files
            .get(name)
            .map_err(|_| WeightsError::Missing { name: name.to_owned() })?;
        WeightsError::check_shape(name, view.shape(), shape)?;
        // Converted on the host: the device then never holds two copies of a weight.
        view.load(&Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(self.dtype)?.to_device(device))
            .map_err(WeightsError::unreadable(name))
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
