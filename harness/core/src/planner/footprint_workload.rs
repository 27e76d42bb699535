//! What one module of a decoder needs for a request: memory that stays, memory that grows, memory of a moment.

use serde::{Deserialize, Serialize};

use super::shape::{Mlp, ModelShape};
use super::shape_decoder::{Decoder, DecoderModule, ModuleRole};

/// The request whose memory and time are foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Workload {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens to generate.
    pub output_tokens: u64,
    /// Sequences at once.
    pub batch: u64,
    /// Bytes of an element of the KV cache.
    pub kv_element_bytes: u64,
    /// Bytes of an element of the hidden state.
    pub activation_element_bytes: u64,
    /// How attention is computed.
    pub attention: Attention,
    /// For which positions of the prompt the head computes logits.
    pub logits: LogitPositions,
}

/// How attention is computed: what it keeps in memory for a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Scores are stored, and keys and values are repeated for every query head.
    #[default]
    Eager,
    /// Scores are stored; query heads that share a key head read the same keys and values, as this project's decoder does.
    Grouped,
    /// One kernel that stores neither (flash attention and its relatives).
    Fused,
}

/// For which positions of the prompt the head computes logits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogitPositions {
    /// Only the last, which is all that sampling needs.
    #[default]
    Last,
    /// All, as Transformers did before 4.45.
    All,
}

impl Workload {
    /// One sequence with cache and hidden state of the same element size.
    #[must_use]
    pub fn new(prompt_tokens: u64, output_tokens: u64, element_bytes: u64) -> Self {
        Self {
            prompt_tokens,
            output_tokens,
            batch: 1,
            kv_element_bytes: element_bytes,
            activation_element_bytes: element_bytes,
            attention: Attention::default(),
            logits: LogitPositions::default(),
        }
    }

    /// Positions of a sequence when it is complete.
    #[must_use]
    pub fn sequence_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.output_tokens)
    }

    /// Bytes of the hidden state of all sequences over `tokens` positions: what one hop moves.
    #[must_use]
    pub fn hidden_bytes(&self, shape: &ModelShape, tokens: u64) -> u64 {
        product([self.batch, tokens, shape.hidden, self.activation_element_bytes])
    }

    /// Positions for which the head computes logits in the prefill, all sequences together.
    pub(super) fn logit_rows(&self) -> u64 {
        match self.logits {
            LogitPositions::Last => self.batch,
            LogitPositions::All => self.batch.saturating_mul(self.prompt_tokens.max(1)),
        }
    }
}

/// Product that stops at the largest number instead of wrapping.
pub(super) fn product<const N: usize>(factors: [u64; N]) -> u64 {
    // A later zero still makes zero, so the factor is looked for first.
    if factors.contains(&0) {
        return 0;
    }
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// Sum that stops at the largest number instead of wrapping.
pub(super) fn sum(terms: impl IntoIterator<Item = u64>) -> u64 {
    terms.into_iter().fold(0, u64::saturating_add)
}

/// Bytes of one layer's keys and values for one position of all sequences: `2 x batch x key heads x head size x element`.
///
/// Each layer of a decoder keeps one key and one value per key head and position (that is what DynamicCache of
/// Transformers and the caches of candle hold); query heads that share a key head store nothing of their own. Caches that
/// drop keys outside a sliding window hold less; this counts them full.
pub(super) fn kv_bytes_per_position(shape: &ModelShape, workload: &Workload) -> u64 {
    product([
        2,
        workload.batch,
        shape.kv_heads,
        shape.head_dim,
        workload.kv_element_bytes,
    ])
}

/// Bytes of one module's tensors that live only while it runs a pass of `tokens` new positions over `kv_tokens` in all.
///
/// With `t = batch x tokens`, in elements of the hidden state's type:
/// - layer: `2 t hidden` (residual and its norm) and the larger of its two halves, which run one after the other;
///   attention: queries, keys, values and output, `t (2 heads + 2 key heads) x head size`, and in eager mode scores
///   before and after softmax, `2 batch heads tokens kv_tokens`, and keys and values repeated for every query head,
///   `2 batch heads kv_tokens x head size`; feed-forward: `3 t intermediate` (gate, up, product) or `2 t intermediate`;
/// - other modules: `2 t hidden` (what goes in and what comes out); logits are counted apart.
///
/// These are the terms of the well-known count of a transformer layer's activations for training, but as the largest
/// moment instead of the sum, because nothing is kept for a backward pass.
pub(super) fn activation_bytes(
    role: ModuleRole,
    shape: &ModelShape,
    workload: &Workload,
    tokens: u64,
    kv_tokens: u64,
) -> u64 {
    let rows = product([workload.batch, tokens]);
    let in_and_out = product([2, rows, shape.hidden]);
    let elements = if role == ModuleRole::Layer {
        let heads = sum([product([2, shape.heads]), product([2, shape.kv_heads])]);
        let projections = product([rows, heads, shape.head_dim]);
        let attention = match workload.attention {
            Attention::Fused => projections,
            Attention::Eager | Attention::Grouped => {
                let repeats = workload.attention == Attention::Eager;
                let repeated = if repeats && shape.kv_heads < shape.heads {
                    shape.head_dim
                } else {
                    0
                };
                let per_key = sum([tokens, repeated]);
                sum([
                    projections,
                    product([2, workload.batch, shape.heads, kv_tokens, per_key]),
                ])
            }
        };
        let branches = match shape.mlp {
            Mlp::Gated => 3,
            Mlp::Plain => 2,
        };
        let feed_forward = product([branches, rows, shape.intermediate]);
        sum([in_and_out, attention.max(feed_forward)])
    } else {
        in_and_out
    };
    product([elements, workload.activation_element_bytes])
}

/// Bytes of the logits: `rows x vocabulary`, once in the hidden state's type as the head computes them and once as the
/// float32 copy that is sampled from.
pub(super) fn logits_bytes(shape: &ModelShape, workload: &Workload) -> u64 {
    let element = sum([workload.activation_element_bytes, 4]);
    product([workload.logit_rows(), shape.vocab, element])
}

/// What modules need on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) weights: u64,
    pub(super) kv_cache: u64,
    pub(super) activations: u64,
    pub(super) logits: u64,
}

impl Need {
    /// What one module needs when its cache holds `kv_tokens` positions of each sequence.
    pub(super) fn of(module: &DecoderModule, decoder: &Decoder, workload: &Workload, kv_tokens: u64) -> Self {
        let shape = &decoder.shape;
        let prefill = activation_bytes(
            module.role,
            shape,
            workload,
            workload.prompt_tokens,
            workload.prompt_tokens,
        );
        let decode = activation_bytes(module.role, shape, workload, 1, kv_tokens);
        let is = |role| u64::from(module.role == role);
        Self {
            weights: module.weight_bytes.0,
            kv_cache: product([is(ModuleRole::Layer), kv_bytes_per_position(shape, workload), kv_tokens]),
            activations: prefill.max(decode),
            logits: product([is(ModuleRole::Head), logits_bytes(shape, workload)]),
        }
    }

    /// Both on one device. They never run at the same time, so what lives for a moment is shared.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            kv_cache: self.kv_cache.saturating_add(other.kv_cache),
            activations: self.activations.max(other.activations),
            logits: self.logits.saturating_add(other.logits),
        }
    }

    /// Without the second copy of a tensor that two of the modules share.
    pub(super) fn sharing(self, bytes: u64) -> Self {
        Self {
            weights: self.weights.saturating_sub(bytes),
            ..self
        }
    }

    pub(super) fn total(self) -> u64 {
        sum([self.weights, self.kv_cache, self.activations, self.logits])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn llama_8b() -> ModelShape {
        ModelShape {
            layers: 32,
            hidden: 4096,
            intermediate: 14336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 128_256,
            max_positions: 131_072,
            tied: false,
            mlp: Mlp::Gated,
        }
    }

    #[test]
    fn a_position_of_llama_3_8b_takes_128_kib() {
        let workload = Workload::new(0, 0, 2);
        // 32 layers x 2 x 8 heads x 128 x 2 bytes, the figure that is quoted for this model in float16.
        assert_eq!(32 * kv_bytes_per_position(&llama_8b(), &workload), 128 * 1024);
        let batch = Workload { batch: 3, ..workload };
        assert_eq!(kv_bytes_per_position(&llama_8b(), &batch), 3 * 4096);
    }

    #[test]
    fn the_working_set_is_the_larger_half_of_a_layer() {
        let shape = llama_8b();
        let fused = Workload {
            attention: Attention::Fused,
            ..Workload::new(1000, 0, 2)
        };
        let layer = |workload: &Workload| activation_bytes(ModuleRole::Layer, &shape, workload, 1000, 1000);
        let feed_forward = (2 * 4096 + 3 * 14336) * 1000 * 2;
        assert_eq!(layer(&fused), feed_forward);
        let eager = Workload {
            attention: Attention::Eager,
            ..fused
        };
        let attention = 1000 * (64 + 16) * 128 + 2 * 32 * 1000 * (1000 + 128);
        assert_eq!(layer(&eager), (2 * 4096 * 1000 + attention) * 2);
        let ungrouped = ModelShape { kv_heads: 32, ..shape };
        let attention = 1000 * 128 * 128 + 2 * 32 * 1000 * 1000;
        assert_eq!(
            activation_bytes(ModuleRole::Layer, &ungrouped, &eager, 1000, 1000),
            (2 * 4096 * 1000 + attention) * 2
        );
    }

    #[test]
    fn logits_of_all_positions_are_a_thousand_times_as_large() {
        let last = Workload::new(1000, 1, 2);
        let all = Workload {
            logits: LogitPositions::All,
            ..last
        };
        assert_eq!(logits_bytes(&llama_8b(), &last), 128_256 * 6);
        assert_eq!(logits_bytes(&llama_8b(), &all), 128_256_000 * 6);
    }

    #[test]
    fn huge_numbers_stop_at_the_largest() {
        let shape = ModelShape {
            hidden: u64::MAX,
            vocab: u64::MAX,
            ..llama_8b()
        };
        let workload = Workload::new(u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(workload.sequence_tokens(), u64::MAX);
        assert_eq!(
            activation_bytes(ModuleRole::Layer, &shape, &workload, u64::MAX, u64::MAX),
            u64::MAX
        );
        assert_eq!(logits_bytes(&shape, &workload), u64::MAX);
        assert_eq!(product([u64::MAX, u64::MAX, 0]), 0);
    }
}
