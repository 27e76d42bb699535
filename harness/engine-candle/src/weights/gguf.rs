//! Weights in a GGUF file: quantised as stored, or dequantised.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::{Compute, WeightSource, WeightsError, gguf_name};
use crate::model::linear::Matrix;

/// An open GGUF file.
pub struct GgufWeights {
    content: Content,
    file: Mutex<BufReader<File>>,
    compute: Compute,
}

impl GgufWeights {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be opened or its header cannot be read.
    pub fn open(path: &Path, compute: Compute) -> Result<Self, WeightsError> {
        let unreadable = |reason: String| WeightsError::Unreadable {
            name: path.display().to_string(),
            reason,
        };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let mut file = BufReader::new(file);
        let content = Content::read(&mut file).map_err(WeightsError::unreadable(&path.display().to_string()))?;
        Ok(Self {
            content,
            file: Mutex::new(file),
            compute,
        })
    }

    fn read(&self, name: &str, shape: &[usize], device: &Device) -> Result<QTensor, WeightsError> {
        let missing = |name: &str| WeightsError::Missing { name: name.to_owned() };
        let name = gguf_name(name).ok_or_else(|| missing(name))?;
        let info = self.content.tensor_infos.get(&name).ok_or_else(|| missing(&name))?;
        WeightsError::check_shape(&name, info.shape.dims(), shape)?;
        // A read begins with a seek, so whatever a panic left behind does not matter.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        info.read(&mut *file, self.content.tensor_data_offset, device)
            .map_err(WeightsError::unreadable(&name))
    }

    fn dense(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor, WeightsError> {
        // Dequantised on the host: only there are all formats exact to the bit, and the device then never holds two copies.
        let quantised = self.read(name, shape, &Device::Cpu)?;
        quantised
            .dequantize(&Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(dtype)?.to_device(device))
            .map_err(WeightsError::unreadable(name))
    }
}

impl WeightSource for GgufWeights {
    fn matrix(&self, name: &str, (rows, columns): (usize, usize), device: &Device) -> Result<Matrix, WeightsError> {
        let shape = [rows, columns];
        match self.compute {
            Compute::Dense(dtype) => self.dense(name, &shape, dtype, device).map(Matrix::Dense),
            Compute::Quantised => {
                let tensor = self.read(name, &shape, device)?;
                if matches!(tensor.dtype(), GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
                    return self.dense(name, &shape, DType::F32, device).map(Matrix::Dense);
                }
                Ok(Matrix::Quantised(Arc::new(tensor)))
            }
        }
    }

    fn vector(&self, name: &str, len: usize, device: &Device) -> Result<Tensor, WeightsError> {
        self.dense(name, &[len], self.compute.activations(), device)
    }

    fn compute(&self) -> Compute {
        self.compute
    }
}
