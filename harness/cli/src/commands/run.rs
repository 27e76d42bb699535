//! `placebench run`: the main job.

mod named;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use placebench_core::exit_code::ExitCode;
use placebench_core::judge::judge;
use placebench_core::record::{
    BaselineAction, CaseSpec, CaseStatus, RECORD_VERSION, RunControl, RunInfo, RunRecord, Tool,
};
use placebench_core::settings::{DEFAULT_OUTPUT_DIR, MessageFormat};
use placebench_core::stream::StreamEvent;
use placebench_runner::cancel::Cancel;
use placebench_runner::environment;
use placebench_runner::run::{FailurePolicy, RunEvent, RunPlan};
use placebench_runner::side_by_side;
use placebench_runner::snapshot::SnapshotPolicy;
use placebench_runner::store::{self, RunFolder};
use placebench_runner::supervisor::WorkerCommand;

use self::named::Ready;
use crate::against::{self, side::BaseSide};
use crate::args::{RunArgs, Tables};
use crate::commands::report;
use crate::error::CliError;
use crate::gate::{self, Earlier};
use crate::progress::{self, Progress};
use crate::settings::{self, Effective};
use crate::summary::{self, Closing};
use crate::{audit, baseline, browser, engines, foreign, selection, snapshots, standing, suite, terminal, waiting};

pub(crate) fn run(args: RunArgs) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    outlive_the_file_size_limit()?;
    let effective = settings::effective(&args.selection, settings::flags_of_run(&args)?)?;
    let format = effective.settings.message_format.value;
    let jobs = usize::try_from(effective.settings.jobs.value).unwrap_or(usize::MAX);
    let begun = match &args.resume {
        Some(run) => Some(resume(
            Path::new(&effective.settings.output_dir.value),
            run,
            args.allow_exec,
        )?),
        None => begin(&args, &effective)?,
    };
    let Some((ready, mut base)) = begun else {
        return Ok(ExitCode::Passed);
    };
    let Ready {
        info,
        mut folder,
        previous,
    } = ready;
    let cancel = cancel_on_signals()?;
    let run_folder = folder.path().to_owned();
    let program =
        std::env::current_exe().map_err(|error| CliError::setup(format!("cannot find the own program: {error}")))?;
    let plan = RunPlan {
        cases: &info.cases,
        seed: info.seed,
        worker: &|case| WorkerCommand {
            lock_devices: !args.no_device_lock,
            ..foreign::worker(case, &program, &run_folder)
        },
        cuda_devices: engines::cuda_devices_for(&info.cases),
        previous: &previous,
        policy: FailurePolicy {
            retries: info.control.retries,
            max_fail: info.control.max_fail,
            status: &|case, attempts| {
                standing::verdict_on(&info, attempts, case).map_or(CaseStatus::Skipped, |judged| judged.status)
            },
        },
    };
    let mut progress = Progress::new(&info, &previous, format, args.quiet);
    let observer = &mut |event: RunEvent<'_>| progress.on(event);
    let result = match &mut base {
        Some(base) => base.run(&plan, &info, &mut folder, &cancel, observer),
        None => side_by_side::run(&plan, jobs, &mut folder, &cancel, observer),
    };
    progress.finish();
    let run = result.map_err(|error| CliError::setup(terminal::chain(&error)).hint(what_is_kept(folder.path())))?;
    let tables = match (args.table, args.quiet) {
        (Tables::Auto, true) => Tables::Failed,
        (asked, _) => asked,
    };
    let exit = conclude((format, tables), &folder, !run.interrupted, started)?;
    let is_whole = args.resume.is_none() && !args.audit && !run.interrupted;
    if is_whole && effective.settings.filterset.value.is_none() && effective.partition.is_none() {
        waiting::warn_of_unreferenced(&args.paths, &info.cases);
    }
    if args.open {
        browser::open_page(&folder.path().join("report.html"));
    }
    Ok(exit)
}

/// What a person does after an error of the disk or of the system: nothing that is on record has to be run again.
fn what_is_kept(folder: &Path) -> String {
    let Ok(stored) = store::read(folder) else {
        return format!(
            "{} cannot be read back: if it was moved, go on with placebench run --resume and its new path, else begin a new run",
            folder.display()
        );
    };
    let attempts = match stored.attempts.len() {
        1 => "1 attempt is".to_owned(),
        count => format!("{count} attempts are"),
    };
    if !stored.info.shards.is_empty() {
        return format!(
            "{attempts} of the merged runs in {}: remove it, and merge again",
            folder.display()
        );
    }
    let elsewhere = match folder.parent() {
        Some(output_dir) if output_dir != Path::new(DEFAULT_OUTPUT_DIR) => {
            format!(" --output-dir {}", output_dir.display())
        }
        _ => String::new(),
    };
    format!(
        "{attempts} on record in {}; once this is mended, go on with: placebench run --resume {}{elsewhere}{}",
        folder.display(),
        stored.info.run_id,
        foreign::flags_to_resume(&stored.info)
    )
}

/// A file that grows beyond `ulimit -f` is then an error like that of a full disk, and not the death of this process without a
/// word.
fn outlive_the_file_size_limit() -> Result<(), CliError> {
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen)
        .map(drop)
        .map_err(|error| CliError::setup(format!("cannot listen for SIGXFSZ: {error}")))
}

/// Judges what is on disk, not what is in memory: the verdict is that of the record.
pub(super) fn conclude(
    (format, tables): (MessageFormat, Tables),
    folder: &RunFolder,
    complete: bool,
    started: Instant,
) -> Result<ExitCode, CliError> {
    let stored = store::read(folder.path()).map_err(|error| CliError::setup(terminal::chain(&error)))?;
    let states = snapshots::states(&stored.info, &stored.attempts);
    let verdict = judge(&stored.info, &stored.attempts, &states, complete);
    let policy = SnapshotPolicy::from_ci(std::env::var("CI").ok().as_deref());
    let pending = snapshots::propose(&stored.info, &stored.attempts, &verdict, policy);
    let not_kept = |error: CliError| error.hint(what_is_kept(folder.path()));
    let record = RunRecord {
        info: stored.info,
        attempts: stored.attempts,
        verdict,
    };
    let (record, compared) = gate::attach(record, folder.path(), Earlier::IsOld).map_err(not_kept)?;
    folder
        .write_verdict(&record.verdict)
        .map_err(|error| not_kept(CliError::setup(terminal::chain(&error))))?;
    report::write(&record, folder.path()).map_err(not_kept)?;
    if let Some(document) = &compared {
        against::gate::write(document, folder.path()).map_err(not_kept)?;
    }
    match format {
        MessageFormat::Human => summary::print(
            &record,
            &Closing {
                folder: folder.path(),
                pending: &pending,
                took_s: started.elapsed().as_secs_f64(),
                tables,
            },
        ),
        MessageFormat::Ndjson => progress::print(&StreamEvent::RunFinished {
            run_id: record.info.run_id.as_str().into(),
            complete,
            exit: record.verdict.exit,
            exit_code: record.verdict.exit_code,
            folder: folder.path().to_string_lossy(),
        }),
    }
    save_baseline(&record)?;
    Ok(record.verdict.exit)
}

/// Last of all: whatever becomes of the baseline, the run is on record.
fn save_baseline(record: &RunRecord) -> Result<(), CliError> {
    let asked = record.info.control.baseline.as_ref();
    let saves = |action| matches!(action, BaselineAction::Save | BaselineAction::SaveCounters);
    if let Some(asked) = asked.filter(|asked| saves(asked.action)) {
        for line in baseline::save::save(record, asked)? {
            terminal::note(&line);
        }
    }
    Ok(())
}

type Begun = (Ready, Option<BaseSide>);

/// Nothing where nothing is to be run, and that is as it should be.
fn begin(args: &RunArgs, effective: &Effective) -> Result<Option<Begun>, CliError> {
    let settings = &effective.settings;
    let mut scenarios = suite::load(&args.paths)?;
    let explained = settings.explained(&scenarios);
    if args.show_config {
        settings::show(effective, &explained);
        return Ok(None);
    }
    let rates = settings
        .rates
        .value
        .as_deref()
        .map(|path| crate::rates::read(Path::new(path)));
    let rates = rates.transpose()?;
    for scenario in &mut scenarios {
        settings.apply(scenario, rates.as_ref());
    }
    let all = suite::cases(&scenarios)?;
    let names: Vec<String> = all.iter().map(|case| case.case.clone()).collect();
    let selected = selection::apply(all, effective);
    let Some(selected) = selection::unless_empty(selected, args.selection.no_cases)? else {
        return Ok(None);
    };
    foreign::permit(&selected.cases, args.allow_exec)?;
    selection::tell_references(&selected.references);
    let mut cases = match args.audit {
        true => audit::audited(selected.cases, args.audit_tokens)?,
        false => selected.cases,
    };
    let against = against::prepare(&args.against, effective, &mut cases, &selected.of_all_shards)?;
    let of_base = cases.clone();
    if let Some(percent) = args.against.inject_slowdown {
        against::cases::inject_slowdown(&mut cases, percent);
    }
    let control = RunControl {
        baseline: match args.audit || (against.is_some() && args.baselines.save_baseline.is_none()) {
            // An audit makes no figures; and whoever names a program wants to know about that, not about a profile's baseline.
            true => None,
            false => baseline::request::request(
                &args.baselines,
                settings,
                suite::scope(&args.paths)?,
                left_out(names, &selected.of_all_shards, &cases),
            )?,
        },
        profile: effective.config_file.is_some().then(|| effective.profile.clone()),
        filterset: selected.filterset.map(|filterset| filterset.to_string()),
        partition: effective.partition,
        selected: selected.of_all_shards,
        // An audit looks at what happens the first time.
        retries: if args.audit { 0 } else { settings.retries.value },
        flaky_result: settings.flaky_result.value,
        max_fail: settings.max_fail.value.limit(),
        settings: explained,
        against,
        base_of: None,
        resumptions: Vec::new(),
    };
    let info = run_info(cases, settings.seed.value, control);
    let ready = named::begin(&args.name, Path::new(&settings.output_dir.value), info)?;
    let base = BaseSide::open(&ready.info, of_base, &ready.folder)?;
    Ok(Some((ready, base)))
}

/// Cases that are there, and selected for no shard.
fn left_out(names: Vec<String>, of_all_shards: &[String], cases: &[CaseSpec]) -> Vec<String> {
    let own = cases.iter().map(|case| case.case.as_str());
    let selected: HashSet<&str> = of_all_shards.iter().map(String::as_str).chain(own).collect();
    names
        .into_iter()
        .filter(|name| !selected.contains(name.as_str()))
        .collect()
}

fn resume(output_dir: &Path, run: &str, allow_exec: bool) -> Result<Begun, CliError> {
    let failed = |error: store::StoreError| CliError::setup(terminal::chain(&error));
    let path = store::locate(output_dir, run).map_err(failed)?;
    // The folder may come from somebody else: what its cases would run is asked about as for a fresh run.
    let stored = store::read(&path).map_err(failed)?;
    foreign::permit(&stored.info.cases, allow_exec)?;
    foreign::permit_other_side(&stored.info, allow_exec)?;
    refuse_other_folders(&stored.info)?;
    let (folder, stored) = RunFolder::resume(&path).map_err(failed)?;
    if !stored.info.shards.is_empty() {
        return Err(
            CliError::setup(format!("{run} was merged from other runs and is not run here"))
                .hint("go on with those runs on their machines, and merge again"),
        );
    }
    if let Some(run) = &stored.info.control.base_of {
        return Err(CliError::setup(format!(
            "{} is the other side of a run, and is not run alone",
            path.display()
        ))
        .hint(format!("go on with both: placebench run --resume {run}")));
    }
    let ready = named::go_on(folder, stored)?;
    let base = BaseSide::resume(&ready.info, &path)?;
    Ok((ready, base))
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

pub(super) fn run_info(cases: Vec<CaseSpec>, seed: u64, control: RunControl) -> RunInfo {
    RunInfo {
        schema_version: RECORD_VERSION,
        // Given once its folder is made.
        run_id: String::new(),
        started_at: environment::now_rfc3339(),
        tool: tool(),
        environment: environment::fingerprint(),
        arguments: std::env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        seed,
        cases,
        control,
        shards: Vec::new(),
    }
}

fn tool() -> Tool {
    Tool {
        name: "placebench".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: placebench_engine::worker::build_profile().to_owned(),
    }
}

/// A signal so soon after another is the same wish: schedulers tell every process of a job, and their scripts pass it on.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The first Ctrl-C (or SIGTERM) ends the running attempt and closes the records; the second ends everything at once.
pub(super) fn cancel_on_signals() -> Result<Cancel, CliError> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        match first {
            Some(first) if first.elapsed() < SAME_SIGNAL => return,
            Some(_) => end_at_once(),
            None => first = Some(Instant::now()),
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
