//! An attempt: one child process, whatever became of it.

use serde::{Deserialize, Serialize};

use super::{GpuProcess, LastEvent};
use crate::audit::AuditStep;
use crate::device::{DeviceBytes, DeviceId};
use crate::evidence::{Evidence, Recovery};
use crate::outcome::{Outcome, Phase};
use crate::protocol::{DeviceFacts, Generation, LinkFacts, MemoryFigure, PlannedPlacement, Probe, RealisedModule};
use crate::units::Bytes;

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
    /// Number of the attempt within the case, from 0; retries go on counting, see
    /// [`CaseSpec::retry_of`](super::CaseSpec::retry_of).
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
    pub partial_tokens: Vec<(f64, Option<u32>)>,
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
    /// What was still in use on each device after each generation of the process, warm-ups included, in order; empty where
    /// the engine does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_bytes: Vec<Vec<DeviceBytes>>,
    /// The injected faults that struck, as positions among those of the case; absent where none was asked for, or the
    /// worker did not come far enough to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults_struck: Option<Vec<u32>>,
    /// The worker did not end on SIGTERM and was killed: seconds it was given. Absent where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_after_s: Option<f64>,
    /// What modules made and hops delivered, step by step; empty where that was not asked for. Nothing of such an attempt is
    /// a speed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<AuditStep>,
    /// The tokens that end a generation of its model, where the worker said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eos_token_ids: Option<Vec<u32>>,
    /// What one step over the prompt gave before anything was generated, where that was asked for and the engine can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Processes of others that computed on a GPU the case may use, where the driver tells. Nothing of such an attempt is a
    /// speed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_processes: Vec<GpuProcess>,
    /// Most attempts of the same run that ran beside this one at a time; 0 where it was alone. Nothing of an attempt that was
    /// not alone is a speed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub concurrent: u32,
    /// What the worker said last, oldest first, where it did not complete; at most [`LastEvent::MOST`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_events: Vec<LastEvent>,
}

impl Attempt {
    /// An attempt of which nothing but its outcome is known: no process said anything, or none was started.
    #[must_use]
    pub fn without_worker(case: &str, attempt: u32, started_at: String, outcome: Outcome) -> Self {
        Self {
            case: case.to_owned(),
            attempt,
            started_at,
            wall_s: 0.0,
            outcome,
            phases: Vec::new(),
            versions: Vec::new(),
            profile: None,
            devices: Vec::new(),
            planned: None,
            realised: None,
            places: Vec::new(),
            links: Vec::new(),
            memory: Vec::new(),
            gpus: Vec::new(),
            peak_rss_bytes: None,
            generations: Vec::new(),
            partial_tokens: Vec::new(),
            stderr_tail: String::new(),
            leaked_pipes: false,
            evidence: None,
            recovery: None,
            held_bytes: Vec::new(),
            faults_struck: None,
            killed_after_s: None,
            audit: Vec::new(),
            eos_token_ids: None,
            probe: None,
            foreign_processes: Vec::new(),
            concurrent: 0,
            last_events: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
