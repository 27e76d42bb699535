//! The gate of a feed-forward half: `silu(gate) · up` in one pass.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::isa::Isa;
use super::linear::elements;
use super::panels::for_each_panel;

/// `silu(gate) · up`; `None` where the tensors are not ones this computes with.
///
/// # Errors
/// When the shapes differ.
pub(crate) fn gated(gate: &Tensor, up: &Tensor) -> Result<Option<Tensor>> {
    let is_served = |t: &Tensor| t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous();
    if !is_served(gate) || !is_served(up) {
        return Ok(None);
    }
    gate.apply_op2_no_bwd(up, &Gated).map(Some)
}

struct Gated;

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if gate_layout.shape() != up_layout.shape() {
            bail!("gate {:?} and up {:?} differ", gate_layout.shape(), up_layout.shape());
        }
        let (gate, up) = (elements::<f32>(gate, gate_layout)?, elements::<f32>(up, up_layout)?);
        let mut output = vec![0.0; gate.len()];
        // One row of everything: a piece for a thread is any stretch of it.
        let all = output.len();
        for_each_panel(&mut output, all, 16 << 10, |mut panel| {
            let columns = panel.columns();
            Isa::best().gated(&gate[columns.clone()], &up[columns], panel.row(0));
        });
        Ok((CpuStorage::F32(output), gate_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn gates_as_candle_does() {
        let gate = Tensor::arange(-40_000_f32, 40_000.0, &Device::Cpu)
            .unwrap()
            .affine(1e-3, 0.0)
            .unwrap();
        let up = gate.affine(-0.7, 2.0).unwrap();
        let found = gated(&gate, &up).unwrap().unwrap();
        let expected = (gate.silu().unwrap() * &up).unwrap();
        let scale = (expected.abs().unwrap() + 1.0).unwrap();
        let error = ((found - expected).unwrap().abs().unwrap() / scale)
            .unwrap()
            .max(0)
            .unwrap();
        assert!(error.to_scalar::<f32>().unwrap() < 1e-6);
    }

    #[test]
    fn shapes_that_differ_are_refused_and_other_dtypes_left_to_candle() {
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(gated(&x, &x.reshape((3, 2)).unwrap()).is_err());
        let half = x.to_dtype(DType::BF16).unwrap();
        assert!(gated(&half, &half).unwrap().is_none());
    }
}
