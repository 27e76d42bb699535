//! Format 3: what a run leaves behind.
//!
//! `run.json` holds a [`RunInfo`], `attempts.jsonl` one [`Attempt`] a line, `verdict.json` a [`RunVerdict`]. The first
//! two are raw data and are never rewritten; the verdict can be made again from them at any time.

use serde::{Deserialize, Serialize};

use crate::device::{DeviceId, LogicalDevice};
use crate::evidence::{Evidence, Recovery};
use crate::exit_code::ExitCode;
use crate::fault::Fault;
use crate::judge::{MemoryForecast, TimeForecast};
use crate::outcome::{Outcome, OutcomeKind, Phase};
use crate::placement::PlacementRequest;
use crate::planner::Rates;
use crate::protocol::{
    DeviceFacts, Dtype, Generation, GenerationSpec, LinkFacts, MemoryFigure, ModelSource, PlannedPlacement, Prompt,
    RealisedModule,
};
use crate::units::Bytes;

/// Version of the three files of a run, `major.minor`. A minor version only adds fields, with defaults that mean what
/// their absence meant; a reader refuses another major version.
///
/// History: 1.0 (first); 1.1 (rates, forecast, places and the times of stages and hops; links; sequences that are
/// generated together; GPUs; evidence and recovery of attempts that had to be stopped).
pub const RECORD_VERSION: RecordVersion = RecordVersion { major: 1, minor: 1 };

/// A version of the record format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordVersion {
    /// Changes that old readers must not read.
    pub major: u32,
    /// Additions.
    pub minor: u32,
}

/// The program that wrote a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `placebench`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `debug` or `release`.
    pub profile: String,
}

/// What the figures depend on besides the scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// `linux x86_64`.
    pub platform: String,
    /// Kernel version.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Logical processors this process may use.
    pub cpu_count: usize,
    /// Memory of the host.
    pub memory_bytes: Bytes,
    /// Variables that were handed to the workers, name and value.
    pub worker_env: Vec<(String, String)>,
}

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
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// [`RECORD_VERSION`] of the writer.
    pub schema_version: RecordVersion,
    /// Name of the run's folder: `20261122T140000Z-1a2b`.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The writer.
    pub tool: Tool,
    /// The machine.
    pub environment: Environment,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// Seed of the order of attempts.
    pub seed: u64,
    /// What was to be run, in order.
    pub cases: Vec<CaseSpec>,
}

/// A phase a worker went through, in seconds on its clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// The phase.
    pub phase: Phase,
    /// Its start.
    pub start_s: f64,
    /// Its end; absent where it never ended.
    pub end_s: Option<f64>,
}

/// What the driver said about a GPU while an attempt ran. It counts every process on the card, and is sampled: a short
/// peak may be missed. Absent figures were not told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuTelemetry {
    /// Its number in the driver's management library: by bus, whatever CUDA calls it.
    pub index: u32,
    /// `GPU-…`, which stays with the hardware.
    pub uuid: String,
    /// Its model.
    pub name: String,
    /// Where it is plugged in.
    pub bus_id: String,
    /// The driver's version.
    pub driver: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<Bytes>,
    /// How often it was looked at.
    pub samples: u32,
    /// Memory in use when the attempt began.
    pub memory_before_bytes: Option<Bytes>,
    /// Most that was in use.
    pub memory_peak_bytes: Option<Bytes>,
    /// Memory in use when the process had gone.
    pub memory_after_bytes: Option<Bytes>,
    /// Share of the time in which a kernel ran.
    pub utilisation_mean_percent: Option<f64>,
    /// The same, at most.
    pub utilisation_max_percent: Option<u32>,
    /// Power.
    pub power_mean_w: Option<f64>,
    /// The same, at most.
    pub power_max_w: Option<f64>,
    /// Clock of its processors, at least.
    pub sm_clock_min_mhz: Option<u32>,
    /// The same, at most.
    pub sm_clock_max_mhz: Option<u32>,
    /// The highest clock there is.
    pub sm_clock_limit_mhz: Option<u32>,
    /// Temperature, at most.
    pub temperature_max_c: Option<u32>,
    /// Why it was slowed down, if it was: the figures are doubtful then.
    pub throttle_reasons: Vec<String>,
}

/// A line of `attempts.jsonl`: one child process, whatever became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The case.
    pub case: String,
    /// Number of the attempt within the case, from 0.
    pub attempt: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Seconds from spawn to the end of the process, on the supervisor's clock.
    pub wall_s: f64,
    /// What happened.
    pub outcome: Outcome,
    /// The phases it went through.
    pub phases: Vec<PhaseSpan>,
    /// Versions of what computed.
    pub versions: Vec<String>,
    /// The worker's build profile.
    pub profile: Option<String>,
    /// The devices it saw.
    pub devices: Vec<DeviceFacts>,
    /// What the planner answered.
    pub planned: Option<PlannedPlacement>,
    /// What was really loaded where.
    pub realised: Option<Vec<RealisedModule>>,
    /// The modules in order of execution with the devices they run on.
    #[serde(default)]
    pub places: Vec<(String, DeviceId)>,
    /// How activations travelled between the devices, where the worker said so.
    #[serde(default)]
    pub links: Vec<LinkFacts>,
    /// Memory per device and kind.
    pub memory: Vec<MemoryFigure>,
    /// The GPUs of the machine meanwhile, where the case may use one and the driver tells.
    #[serde(default)]
    pub gpus: Vec<GpuTelemetry>,
    /// Largest resident set of the worker.
    pub peak_rss_bytes: Option<Bytes>,
    /// The measured generations.
    pub generations: Vec<Generation>,
    /// Tokens of an unfinished generation: stamp in seconds since its start, token.
    #[serde(default)]
    pub partial_tokens: Vec<(f64, u32)>,
    /// Last lines the worker wrote to its standard error.
    pub stderr_tail: String,
    /// The worker's pipes were still held open after it had gone.
    pub leaked_pipes: bool,
    /// What was seen of the worker when its deadline had passed; absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Whether what the worker held came back; absent where it completed or was never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// The judgement on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextVerdict {
    /// Token for token the same as what it was compared with.
    Exact,
    /// It parts at a step where both picks were nearly equally likely.
    NearTie,
    /// It is another text.
    Diverged,
    /// It is no text: non-finite logits, one token repeated, nothing.
    Garbage,
    /// There was nothing to compare it with.
    Unchecked,
}

impl TextVerdict {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::NearTie => "near_tie",
            Self::Diverged => "diverged",
            Self::Garbage => "garbage",
            Self::Unchecked => "unchecked",
        }
    }

    /// True where a timing may be shown as a speed.
    #[must_use]
    pub fn timing_is_valid(self) -> bool {
        !matches!(self, Self::Diverged | Self::Garbage)
    }
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// All that was expected is so.
    Passed,
    /// Something that was expected is not so.
    Failed,
    /// The scenario, the model's files or the machine must be put right first.
    Setup,
    /// A snapshot waits for review.
    Pending,
    /// Not run.
    Skipped,
}

impl CaseStatus {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Setup => "setup",
            Self::Pending => "pending",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the check: `outcome`, `snapshot`, `agreement`, `forbid_devices`, …
    pub check: String,
    /// What is wrong, in a sentence. May hold text of the model: escape it wherever it is shown.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Figures of a case: medians over its measured generations (or attempts, for loading). Absent where nothing was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CaseMetrics {
    /// Generations that count.
    pub samples: u32,
    /// Start of the process to the end of loading.
    pub load_s: Option<f64>,
    /// Start of the generation to the first token.
    pub ttft_s: Option<f64>,
    /// (end to end − ttft) / (tokens − 1).
    pub tpot_s: Option<f64>,
    /// Start of the generation to the last token.
    pub e2e_s: Option<f64>,
    /// Input tokens / ttft.
    pub prefill_tokens_per_s: Option<f64>,
    /// 1 / tpot.
    pub decode_tokens_per_s: Option<f64>,
    /// Sequences that were generated together, this one included.
    #[serde(default)]
    pub sequences: Option<u32>,
    /// Generated tokens of all those sequences / time until the last of them ended.
    #[serde(default)]
    pub output_tokens_per_s: Option<f64>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u32>,
    /// Generated tokens.
    pub output_tokens: Option<u32>,
    /// Why the generation ended.
    pub finish_reason: Option<String>,
    /// Hops of a decode step.
    pub hops_per_token: Option<f64>,
    /// Bytes moved between devices by a decode step.
    pub transfer_bytes_per_token: Option<f64>,
    /// Weights per device, read back.
    pub weights_bytes: Vec<crate::device::DeviceBytes>,
    /// Cache per device.
    pub kv_cache_bytes: Vec<crate::device::DeviceBytes>,
    /// Peak per device: the largest of all attempts.
    pub peak_memory_bytes: Vec<crate::device::DeviceBytes>,
    /// What the plan foresaw beside what was measured: seconds, per step and term. Only where rates were stated.
    #[serde(default)]
    pub time_forecast: Vec<TimeForecast>,
    /// The same for memory.
    #[serde(default)]
    pub memory_forecast: Vec<MemoryForecast>,
}

/// The judgement on a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseVerdict {
    /// The case.
    pub case: String,
    /// How it ended.
    pub status: CaseStatus,
    /// What happened to its attempts: the first that was not as expected, else the last.
    pub outcome: OutcomeKind,
    /// One sentence on that outcome.
    pub sentence: String,
    /// The judgement on its text.
    pub text: TextVerdict,
    /// What is not as expected.
    pub findings: Vec<Finding>,
    /// Checks that failed as the scenario expects them to.
    #[serde(default)]
    pub expected_findings: Vec<Finding>,
    /// Figures. Not a speed where `text` is diverged or garbage.
    pub metrics: CaseMetrics,
    /// Attempts on record.
    pub attempts: u32,
}

/// `verdict.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunVerdict {
    /// [`RECORD_VERSION`] of the writer.
    pub schema_version: RecordVersion,
    /// The run.
    pub run_id: String,
    /// What the process exits with.
    pub exit: ExitCode,
    /// Its number.
    pub exit_code: u8,
    /// False where the run was interrupted before all cases were done.
    pub complete: bool,
    /// One judgement a case, in the order of the run.
    pub cases: Vec<CaseVerdict>,
}

/// A whole run as read back from its folder: what reports are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// `run.json`.
    pub info: RunInfo,
    /// `attempts.jsonl`.
    pub attempts: Vec<Attempt>,
    /// The judgement, made from the two.
    pub verdict: RunVerdict,
}

impl RunRecord {
    /// The attempts of a case, in order.
    pub fn attempts_of<'a>(&'a self, case: &'a str) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.case == case)
    }

    /// The verdict on a case.
    #[must_use]
    pub fn verdict_of(&self, case: &str) -> Option<&CaseVerdict> {
        self.verdict.cases.iter().find(|verdict| verdict.case == case)
    }
}
