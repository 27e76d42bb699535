//! Format 3: what a run leaves behind.
//!
//! `run.json` holds a [`RunInfo`], `attempts.jsonl` one [`Attempt`] a line, `verdict.json` a [`RunVerdict`]. The first
//! two are raw data and are never rewritten (a bisection, which decides on its cases as it goes, adds them to `run.json`, and
//! a run that is gone on with elsewhere adds that machine); the verdict can be made again from them at any time.

mod against;
mod attempt;
mod baseline;
mod case;
mod control;
mod divergence;
mod engine_spec;
mod foreign;
mod gate;
mod gpu_process;
mod indexed;
mod last_event;
mod resumption;
mod server_address;
mod verdict;

use serde::{Deserialize, Serialize};

pub use self::against::{AgainstSpec, LeftOut};
pub use self::attempt::{Attempt, GpuTelemetry, PhaseSpan};
pub use self::baseline::{BaselineAction, BaselineFile, BaselineUse};
pub use self::case::{
    AgreementRule, AgreementSpec, CaseSpec, EnginesSpec, Expectation, Isolation, Limits, MeasureSpec, Timeouts,
};
pub use self::control::{EffectiveSetting, FlakyResult, RunControl, SettingSource, Shard};
pub use self::divergence::{ComparedBy, ComparedWith, Divergence, DivergentText, LikelyToken, TextPlacing};
pub use self::engine_spec::{ServerSpec, ServerStart, TransformersSpec};
pub use self::foreign::{ForeignCode, ProgramSpec};
pub use self::gate::{GateBase, GateVerdict};
pub use self::gpu_process::GpuProcess;
pub use self::indexed::IndexedRun;
pub use self::last_event::LastEvent;
pub use self::resumption::Resumption;
pub use self::server_address::{MODEL, PORT, ServerAddress};
pub use self::verdict::{CaseMetrics, CaseStatus, CaseVerdict, EarlierTry, Finding, RunVerdict, TextVerdict};
use crate::units::Bytes;

/// Version of the three files of a run, `major.minor`. A minor version only adds fields, with defaults that mean what
/// their absence meant; a reader refuses another major version.
///
/// History: 1.0 (first); 1.1 (rates, forecast, places and the times of stages and hops; links; sequences that are
/// generated together; GPUs; evidence and recovery of attempts that had to be stopped; selection, retries and shards; limits,
/// memory held after each generation, and which injected faults struck; audits; probes of the prompt, text offsets, end tokens,
/// where texts part; machines a run was gone on with; processes of others on a GPU, attempts that ran beside others; another
/// program, baselines and the answer of the gate; the fault `slow_step`; the last events of attempts that did not complete; other engines
/// and their servers, ranks and stacks, tokens of which only the text is known).
pub const RECORD_VERSION: RecordVersion = RecordVersion { major: 1, minor: 1 };

/// A version of the record format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecordVersion {
    /// Changes that old readers must not read.
    pub major: u32,
    /// Additions.
    pub minor: u32,
}

/// The program that wrote a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tool {
    /// `placebench`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `debug` or `release`.
    pub profile: String,
}

/// What the figures depend on besides the scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// How that was selected, and how failures are dealt with.
    #[serde(default)]
    pub control: RunControl,
    /// The runs this one was merged from; empty for one that was made on one machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<Shard>,
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

    /// The attempts of the try that decided on a case, in order.
    pub fn deciding_attempts<'a>(&'a self, case: &'a CaseSpec) -> impl Iterator<Item = &'a Attempt> {
        let decided = self.verdict_of(&case.case).map(|verdict| verdict.decided_by_retry);
        self.attempts_of(&case.case)
            .filter(move |attempt| decided.is_none_or(|retry| case.retry_of(attempt.attempt) == retry))
    }

    /// The verdict on a case.
    #[must_use]
    pub fn verdict_of(&self, case: &str) -> Option<&CaseVerdict> {
        self.verdict.cases.iter().find(|verdict| verdict.case == case)
    }
}
