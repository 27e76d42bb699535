//! The logits of the prompt before anything is generated, as far as numbers can stand for them.

use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::protocol::{Precision, Probe, TokenLogit};

use super::session::{MockSession, likeliest};
use super::{VOCABULARY, mix};
use crate::Context;

/// Euclidean norm of the logits of a step that nothing spoiled.
const LOGITS_L2: f64 = 100.0;

impl MockSession {
    /// A pass over the prompt. The likeliest token is the one that a generation begins with; spoiled data makes it another.
    pub(super) fn probe_prompt(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        let before = self.ledger.clone();
        let step = self.step(0, self.input_ids.len() as u64, context);
        self.ledger = before;
        match step {
            Ok(step) => {
                let choice = mix(self.seed() ^ step.wrongness) % VOCABULARY;
                Ok(Some(self.told(likeliest(u32::try_from(choice).unwrap_or(0)), 0)))
            }
            Err(failure) if failure.class == FailureClass::NonFinite => Ok(Some(
                self.told(Vec::new(), u32::try_from(VOCABULARY).unwrap_or(u32::MAX)),
            )),
            // The generation needs at least as much, and says so in its own phase.
            Err(failure) if failure.class == FailureClass::OutOfMemory => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn told(&self, top5: Vec<TokenLogit>, non_finite: u32) -> Probe {
        let is_finite = !top5.is_empty();
        Probe {
            input_tokens: u32::try_from(self.input_ids.len()).unwrap_or(u32::MAX),
            precision: Some(Precision::F32),
            top5,
            logits: u32::try_from(VOCABULARY).unwrap_or(u32::MAX),
            non_finite,
            logits_l2: if is_finite { LOGITS_L2 } else { 0.0 },
        }
    }
}
