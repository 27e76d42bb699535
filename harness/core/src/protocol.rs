//! Format 2: what supervisor and worker say to each other.
//!
//! One JSON request on the worker's standard input, then one JSON object a line on its event pipe. All times are
//! seconds on the worker's own monotonic clock, counted from its start.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceBytes, DeviceId, LogicalDevice};
use crate::fault::Fault;
use crate::outcome::{Hop, Phase, WorkerFailure};
use crate::placement::{PlacementRequest, Transfer};
use crate::planner::{Forecast, Rates};
use crate::units::Bytes;

/// The version both sides must share.
///
/// History: 1 (first).
pub const PROTOCOL_VERSION: u32 = 1;

/// Name of the environment variable that holds the path of the breadcrumb page.
pub const BREADCRUMB_ENV: &str = "PLACEBENCH_BREADCRUMB";

/// Name of the environment variable in which the supervisor leaves its process id, so that a worker can tell that it is
/// orphaned already when it starts.
pub const SUPERVISOR_PID_ENV: &str = "PLACEBENCH_SUPERVISOR_PID";

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
    /// [`PROTOCOL_VERSION`] of the supervisor.
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
}

/// A device as the worker found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Its name in maps.
    pub id: DeviceId,
    /// The physical device below it; the same as `id` for a physical one.
    pub on: DeviceId,
    /// What the driver or system calls it.
    pub name: String,
    /// Memory that may be used: the budget of a logical device, else what the system reports.
    pub memory_bytes: Option<Bytes>,
}

/// What the planner answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPlacement {
    /// Module path (or prefix) to device, in the planner's order: the resolved map.
    pub device_map: Vec<(String, DeviceId)>,
    /// Budgets the planner worked with, after balancing.
    pub budgets: Vec<DeviceBytes>,
    /// Weights per device according to the plan.
    pub weights_bytes: Vec<DeviceBytes>,
    /// Things a person should know: spills, split ties, one device would do.
    pub warnings: Vec<String>,
    /// What the placement is expected to need and to take. Absent from engines that foresee nothing.
    #[serde(default)]
    pub forecast: Option<Box<Forecast>>,
}

/// One module as it was really loaded, read back from its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealisedModule {
    /// `model.embed_tokens`, `model.layers.3`, `model.norm`, `lm_head`, in the order of execution.
    pub module: String,
    /// Where its tensors are.
    pub device: DeviceId,
    /// Bytes of its tensors there. A tied head that shares the embedding's tensor counts 0.
    pub bytes: Bytes,
}

/// How activations travel from one device to another, as it was settled before the first generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// Where they come from.
    pub from: DeviceId,
    /// Where they go.
    pub to: DeviceId,
    /// How they travel: not always as asked.
    pub transfer: Transfer,
    /// A pattern sent this way was read back unchanged.
    pub verified: bool,
    /// Why they are staged through the host although `direct` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Weights.
    Weights,
    /// Keys and values of past tokens.
    KvCache,
    /// Most that was in use at once: weights, cache and activations.
    Peak,
}

/// A figure of memory on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigure {
    /// The device.
    pub device: DeviceId,
    /// What is counted.
    pub kind: MemoryKind,
    /// The bytes.
    pub bytes: Bytes,
    /// The budget of the device, if it has one.
    pub allowed_bytes: Option<Bytes>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end token.
    Eos,
    /// `max_new_tokens`.
    Length,
    /// A stop text.
    Stop,
}

impl FinishReason {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }
}

/// A token with its logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenLogit {
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
}

/// One finished generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Tokens of the prompt.
    pub input_ids: Vec<u32>,
    /// Generated tokens, with the end token if it came.
    pub output_ids: Vec<u32>,
    /// Generated text without special tokens; empty for models without a tokenizer.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Start of the generation on the worker's clock, in seconds.
    pub start_s: f64,
    /// For each generated token the seconds since `start_s`, after the device was synchronised.
    pub token_stamps_s: Vec<f64>,
    /// For each step the largest logit minus the second largest.
    pub top2_gaps: Vec<f32>,
    /// For each step the five largest logits, largest first: what a near-tie is judged by.
    pub top5: Vec<Vec<TokenLogit>>,
    /// Activations moved between devices, per step: `[prefill, decode, decode, …]` has one entry a token.
    pub hops: Vec<u32>,
    /// Bytes moved by those hops, per step.
    pub transfer_bytes: Vec<u64>,
    /// Weights copied in for offloaded layers, per step; zeros without `offload = "stream"`. Of a batch, hops and bytes are
    /// those of the whole step, the same for all its sequences.
    #[serde(default)]
    pub streamed_bytes: Vec<u64>,
    /// For each step the seconds of its stages and hops in turn, `[stage, hop, stage, …]`, in order of execution, each
    /// measured once its device had really finished. Choosing a token and the like is in none of them. Empty from engines
    /// that do not measure it.
    #[serde(default)]
    pub stage_times_s: Vec<Vec<f64>>,
    /// The other sequences that were generated together with this one, in the order of the request, each with the same
    /// `start_s`. Their own lists of companions are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Self>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What happened in the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The first line.
    Hello {
        /// The worker's [`PROTOCOL_VERSION`].
        protocol: u32,
        /// Name of the engine.
        engine: String,
        /// Versions of what computes: `candle-core 0.11.1`.
        versions: Vec<String>,
        /// `debug` or `release`; figures of the two are never compared.
        profile: String,
    },
    /// A phase begins.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// A file of the model is being downloaded: at its begin and end, and several times a second between.
    Fetching {
        /// Its name in the repository.
        file: String,
        /// Bytes that are here.
        done_bytes: Bytes,
        /// Bytes it has.
        total_bytes: Bytes,
    },
    /// The devices that are there.
    Devices {
        /// Each with its budget.
        devices: Vec<DeviceFacts>,
    },
    /// The planner answered.
    Planned(PlannedPlacement),
    /// Names for the indices of the breadcrumb.
    Places {
        /// Modules in order of execution, with their devices.
        modules: Vec<(String, DeviceId)>,
        /// Hops in order of execution.
        hops: Vec<Hop>,
    },
    /// Weights are where they are.
    Loaded {
        /// Read back from the loaded tensors.
        realised: Vec<RealisedModule>,
        /// Tensors of the checkpoint that the model does not use.
        #[serde(default)]
        unused_tensors: Vec<String>,
    },
    /// How activations travel over each ordered pair of devices that has a hop. Sent in phase `prepare`, if at all.
    Links {
        /// In order of their first hop.
        links: Vec<LinkFacts>,
    },
    /// A generation begins.
    Started {
        /// Its number in this process, warm-ups included.
        generation: u32,
        /// Not to be counted.
        warmup: bool,
    },
    /// A token was made; the event's time is its stamp.
    Token {
        /// The generation.
        generation: u32,
        /// The sequence: 0, or the number of a companion, from 1.
        #[serde(default, skip_serializing_if = "is_zero")]
        sequence: u32,
        /// Its position, from 0.
        index: u32,
        /// The token.
        id: u32,
        /// Largest logit minus second largest.
        top2_gap: f32,
    },
    /// A generation is done.
    Finished {
        /// Its number in this process, warm-ups included.
        generation: u32,
        /// Not to be counted.
        warmup: bool,
        /// All of it.
        result: Generation,
    },
    /// A figure of memory; a later one for the same device and kind replaces it.
    Memory(MemoryFigure),
    /// The last line of a worker that succeeded.
    Done,
    /// The last line of one that did not.
    Error {
        /// What went wrong.
        failure: WorkerFailure,
    },
}

/// A line of the event pipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// Seconds since the worker's start, on its monotonic clock.
    pub t_s: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_json_objects() {
        let event = WorkerEvent {
            t_s: 0.25,
            kind: EventKind::Token {
                generation: 1,
                sequence: 0,
                index: 3,
                id: 42,
                top2_gap: 0.5,
            },
        };
        let line = serde_json::to_string(&event).unwrap();
        insta::assert_snapshot!(line, @r#"{"t_s":0.25,"event":"token","generation":1,"index":3,"id":42,"top2_gap":0.5}"#);
        assert_eq!(serde_json::from_str::<WorkerEvent>(&line).unwrap(), event);
    }

    #[test]
    fn newtype_events_are_flat_too() {
        let event = WorkerEvent {
            t_s: 1.0,
            kind: EventKind::Memory(MemoryFigure {
                device: DeviceId::cpu(),
                kind: MemoryKind::Peak,
                bytes: Bytes(10),
                allowed_bytes: None,
            }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<WorkerEvent>(&line).unwrap(), event);
    }

    #[test]
    fn a_dummy_model_says_so_in_the_record_and_others_read_as_before() {
        let dummy = ModelSource::Dummy {
            config: Box::new(ModelSource::Path("/a/qwen2.5-3b.json".into())),
            seed: 7,
        };
        let text = serde_json::to_string(&dummy).unwrap();
        insta::assert_snapshot!(text, @r#"{"dummy":{"config":{"path":"/a/qwen2.5-3b.json"},"seed":7}}"#);
        assert_eq!(serde_json::from_str::<ModelSource>(&text).unwrap(), dummy);
        let old = r#"{"hub":{"repo":"a/b","revision":"main","file":null}}"#;
        assert_eq!(serde_json::from_str::<ModelSource>(old).unwrap().label(), "a/b");
    }

    #[test]
    fn models_have_short_labels() {
        assert_eq!(ModelSource::Path("/a/models/tiny/".into()).label(), "tiny");
        let dummy = |path: &str| ModelSource::Dummy {
            config: Box::new(ModelSource::Path(path.into())),
            seed: 0,
        };
        assert_eq!(dummy("/a/configs/qwen2.5-3b.json").label(), "qwen2.5-3b (dummy)");
        assert_eq!(dummy("/a/models/tiny/config.json").label(), "tiny (dummy)");
        assert_eq!(dummy("/a/models/tiny").label(), "tiny (dummy)");
        assert_eq!(dummy("config.json").label(), "config (dummy)");
    }
}
