//! Failures of this engine before they become part of the protocol.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_engine::Context;
use placebench_engine::plan::PlanError;
use thiserror::Error;

use crate::checkpoint::ModelFilesError;
use crate::device::DeviceError;
use crate::hub::HubError;
use crate::tokenizer::TokenizerError;
use crate::weights::WeightsError;

/// What went wrong, before phase and place are known.
#[derive(Debug, Error)]
pub enum EngineError {
    /// candle refused an operation.
    #[error("{during}: {reason}")]
    Candle {
        /// What was being done.
        during: String,
        /// candle's words, without a backtrace.
        reason: String,
    },
    /// A tensor was used on a device it is not on.
    #[error("a tensor on {found} was used on {expected} without a transfer")]
    WrongDevice {
        /// Where it is.
        found: DeviceId,
        /// Where it was used.
        expected: DeviceId,
    },
    /// Logits that are no numbers.
    #[error("step {step}: {bad} of {total} logits are not finite")]
    NonFinite {
        /// The step, from 0.
        step: u32,
        /// Logits that are infinite or NaN.
        bad: usize,
        /// All logits.
        total: usize,
    },
    /// The request cannot be carried out.
    #[error("{0}")]
    Request(String),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device map.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model's files, classified by whoever read them.
    #[error("{message}")]
    Files {
        /// Whose fault it is.
        class: FailureClass,
        /// What is wrong with them.
        message: String,
    },
}

impl EngineError {
    /// Wraps candle's errors: `.map_err(EngineError::candle("what was being done"))`.
    pub fn candle(during: impl Into<String>) -> impl FnOnce(candle_core::Error) -> Self {
        let during = during.into();
        move |error| Self::Candle {
            during,
            reason: first_line(&error),
        }
    }

    /// The class in the protocol.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Candle { reason, .. } if is_out_of_memory(reason) => FailureClass::OutOfMemory,
            Self::Candle { .. } | Self::WrongDevice { .. } => FailureClass::Internal,
            Self::NonFinite { .. } => FailureClass::NonFinite,
            Self::Request(_) => FailureClass::RequestInvalid,
            Self::Device(_) => FailureClass::DeviceMissing,
            Self::Plan(error) => error.class(),
            Self::Weights(error) => error.class(),
            Self::Files { class, .. } => *class,
        }
    }

    /// The failure as it is reported, with the context's phase and place.
    #[must_use]
    pub fn into_failure(self, context: &Context) -> WorkerFailure {
        let failure = context.failure(self.class(), self.to_string());
        match (&self, &failure.place) {
            (Self::WrongDevice { .. }, Some(place)) => WorkerFailure {
                message: format!("{}, by {place}", failure.message),
                ..failure
            },
            _ => failure,
        }
    }
}

impl From<ModelFilesError> for EngineError {
    fn from(error: ModelFilesError) -> Self {
        Self::Files {
            class: error.class(),
            message: error.sentence(),
        }
    }
}

impl From<HubError> for EngineError {
    fn from(error: HubError) -> Self {
        Self::Files {
            class: error.class(),
            message: error.to_string(),
        }
    }
}

impl From<TokenizerError> for EngineError {
    fn from(error: TokenizerError) -> Self {
        Self::Files {
            class: error.class(),
            message: error.to_string(),
        }
    }
}

/// candle appends a backtrace to its messages where `RUST_BACKTRACE` asks for one.
pub(crate) fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or("unknown error").to_owned()
}

/// CUDA's own words; candle has no variant for it.
fn is_out_of_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("out of memory") || reason.contains("out_of_memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_gpu_memory_is_recognised() {
        let class = |text: &str| EngineError::candle("loading")(candle_core::Error::Msg(text.into())).class();
        assert_eq!(
            class("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"),
            FailureClass::OutOfMemory
        );
        assert_eq!(class("shape mismatch"), FailureClass::Internal);
    }
}
