//! The parameters a configuration asks for, by the names and in the order of Hugging Face's implementation.

use super::ModelConfig;

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
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        for (projection, width) in [
            ("q_proj", self.query_size()),
            ("k_proj", self.key_value_size()),
            ("v_proj", self.key_value_size()),
        ] {
            parameters.push(parameter(
                name(&format!("self_attn.{projection}.weight")),
                [width, hidden],
            ));
            if self.qkv_bias {
                parameters.push(parameter(name(&format!("self_attn.{projection}.bias")), [width]));
            }
        }
        parameters.push(parameter(name("self_attn.o_proj.weight"), [hidden, self.query_size()]));
        parameters.push(parameter(name("mlp.gate_proj.weight"), [inner, hidden]));
        parameters.push(parameter(name("mlp.up_proj.weight"), [inner, hidden]));
        parameters.push(parameter(name("mlp.down_proj.weight"), [hidden, inner]));
        parameters.push(parameter(name("input_layernorm.weight"), [hidden]));
        parameters.push(parameter(name("post_attention_layernorm.weight"), [hidden]));
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
