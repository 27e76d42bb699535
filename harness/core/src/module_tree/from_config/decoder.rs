//! What the decoders with rotary positions have in common: Llama and its descendants.

use super::ConfigTreeError;
use super::config::Config;
use super::growth::{Bias, Growth};

/// The dimensions of a decoder.
pub(super) struct Dimensions {
    pub(super) hidden: u64,
    pub(super) intermediate: u64,
    pub(super) layers: u64,
    pub(super) vocabulary: u64,
    pub(super) heads: u64,
    pub(super) key_value_heads: u64,
    pub(super) head: u64,
    /// Dimensions of a head that are rotated.
    pub(super) rotary: u64,
}

/// Defaults of a family's configuration class; `None` means what follows from other keys.
#[derive(Default)]
pub(super) struct Defaults {
    /// `num_key_value_heads`; otherwise as many as heads. Null always means as many as heads.
    pub(super) key_value_heads: Option<u64>,
    /// `head_dim`; otherwise the hidden size over the number of heads.
    pub(super) head: Option<u64>,
}

impl Dimensions {
    pub(super) fn read(config: &Config<'_>, defaults: &Defaults) -> Result<Self, ConfigTreeError> {
        let hidden = config.required_dimension("hidden_size")?;
        let heads = config.required_dimension("num_attention_heads")?;
        let key_value_heads = config.dimension("num_key_value_heads")?;
        let default = defaults
            .key_value_heads
            .filter(|_| !config.is_null("num_key_value_heads"));
        let head = match config.dimension("head_dim")?.or(defaults.head) {
            Some(head) => head,
            None if hidden < heads => {
                return Err(ConfigTreeError::NotAMultiple {
                    key: "hidden_size",
                    value: hidden,
                    of: "num_attention_heads",
                    divisor: heads,
                });
            }
            None => hidden / heads,
        };
        let factor = config.fraction("partial_rotary_factor")?;
        Ok(Self {
            hidden,
            intermediate: config.required_dimension("intermediate_size")?,
            layers: config.layers(&["num_hidden_layers"])?,
            vocabulary: config.required_dimension("vocab_size")?,
            heads,
            key_value_heads: key_value_heads.or(default).unwrap_or(heads),
            head,
            rotary: factor.map_or(head, |factor| part_of(head, factor)),
        })
    }

    /// Outputs of the query projection.
    pub(super) fn queries(&self) -> u64 {
        self.heads.saturating_mul(self.head)
    }

    /// Outputs of the key projection, and of the value projection.
    pub(super) fn keys(&self) -> u64 {
        self.key_value_heads.saturating_mul(self.head)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the factor is between 0 and 1, and cutting the fraction off is what the reference does"
)]
fn part_of(head: u64, factor: f64) -> u64 {
    (head as f64 * factor) as u64
}

/// Which parts of attention have biases, and whether every head's queries and keys are normalised.
pub(super) struct Attention {
    pub(super) in_bias: Bias,
    pub(super) out_bias: Bias,
    pub(super) head_norm: HeadNorm,
}

/// Whether queries and keys are normalised head by head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadNorm {
    Absent,
    Present,
}

/// Grows a decoder of classes that begin with a name such as `Llama`.
pub(super) struct Decoder<'a> {
    pub(super) name: &'static str,
    pub(super) dimensions: &'a Dimensions,
    pub(super) growth: &'a mut Growth,
}

impl Decoder<'_> {
    /// Embedding, layers, final norm, rotary positions and head, in the order in which they are registered.
    pub(super) fn grow(
        &mut self,
        config: &Config<'_>,
        ties_by_default: bool,
        mut layer: impl FnMut(&mut Self, &str),
    ) -> Result<(), ConfigTreeError> {
        let Dimensions { hidden, vocabulary, .. } = *self.dimensions;
        let is_tied = config.flag("tie_word_embeddings", ties_by_default)?;
        self.growth.module("model", &self.class("Model"));
        self.growth
            .weight("model.embed_tokens", "Embedding", &[vocabulary, hidden]);
        self.growth.module("model.layers", "ModuleList");
        for index in 0..self.dimensions.layers {
            let path = format!("model.layers.{index}");
            self.growth.module(&path, &self.class("DecoderLayer"));
            layer(self, &path);
        }
        self.norm("model.norm");
        let class = self.class("RotaryEmbedding");
        self.growth.rotary("model.rotary_emb", &class, self.dimensions.rotary);
        self.growth.linear("lm_head", hidden, vocabulary, Bias::Without);
        if is_tied {
            self.growth.tie("lm_head.weight", "model.embed_tokens.weight");
        }
        Ok(())
    }

    pub(super) fn class(&self, role: &str) -> String {
        format!("{}{role}", self.name)
    }

    /// A norm over the hidden size.
    pub(super) fn norm(&mut self, path: &str) {
        self.norm_over(path, self.dimensions.hidden);
    }

    fn norm_over(&mut self, path: &str, size: u64) {
        let class = self.class("RMSNorm");
        self.growth.weight(path, &class, &[size]);
    }

    /// Attention with separate projections.
    pub(super) fn attention(&mut self, layer: &str, attention: &Attention) {
        let (hidden, queries, keys) = (
            self.dimensions.hidden,
            self.dimensions.queries(),
            self.dimensions.keys(),
        );
        let path = format!("{layer}.self_attn");
        self.growth.module(&path, &self.class("Attention"));
        for (name, outputs) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
            self.growth
                .linear(&format!("{path}.{name}"), hidden, outputs, attention.in_bias);
        }
        self.growth
            .linear(&format!("{path}.o_proj"), queries, hidden, attention.out_bias);
        if attention.head_norm == HeadNorm::Present {
            for name in ["q_norm", "k_norm"] {
                self.norm_over(&format!("{path}.{name}"), self.dimensions.head);
            }
        }
    }

    /// A gated feed-forward network with separate projections.
    pub(super) fn gated_mlp(&mut self, layer: &str, activation: &str, bias: Bias) {
        let Dimensions {
            hidden, intermediate, ..
        } = *self.dimensions;
        let path = format!("{layer}.mlp");
        self.growth.module(&path, &self.class("MLP"));
        for name in ["gate_proj", "up_proj"] {
            self.growth
                .linear(&format!("{path}.{name}"), hidden, intermediate, bias);
        }
        self.growth
            .linear(&format!("{path}.down_proj"), intermediate, hidden, bias);
        self.growth.module(&format!("{path}.act_fn"), activation);
    }

    /// A layer as Llama has it: attention, network, a norm before each.
    pub(super) fn llama_layer(&mut self, layer: &str, attention: &Attention, activation: &str, mlp_bias: Bias) {
        self.attention(layer, attention);
        self.gated_mlp(layer, activation, mlp_bias);
        self.norm(&format!("{layer}.input_layernorm"));
        self.norm(&format!("{layer}.post_attention_layernorm"));
    }
}
