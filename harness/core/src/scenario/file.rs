//! Format 1: the scenario file as TOML types. Nothing here is checked beyond the grammar; see [`super::resolve`].
//!
//! The doc comments are what people read in their editor: the JSON Schema is generated from these types.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::engine_tables::{LaunchTable, PlacementServerTable, ServerTable, TransformersTable};
use super::limits::LimitsTable;
use super::value::{
    DeviceMapValue, DeviceName, DevicesUsed, LoadFormat, Named, Period, PlannerName, Size, SnapshotValue,
};
use crate::fault::{CrashSignal, FaultKind};
use crate::outcome::{OutcomeKind, Phase};
use crate::placement::{Offload, Transfer};
use crate::planner::Objective;
use crate::protocol::{Dtype, Message};
use crate::record::{AgreementRule, Isolation};

/// The version of the format.
///
/// History: 1 (first).
pub const SCENARIO_VERSION: u32 = 1;

/// A placebench scenario: one model, one or more prompts, and the placements to compare.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioFile {
    /// Version of this format: 1.
    #[schemars(with = "Option<u32>")]
    pub schema_version: Option<Spanned<u32>>,
    /// What the scenario shows, in a sentence.
    pub description: Option<String>,
    /// Words to select scenarios by.
    pub tags: Option<Vec<String>>,
    /// What executes the cases: candle (default), candle-reference, mock, transformers (the stack of Hugging Face), openai (the server in `[server]`), or program: the program named in `[program]`.
    #[schemars(with = "Option<String>")]
    pub engine: Option<Spanned<String>>,
    /// Instead of engine: several. Each case is run by each of them, and all must give the text that the first gives.
    #[schemars(with = "Option<Vec<String>>")]
    pub engines: Option<Spanned<Vec<Spanned<String>>>>,
    /// The model.
    #[schemars(with = "Option<ModelTable>")]
    pub model: Option<Spanned<ModelTable>>,
    /// Logical devices: named slices of a physical device with their own memory budget.
    pub devices: Option<Named<LogicalDeviceTable>>,
    /// How fast devices and links are: what optimal plans with, and what predictions are made of.
    pub rates: Option<RatesTable>,
    /// The prompts; each is run under every placement.
    #[schemars(with = "Option<Vec<PromptTable>>")]
    pub prompt: Option<Vec<Spanned<PromptTable>>>,
    /// How to generate.
    pub generation: Option<GenerationTable>,
    /// The placements to compare, by name.
    pub placement: Option<Named<PlacementTable>>,
    /// Deadlines.
    pub timeout: Option<TimeoutTable>,
    /// Repetitions.
    pub measure: Option<MeasureTable>,
    /// What must be true of every case.
    pub expect: Option<ExpectTable>,
    /// What the machine must have; otherwise the cases are skipped with the reason.
    pub requires: Option<RequiresTable>,
    /// Faults to inject into the worker, to show that they are detected.
    #[schemars(with = "Option<Vec<FaultTable>>")]
    pub fault: Option<Vec<Spanned<FaultTable>>>,
    /// Axes that are multiplied into cases.
    pub matrix: Option<MatrixTable>,
    /// Environment variables set for the worker. No secrets: workers inherit those of the shell. Others than those that tune a computation need `--allow-exec`.
    pub env: Option<Named<String>>,
    /// With engine = "program": the program that executes the cases. Run only with `--allow-exec`.
    pub program: Option<ProgramTable>,
    /// With engine = "transformers": how it is to be run.
    #[schemars(with = "Option<TransformersTable>")]
    pub transformers: Option<Spanned<TransformersTable>>,
    /// With engine = "openai": the server.
    #[schemars(with = "Option<ServerTable>")]
    pub server: Option<Spanned<ServerTable>>,
}

/// `defaults.toml` of a suite: what its scenarios leave out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsFile {
    /// Version of this format: 1.
    #[schemars(with = "Option<u32>")]
    pub schema_version: Option<Spanned<u32>>,
    /// What executes the cases.
    #[schemars(with = "Option<String>")]
    pub engine: Option<Spanned<String>>,
    /// How to generate.
    pub generation: Option<GenerationTable>,
    /// Deadlines.
    pub timeout: Option<TimeoutTable>,
    /// Repetitions.
    pub measure: Option<MeasureTable>,
    /// Environment variables set for the workers.
    pub env: Option<Named<String>>,
}

/// Exactly one source: path, repo or config.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelTable {
    /// A folder with config.json and safetensors, or a .gguf file, relative to this file and inside the suite's folder; or an absolute path.
    #[schemars(with = "Option<String>")]
    pub path: Option<Spanned<String>>,
    /// A repository of the Hugging Face hub: owner/name.
    #[schemars(with = "Option<String>")]
    pub repo: Option<Spanned<String>>,
    /// With repo: the commit.
    #[schemars(with = "Option<String>")]
    pub revision: Option<Spanned<String>>,
    /// With repo: a single file such as model.gguf.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<String>>,
    /// With load_format = "dummy": a config.json alone, under any name, with a path like that of path. A tokenizer.json beside it is used.
    #[schemars(with = "Option<String>")]
    pub config: Option<Spanned<String>>,
    /// auto (default): the weights of the source. dummy: random weights in the shapes of its config.json; weights are neither needed nor fetched.
    #[schemars(with = "Option<LoadFormat>")]
    pub load_format: Option<Spanned<LoadFormat>>,
    /// With load_format = "dummy": seed of the weights; 0 if absent.
    #[schemars(with = "Option<u64>")]
    pub seed: Option<Spanned<u64>>,
    /// Element type to compute in: f32, f16 or bf16. Absent: as stored; GGUF stays quantised.
    pub dtype: Option<Dtype>,
    /// With path: a command that gets the model. Where the path is absent, cases are then skipped and the command is shown.
    pub fetch: Option<String>,
}

/// A named slice of a physical device.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogicalDeviceTable {
    /// The physical device: cpu, cuda:N or metal:N.
    #[schemars(with = "DeviceName")]
    pub on: Spanned<DeviceName>,
    /// What may be allocated on it.
    #[schemars(with = "Option<Size>")]
    pub memory: Option<Spanned<Size>>,
}

/// Speeds of devices and links. A logical device without an entry is as fast as the device it lies on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RatesTable {
    /// What `placebench doctor --format json` measured, relative to this file; entries below win over it.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<String>>,
    /// Devices by name.
    pub device: Option<Named<DeviceRatesTable>>,
    /// Ordered pairs of devices.
    #[schemars(with = "Option<Vec<LinkRatesTable>>")]
    pub link: Option<Vec<Spanned<LinkRatesTable>>>,
}

/// How fast a device is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRatesTable {
    /// Bytes it reads from its memory in a second.
    pub memory_bytes_per_s: f64,
    /// Floating-point operations in a second, a multiplication and an addition being two.
    pub flops_per_s: f64,
    /// Seconds that each stage takes in each step whatever it computes; 0 if absent.
    #[serde(default)]
    pub step_overhead_s: Option<f64>,
    /// Seconds that each layer takes in each step whatever it computes; 0 if absent.
    #[serde(default)]
    pub layer_overhead_s: Option<f64>,
}

/// How fast a hidden state moves from one device to another.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRatesTable {
    /// Where it comes from.
    #[schemars(with = "String")]
    pub from: Spanned<String>,
    /// Where it goes.
    #[schemars(with = "String")]
    pub to: Spanned<String>,
    /// Bytes in a second.
    pub bytes_per_s: f64,
    /// Seconds until a copy begins to arrive; 0 if absent.
    #[serde(default)]
    pub latency_s: Option<f64>,
}

/// Exactly one of text, messages, file and input_ids.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromptTable {
    /// Name used in case names; letters, digits, `-`, `_` and `.`.
    #[schemars(with = "Option<String>")]
    pub name: Option<Spanned<String>>,
    /// Text to continue.
    #[schemars(with = "Option<String>")]
    pub text: Option<Spanned<String>>,
    /// Turns of a chat, put through the model's chat template.
    #[schemars(with = "Option<Vec<Message>>")]
    pub messages: Option<Spanned<Vec<Message>>>,
    /// A text file relative to this one, inside the suite's folder.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<String>>,
    /// Tokens, for models without a tokenizer.
    #[schemars(with = "Option<Vec<u32>>")]
    pub input_ids: Option<Spanned<Vec<u32>>>,
}

/// Greedy unless do_sample is true.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationTable {
    /// Most tokens to generate; 32 if absent.
    #[schemars(with = "Option<u32>")]
    pub max_new_tokens: Option<Spanned<u32>>,
    /// Sample instead of taking the likeliest token.
    pub do_sample: Option<bool>,
    /// With do_sample: softmax temperature; 1.0 if absent.
    #[schemars(with = "Option<f64>")]
    pub temperature: Option<Spanned<f64>>,
    /// With do_sample: keep the k likeliest tokens.
    #[schemars(with = "Option<u32>")]
    pub top_k: Option<Spanned<u32>>,
    /// With do_sample: keep the smallest set of tokens with this probability.
    #[schemars(with = "Option<f64>")]
    pub top_p: Option<Spanned<f64>>,
    /// With do_sample: seed of the random numbers; 0 if absent.
    #[schemars(with = "Option<u64>")]
    pub seed: Option<Spanned<u64>>,
    /// Go on after an end token.
    pub ignore_eos: Option<bool>,
    /// Texts that end the generation.
    pub stop: Option<Vec<String>>,
}

/// A named request: where the modules go and how tensors travel.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacementTable {
    /// A strategy (auto, balanced, balanced_low_0, sequential), optimal, one device, or a table of module path to device.
    #[serde(default)]
    #[schemars(with = "Option<DeviceMapValue>")]
    pub device_map: Option<Spanned<DeviceMapValue>>,
    /// Instead of device_map, with engine = "transformers": several processes, each with a rank.
    #[serde(default)]
    #[schemars(with = "Option<LaunchTable>")]
    pub launch: Option<Spanned<LaunchTable>>,
    /// Instead of device_map, with engine = "openai": how the server places the model, in your words. It is not read back.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub stated: Option<Spanned<String>>,
    /// With engine = "openai": what is different about the server under this placement.
    #[serde(default)]
    #[schemars(with = "Option<PlacementServerTable>")]
    pub server: Option<Spanned<PlacementServerTable>>,
    /// The engines that this placement is for. Absent: all of the scenario.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub engines: Option<Vec<Spanned<String>>>,
    /// The Python environments of `[matrix]` that this placement is for: what is expected may be another with another version. Absent: all.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub environments: Option<Vec<Spanned<String>>>,
    /// Budgets for the planner by device. Absent: the memory of the logical devices.
    #[schemars(with = "Option<Named<Size>>")]
    pub max_memory: Option<Spanned<Named<Size>>>,
    /// Whose planner answers a strategy: accelerate (default) or transformers-5.
    pub planner: Option<PlannerName>,
    /// With optimal: the time that shall be least, tpot (time per output token, default) or ttft (time to first token).
    #[schemars(with = "Option<Objective>")]
    pub objective: Option<Spanned<Objective>>,
    /// How activations travel: direct (default) or host.
    pub transfer: Option<Transfer>,
    /// How layers on cpu or disk run beside an accelerator: execute (default) or stream.
    pub offload: Option<Offload>,
    /// Generate so many sequences together as one batch: the case's prompt and those that follow it in the file, from the start again after the last. 1 if absent.
    #[schemars(with = "Option<u32>")]
    pub batch: Option<Spanned<u32>>,
    /// The same sequences, but each by itself and all under way at once, every stage (maximal run of modules on one device) working on another one. 1 if absent.
    #[schemars(with = "Option<u32>")]
    pub in_flight: Option<Spanned<u32>>,
    /// Expectations that replace those of the scenario for this placement.
    pub expect: Option<ExpectTable>,
    /// Deadlines that replace those of the scenario for this placement, key by key.
    pub timeout: Option<TimeoutTable>,
}

/// Each phase has its own deadline; a stall is not a slow run.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutTable {
    /// From the start of the process (or the last byte of a download) to the end of loading; 60s if absent.
    pub load: Option<Period>,
    /// From the start of a generation to its first token; 30s if absent.
    pub first_token: Option<Period>,
    /// Between two tokens; 10s if absent.
    pub token: Option<Period>,
    /// The whole attempt; 5m if absent.
    pub total: Option<Period>,
}

/// How often each case is run.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureTable {
    /// Uncounted generations in each process; 1 if absent.
    pub warmup: Option<u32>,
    /// Counted generations; 1 if absent. Placements are interleaved.
    #[schemars(with = "Option<u32>")]
    pub repetitions: Option<Spanned<u32>>,
    /// process (a fresh process for each repetition, the default) or shared.
    pub isolation: Option<Isolation>,
    /// Before the first generation of each process compute the logits of the prompt once and compare them with those of the reference placement. Absent: where there is an agreement.
    pub probe: Option<bool>,
}

/// What must be true of a case.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectTable {
    /// How the attempt must end: completed if absent.
    pub outcome: Option<OutcomeKind>,
    /// The phase it must end in, for other outcomes than completed.
    pub phase: Option<Phase>,
    /// The module, or the hop `a -> b`, it must end at.
    pub at: Option<String>,
    /// Compare text and tokens with the approved snapshot: true (or near_tie), exact, or false. With the snapshot of another device class only near_tie is asked.
    pub snapshot: Option<SnapshotValue>,
    /// All placements must give the same text as one of them. With several engines each is held to its own reference; where that placement is not for an engine, nothing is held to it there.
    pub agreement: Option<AgreementTable>,
    /// Devices (or kinds: cpu, disk, cuda) on which no weights may be.
    #[schemars(with = "Option<Vec<String>>")]
    pub forbid_devices: Option<Vec<Spanned<String>>>,
    /// At least so many devices must hold weights.
    pub min_devices_used: Option<DevicesUsed>,
    /// Texts the output must contain.
    pub contains: Option<Vec<String>>,
    /// Checks this case must fail; shows that a detector works.
    #[schemars(with = "Option<Vec<String>>")]
    pub fails: Option<Vec<Spanned<String>>>,
    /// Most that a case may take: times and memory. A placement's own table replaces the scenario's as a whole.
    #[schemars(with = "Option<LimitsTable>")]
    pub limits: Option<Spanned<LimitsTable>>,
    /// For outcomes that end a worker from outside: true where it must ignore SIGTERM and be killed, false where it must not.
    #[schemars(with = "Option<bool>")]
    pub killed: Option<Spanned<bool>>,
    /// With several engines: each must give the text that the first gives under the same placement; where that has no such placement, under the reference of its agreement, else under its first. near_tie (default, the same as true), exact, or false. Nothing is said where the first engine gave no text: that is a failure of its own cases.
    #[schemars(with = "Option<SnapshotValue>")]
    pub engines: Option<Spanned<SnapshotValue>>,
}

/// Agreement between placements.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementTable {
    /// The placement the others are compared with.
    #[schemars(with = "String")]
    pub reference: Spanned<String>,
    /// exact, or near_tie (default): the same up to a step where both tokens were nearly equally likely.
    #[serde(default)]
    pub rule: Option<AgreementRule>,
    /// near_tie: the largest logit gap that counts as a tie; 0.05 if absent.
    #[serde(default)]
    #[schemars(with = "Option<f32>")]
    pub max_gap: Option<Spanned<f32>>,
}

/// What the machine must have.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequiresTable {
    /// CUDA devices.
    pub cuda: Option<u32>,
}

/// A fault to inject.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultTable {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Where and when; all conditions must hold. Absent: the first chance.
    #[serde(default)]
    pub at: Option<FaultPointTable>,
    /// The placements it applies to, under every engine they are for: one that cannot make it refuses it. Absent: all.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub placements: Option<Vec<Spanned<String>>>,
    /// slow_link: the delay of each hop; 100ms if absent. slow_step: what each step takes longer, instead of factor.
    #[serde(default)]
    #[schemars(with = "Option<Period>")]
    pub delay: Option<Spanned<Period>>,
    /// crash: the signal; SIGABRT if absent.
    #[serde(default)]
    #[schemars(with = "Option<CrashSignal>")]
    pub signal: Option<Spanned<CrashSignal>>,
    /// slow_step: what the time of each step is multiplied by, above 1 and up to 100; 2 if absent.
    #[serde(default)]
    #[schemars(with = "Option<f64>")]
    pub factor: Option<Spanned<f64>>,
}

/// Conditions of a fault.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPointTable {
    /// A hop: `model.layers.3 -> model.layers.4`. With phase = prepare, the check of its link before anything is generated; the first hop over a link stands for it.
    #[schemars(with = "Option<String>")]
    pub hop: Option<Spanned<String>>,
    /// A module path. Without a phase, where it computes; out_of_memory also where it is loaded.
    #[schemars(with = "Option<String>")]
    pub module: Option<Spanned<String>>,
    /// A phase.
    #[schemars(with = "Option<Phase>")]
    pub phase: Option<Spanned<Phase>>,
    /// Position of a token, from 0; the prefill makes the first.
    #[schemars(with = "Option<u32>")]
    pub token: Option<Spanned<u32>>,
    /// out_of_memory: the allocation that brings its device above this size fails. leak: so much is kept of each generation instead of its cache.
    #[schemars(with = "Option<Size>")]
    pub bytes: Option<Spanned<Size>>,
    /// A link: `sim:0 -> sim:1` for every hop that goes directly from one device to the other, `sim:0 -> host -> sim:1` for those staged through host memory.
    #[schemars(with = "Option<String>")]
    pub link: Option<Spanned<String>>,
    /// A device: whatever module runs there, or with module that one only if it runs there.
    #[schemars(with = "Option<DeviceName>")]
    pub device: Option<Spanned<DeviceName>>,
    /// Number of a generation in its process, warm-ups included, from 0.
    #[schemars(with = "Option<u32>")]
    pub generation: Option<Spanned<u32>>,
    /// With launch: the rank it strikes on, from 0. Absent: every rank.
    #[schemars(with = "Option<u32>")]
    pub rank: Option<Spanned<u32>>,
}

/// A program that speaks the worker protocol (harness/workers/README.md).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramTable {
    /// The program and its arguments; no shell reads them. A bare name is looked for in PATH; a path is relative to this file and inside the suite's folder, or absolute. The program runs in the folder of this file.
    #[schemars(with = "Vec<String>")]
    pub command: Spanned<Vec<Spanned<String>>>,
}

/// Axes; each combination becomes a case of its own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatrixTable {
    /// Element types.
    #[schemars(with = "Option<Vec<Dtype>>")]
    pub dtype: Option<Vec<Spanned<Dtype>>>,
    /// Ways of moving activations.
    #[schemars(with = "Option<Vec<Transfer>>")]
    pub transfer: Option<Vec<Spanned<Transfer>>>,
    /// Engines.
    #[schemars(with = "Option<Vec<String>>")]
    pub engine: Option<Vec<Spanned<String>>>,
    /// Python environments of the engine transformers: ["incident", "newest"] shows whether another version mends it. Other engines run once.
    #[schemars(with = "Option<Vec<String>>")]
    pub environment: Option<Vec<Spanned<String>>>,
}
