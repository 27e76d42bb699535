//! Matrices of weights: dense or quantised.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result, Tensor};

use crate::kernels::{self, Operand};

/// A matrix of weights as it lies in memory, `[out, in]`.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// One element a weight.
    Dense(Tensor),
    /// Blocks of quantised weights.
    Quantised(Arc<QTensor>),
}

impl Matrix {
    /// Bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Dense(tensor) => tensor_bytes(tensor),
            Self::Quantised(tensor) => tensor.storage_size_in_bytes() as u64,
        }
    }

    /// The candle device it is on.
    #[must_use]
    pub fn device(&self) -> Device {
        match self {
            Self::Dense(tensor) => tensor.device().clone(),
            Self::Quantised(tensor) => tensor.device(),
        }
    }

    /// The weights as elements, on the device they are on.
    ///
    /// # Errors
    /// When the backend cannot dequantise.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor.clone()),
            Self::Quantised(tensor) => tensor.dequantize(&tensor.device()),
        }
    }

    /// A copy in a buffer of its own on `device`, also where it is on that device already.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        match self {
            Self::Dense(tensor) => copy_tensor(tensor, device).map(Self::Dense),
            Self::Quantised(tensor) => {
                let storage = QStorage::from_data(tensor.data()?, device, tensor.dtype())?;
                let copy = QTensor::new(storage, tensor.shape().clone())?;
                Ok(Self::Quantised(Arc::new(copy)))
            }
        }
    }

    /// The rows with these numbers, `[ids, in]`.
    ///
    /// # Errors
    /// When a number is beyond the last row.
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => tensor.index_select(ids, 0),
            Self::Quantised(tensor) => tensor.embedding(ids),
        }
    }
}

/// A linear map `x · Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    matrix: Matrix,
    /// The same weights in the form candle multiplies with; shares the buffer of `matrix`.
    quantised: Option<QMatMul>,
    bias: Option<Tensor>,
}

impl Linear {
    /// A map with these weights.
    ///
    /// # Errors
    /// When candle cannot multiply with that quantisation.
    pub fn new(matrix: Matrix, bias: Option<Tensor>) -> Result<Self> {
        let quantised = match &matrix {
            Matrix::Dense(_) => None,
            Matrix::Quantised(tensor) => Some(QMatMul::from_arc(Arc::clone(tensor))?),
        };
        Ok(Self {
            matrix,
            quantised,
            bias,
        })
    }

    /// Its weights.
    #[must_use]
    pub fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// Applies it to the rows of `x`, `[n, in]`.
    ///
    /// # Errors
    /// When shapes or dtypes do not match.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let operand = match &self.matrix {
            Matrix::Dense(weights) => Operand::Dense(weights),
            Matrix::Quantised(tensor) => Operand::Quantised(tensor),
        };
        let y = match (kernels::multiply(x, operand)?, &self.matrix, &self.quantised) {
            (Some(y), ..) => y,
            (None, Matrix::Dense(weights), _) => x.matmul(&weights.t()?)?,
            (None, Matrix::Quantised(_), Some(matmul)) => matmul.forward(x)?,
            (None, Matrix::Quantised(tensor), None) => QMatMul::from_arc(Arc::clone(tensor))?.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Bytes of weights and bias.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.matrix.bytes() + self.bias.as_ref().map_or(0, tensor_bytes)
    }

    /// The candle device its weights are on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.matrix.device()
    }

    /// A copy in buffers of its own.
    ///
    /// # Errors
    /// When the backend cannot copy.
    pub fn copy_to(&self, device: &Device) -> Result<Self> {
        let bias = self.bias.as_ref().map(|bias| copy_tensor(bias, device)).transpose()?;
        Self::new(self.matrix.copy_to(device)?, bias)
    }
}

/// Bytes of a tensor's elements.
#[must_use]
pub fn tensor_bytes(tensor: &Tensor) -> u64 {
    (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64
}

/// A tensor in a fresh buffer that holds nothing but its elements.
///
/// `to_device` alone would hand out the same buffer where source and target are the same candle device, and would move
/// the whole storage behind a view.
///
/// # Errors
/// When the backend cannot copy.
pub fn copy_tensor(tensor: &Tensor, device: &Device) -> Result<Tensor> {
    tensor.force_contiguous()?.to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType;
    use candle_core::{DType, IndexOp};

    fn weights() -> Tensor {
        Tensor::arange(0_f32, 4.0 * 32.0, &Device::Cpu)
            .unwrap()
            .reshape((4, 32))
            .unwrap()
    }

    #[test]
    fn a_bias_is_added() {
        let bias = Tensor::new(&[1_f32, 2.0, 3.0, 4.0], &Device::Cpu).unwrap();
        let x = Tensor::zeros((2, 32), DType::F32, &Device::Cpu).unwrap();
        let with = Linear::new(Matrix::Dense(weights()), Some(bias)).unwrap();
        assert_eq!(
            with.forward(&x).unwrap().i(1).unwrap().to_vec1::<f32>().unwrap(),
            [1.0, 2.0, 3.0, 4.0]
        );
        assert_eq!(with.bytes(), 4 * 32 * 4 + 4 * 4);
    }

    #[test]
    fn quantised_weights_stay_small_and_copies_are_equal() {
        let quantised = QTensor::quantize(&weights(), GgmlDType::Q8_0).unwrap();
        let linear = Linear::new(Matrix::Quantised(Arc::new(quantised)), None).unwrap();
        // 34 bytes for each block of 32 weights.
        assert_eq!(linear.bytes(), 4 * 34);
        let x = Tensor::ones((1, 32), DType::F32, &Device::Cpu).unwrap();
        let copy = linear.copy_to(&Device::Cpu).unwrap();
        assert_eq!(
            linear.forward(&x).unwrap().to_vec2::<f32>().unwrap(),
            copy.forward(&x).unwrap().to_vec2::<f32>().unwrap()
        );
    }

    #[test]
    fn a_copied_view_holds_only_its_elements() {
        let all = weights();
        let view = all.narrow(0, 1, 1).unwrap();
        let copy = copy_tensor(&view, &Device::Cpu).unwrap();
        all.slice_set(&Tensor::zeros((4, 32), DType::F32, &Device::Cpu).unwrap(), 0, 0)
            .unwrap();
        let total = |t: &Tensor| t.sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(total(&view).abs() < f32::EPSILON, "the view sees the change");
        assert!(total(&copy) > 1000.0, "the copy does not");
    }
}
