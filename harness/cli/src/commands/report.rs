//! `placebench report`: the pictures of a stored run, made again without running anything.

use std::collections::HashSet;
use std::path::Path;

use placebench_core::exit_code::ExitCode;
use placebench_core::record::{Attempt, RunInfo, RunRecord};
use placebench_runner::run::unfinished;
use placebench_runner::store;

use crate::args::ReportArgs;
use crate::error::CliError;
use crate::{snapshots, terminal};

pub(crate) fn run(args: &ReportArgs) -> Result<ExitCode, CliError> {
    let stored = store::read(&args.run).map_err(|error| {
        CliError::setup(terminal::chain(&error)).hint("name the folder of a run: reports/<run-id>, or reports/latest")
    })?;
    for warning in &stored.warnings {
        terminal::warning(&warning.to_string());
    }
    let states = snapshots::states(&stored.info, &stored.attempts);
    let complete = is_complete(&stored.info, &stored.attempts);
    let verdict = placebench_core::judge::judge(&stored.info, &stored.attempts, &states, complete);
    let record = RunRecord {
        info: stored.info,
        attempts: stored.attempts,
        verdict,
    };
    if args.markdown {
        terminal::out(&placebench_report::format::markdown::render(
            &placebench_report::view::ReportView::new(&record),
        ));
        return Ok(ExitCode::Passed);
    }
    let folder = args.output_dir.as_deref().unwrap_or(&args.run);
    write(&record, folder)?;
    terminal::out(&terminal::printable(&folder.join("report.html").display().to_string()));
    Ok(ExitCode::Passed)
}

/// Writes all artifacts of a report below a folder.
pub(crate) fn write(record: &RunRecord, folder: &Path) -> Result<(), CliError> {
    let artifacts = placebench_report::artifacts(record)
        .map_err(|error| CliError::setup(format!("the report cannot be made: {error}")))?;
    for artifact in artifacts {
        store::write_artifact(folder, &artifact.path, &artifact.bytes)
            .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    }
    Ok(())
}

/// Whether nothing is left to be made: no attempt of a case, and no case of a shard that was not merged.
fn is_complete(info: &RunInfo, attempts: &[Attempt]) -> bool {
    let known: HashSet<&str> = info.cases.iter().map(|case| case.case.as_str()).collect();
    let is_shard = info.control.partition.is_some();
    let has_all = is_shard || info.control.selected.iter().all(|case| known.contains(case.as_str()));
    has_all && unfinished(&info.cases, attempts).is_empty()
}
