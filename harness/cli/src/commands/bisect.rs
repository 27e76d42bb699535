//! `placebench bisect`: the smallest change of placement that makes a failing case pass.

use placebench_core::bisect::record::{BisectRecord, Progress};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::RunControl;
use placebench_runner::environment;
use placebench_runner::store::{self, RunFolder};

use super::run::{cancel_on_signals, run_info};
use crate::args::{BisectArgs, Format};
use crate::bisect::files::Files;
use crate::bisect::lab::Lab;
use crate::bisect::{Ended, files, question, search};
use crate::error::CliError;
use crate::{foreign, terminal};

/// Most attempts where nobody says otherwise: two to confirm, twelve to find a hop among 26, and as many again for what is
/// harder to find.
const MAX_ATTEMPTS: u32 = 32;

pub(crate) fn run(args: &BisectArgs) -> Result<ExitCode, CliError> {
    let cancel = cancel_on_signals()?;
    let (mut record, lab) = match &args.resume {
        Some(run) => resume(args, run, cancel)?,
        None => begin(args, cancel)?,
    };
    let mut files = Files::new(lab.folder());
    files.keep(&record)?;
    let mut lab = lab;
    let ended = search(&mut lab, &mut record, &mut |record| files.keep(record));
    lab.finish();
    if ended? == Ended::Interrupted {
        files.keep(&record)?;
        terminal::err(&format!(
            "the search was interrupted; go on with: placebench bisect --resume {}",
            terminal::printable(&record.run_id)
        ));
        return Ok(ExitCode::NoVerdict);
    }
    let written = files.conclude(&record, lab.attempts())?;
    match args.format {
        Format::Human => files::show(&record, &written),
        Format::Json => {
            let text = serde_json::to_string_pretty(&record)
                .map_err(|error| CliError::setup(format!("the answer cannot be put into JSON: {error}")))?;
            terminal::out(&text);
        }
    }
    Ok(match record.progress {
        Progress::Found { .. } => ExitCode::Passed,
        Progress::Undecided { .. } | Progress::Searching => ExitCode::NoVerdict,
    })
}

type Begun = (BisectRecord, Lab);

fn begin(args: &BisectArgs, cancel: placebench_runner::cancel::Cancel) -> Result<Begun, CliError> {
    let question = question::ask(args, args.max_attempts.unwrap_or(MAX_ATTEMPTS))?;
    foreign::permit(std::slice::from_ref(&question.failing), args.allow_exec)?;
    let mut info = run_info(vec![question.failing.clone()], 0, RunControl::default());
    let folder = RunFolder::create_fresh(&args.output_dir, &mut info, environment::fresh_run_id)
        .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    let record = BisectRecord {
        schema_version: placebench_core::bisect::record::BISECT_VERSION,
        run_id: info.run_id.clone(),
        question,
        confirmed: None,
        probes: Vec::new(),
        progress: Progress::Searching,
    };
    let lab = Lab::new(info, folder, Vec::new(), cancel, args.format)?;
    Ok((record, lab))
}

/// What was tried is on record as attempts; the search is led through them again and goes on where they end.
fn resume(args: &BisectArgs, run: &str, cancel: placebench_runner::cancel::Cancel) -> Result<Begun, CliError> {
    let failed = |error: store::StoreError| CliError::setup(terminal::chain(&error));
    let path = store::locate(&args.output_dir, run).map_err(failed)?;
    let mut record = files::read(&path)?;
    // The folder may come from somebody else: what its cases would run is asked about as for a fresh search.
    let stored = store::read(&path).map_err(failed)?;
    foreign::permit(&stored.info.cases, args.allow_exec)?;
    foreign::permit(std::slice::from_ref(&record.question.failing), args.allow_exec)?;
    let (folder, stored) = RunFolder::resume(&path).map_err(failed)?;
    for warning in &stored.warnings {
        terminal::warning(&warning.to_string());
    }
    if let Some(max_attempts) = args.max_attempts {
        record.question.max_attempts = max_attempts;
    }
    record.probes.clear();
    record.confirmed = None;
    record.progress = Progress::Searching;
    let lab = Lab::new(stored.info, folder, stored.attempts, cancel, args.format)?;
    Ok((record, lab))
}
