//! The families of models: each is one file that says what it has and Llama has not.
//!
//! A new one: copy the file that is nearest, list it in `FAMILIES`, give it a module tree in
//! `placebench-core` (`module_tree/from_config/`), and reference data with `ci/make-tiny-models.py`.

mod gemma2;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;

use super::gguf::Metadata;
use super::json::Object;
use super::{ConfigError, ModelConfig, RopeLayout};

/// All families. Where two share a GGUF architecture, files are read by the first one.
static FAMILIES: [&Family; 6] = [
    &llama::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &mistral::FAMILY,
    &phi3::FAMILY,
    &gemma2::FAMILY,
];

/// A family: how its configurations and files differ from Llama's.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// The prefix of Hugging Face's class names.
    pub class_prefix: &'static str,
    /// `general.architecture` in GGUF files.
    pub gguf_architecture: &'static str,
    /// What transformers assumes where `config.json` is silent.
    pub(super) defaults: Defaults,
    activation_key: &'static str,
    /// Which rope scalings its configurations may ask for.
    pub(super) rope_kinds: RopeKinds,
    /// Its heads may rotate in part.
    pub(super) partial_rotary: bool,
    /// Sets what `config.json` says about features that only some families have. Sizes are set and plausible then.
    pub(super) read: fn(&Object, &mut ModelConfig) -> Result<(), ConfigError>,
    /// The same for the metadata of a GGUF file.
    pub(super) read_gguf: fn(&Metadata<'_>, &mut ModelConfig) -> Result<(), ConfigError>,
    /// Which elements of a head rotate together in its GGUF files.
    pub(super) gguf_layout: RopeLayout,
    gguf_names: &'static [(&'static str, &'static str)],
}

impl Family {
    /// The key of the activation in `config.json`.
    pub(crate) fn activation_key(&self) -> &'static str {
        self.activation_key
    }

    /// Modules of a block by Hugging Face's name and by GGUF's, where they differ from Llama's or are not there.
    pub(crate) fn gguf_names(&self) -> &'static [(&'static str, &'static str)] {
        self.gguf_names
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.model_type == other.model_type
    }
}

impl Eq for Family {}

impl std::fmt::Debug for Family {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.model_type)
    }
}

/// Defaults of a family's configuration class in transformers 4.49 (Qwen3: 4.51).
pub(super) struct Defaults {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_layers: usize,
    pub(super) num_heads: usize,
    /// `None`: as many as heads.
    pub(super) num_kv_heads: Option<usize>,
    /// `None`: `hidden_size / num_attention_heads`.
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: f64,
    pub(super) tie_word_embeddings: bool,
    pub(super) activation: &'static str,
    pub(super) bos_token_id: Option<u32>,
    pub(super) eos_token_id: Option<u32>,
}

/// Which rope scalings a family's configurations may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RopeKinds {
    /// `linear`, `dynamic`, `yarn`, `llama3`.
    General,
    /// `longrope`, also called `su` or `yarn` in older files.
    LongRope,
}

impl RopeKinds {
    pub(super) fn names(self) -> &'static str {
        match self {
            Self::General => "default, linear, dynamic, yarn, llama3",
            Self::LongRope => "default, longrope, su, yarn",
        }
    }
}

/// `model_type` of every family.
#[must_use]
pub fn names() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.model_type).collect()
}

/// The family with that `model_type`.
#[must_use]
pub fn by_model_type(name: &str) -> Option<&'static Family> {
    find(|family| family.model_type == name)
}

/// The family whose class for text generation has that name.
pub(super) fn by_class(name: &str) -> Option<&'static Family> {
    find(|family| name.strip_prefix(family.class_prefix) == Some("ForCausalLM"))
}

/// The family of GGUF files of that architecture.
pub(super) fn by_gguf_architecture(name: &str) -> Option<&'static Family> {
    find(|family| family.gguf_architecture == name)
}

fn find(matches: impl Fn(&Family) -> bool) -> Option<&'static Family> {
    FAMILIES.iter().copied().find(|family| matches(family))
}

/// The same window on every layer, where a GGUF file names one.
fn gguf_window(metadata: &Metadata<'_>, model: &mut ModelConfig) -> Result<(), ConfigError> {
    model.windows = vec![metadata.window()?; model.num_layers];
    Ok(())
}
