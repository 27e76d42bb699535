//! `placebench report`: the pictures of a stored run, made again without running anything.

use std::path::Path;

use placebench_core::exit_code::ExitCode;
use placebench_core::record::RunRecord;
use placebench_runner::store;

use crate::args::ReportArgs;
use crate::error::CliError;
use crate::{against, judged, terminal};

pub(crate) fn run(args: &ReportArgs) -> Result<ExitCode, CliError> {
    let record = judged::read(&args.run)?;
    if args.markdown {
        terminal::out(&placebench_report::format::markdown::render(
            &placebench_report::view::ReportView::new(&record),
        ));
        return Ok(ExitCode::Passed);
    }
    let folder = args.output_dir.as_deref().unwrap_or(&args.run);
    write(&record, folder)?;
    if let Some(document) = against::gate::compared(&record, &args.run)? {
        against::gate::write(&document, folder)?;
    }
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
