//! `config.json` and `generation_config.json` as transformers 4 and 5 write them.
//!
//! A key that is absent has the default of transformers' `LlamaConfig` or `Qwen2Config` (version 4.49).

use std::path::{Path, PathBuf};

use placebench_core::protocol::Dtype;
use serde_json::{Map, Value};

use crate::shown::shown;

use super::{ConfigError, Family, ModelConfig, RopeLayout, RopeScaling, check};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// What transformers assumes where `config.json` is silent.
struct Defaults {
    vocab_size: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
}

impl Defaults {
    fn of(family: Family) -> Self {
        match family {
            Family::Llama => Self {
                vocab_size: 32_000,
                intermediate_size: 11_008,
                max_position_embeddings: 2_048,
                bos_token_id: Some(1),
                eos_token_id: Some(2),
            },
            Family::Qwen2 => Self {
                vocab_size: 151_936,
                intermediate_size: 22_016,
                max_position_embeddings: 32_768,
                bos_token_id: None,
                eos_token_id: None,
            },
        }
    }
}

impl ModelConfig {
    /// Reads `config.json` and, where it exists, `generation_config.json` of a folder.
    ///
    /// # Errors
    /// When a file cannot be read, is malformed, or asks for something the decoder does not compute.
    pub fn from_dir(folder: &Path) -> Result<Self, ConfigError> {
        Self::from_file(&folder.join(CONFIG))
    }

    /// Reads a `config.json` under any name and, where it exists, the `generation_config.json` beside it.
    ///
    /// # Errors
    /// As [`Self::from_dir`].
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path, source });
        let config = read(path.to_owned())?;
        let generation = match read(path.with_file_name(GENERATION_CONFIG)) {
            Ok(text) => Some(text),
            Err(ConfigError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Self::from_json(&config, generation.as_deref())
    }

    /// Reads the text of `config.json` and of `generation_config.json`, whose end tokens win.
    ///
    /// # Errors
    /// When a text is malformed, or asks for something the decoder does not compute.
    pub fn from_json(config: &str, generation_config: Option<&str>) -> Result<Self, ConfigError> {
        let json = Object::parse(CONFIG, config)?;
        let family = family(&json)?;
        refuse_unknown_features(&json, family)?;
        let defaults = Defaults::of(family);

        let hidden_size = json.size_or("hidden_size", 4096)?;
        let num_heads = json.size_or("num_attention_heads", 32)?;
        let head_dim = match json.size("head_dim")? {
            Some(head_dim) => head_dim,
            None if num_heads > 0 && hidden_size % num_heads == 0 => hidden_size / num_heads,
            None => {
                return Err(ConfigError::Implausible {
                    file: CONFIG,
                    problem: format!("hidden_size {hidden_size} cannot be divided among {num_heads} attention heads"),
                });
            }
        };
        let (rope_theta, rope_scaling) = rope(&json)?;
        let default_eos = match json.get("eos_token_id") {
            None if !json.0.contains_key("eos_token_id") => defaults.eos_token_id.into_iter().collect(),
            _ => json.tokens("eos_token_id")?,
        };
        let bos_token_id = if json.0.contains_key("bos_token_id") {
            json.tokens("bos_token_id")?.first().copied()
        } else {
            defaults.bos_token_id
        };
        let model = Self {
            family,
            vocab_size: json.size_or("vocab_size", defaults.vocab_size)?,
            hidden_size,
            intermediate_size: json.size_or("intermediate_size", defaults.intermediate_size)?,
            num_layers: json.size_or("num_hidden_layers", 32)?,
            num_heads,
            num_kv_heads: json.size_or("num_key_value_heads", num_heads)?,
            head_dim,
            rms_norm_eps: json.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            rope_layout: RopeLayout::Halves,
            tie_word_embeddings: json.flag("tie_word_embeddings")?,
            qkv_bias: family == Family::Qwen2,
            max_position_embeddings: json.size_or("max_position_embeddings", defaults.max_position_embeddings)?,
            eos_token_ids: default_eos,
            bos_token_id,
            torch_dtype: dtype(&json)?,
        };
        check(model.with_end_tokens(generation_config)?, CONFIG)
    }

    fn with_end_tokens(mut self, generation_config: Option<&str>) -> Result<Self, ConfigError> {
        if let Some(text) = generation_config {
            let tokens = Object::parse(GENERATION_CONFIG, text)?.tokens("eos_token_id")?;
            if !tokens.is_empty() {
                self.eos_token_ids = tokens;
            }
        }
        Ok(self)
    }
}

fn family(json: &Object) -> Result<Family, ConfigError> {
    let class = json
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    let by_class = |name: &str| {
        Family::ALL
            .into_iter()
            .find(|family| name.strip_prefix(family.class_prefix()) == Some("ForCausalLM"))
    };
    let refused = |name: &str| ConfigError::Architecture { name: shown(name) };
    match (json.text("model_type")?, class) {
        (Some(model_type), class) => {
            let family = Family::from_model_type(model_type).ok_or_else(|| refused(model_type))?;
            match class {
                // A classifier on a Llama trunk has `model_type` llama too, and no head to generate with.
                Some(class) if by_class(class) != Some(family) => Err(refused(class)),
                _ => Ok(family),
            }
        }
        (None, Some(class)) => by_class(class).ok_or_else(|| refused(class)),
        (None, None) => Err(ConfigError::Missing {
            file: CONFIG,
            key: "model_type".into(),
        }),
    }
}

/// Everything that changes the numbers and that the decoder does not compute.
fn refuse_unknown_features(json: &Object, family: Family) -> Result<(), ConfigError> {
    if let Some(act) = json.text("hidden_act")?.filter(|act| *act != "silu" && *act != "swish") {
        return Err(json.feature(format!("the activation hidden_act = \"{}\"", shown(act))));
    }
    if family == Family::Llama {
        for key in ["attention_bias", "mlp_bias"] {
            if json.flag(key)? {
                return Err(json.feature(format!("a Llama with {key} = true")));
            }
        }
    }
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        if json.size(key)?.is_some_and(|experts| experts > 1) {
            return Err(json.feature(format!("a mixture of experts ({key})")));
        }
    }
    if let Some(config) = json.get("quantization_config") {
        let method = config.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
        return Err(json.feature(format!(
            "a checkpoint quantised with `{}` (those that are: safetensors in f32, f16 or bf16, and GGUF files)",
            shown(method)
        )));
    }
    refuse_sliding_window(json, family)
}

fn refuse_sliding_window(json: &Object, family: Family) -> Result<(), ConfigError> {
    let layers = json.size_or("num_hidden_layers", 32)?;
    if let Some(types) = json.get("layer_types").and_then(Value::as_array) {
        let other = types
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "full_attention");
        if let Some(name) = other {
            return Err(json.feature(format!("attention of the type `{}` (layer_types)", shown(name))));
        }
        return Ok(());
    }
    // Published Qwen2 configurations give a window and switch it off. Transformers' Llama never looks at the key.
    let asked =
        family == Family::Qwen2 && json.flag("use_sliding_window")? && json.size_or("max_window_layers", 28)? < layers;
    match json.size("sliding_window")? {
        Some(window) if asked => Err(json.feature(format!("attention with sliding_window = {window}"))),
        _ => Ok(()),
    }
}

/// Base and scaling: `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (5).
fn rope(json: &Object) -> Result<(f64, Option<RopeScaling>), ConfigError> {
    let parameters = json.object("rope_parameters")?;
    let scaling = match &parameters {
        Some(parameters) => Some(parameters.clone()),
        None => json.object("rope_scaling")?,
    };
    let theta = match parameters
        .as_ref()
        .map(|own| own.number("rope_theta"))
        .transpose()?
        .flatten()
    {
        Some(theta) => theta,
        None => json.number("rope_theta")?.unwrap_or(10_000.0),
    };
    let partial = match &parameters {
        Some(own) => own.number("partial_rotary_factor")?,
        None => json.number("partial_rotary_factor")?,
    };
    if let Some(factor) = partial.filter(|factor| *factor != 1.0) {
        return Err(json.feature(format!(
            "rotary positions on a part of the head (partial_rotary_factor = {factor})"
        )));
    }
    let Some(scaling) = scaling else {
        return Ok((theta, None));
    };
    let kind = match scaling.text("rope_type")? {
        Some(kind) => Some(kind),
        None => scaling.text("type")?,
    };
    let scaling = match kind {
        None | Some("default") => None,
        Some("linear") => Some(RopeScaling::Linear {
            factor: scaling.required_number("factor")?,
        }),
        Some("llama3") => Some(RopeScaling::Llama3 {
            factor: scaling.required_number("factor")?,
            low_freq_factor: scaling.required_number("low_freq_factor")?,
            high_freq_factor: scaling.required_number("high_freq_factor")?,
            original_max_position_embeddings: scaling.size("original_max_position_embeddings")?.ok_or_else(|| {
                ConfigError::Missing {
                    file: CONFIG,
                    key: "rope_scaling.original_max_position_embeddings".into(),
                }
            })?,
        }),
        Some(other) => return Err(json.feature(format!("rope scaling of the type `{}`", shown(other)))),
    };
    Ok((theta, scaling))
}

fn dtype(json: &Object) -> Result<Option<Dtype>, ConfigError> {
    let name = match json.text("torch_dtype")? {
        Some(name) => Some(name),
        None => json.text("dtype")?,
    };
    match name.map(|name| name.trim_start_matches("torch.")) {
        None | Some("auto") => Ok(None),
        Some("float32") => Ok(Some(Dtype::F32)),
        Some("float16") => Ok(Some(Dtype::F16)),
        Some("bfloat16") => Ok(Some(Dtype::Bf16)),
        Some(other) => Err(json.feature(format!("the element type `{}` (dtype)", shown(other)))),
    }
}

/// A JSON object of a file, with getters that name the key when the value is of the wrong type. `null` is absent.
#[derive(Clone)]
struct Object(Map<String, Value>, &'static str);

impl Object {
    fn parse(file: &'static str, text: &str) -> Result<Self, ConfigError> {
        let not_json = |reason: String| ConfigError::NotJson { file, reason };
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self(map, file)),
            Ok(other) => Err(not_json(format!("it holds {}", shown(&other.to_string())))),
            Err(error) => Err(not_json(error.to_string())),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| ConfigError::WrongType {
            file: self.1,
            key: key.to_owned(),
            expected,
            found: shown(&value.to_string()),
        })
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(key, "a whole number", |value| {
            value.as_u64().and_then(|size| size.try_into().ok())
        })
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.size(key)?.unwrap_or(default))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, "a number", Value::as_f64)
    }

    fn required_number(&self, key: &str) -> Result<f64, ConfigError> {
        self.number(key)?.ok_or_else(|| ConfigError::Missing {
            file: self.1,
            key: format!("rope_scaling.{key}"),
        })
    }

    fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.typed(key, "a text", Value::as_str)
    }

    fn object(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        self.typed(key, "an object", |value| {
            value.as_object().map(|map| Self(map.clone(), self.1))
        })
    }

    /// One token or a list of them.
    fn tokens(&self, key: &str) -> Result<Vec<u32>, ConfigError> {
        let token = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let tokens = self.typed(key, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(token).collect(),
            one => token(one).map(|id| vec![id]),
        })?;
        Ok(tokens.unwrap_or_default())
    }

    fn feature(&self, feature: String) -> ConfigError {
        ConfigError::Feature { file: self.1, feature }
    }
}

#[cfg(test)]
mod tests;
