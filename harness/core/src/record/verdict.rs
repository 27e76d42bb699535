//! The judgement on a case and on a run.

use serde::{Deserialize, Serialize};

use super::{Divergence, GateVerdict, RecordVersion};
use crate::device::DeviceBytes;
use crate::exit_code::ExitCode;
use crate::judge::answer::Answer;
use crate::judge::{MemoryForecast, TimeForecast};
use crate::outcome::OutcomeKind;

/// The judgement on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// All that was expected is so.
    Passed,
    /// The same, but only on a retry: before it something was not as expected.
    Flaky,
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
            Self::Flaky => "flaky",
            Self::Failed => "failed",
            Self::Setup => "setup",
            Self::Pending => "pending",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Name of the check: `outcome`, `snapshot`, `agreement`, `forbid_devices`, …
    pub check: String,
    /// What is wrong, in a sentence. May hold text of the model: escape it wherever it is shown.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Figures of a case: medians over its measured generations (or attempts, for loading). Absent where nothing was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    pub weights_bytes: Vec<DeviceBytes>,
    /// Cache per device.
    pub kv_cache_bytes: Vec<DeviceBytes>,
    /// Peak per device: the largest of all attempts.
    pub peak_memory_bytes: Vec<DeviceBytes>,
    /// What the plan foresaw beside what was measured: seconds, per step and term. Only where rates were stated.
    #[serde(default)]
    pub time_forecast: Vec<TimeForecast>,
    /// The same for memory.
    #[serde(default)]
    pub memory_forecast: Vec<MemoryForecast>,
    /// Share of the measured generations whose tokens are those of the most common text; absent where nothing was repeated.
    #[serde(default)]
    pub exact_match_rate: Option<f64>,
    /// How many generations that is.
    #[serde(default)]
    pub matching_generations: Option<u32>,
    /// How many different texts the generations have.
    #[serde(default)]
    pub distinct_texts: Option<u32>,
}

/// A try of a case that failed before it was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EarlierTry {
    /// 0 for the first try.
    pub retry: u32,
    /// How it ended.
    pub status: CaseStatus,
    /// What happened.
    pub outcome: OutcomeKind,
    /// One sentence on that.
    pub sentence: String,
    /// The judgement on its text.
    pub text: TextVerdict,
    /// What was not as expected.
    pub findings: Vec<Finding>,
}

impl EarlierTry {
    /// What was wrong, in a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.findings.first() {
            Some(finding) => format!("{}: {}", finding.check, finding.message),
            None => self.sentence.clone(),
        }
    }
}

/// The judgement on a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Attempts on record, those of all tries.
    pub attempts: u32,
    /// The try everything above is about: 0 for the first, 1 for the first retry.
    #[serde(default, skip_serializing_if = "is_first")]
    pub decided_by_retry: u32,
    /// The tries before it, from the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_tries: Vec<EarlierTry>,
    /// Where its text parts from what it was compared with, near-ties included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub divergences: Vec<Divergence>,
    /// What a reader has to know of the comparison although nothing is wrong: that the snapshot is that of another device
    /// class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl CaseVerdict {
    /// It passed because something went wrong as the scenario says.
    #[must_use]
    pub fn goes_wrong_as_expected(&self) -> bool {
        let went_wrong = self.outcome != OutcomeKind::Completed || !self.expected_findings.is_empty();
        self.status == CaseStatus::Passed && went_wrong
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_first(retry: &u32) -> bool {
    *retry == 0
}

/// `verdict.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunVerdict {
    /// [`RECORD_VERSION`](super::RECORD_VERSION) of the writer.
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
    /// What the run was held against beyond its own expectations, and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateVerdict>,
    /// Is it the placement, the library, or the machine? One answer for each prompt that asks for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
}
