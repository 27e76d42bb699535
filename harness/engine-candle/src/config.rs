//! What a model is made of, read from its configuration: the numbers that decide shapes, and nothing about weights.
//!
//! Two sources give the same [`ModelConfig`]: `config.json` as Hugging Face's libraries write it ([`ModelConfig::from_json`])
//! and the metadata of a GGUF file. A feature that changes the numbers and that the decoder
//! does not compute is refused by name here, before a byte of weights is read.

mod gguf;
mod hf;
mod parameters;

use std::path::PathBuf;

use placebench_core::outcome::FailureClass;
use placebench_core::protocol::Dtype;
use thiserror::Error;

pub(crate) use gguf::GgufTensorFacts;
pub(crate) use parameters::HEAD;
pub use parameters::Parameter;

/// The architectures the decoder computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Llama and what is built like it (SmolLM2, TinyLlama): `LlamaForCausalLM`.
    Llama,
    /// Qwen2 and Qwen2.5: Llama with biases on query, key and value: `Qwen2ForCausalLM`.
    Qwen2,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 2] = [Self::Llama, Self::Qwen2];

    /// The name in `model_type` and in a GGUF file's `general.architecture`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The prefix of Hugging Face's class names.
    #[must_use]
    pub fn class_prefix(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Qwen2 => "Qwen2",
        }
    }

    fn from_model_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.model_type() == name)
    }
}

/// Which elements of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeLayout {
    /// Element `i` with `i + head_dim / 2`: Hugging Face's layout, and Qwen2 everywhere (`candle_nn::rotary_emb::rope`).
    Halves,
    /// Element `2 i` with `2 i + 1`: Llama in GGUF files, whose query and key rows are permuted for it (`rope_i`).
    Interleaved,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: low frequencies divided by `factor`, high ones kept, those between blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// One divisor for each frequency: the tensor `rope_freqs.weight` of a GGUF file.
    Divisors(Vec<f32>),
}

/// The hyper-parameters of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The architecture.
    pub family: Family,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; a divisor of `num_heads`.
    pub num_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: Option<RopeScaling>,
    /// Which elements of a head rotate together.
    pub rope_layout: RopeLayout,
    /// The head is the embedding.
    pub tie_word_embeddings: bool,
    /// Query, key and value projections have biases (the output projection never has).
    pub qkv_bias: bool,
    /// The longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Tokens that end a generation.
    pub eos_token_ids: Vec<u32>,
    /// The token a text begins with, where the model has one.
    pub bos_token_id: Option<u32>,
    /// The element type the weights were saved in, where the configuration says it.
    pub torch_dtype: Option<Dtype>,
}

impl ModelConfig {
    /// Angular frequency of each rotating pair (`head_dim / 2` of them), scaling included, computed in float32 as
    /// Hugging Face's `ROPE_INIT_FUNCTIONS` does: `theta^(-2 i / head_dim)`.
    #[must_use]
    pub fn rope_inv_freq(&self) -> Vec<f32> {
        let base: Vec<f32> = (0..self.head_dim / 2)
            .map(|pair| 1.0 / single(self.rope_theta).powf((2 * pair) as f32 / self.head_dim as f32))
            .collect();
        match &self.rope_scaling {
            None => base,
            Some(RopeScaling::Linear { factor }) => base.into_iter().map(|freq| freq / single(*factor)).collect(),
            Some(RopeScaling::Divisors(divisors)) => base.iter().zip(divisors).map(|(freq, by)| freq / by).collect(),
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            }) => {
                let (factor, low, high) = (single(*factor), single(*low_freq_factor), single(*high_freq_factor));
                let original = *original_max_position_embeddings as f32;
                base.into_iter()
                    .map(|freq| llama3_frequency(freq, factor, low, high, original))
                    .collect()
            }
        }
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_size(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    #[must_use]
    pub fn key_value_size(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "transformers computes frequencies in single precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}

/// `_compute_llama3_parameters` of transformers 4.49 for one frequency.
fn llama3_frequency(freq: f32, factor: f32, low: f32, high: f32, original: f32) -> f32 {
    let wavelength = 2.0 * std::f32::consts::PI / freq;
    if wavelength > original / low {
        freq / factor
    } else if wavelength < original / high {
        freq
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * freq / factor + smooth * freq
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON, or no JSON object.
    #[error("{file} is not a JSON object: {reason}")]
    NotJson {
        /// Name of the file.
        file: &'static str,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A value has the wrong type.
    #[error("{file}: `{key}` should be {expected}, found {found}")]
    WrongType {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The key.
        key: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// A key without a default is absent.
    #[error("{file}: `{key}` is missing")]
    Missing {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The key.
        key: String,
    },
    /// The numbers contradict each other or are out of every range.
    #[error("{file}: {problem}")]
    Implausible {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// Which numbers, and what is wrong with them.
        problem: String,
    },
    /// An architecture that the decoder does not compute.
    #[error("architecture `{name}` is not one this engine computes (llama, qwen2)")]
    Architecture {
        /// Its name in the file.
        name: String,
    },
    /// A feature of the architecture that the decoder does not compute.
    #[error("{file}: {feature} is not computed by this engine")]
    Feature {
        /// Name of the file, or `GGUF metadata`.
        file: &'static str,
        /// The feature, with the key and value that ask for it.
        feature: String,
    },
}

impl ConfigError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => FailureClass::ModelMissing,
            Self::Read { .. }
            | Self::NotJson { .. }
            | Self::WrongType { .. }
            | Self::Missing { .. }
            | Self::Implausible { .. } => FailureClass::ModelInvalid,
            Self::Architecture { .. } | Self::Feature { .. } => FailureClass::Unsupported,
        }
    }
}

/// The checks both sources share: no zero, nothing that no model has, and heads that divide.
fn check(config: ModelConfig, file: &'static str) -> Result<ModelConfig, ConfigError> {
    // Far above any model, far below what would overflow a product of two of them in 64 bits.
    const LARGEST: usize = 1 << 28;
    const MOST_LAYERS: usize = 1 << 12;
    let implausible = |problem: String| ConfigError::Implausible { file, problem };
    for (name, value, most) in [
        ("vocab_size", config.vocab_size, LARGEST),
        ("hidden_size", config.hidden_size, LARGEST),
        ("intermediate_size", config.intermediate_size, LARGEST),
        ("number of layers", config.num_layers, MOST_LAYERS),
        ("number of attention heads", config.num_heads, LARGEST),
        ("number of key-value heads", config.num_kv_heads, LARGEST),
        ("head_dim", config.head_dim, LARGEST),
        ("max_position_embeddings", config.max_position_embeddings, LARGEST),
    ] {
        if value == 0 || value > most {
            return Err(implausible(format!("{name} is {value}, should be from 1 to {most}")));
        }
    }
    if !config.num_heads.is_multiple_of(config.num_kv_heads) {
        return Err(implausible(format!(
            "{} attention heads cannot share {} key-value heads evenly",
            config.num_heads, config.num_kv_heads
        )));
    }
    if !config.head_dim.is_multiple_of(2) {
        return Err(implausible(format!(
            "head_dim is {}, rotary positions need an even one",
            config.head_dim
        )));
    }
    if !(config.rope_theta.is_finite() && config.rope_theta > 0.0) {
        return Err(implausible(format!(
            "rope_theta is {}, should be positive",
            config.rope_theta
        )));
    }
    if !(config.rms_norm_eps.is_finite() && config.rms_norm_eps >= 0.0) {
        return Err(implausible(format!(
            "rms_norm_eps is {}, should not be negative",
            config.rms_norm_eps
        )));
    }
    check_scaling(&config).map_err(implausible)?;
    Ok(config)
}

fn check_scaling(config: &ModelConfig) -> Result<(), String> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    match &config.rope_scaling {
        Some(RopeScaling::Linear { factor }) if !positive(*factor) => {
            Err(format!("rope scaling factor is {factor}, should be positive"))
        }
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            ..
        }) if !(positive(*factor) && positive(*low_freq_factor) && high_freq_factor > low_freq_factor) => Err(format!(
            "rope scaling factors are {factor}, low {low_freq_factor}, high {high_freq_factor}; \
             they should be positive and high above low"
        )),
        Some(RopeScaling::Divisors(divisors)) if divisors.len() != config.head_dim / 2 => Err(format!(
            "rope_freqs has {} values, head_dim {} needs {}",
            divisors.len(),
            config.head_dim,
            config.head_dim / 2
        )),
        Some(RopeScaling::Divisors(divisors)) if !divisors.iter().all(|by| positive(f64::from(*by))) => {
            Err("rope_freqs holds a value that is not positive".into())
        }
        _ => Ok(()),
    }
}
