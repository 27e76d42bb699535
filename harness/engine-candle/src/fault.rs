//! What injected faults do to data. When they strike is decided in `placebench_engine::faults`.

use std::collections::HashMap;

use candle_core::{D, DType, Result as CandleResult, Tensor};
use placebench_core::fault::FaultKind;
use placebench_core::outcome::WorkerFailure;
use placebench_engine::Context;
use placebench_engine::faults::{HopEffect, Leak};

use crate::device::ledger::CacheCharge;
use crate::device::{Ledger, Placed};
use crate::error::EngineError;
use crate::model::{Decoder, Sequence};

/// The faults this engine can inject: all of them.
#[must_use]
pub fn is_supported(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Stall
        | FaultKind::ZeroCopy
        | FaultKind::StaleCopy
        | FaultKind::CorruptCopy
        | FaultKind::SlowLink
        | FaultKind::Nan
        | FaultKind::OutOfMemory
        | FaultKind::Crash
        | FaultKind::InputDevice
        | FaultKind::SplitTie
        | FaultKind::IgnoredSplit
        | FaultKind::Spill
        | FaultKind::Leak
        | FaultKind::Unkillable
        | FaultKind::Garbage
        | FaultKind::SlowStep => true,
    }
}

/// What a hop delivers under a fault. `delivered` remembers what each hop delivered last.
pub(crate) fn on_hop(
    effect: HopEffect,
    hop: usize,
    moved: Placed,
    delivered: Option<&mut HashMap<usize, Tensor>>,
) -> Result<Placed, EngineError> {
    let previous = delivered.as_ref().and_then(|delivered| delivered.get(&hop).cloned());
    let arrived = moved.map(|x| match effect {
        HopEffect::None => Ok(x.clone()),
        HopEffect::Zero => x.zeros_like(),
        HopEffect::Corrupt => corrupted(x),
        HopEffect::Stale => stale(x, previous.as_ref()),
    })?;
    if let Some(delivered) = delivered {
        arrived.map(|x| {
            delivered.insert(hop, x.clone());
            Ok(x.clone())
        })?;
    }
    Ok(arrived)
}

/// The last row of what came before in place of every row; nothing came before the first: zeros, as fresh memory has.
fn stale(x: &Tensor, previous: Option<&Tensor>) -> CandleResult<Tensor> {
    let Some(previous) = previous else {
        return x.zeros_like();
    };
    let last = previous.dim(0)?.saturating_sub(1);
    previous.narrow(0, last, 1)?.broadcast_as(x.shape())?.contiguous()
}

/// Every eighth value with the wrong sign and eight times as large, as if bits of the exponent had flipped.
fn corrupted(x: &Tensor) -> CandleResult<Tensor> {
    let width = x.dim(D::Minus1)?;
    let factors: Vec<f32> = (0..width).map(|i| if i % 8 == 0 { -8.0 } else { 1.0 }).collect();
    let factors = Tensor::from_vec(factors, width, x.device())?.to_dtype(x.dtype())?;
    x.broadcast_mul(&factors)
}

/// Every value NaN.
pub(crate) fn not_a_number(x: &Tensor) -> CandleResult<Tensor> {
    x.affine(0.0, f64::NAN)
}

/// A matrix whose rows are shifted by one: weights that are no longer those they are tied to.
pub(crate) fn rolled(weights: &Tensor) -> CandleResult<Tensor> {
    let rows = weights.dim(0)?;
    Tensor::cat(&[weights.narrow(0, 1, rows - 1)?, weights.narrow(0, 0, 1)?], 0)
}

/// What the fault `leak` keeps of generations that are over.
#[derive(Default)]
pub(crate) struct Leaked {
    sequences: Vec<Sequence>,
    /// Memory without a meaning, and its charge.
    blocks: Vec<(Tensor, CacheCharge)>,
}

impl Leaked {
    /// Keeps what a fault asks for.
    pub(crate) fn keep(
        &mut self,
        leak: Leak,
        sequences: Vec<Sequence>,
        (decoder, ledger): (&Decoder, &Ledger),
        context: &Context,
    ) -> Result<(), WorkerFailure> {
        match leak {
            Leak::Caches => self.sequences.extend(sequences),
            Leak::Bytes(bytes) => {
                let slot = decoder.output_slot();
                let charge = ledger.charge_cache(context, slot, bytes.0, "what is leaked")?;
                let size = usize::try_from(bytes.0).unwrap_or(usize::MAX);
                let block = Tensor::zeros(size, DType::U8, decoder.devices().handle(slot));
                let block = block.map_err(EngineError::candle("leaking memory"));
                self.blocks
                    .push((block.map_err(|error| error.into_failure(context))?, charge));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Slot;
    use candle_core::Device;

    fn deliver(effect: HopEffect, x: f32, delivered: &mut HashMap<usize, Tensor>) -> Vec<f32> {
        let row = Tensor::full(x, (1, 16), &Device::Cpu).unwrap();
        let out = on_hop(effect, 0, Placed::made_on(Slot::CPU, row), Some(delivered)).unwrap();
        let mut values = Vec::new();
        out.map(|t| {
            values = t.flatten_all()?.to_vec1()?;
            Ok(t.clone())
        })
        .unwrap();
        values
    }

    #[test]
    fn each_effect_differs_from_a_faithful_copy() {
        let mut delivered = HashMap::new();
        let faithful = vec![3.0; 16];
        assert_eq!(deliver(HopEffect::None, 3.0, &mut delivered), faithful);
        assert_eq!(deliver(HopEffect::Zero, 3.0, &mut HashMap::new()), vec![0.0; 16]);
        let corrupt = deliver(HopEffect::Corrupt, 3.0, &mut HashMap::new());
        assert_eq!(corrupt.iter().filter(|x| **x < 0.0).count(), 2);
        assert_eq!(
            deliver(HopEffect::Stale, 5.0, &mut delivered),
            faithful,
            "what came before"
        );
        assert_eq!(
            deliver(HopEffect::Stale, 5.0, &mut HashMap::new()),
            vec![0.0; 16],
            "nothing came before"
        );
    }

    #[test]
    fn rolled_rows_are_no_longer_the_same() {
        let weights = Tensor::arange(0_f32, 4.0, &Device::Cpu)
            .unwrap()
            .reshape((2, 2))
            .unwrap();
        assert_eq!(
            rolled(&weights).unwrap().to_vec2::<f32>().unwrap(),
            [[2.0, 3.0], [0.0, 1.0]]
        );
        let nan = not_a_number(&weights)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!(nan.iter().all(|x| x.is_nan()));
    }
}
