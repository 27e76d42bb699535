//! `placebench run`: the main job.

use std::path::Path;
use std::time::Instant;

use placebench_core::exit_code::ExitCode;
use placebench_core::judge::judge;
use placebench_core::record::{Attempt, CaseSpec, RECORD_VERSION, RunInfo, RunRecord, Tool};
use placebench_runner::cancel::Cancel;
use placebench_runner::environment;
use placebench_runner::run::RunPlan;
use placebench_runner::snapshot::SnapshotPolicy;
use placebench_runner::store::{self, RunFolder};

use crate::args::{MessageFormat, RunArgs};
use crate::commands::report;
use crate::error::CliError;
use crate::progress::Progress;
use crate::summary::{self, Closing};
use crate::{engines, foreign, snapshots, suite, terminal};

pub(crate) fn run(args: RunArgs) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    let (info, mut folder, previous) = match &args.resume {
        Some(run) => resume(&args, run)?,
        None => begin(&args)?,
    };
    let cancel = cancel_on_signals()?;
    let program =
        std::env::current_exe().map_err(|error| CliError::setup(format!("cannot find the own program: {error}")))?;
    let plan = RunPlan {
        cases: &info.cases,
        seed: info.seed,
        worker: &|case| foreign::worker(case, &program),
        cuda_devices: engines::cuda_devices_for(&info.cases),
        previous: &previous,
    };
    let mut progress = Progress::new(&info, &previous, args.message_format, args.quiet);
    let result = placebench_runner::run::run(&plan, &mut folder, &cancel, &mut |event| progress.on(event));
    progress.finish();
    let run = result.map_err(|error| CliError::setup(terminal::chain(&error)))?;
    conclude(&args, &folder, !run.interrupted, started)
}

/// Judges what is on disk, not what is in memory: the verdict is that of the record.
fn conclude(args: &RunArgs, folder: &RunFolder, complete: bool, started: Instant) -> Result<ExitCode, CliError> {
    let stored = store::read(folder.path()).map_err(|error| CliError::setup(terminal::chain(&error)))?;
    let states = snapshots::states(&stored.info, &stored.attempts);
    let verdict = judge(&stored.info, &stored.attempts, &states, complete);
    let policy = SnapshotPolicy::from_ci(std::env::var("CI").ok().as_deref());
    let pending = snapshots::propose(&stored.info, &stored.attempts, &verdict, policy);
    folder
        .write_verdict(&verdict)
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    let record = RunRecord {
        info: stored.info,
        attempts: stored.attempts,
        verdict,
    };
    report::write(&record, folder.path())?;
    match args.message_format {
        MessageFormat::Human => summary::print(
            &record,
            &Closing {
                folder: folder.path(),
                pending: &pending,
                took_s: started.elapsed().as_secs_f64(),
            },
        ),
        MessageFormat::Ndjson => terminal::out(&terminal::json(&serde_json::json!({
            "type": "run-finished", "run_id": record.info.run_id, "complete": complete,
            "exit_code": record.verdict.exit_code, "folder": folder.path(),
        }))),
    }
    Ok(record.verdict.exit)
}

type Begun = (RunInfo, RunFolder, Vec<Attempt>);

fn begin(args: &RunArgs) -> Result<Begun, CliError> {
    let scenarios = suite::load(&args.paths)?;
    let mut cases = suite::cases(&scenarios)?;
    if let Some(path) = &args.rates {
        let rates = crate::rates::read(path)?;
        for case in &mut cases {
            case.rates = Some(rates.clone());
        }
    }
    foreign::permit(&cases, args.allow_exec)?;
    let info = run_info(cases, args.seed);
    let folder =
        RunFolder::create(&args.output_dir, &info).map_err(|error| CliError::setup(terminal::chain(&error)))?;
    Ok((info, folder, Vec::new()))
}

fn resume(args: &RunArgs, run: &str) -> Result<Begun, CliError> {
    let failed = |error: store::StoreError| CliError::setup(terminal::chain(&error));
    let path = store::locate(&args.output_dir, run).map_err(failed)?;
    // The folder may come from somebody else: what its cases would run is asked about as for a fresh run.
    let stored = store::read(&path).map_err(failed)?;
    foreign::permit(&stored.info.cases, args.allow_exec)?;
    refuse_other_folders(&stored.info)?;
    warn_of_other_environment(&stored.info);
    let (folder, stored) = RunFolder::resume(&path).map_err(failed)?;
    for warning in &stored.warnings {
        terminal::warning(&warning.to_string());
    }
    Ok((stored.info, folder, stored.attempts))
}

/// Snapshots are proposed where the record says; that is a folder of snapshots, whoever wrote the record.
fn refuse_other_folders(info: &RunInfo) -> Result<(), CliError> {
    let is_other = |case: &&CaseSpec| !Path::new(&case.snapshot_dir).ends_with(suite::SNAPSHOTS);
    match info.cases.iter().find(is_other) {
        Some(case) => Err(CliError::setup(format!(
            "the record keeps snapshots of {} in {}, which is no folder of snapshots",
            case.case, case.snapshot_dir
        ))
        .hint("run its scenario afresh")),
        None => Ok(()),
    }
}

/// The record holds the variables of the process that began the run; attempts made now get those of this one.
fn warn_of_other_environment(info: &RunInfo) {
    let (then, now) = (&info.environment.worker_env, environment::fingerprint().worker_env);
    let mut names: Vec<&str> = then
        .iter()
        .filter(|variable| !now.contains(variable))
        .map(|(name, _)| name.as_str())
        .collect();
    names.extend(
        now.iter()
            .filter(|variable| !then.contains(variable))
            .map(|(name, _)| name.as_str()),
    );
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        terminal::warning(&format!(
            "workers get other variables now than when the run began: {}; its figures may not be comparable",
            names.join(", ")
        ));
    }
}

fn run_info(cases: Vec<CaseSpec>, seed: u64) -> RunInfo {
    RunInfo {
        schema_version: RECORD_VERSION,
        run_id: environment::fresh_run_id(),
        started_at: environment::now_rfc3339(),
        tool: Tool {
            name: "placebench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: placebench_engine::worker::build_profile().to_owned(),
        },
        environment: environment::fingerprint(),
        arguments: std::env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        seed,
        cases,
    }
}

/// The first Ctrl-C (or SIGTERM) ends the running attempt and closes the records; the second ends everything at once.
fn cancel_on_signals() -> Result<Cancel, CliError> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    ctrlc::set_handler(move || {
        if flag.is_cancelled() {
            end_at_once();
        }
        flag.cancel();
        terminal::err("interrupted: ending the running attempt and writing the records (once more to quit at once)");
    })
    .map_err(|error| CliError::setup(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(cancel)
}

#[expect(
    clippy::exit,
    reason = "the person asked twice; workers die with this process, and the records are flushed after every attempt"
)]
fn end_at_once() {
    std::process::exit(130);
}
