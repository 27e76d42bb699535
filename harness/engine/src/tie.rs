//! Tied weights that are on two devices are two copies of one parameter, and must be the same.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, Place, WorkerFailure};

use crate::Context;

/// One of two modules whose weights are tied.
#[derive(Debug, Clone, Copy)]
pub struct Tied<'a> {
    /// Its path.
    pub module: &'a str,
    /// Where its copy is.
    pub device: &'a DeviceId,
}

/// The failure of a model whose tied copies differ: `copy` is not what `original` is. `how` says in what they differ.
#[must_use]
pub fn torn(context: &Context, copy: Tied<'_>, original: Tied<'_>, how: &str) -> WorkerFailure {
    let message = format!(
        "{} on {} is tied to {} on {}, but the two copies differ: {how}; whatever is generated now is not this model's",
        copy.module, copy.device, original.module, original.device
    );
    WorkerFailure {
        device: Some(copy.device.clone()),
        place: Some(Place::Module {
            module: copy.module.to_owned(),
            device: copy.device.clone(),
        }),
        ..context.failure(FailureClass::Internal, message)
    }
}
