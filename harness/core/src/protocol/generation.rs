//! What a worker generated.

use serde::{Deserialize, Serialize};

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end token.
    Eos,
    /// `max_new_tokens`.
    Length,
    /// A stop text.
    Stop,
}

impl FinishReason {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }
}

/// A token with its logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenLogit {
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
}

/// One finished generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Generation {
    /// Tokens of the prompt; empty where the engine is not told them.
    pub input_ids: Vec<u32>,
    /// Generated tokens, with the end token if it came; empty where the engine is told texts only. How many there are is said
    /// by [`Self::token_stamps_s`].
    pub output_ids: Vec<u32>,
    /// Generated text without special tokens; empty for models without a tokenizer.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Start of the generation on the worker's clock, in seconds.
    pub start_s: f64,
    /// For each generated token the seconds since `start_s`, after the device was synchronised.
    pub token_stamps_s: Vec<f64>,
    /// For each step the largest logit minus the second largest; empty where the engine is not told.
    pub top2_gaps: Vec<f32>,
    /// For each step the five largest logits, largest first: what a near-tie is judged by. Logarithms of probabilities do as
    /// well, for only differences count. Empty where the engine is not told.
    pub top5: Vec<Vec<TokenLogit>>,
    /// Activations moved between devices, per step: `[prefill, decode, decode, …]` has one entry a token.
    pub hops: Vec<u32>,
    /// Bytes moved by those hops, per step.
    pub transfer_bytes: Vec<u64>,
    /// Weights copied in for offloaded layers, per step; zeros without `offload = "stream"`. Of a batch, hops and bytes are
    /// those of the whole step, the same for all its sequences.
    #[serde(default)]
    pub streamed_bytes: Vec<u64>,
    /// For each step the seconds of its stages and hops in turn, `[stage, hop, stage, …]`, in order of execution, each
    /// measured once its device had really finished. Choosing a token and the like is in none of them. Empty from engines
    /// that do not measure it.
    #[serde(default)]
    pub stage_times_s: Vec<Vec<f64>>,
    /// For each generated token the bytes of `text` that are there once it is added: what a token's own text is found by. A
    /// token that shows nothing (an end token, the first part of a character) repeats the number before it. Empty from
    /// engines that do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_offsets: Vec<u32>,
    /// The other sequences that were generated together with this one, in the order of the request, each with the same
    /// `start_s`. Their own lists of companions are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Self>,
    /// How many tokens the prompt has, as a server counted them; absent where [`Self::input_ids`] tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// How many tokens were generated, as a server counted them; absent where each was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
}

impl Generation {
    /// Tokens of the prompt; `None` where nobody counted them.
    #[must_use]
    pub fn input_count(&self) -> Option<usize> {
        match self.input_tokens {
            Some(counted) => usize::try_from(counted).ok(),
            None if self.input_ids.is_empty() => None,
            None => Some(self.input_ids.len()),
        }
    }

    /// Generated tokens: what a server counted, else those that are known, else one for each stamp.
    #[must_use]
    pub fn output_count(&self) -> usize {
        let counted = self.output_tokens.and_then(|counted| usize::try_from(counted).ok());
        counted.unwrap_or(match self.output_ids.len() {
            0 => self.token_stamps_s.len(),
            known => known,
        })
    }

    /// Whether the tokens themselves are known, and not their text alone. Of nothing all is known.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        !self.output_ids.is_empty() || self.output_count() == 0
    }

    /// Whether tokens came several at a time, so that a stamp is that of a piece of text and not of a token.
    #[must_use]
    pub fn came_in_pieces(&self) -> bool {
        let arrivals = self.token_stamps_s.len();
        arrivals > 0 && self.output_tokens.is_some() && self.output_count() != arrivals
    }
}
