//! One step over the prompt before anything is generated: the logits of its last position.

use candle_core::DType;
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::protocol::{Precision, Probe};
use placebench_engine::Context;

use crate::device::Ledger;
use crate::generate::read_back;
use crate::logits::probe_of;
use crate::model::{Decoder, LogitRows, Pass};
use crate::weights::Compute;

/// What logits are computed in.
pub(crate) fn precision(compute: Compute) -> Precision {
    match compute {
        Compute::Quantised => Precision::Quantised,
        Compute::Dense(DType::F16) => Precision::F16,
        Compute::Dense(DType::BF16) => Precision::Bf16,
        Compute::Dense(_) => Precision::F32,
    }
}

/// The placed decoder's. The step has a cache of its own, as long as the prompt, and accounts that are thrown away with it.
/// No token is being made, so faults that name no phase do not strike. `None` where there is no room: the generation needs
/// at least as much, and reports it in its own phase.
///
/// # Errors
/// When a computation or a copy fails.
pub(crate) fn placed(
    decoder: &Decoder,
    input_ids: &[u32],
    precision: Precision,
    ledger: &Ledger,
    context: &mut Context,
) -> Result<Option<Probe>, WorkerFailure> {
    let scratch = ledger.scratch();
    match last_logits(decoder, input_ids, &scratch, context) {
        Ok(logits) => Ok(Some(probe_of(input_ids.len(), precision, &logits))),
        Err(failure) if failure.class == FailureClass::OutOfMemory => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn last_logits(
    decoder: &Decoder,
    input_ids: &[u32],
    ledger: &Ledger,
    context: &mut Context,
) -> Result<Vec<f32>, WorkerFailure> {
    let mut sequence = decoder.sequence(input_ids.len(), ledger, context)?;
    let placed = decoder.place_ids_on(input_ids, decoder.input_slot());
    let ids = placed.map_err(|error| error.into_failure(context))?;
    let mut pass = Pass::new(context, ledger);
    let logits = decoder.forward(&mut sequence, &ids, LogitRows::Last, &mut pass)?;
    let mut rows = read_back(decoder, &logits).map_err(|error| error.into_failure(context))?;
    Ok(rows.pop().unwrap_or_default())
}
