//! The metadata of a GGUF file, as llama.cpp's converters write it.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use crate::shown::shown;

use super::family::{self, Family};
use super::{Activation, BlockConfig, ConfigError, ModelConfig, RopeScaling, check, check_sizes};

const FILE: &str = "GGUF metadata";

/// What the tensors of a GGUF file say about the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GgufTensorFacts {
    /// Rows of `token_embd.weight`; tokenizer lists may be shorter than the padded embedding.
    pub(crate) vocab_size: usize,
    /// There is no `output.weight`.
    pub(crate) tied: bool,
    /// Values of `rope_freqs.weight`.
    pub(crate) rope_divisors: Option<Vec<f32>>,
    /// Values of `rope_factors_short.weight` and `rope_factors_long.weight`.
    pub(crate) rope_factors: Option<(Vec<f32>, Vec<f32>)>,
}

impl ModelConfig {
    /// Reads the metadata of a GGUF file.
    ///
    /// End tokens are the two that the file may name, `eos_token_id` and `eot_token_id`.
    ///
    /// # Errors
    /// When a key is missing or of the wrong type, or asks for something the decoder does not compute.
    pub(crate) fn from_gguf(metadata: &HashMap<String, Value>, facts: GgufTensorFacts) -> Result<Self, ConfigError> {
        let general = Metadata {
            metadata,
            prefix: "general",
        };
        let name = general
            .text("architecture")?
            .ok_or_else(|| general.missing("architecture"))?;
        let family =
            family::by_gguf_architecture(name).ok_or_else(|| ConfigError::Architecture { name: shown(name) })?;
        let own = Metadata {
            metadata,
            prefix: family.gguf_architecture,
        };
        let tokenizer = Metadata {
            metadata,
            prefix: "tokenizer.ggml",
        };
        let mut model = sizes(&own, &tokenizer, family, &facts)?;
        refuse_unknown_features(&own, &model)?;
        check_sizes(&model, FILE)?;
        model.windows = vec![None; model.num_layers];
        model.rope_scaling = rope_scaling(&own, facts, model.max_position_embeddings)?;
        (family.read_gguf)(&own, &mut model)?;
        check(model, FILE)
    }
}

/// What every family has, and for everything else what Llama has.
fn sizes(
    own: &Metadata<'_>,
    tokenizer: &Metadata<'_>,
    family: &'static Family,
    facts: &GgufTensorFacts,
) -> Result<ModelConfig, ConfigError> {
    let hidden_size = own.required("embedding_length")?;
    let num_heads = own.required("attention.head_count")?;
    let head_dim = match own.size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if num_heads > 0 && hidden_size % num_heads == 0 => hidden_size / num_heads,
        None => {
            return Err(implausible(format!(
                "embedding_length {hidden_size} cannot be divided among {num_heads} heads"
            )));
        }
    };
    let token = |key: &str| -> Result<Option<u32>, ConfigError> {
        Ok(tokenizer.size(key)?.and_then(|id| u32::try_from(id).ok()))
    };
    let mut eos_token_ids: Vec<u32> = token("eos_token_id")?.into_iter().collect();
    eos_token_ids.extend(token("eot_token_id")?.filter(|id| !eos_token_ids.contains(id)));
    Ok(ModelConfig {
        family,
        vocab_size: facts.vocab_size,
        hidden_size,
        intermediate_size: own.required("feed_forward_length")?,
        num_layers: own.required("block_count")?,
        num_heads,
        num_kv_heads: own.size("attention.head_count_kv")?.unwrap_or(num_heads),
        head_dim,
        rotary_dim: own.size("rope.dimension_count")?.unwrap_or(head_dim),
        rms_norm_eps: own
            .number("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| own.missing("attention.layer_norm_rms_epsilon"))?,
        rope_theta: own.number("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: None,
        rope_layout: family.gguf_layout,
        tie_word_embeddings: facts.tied,
        block: BlockConfig {
            // The format has no key for it: an architecture has one activation.
            activation: Activation::from_name(family.defaults.activation).unwrap_or_default(),
            ..BlockConfig::default()
        },
        windows: Vec::new(),
        attention_scale: match own.number("attention.scale")? {
            Some(scale) => scale,
            None => 1.0 / (head_dim as f64).sqrt(),
        },
        embedding_scale: None,
        final_softcap: None,
        max_position_embeddings: own.required("context_length")?,
        eos_token_ids,
        bos_token_id: token("bos_token_id")?,
        torch_dtype: None,
    })
}

fn implausible(problem: String) -> ConfigError {
    ConfigError::Implausible { file: FILE, problem }
}

fn refused<T>(feature: String) -> Result<T, ConfigError> {
    Err(ConfigError::Feature { file: FILE, feature })
}

fn refuse_unknown_features(own: &Metadata<'_>, model: &ModelConfig) -> Result<(), ConfigError> {
    let head_dim = model.head_dim;
    if let Some(experts) = own.size("expert_count")?.filter(|experts| *experts > 0) {
        return refused(format!("a mixture of {experts} experts (expert_count)"));
    }
    if let Some(value_length) = own.size("attention.value_length")?.filter(|length| *length != head_dim) {
        return refused(format!(
            "a value_length of {value_length} beside a key_length of {head_dim}"
        ));
    }
    if model.rotary_dim != head_dim && !model.family.partial_rotary {
        return refused(format!(
            "rotary positions on {} of {head_dim} elements (rope.dimension_count)",
            model.rotary_dim
        ));
    }
    Ok(())
}

fn rope_scaling(
    own: &Metadata<'_>,
    facts: GgufTensorFacts,
    positions: usize,
) -> Result<Option<RopeScaling>, ConfigError> {
    let original = own.size("rope.scaling.original_context_length")?.unwrap_or(positions);
    let factor = || {
        own.number("rope.scaling.factor")?
            .ok_or_else(|| own.missing("rope.scaling.factor"))
    };
    if let Some((short_factor, long_factor)) = facts.rope_factors {
        let attention_factor = own.number("rope.scaling.attn_factor")?;
        return Ok(Some(RopeScaling::LongRope {
            short_factor,
            long_factor,
            attention_factor: attention_factor
                .unwrap_or_else(|| RopeScaling::longrope_attention_factor(positions, original)),
            original_max_position_embeddings: original,
        }));
    }
    let kind = own.text("rope.scaling.type")?.unwrap_or("none");
    match (kind, facts.rope_divisors) {
        ("none", None) => Ok(None),
        ("none", Some(divisors)) => Ok(Some(RopeScaling::Divisors(divisors))),
        (_, Some(_)) => refused(format!(
            "rope scaling of the type `{}` together with a tensor rope_freqs.weight",
            shown(kind)
        )),
        ("linear", None) => Ok(Some(RopeScaling::Linear { factor: factor()? })),
        ("yarn", None) => {
            let factor = factor()?;
            // llama.cpp multiplies its own attention factor with this one.
            let further = own.number("rope.scaling.attn_factor")?.unwrap_or(1.0);
            let beta = |key: &str, default: f64| Ok::<f64, ConfigError>(own.number(key)?.unwrap_or(default));
            Ok(Some(RopeScaling::Yarn {
                factor,
                attention_factor: RopeScaling::yarn_attention_factor(factor) * further,
                beta_fast: beta("rope.scaling.yarn_beta_fast", 32.0)?,
                beta_slow: beta("rope.scaling.yarn_beta_slow", 1.0)?,
                truncate: true,
                original_max_position_embeddings: original,
            }))
        }
        (other, None) => refused(format!(
            "rope scaling of the type `{}` (none, linear and yarn are)",
            shown(other)
        )),
    }
}

/// The keys of one prefix.
pub(super) struct Metadata<'a> {
    metadata: &'a HashMap<String, Value>,
    prefix: &'static str,
}

impl<'a> Metadata<'a> {
    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let key = format!("{}.{key}", self.prefix);
        let Some(value) = self.metadata.get(&key) else {
            return Ok(None);
        };
        convert(value).map(Some).ok_or_else(|| ConfigError::WrongType {
            file: FILE,
            key,
            expected,
            found: format!("a value of the type {:?}", value.value_type()),
        })
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(key, "a whole number", whole_number)
    }

    fn required(&self, key: &str) -> Result<usize, ConfigError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, "a number", |value| match value {
            // Shortest decimal, so that the float32 1e-5 of the file becomes the 1e-5 it was written from.
            Value::F32(number) => number.to_string().parse().ok(),
            Value::F64(number) => Some(*number),
            _ => None,
        })
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.typed(key, "a text", |value| value.to_string().ok().map(String::as_str))
    }

    /// The sliding window; converters write 0 for none.
    pub(super) fn window(&self) -> Result<Option<usize>, ConfigError> {
        Ok(self.size("attention.sliding_window")?.filter(|window| *window > 0))
    }

    /// For families of which the format does not say which layers have a window.
    pub(super) fn refuse_window(&self) -> Result<(), ConfigError> {
        match self.window()? {
            Some(window) => refused(format!("attention with a sliding window of {window}")),
            None => Ok(()),
        }
    }

    fn missing(&self, key: &str) -> ConfigError {
        ConfigError::Missing {
            file: FILE,
            key: format!("{}.{key}", self.prefix),
        }
    }
}

/// Any of GGUF's integer types, if it is not negative.
fn whole_number(value: &Value) -> Option<usize> {
    let number = match value {
        Value::I8(number) => u64::try_from(*number).ok()?,
        Value::I16(number) => u64::try_from(*number).ok()?,
        Value::I32(number) => u64::try_from(*number).ok()?,
        Value::I64(number) => u64::try_from(*number).ok()?,
        Value::Bool(_) => return None,
        other => other.to_u64().ok()?,
    };
    usize::try_from(number).ok()
}
