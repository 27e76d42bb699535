//! `config.json` and `generation_config.json` as transformers 4 and 5 write them.
//!
//! A key that is absent has the default of the family's configuration class in transformers.

use std::path::{Path, PathBuf};

use placebench_core::protocol::Dtype;
use serde_json::Value;

use crate::shown::shown;

use super::family::{self, Family};
use super::json::Object;
use super::{Activation, BlockConfig, ConfigError, ModelConfig, RopeLayout, check, check_sizes, hf_rope};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

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
        refuse_unknown_features(&json)?;
        let mut model = sizes(&json, family)?;
        check_sizes(&model, CONFIG)?;
        model.block.activation = activation(&json, family)?;
        model.set_rope(hf_rope::read(&json, family, model.max_position_embeddings)?, &json)?;
        (family.read)(&json, &mut model)?;
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

/// What every family has, and for everything else what Llama has.
fn sizes(json: &Object, family: &'static Family) -> Result<ModelConfig, ConfigError> {
    let defaults = &family.defaults;
    let hidden_size = json.size_or("hidden_size", defaults.hidden_size)?;
    let num_heads = json.size_or("num_attention_heads", defaults.num_heads)?;
    let head_dim = if json.has("head_dim") {
        json.size("head_dim")?
    } else {
        defaults.head_dim
    };
    let head_dim = match head_dim {
        Some(head_dim) => head_dim,
        None if num_heads > 0 && hidden_size % num_heads == 0 => hidden_size / num_heads,
        None => {
            return Err(json.implausible(format!(
                "hidden_size {hidden_size} cannot be divided among {num_heads} attention heads"
            )));
        }
    };
    let num_kv_heads = if json.has("num_key_value_heads") {
        json.size("num_key_value_heads")?
    } else {
        defaults.num_kv_heads
    };
    let eos_token_ids = if json.has("eos_token_id") {
        json.tokens("eos_token_id")?
    } else {
        defaults.eos_token_id.into_iter().collect()
    };
    let bos_token_id = if json.has("bos_token_id") {
        json.tokens("bos_token_id")?.first().copied()
    } else {
        defaults.bos_token_id
    };
    Ok(ModelConfig {
        family,
        vocab_size: json.size_or("vocab_size", defaults.vocab_size)?,
        hidden_size,
        intermediate_size: json.size_or("intermediate_size", defaults.intermediate_size)?,
        num_layers: json.size_or("num_hidden_layers", defaults.num_layers)?,
        num_heads,
        num_kv_heads: num_kv_heads.unwrap_or(num_heads),
        head_dim,
        rotary_dim: head_dim,
        rms_norm_eps: json.number("rms_norm_eps")?.unwrap_or(defaults.rms_norm_eps),
        rope_theta: 10_000.0,
        rope_scaling: None,
        rope_layout: RopeLayout::Halves,
        tie_word_embeddings: json.flag("tie_word_embeddings", defaults.tie_word_embeddings)?,
        block: BlockConfig::default(),
        windows: Vec::new(),
        attention_scale: 1.0 / (head_dim as f64).sqrt(),
        embedding_scale: None,
        final_softcap: None,
        max_position_embeddings: json.size_or("max_position_embeddings", defaults.max_position_embeddings)?,
        eos_token_ids,
        bos_token_id,
        torch_dtype: dtype(json)?,
    })
}

fn family(json: &Object) -> Result<&'static Family, ConfigError> {
    let class = json
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    let refused = |name: &str| ConfigError::Architecture { name: shown(name) };
    match (json.text("model_type")?, class) {
        (Some(model_type), class) => {
            let family = family::by_model_type(model_type).ok_or_else(|| refused(model_type))?;
            match class {
                // A classifier on a Llama trunk has `model_type` llama too, and no head to generate with.
                Some(class) if family::by_class(class) != Some(family) => Err(refused(class)),
                _ => Ok(family),
            }
        }
        (None, Some(class)) => family::by_class(class).ok_or_else(|| refused(class)),
        (None, None) => Err(json.missing("model_type")),
    }
}

fn activation(json: &Object, family: &Family) -> Result<Activation, ConfigError> {
    let key = family.activation_key();
    let name = json.text(key)?.unwrap_or(family.defaults.activation);
    Activation::from_name(name).ok_or_else(|| json.feature(format!("the activation {key} = \"{}\"", shown(name))))
}

/// Everything that changes the numbers and that the decoder does not compute for any family.
fn refuse_unknown_features(json: &Object) -> Result<(), ConfigError> {
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
    Ok(())
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

#[cfg(test)]
mod tests;
