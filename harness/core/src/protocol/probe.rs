//! What a model says of its prompt before anything is generated.

use serde::{Deserialize, Serialize};

use super::TokenLogit;

/// What logits were computed in: how far those of two placements may honestly be apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit IEEE.
    F32,
    /// 16-bit IEEE.
    F16,
    /// 16-bit brain float.
    Bf16,
    /// Quantised weights.
    Quantised,
}

/// The logits of the last position of the prompt, as one forward step gave them.
///
/// JSON has no number for what is not finite, so logits that are not are counted and left out of everything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Probe {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// What was computed in; absent where the engine does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// The five largest, largest first.
    pub top5: Vec<TokenLogit>,
    /// How many logits there are: the size of the vocabulary.
    pub logits: u32,
    /// How many of them are not finite.
    pub non_finite: u32,
    /// Euclidean norm of the others.
    pub logits_l2: f64,
}

impl Probe {
    /// The root of the mean square of all finite logits; 0 where there are none.
    #[must_use]
    pub fn root_mean_square(&self) -> f64 {
        let finite = self.logits.saturating_sub(self.non_finite);
        if finite == 0 {
            return 0.0;
        }
        self.logits_l2 / f64::from(finite).sqrt()
    }
}
