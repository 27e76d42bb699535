//! A case: everything needed to run and judge it again.

use serde::{Deserialize, Serialize};

use crate::audit::AuditSpec;
use crate::device::{DeviceBytes, DeviceId, LogicalDevice};
use crate::fault::Fault;
use crate::outcome::{OutcomeKind, Phase};
use crate::placement::PlacementRequest;
use crate::planner::Rates;
use crate::protocol::{Dtype, GenerationSpec, ModelSource, Prompt};
use crate::record::{ProgramSpec, ServerSpec, TransformersSpec};

/// Deadlines of a case, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the start of the process to the end of loading.
    pub load_s: f64,
    /// From the start of a generation to its first token.
    pub first_token_s: f64,
    /// Between two tokens, and for reporting after the last.
    pub token_s: f64,
    /// The whole attempt.
    pub total_s: f64,
}

/// One process for each repetition, or one for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A fresh process for each repetition.
    #[default]
    Process,
    /// One process does them all.
    Shared,
}

/// How often a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureSpec {
    /// Uncounted generations in each process.
    pub warmup: u32,
    /// Counted generations.
    pub repetitions: u32,
    /// In how many processes.
    pub isolation: Isolation,
    /// In each process one step over the prompt before the first generation, whose logits are compared with those of the
    /// reference placement.
    #[serde(default)]
    pub probe: bool,
    /// With `--against`: after how many of the repetitions times are looked at first. Where that look decides, the others are
    /// not made. Absent: all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_look: Option<u32>,
}

/// How strictly two texts must agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgreementRule {
    /// The same tokens.
    Exact,
    /// The same tokens up to a step where both picks were nearly equally likely.
    #[default]
    NearTie,
}

/// All placements of a prompt must agree with one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgreementSpec {
    /// Name of the reference placement.
    pub reference: String,
    /// How strictly.
    pub rule: AgreementRule,
    /// `near_tie`: the largest logit gap that counts as a tie.
    pub max_gap: f32,
}

/// The text must be that of another engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnginesSpec {
    /// The engine that sets the measure.
    pub engine: String,
    /// Name of the placement there.
    pub reference: String,
    /// How strictly.
    pub rule: AgreementRule,
    /// `near_tie`: the largest logit gap that counts as a tie.
    pub max_gap: f32,
}

/// What must be true of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// How the attempt must end.
    pub outcome: OutcomeKind,
    /// Where it must end, for outcomes other than `completed`.
    pub phase: Option<Phase>,
    /// Module or hop it must end at (`a -> b`).
    pub at: Option<String>,
    /// Text and tokens are compared with the approved snapshot.
    pub snapshot: bool,
    /// Agreement between placements.
    pub agreement: Option<AgreementSpec>,
    /// Devices on which nothing may be.
    pub forbid_devices: Vec<String>,
    /// At least this many devices must hold weights.
    pub min_devices_used: Option<u32>,
    /// Texts the output must contain.
    pub contains: Vec<String>,
    /// Names of checks that this case must fail: how a suite shows that a detector works.
    pub fails: Vec<String>,
    /// The most it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Whether the worker must have had to be killed because it did not end on SIGTERM; absent: either will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<bool>,
    /// How strictly the text must be that of the approved snapshot of its own device class.
    #[serde(default)]
    pub snapshot_rule: AgreementRule,
    /// Agreement between engines; absent for the cases of the engine that sets the measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<EnginesSpec>,
}

/// The most a case may take. Times are held against medians over its measured generations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// From the start of the process to the end of loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_s: Option<f64>,
    /// To the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_s: Option<f64>,
    /// Per token after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpot_s: Option<f64>,
    /// To the last token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_s: Option<f64>,
    /// The slowest hop of a token after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop_s: Option<f64>,
    /// Peak by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peak_memory_bytes: Vec<DeviceBytes>,
}

/// A case: one point of scenario × prompt × placement, with everything needed to run and judge it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseSpec {
    /// `scenario/prompt/placement`: stable from run to run.
    pub case: String,
    /// The scenario's name: its path in the suite without extension.
    pub scenario: String,
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the placement.
    pub placement: String,
    /// The scenario's file, as given on the command line.
    pub file: String,
    /// Line of the placement in that file, from 1.
    pub line: usize,
    /// What the scenario is about.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Name of the engine.
    pub engine: String,
    /// The model.
    pub model: ModelSource,
    /// How to get the model where it is absent; such cases are then skipped.
    pub model_fetch: Option<String>,
    /// Element type asked for.
    pub dtype: Option<Dtype>,
    /// Logical devices.
    pub devices: Vec<LogicalDevice>,
    /// How fast devices and links are, where that is known.
    #[serde(default)]
    pub rates: Option<Rates<DeviceId>>,
    /// The requested placement.
    pub request: PlacementRequest,
    /// The prompt.
    pub input: Prompt,
    /// The prompts of the sequences that are generated together with it.
    #[serde(default)]
    pub companion_inputs: Vec<Prompt>,
    /// How to generate.
    pub generation: GenerationSpec,
    /// Deadlines.
    pub timeout: Timeouts,
    /// Repetitions.
    pub measure: MeasureSpec,
    /// What must be true.
    pub expect: Expectation,
    /// CUDA devices needed.
    pub requires_cuda: u32,
    /// Faults injected into this case.
    pub faults: Vec<Fault>,
    /// Variables set for the worker.
    pub env: Vec<(String, String)>,
    /// Absolute path of the folder that holds the suite's snapshots.
    pub snapshot_dir: String,
    /// The program that executes it where `engine` is `program`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramSpec>,
    /// It is run to be looked into, and not to be timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSpec>,
    /// How the engine `transformers` is to be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformers: Option<TransformersSpec>,
    /// The server of the engine `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSpec>,
}
