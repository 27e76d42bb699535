//! The whole order of a worker.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceId, LogicalDevice};
use crate::fault::Fault;
use crate::placement::PlacementRequest;
use crate::planner::Rates;
use crate::record::{ServerSpec, TransformersSpec};

/// Where the weights come from. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// A folder with `config.json` and safetensors, or a `.gguf` file.
    Path(String),
    /// The Hugging Face hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Commit, tag or branch.
        revision: String,
        /// A single file (`*.gguf`); absent means the safetensors checkpoint.
        file: Option<String>,
    },
    /// `load_format = "dummy"`: the shapes of a configuration, filled with seeded random weights. No weights are read.
    Dummy {
        /// Where the configuration is: a `config.json` under any name, the folder of one, or a repository of the hub.
        config: Box<Self>,
        /// Seed of the weights.
        seed: u64,
    },
}

impl ModelSource {
    /// How the model is called in reports: the last part of the path, or the repository; `(dummy)` follows where the
    /// weights are random.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Path(path) => last_part(path).to_owned(),
            Self::Hub { repo, .. } => repo.clone(),
            Self::Dummy { config, .. } => {
                let label = config.label();
                format!("{} (dummy)", label.strip_suffix(".json").unwrap_or(&label))
            }
        }
    }

    /// The file or folder it is read from, where that is on this machine.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Hub { .. } => None,
            Self::Dummy { config, .. } => config.path(),
        }
    }
}

/// The last part of a path; of `…/name/config.json`, which every model has, the part before it.
fn last_part(path: &str) -> &str {
    let mut parts = path.trim_end_matches('/').rsplit('/');
    match (parts.next(), parts.next()) {
        (Some("config.json"), Some(folder)) if !folder.is_empty() => folder,
        (Some(last), _) => last,
        (None, _) => path,
    }
}

/// Element type weights are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE.
    F32,
    /// 16-bit IEEE.
    F16,
    /// 16-bit brain float.
    Bf16,
}

impl Dtype {
    /// The name in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// What the model is asked to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Text, tokenised as it is (special tokens in it are recognised).
    Text(String),
    /// Turns, put through the model's chat template with the generation prompt.
    Messages(Vec<Message>),
    /// Tokens, for models without a tokenizer.
    InputIds(Vec<u32>),
}

/// Temperature sampling; greedy where absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Softmax temperature, above 0.
    pub temperature: f64,
    /// Keep the k most likely tokens.
    pub top_k: Option<usize>,
    /// Keep the smallest set of tokens with this probability.
    pub top_p: Option<f64>,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// How to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationSpec {
    /// At most this many tokens.
    pub max_new_tokens: u32,
    /// Absent: greedy.
    pub sampling: Option<Sampling>,
    /// Go on after an end token.
    pub ignore_eos: bool,
    /// Texts that end the generation; they are not part of the result.
    pub stop: Vec<String>,
}

/// The whole order of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerRequest {
    /// [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION) of the supervisor.
    pub protocol: u32,
    /// `scenario/prompt/placement`, for logs.
    pub case: String,
    /// Name of the engine.
    pub engine: String,
    /// The model.
    pub model: ModelSource,
    /// Absent: as stored (GGUF stays quantised).
    pub dtype: Option<Dtype>,
    /// Logical devices.
    pub devices: Vec<LogicalDevice>,
    /// How fast devices and links are, where that is known.
    #[serde(default)]
    pub rates: Option<Rates<DeviceId>>,
    /// What is asked.
    pub placement: PlacementRequest,
    /// The prompt.
    pub prompt: Prompt,
    /// The prompts of the other sequences, as many as the placement's concurrency asks for besides the first.
    #[serde(default)]
    pub companion_prompts: Vec<Prompt>,
    /// How to generate.
    pub generation: GenerationSpec,
    /// Generations before the measured ones.
    pub warmup: u32,
    /// Measured generations in this process.
    pub repetitions: u32,
    /// Faults to inject.
    pub faults: Vec<Fault>,
    /// Note what every module makes and every hop delivers ([`EventKind::Audited`](super::EventKind::Audited)).
    #[serde(default, skip_serializing_if = "is_not_asked")]
    pub audit: bool,
    /// One step over the prompt before the first generation, reported as `probed`, where the engine can.
    #[serde(default)]
    pub probe: bool,
    /// For the engine `transformers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformers: Option<TransformersSpec>,
    /// For the engine `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSpec>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_not_asked(flag: &bool) -> bool {
    !flag
}
