//! The metadata of a GGUF file, as llama.cpp's converters write it.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use crate::shown::shown;

use super::{ConfigError, Family, ModelConfig, RopeLayout, RopeScaling, check};

const FILE: &str = "GGUF metadata";

/// What the tensors of a GGUF file say about the model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GgufTensorFacts {
    /// Rows of `token_embd.weight`; tokenizer lists may be shorter than the padded embedding.
    pub(crate) vocab_size: usize,
    /// There is no `output.weight`.
    pub(crate) tied: bool,
    /// Values of `rope_freqs.weight`.
    pub(crate) rope_divisors: Option<Vec<f32>>,
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
        let family = Family::from_model_type(name).ok_or_else(|| ConfigError::Architecture { name: shown(name) })?;
        let own = Metadata {
            metadata,
            prefix: family.model_type(),
        };
        let tokenizer = Metadata {
            metadata,
            prefix: "tokenizer.ggml",
        };

        let hidden_size = own.required("embedding_length")?;
        let num_heads = own.required("attention.head_count")?;
        let head_dim = match own.size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if num_heads > 0 && hidden_size % num_heads == 0 => hidden_size / num_heads,
            None => {
                return Err(ConfigError::Implausible {
                    file: FILE,
                    problem: format!("embedding_length {hidden_size} cannot be divided among {num_heads} heads"),
                });
            }
        };
        refuse_unknown_features(&own, head_dim)?;
        let token = |key: &str| -> Result<Option<u32>, ConfigError> {
            Ok(tokenizer.size(key)?.and_then(|id| u32::try_from(id).ok()))
        };
        let mut eos_token_ids: Vec<u32> = token("eos_token_id")?.into_iter().collect();
        eos_token_ids.extend(token("eot_token_id")?.filter(|id| !eos_token_ids.contains(id)));
        let scaling = match facts.rope_divisors {
            Some(divisors) => Some(RopeScaling::Divisors(divisors)),
            None => rope_scaling(&own)?,
        };
        let model = Self {
            family,
            vocab_size: facts.vocab_size,
            hidden_size,
            intermediate_size: own.required("feed_forward_length")?,
            num_layers: own.required("block_count")?,
            num_heads,
            num_kv_heads: own.size("attention.head_count_kv")?.unwrap_or(num_heads),
            head_dim,
            rms_norm_eps: own
                .number("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| own.missing("attention.layer_norm_rms_epsilon"))?,
            rope_theta: own.number("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: scaling,
            rope_layout: match family {
                Family::Llama => RopeLayout::Interleaved,
                Family::Qwen2 => RopeLayout::Halves,
            },
            tie_word_embeddings: facts.tied,
            qkv_bias: family == Family::Qwen2,
            max_position_embeddings: own.required("context_length")?,
            eos_token_ids,
            bos_token_id: token("bos_token_id")?,
            torch_dtype: None,
        };
        check(model, FILE)
    }
}

fn refuse_unknown_features(own: &Metadata<'_>, head_dim: usize) -> Result<(), ConfigError> {
    let feature = |feature: String| Err(ConfigError::Feature { file: FILE, feature });
    if let Some(experts) = own.size("expert_count")?.filter(|experts| *experts > 0) {
        return feature(format!("a mixture of {experts} experts (expert_count)"));
    }
    if let Some(window) = own.size("attention.sliding_window")?.filter(|window| *window > 0) {
        return feature(format!("attention with a sliding window of {window}"));
    }
    if let Some(value_length) = own.size("attention.value_length")?.filter(|length| *length != head_dim) {
        return feature(format!(
            "a value_length of {value_length} beside a key_length of {head_dim}"
        ));
    }
    match own.size("rope.dimension_count")? {
        Some(count) if count != head_dim => feature(format!(
            "rotary positions on {count} of {head_dim} elements (rope.dimension_count)"
        )),
        _ => Ok(()),
    }
}

fn rope_scaling(own: &Metadata<'_>) -> Result<Option<RopeScaling>, ConfigError> {
    match own.text("rope.scaling.type")? {
        None | Some("none") => Ok(None),
        Some("linear") => Ok(Some(RopeScaling::Linear {
            factor: own
                .number("rope.scaling.factor")?
                .ok_or_else(|| own.missing("rope.scaling.factor"))?,
        })),
        Some(other) => Err(ConfigError::Feature {
            file: FILE,
            feature: format!("rope scaling of the type `{}`", shown(other)),
        }),
    }
}

/// The keys of one prefix.
struct Metadata<'a> {
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

    fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
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
