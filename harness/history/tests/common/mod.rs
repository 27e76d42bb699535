//! Runs that never happened, written through the types and files of real ones.

use std::path::{Path, PathBuf};

use placebench_core::judge::judge;
use placebench_core::outcome::{Outcome, Phase};
use placebench_core::protocol::{DeviceFacts, FinishReason, Generation, MemoryFigure, MemoryKind};
use placebench_core::record::{Attempt, CaseSpec, Environment, PhaseSpan, RECORD_VERSION, RunInfo, RunVerdict, Tool};
use placebench_core::units::Bytes;
use placebench_runner::store::{self, RunFolder};

#[path = "../../../runner/src/fixture.rs"]
mod fixture;

/// A case of six attempts.
pub(crate) fn case(name: &str) -> CaseSpec {
    let mut case = fixture::case();
    let mut parts = name.split('/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    (case.scenario, case.prompt, case.placement) = (part(), part(), part());
    case.case = name.to_owned();
    case.measure.repetitions = 6;
    case.generation.max_new_tokens = 16;
    case
}

/// A run of some cases on a machine with so many processors.
pub(crate) fn info(run_id: &str, started_at: &str, cases: Vec<CaseSpec>) -> RunInfo {
    RunInfo {
        schema_version: RECORD_VERSION,
        run_id: run_id.into(),
        started_at: started_at.into(),
        tool: Tool {
            name: "placebench".into(),
            version: "0.1.0".into(),
            profile: "release".into(),
        },
        environment: Environment {
            platform: "linux x86_64".into(),
            kernel: "6.8.0".into(),
            cpu: "Some CPU".into(),
            cpu_count: 8,
            memory_bytes: Bytes(32 << 30),
            worker_env: Vec::new(),
        },
        arguments: vec!["run".into(), "scenarios".into()],
        seed: 0,
        cases,
        control: Default::default(),
        shards: Vec::new(),
    }
}

/// An attempt that came to its end, with a token every `tpot_s` seconds.
pub(crate) fn attempt(case: &CaseSpec, number: u32, tpot_s: f64) -> Attempt {
    let cpu = placebench_core::device::DeviceId::cpu();
    let stamps: Vec<f64> = (0..16).map(|token| 0.2 + tpot_s * f64::from(token)).collect();
    let generation = Generation {
        input_ids: vec![1; 8],
        output_ids: (100..116).collect(),
        text: "Once upon a time".into(),
        finish_reason: FinishReason::Length,
        start_s: 1.0,
        top2_gaps: vec![1.0; stamps.len()],
        top5: Vec::new(),
        hops: vec![1; stamps.len()],
        transfer_bytes: vec![2304; stamps.len()],
        streamed_bytes: Vec::new(),
        stage_times_s: Vec::new(),
        text_offsets: Vec::new(),
        companions: Vec::new(),
        token_stamps_s: stamps,
        input_tokens: None,
        output_tokens: None,
    };
    Attempt {
        phases: vec![PhaseSpan {
            phase: Phase::Load,
            start_s: 0.0,
            end_s: Some(0.9),
        }],
        versions: vec!["mock 1".into()],
        profile: Some("release".into()),
        devices: vec![DeviceFacts {
            id: cpu.clone(),
            on: cpu.clone(),
            name: "Some CPU".into(),
            memory_bytes: None,
            architecture: None,
        }],
        memory: vec![MemoryFigure {
            device: cpu,
            kind: MemoryKind::Weights,
            bytes: Bytes(1 << 20),
            allowed_bytes: None,
        }],
        peak_rss_bytes: Some(Bytes(64 << 20)),
        generations: vec![generation],
        wall_s: 2.0,
        ..without_worker(case, number, Outcome::Completed)
    }
}

/// An attempt of which no worker came to say anything.
pub(crate) fn without_worker(case: &CaseSpec, number: u32, outcome: Outcome) -> Attempt {
    Attempt {
        wall_s: 0.1,
        ..Attempt::without_worker(&case.case, number, "2026-11-22T14:00:00.000Z".into(), outcome)
    }
}

/// Six attempts of each case, one case after the other.
pub(crate) fn attempts(cases: &[CaseSpec], tpot_s: f64) -> Vec<Attempt> {
    let of = |case: &CaseSpec| -> Vec<Attempt> {
        (0..6)
            .map(|number| attempt(case, number, tpot_s * (1.0 + 0.002 * f64::from(number))))
            .collect()
    };
    cases.iter().flat_map(of).collect()
}

/// Writes a run with its verdict.
pub(crate) fn write(dir: &Path, info: &RunInfo, attempts: &[Attempt]) -> PathBuf {
    let folder = RunFolder::create(dir, info).expect("the folder of a run can be made");
    // At once: the store waits for the disk after each, which a hundred thousand of them feel.
    let line = |attempt: &Attempt| serde_json::to_string(attempt).expect("a record is JSON") + "\n";
    let lines: String = attempts.iter().map(line).collect();
    std::fs::write(folder.path().join("attempts.jsonl"), lines).expect("attempts can be written");
    folder
        .write_verdict(&verdict_of(info, attempts))
        .expect("a verdict can be written");
    folder.path().canonicalize().expect("it was made just now")
}

pub(crate) fn verdict_of(info: &RunInfo, attempts: &[Attempt]) -> RunVerdict {
    judge(info, attempts, &Default::default(), true)
}

/// Judges a run again, from its files.
pub(crate) fn judge_again(folder: &Path) -> Result<RunVerdict, String> {
    let parts = store::read(folder).map_err(|error| error.to_string())?;
    Ok(verdict_of(&parts.info, &parts.attempts))
}

/// The start of a run and its name, so many days after the first.
pub(crate) fn day(number: u64) -> (String, String) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600 + 86_400 * number);
    let started_at = humantime::format_rfc3339_millis(time).to_string();
    let run_id = format!("{}-{number:04x}", started_at[..19].replace(['-', ':'], "") + "Z");
    (run_id, started_at)
}
