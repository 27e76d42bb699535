//! The parameters a configuration asks for, by the names and in the order of Hugging Face's implementation.

use super::{BlockNorms, ModelConfig, Projections};

/// A parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The full dotted name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Its shape; matrices are `[output, input]`.
    pub shape: Vec<usize>,
}

impl ModelConfig {
    /// All parameters in the order of transformers' modules: embedding, layers, norm, head. The head is listed even where
    /// it is tied to the embedding.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = vec![parameter(
            "model.embed_tokens.weight".into(),
            [self.vocab_size, self.hidden_size],
        )];
        for layer in 0..self.num_layers {
            self.layer_parameters(layer, &mut parameters);
        }
        parameters.push(parameter("model.norm.weight".into(), [self.hidden_size]));
        parameters.push(parameter(HEAD.into(), [self.vocab_size, self.hidden_size]));
        parameters
    }

    /// The parameters a checkpoint has to hold: [`Self::parameters`] without a tied head.
    #[must_use]
    pub fn stored_parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.parameters();
        parameters.retain(|parameter| !(self.tie_word_embeddings && parameter.name == HEAD));
        parameters
    }

    fn layer_parameters(&self, layer: usize, parameters: &mut Vec<Parameter>) {
        let mut list = LayerList {
            prefix: format!("model.layers.{layer}"),
            parameters,
        };
        self.attention_parameters(&mut list);
        self.mlp_parameters(&mut list);
        for norm in self.block.norms.names() {
            list.vector(&format!("{norm}.weight"), self.hidden_size);
        }
    }

    fn attention_parameters(&self, list: &mut LayerList<'_>) {
        let (hidden, queries, keys, biases) = (
            self.hidden_size,
            self.query_size(),
            self.key_value_size(),
            self.block.biases,
        );
        match self.block.projections {
            Projections::Separate => {
                for (projection, width) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
                    list.linear(&format!("self_attn.{projection}"), [width, hidden], biases.qkv);
                }
                list.linear("self_attn.o_proj", [hidden, queries], biases.output);
            }
            Projections::Fused => {
                list.linear("self_attn.o_proj", [hidden, queries], biases.output);
                list.linear("self_attn.qkv_proj", [queries + 2 * keys, hidden], biases.qkv);
            }
        }
        if self.block.head_norms {
            for norm in ["q_norm", "k_norm"] {
                list.vector(&format!("self_attn.{norm}.weight"), self.head_dim);
            }
        }
    }

    fn mlp_parameters(&self, list: &mut LayerList<'_>) {
        let (hidden, inner, has_bias) = (self.hidden_size, self.intermediate_size, self.block.biases.mlp);
        match self.block.projections {
            Projections::Separate => {
                list.linear("mlp.gate_proj", [inner, hidden], has_bias);
                list.linear("mlp.up_proj", [inner, hidden], has_bias);
            }
            Projections::Fused => list.linear("mlp.gate_up_proj", [2 * inner, hidden], has_bias),
        }
        list.linear("mlp.down_proj", [hidden, inner], has_bias);
    }
}

impl BlockNorms {
    /// The norms of a block by Hugging Face's names, in the order of its modules.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Before => &["input_layernorm", "post_attention_layernorm"],
            Self::BeforeAndAfter => &[
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ],
        }
    }
}

/// The parameters of one layer.
struct LayerList<'a> {
    prefix: String,
    parameters: &'a mut Vec<Parameter>,
}

impl LayerList<'_> {
    fn linear(&mut self, name: &str, shape: [usize; 2], has_bias: bool) {
        let [rows, _] = shape;
        self.parameters
            .push(parameter(format!("{}.{name}.weight", self.prefix), shape));
        if has_bias {
            self.vector(&format!("{name}.bias"), rows);
        }
    }

    fn vector(&mut self, name: &str, len: usize) {
        self.parameters
            .push(parameter(format!("{}.{name}", self.prefix), [len]));
    }
}

/// Name of the head's weight.
pub(crate) const HEAD: &str = "lm_head.weight";

fn parameter(name: String, shape: impl Into<Vec<usize>>) -> Parameter {
    Parameter {
        name,
        shape: shape.into(),
    }
}
