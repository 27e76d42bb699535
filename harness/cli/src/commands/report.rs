//! `placebench report`: what is made of a stored run, without running anything.

use std::path::Path;

use placebench_core::exit_code::ExitCode;
use placebench_core::record::RunRecord;
use placebench_report::RenderError;
use placebench_report::format::github::{annotations, summary};
use placebench_report::format::github_benchmark::{self, Better};
use placebench_report::format::{bencher, csv, junit, markdown};
use placebench_report::view::ReportView;
use placebench_runner::store;

use crate::args::{ReportArgs, ReportFormat};
use crate::error::CliError;
use crate::{against, browser, github, judged, terminal};

pub(crate) fn run(args: &ReportArgs) -> Result<ExitCode, CliError> {
    if args.open && args.format() != ReportFormat::Html {
        let message = "--open opens report.html, which --format html writes; the others print";
        return Err(CliError::with_code(ExitCode::Usage, message));
    }
    let record = judged::read(&args.run)?;
    match args.format() {
        ReportFormat::Html => {
            let folder = args.output_dir.as_deref().unwrap_or(&args.run);
            write(&record, folder)?;
            if let Some(document) = against::gate::compared(&record, &args.run)? {
                against::gate::write(&document, folder)?;
            }
            let page = folder.join("report.html");
            terminal::out(&terminal::printable(&page.display().to_string()));
            if args.open {
                browser::open_page(&page);
            }
        }
        ReportFormat::Markdown => terminal::out(&markdown::render(&ReportView::new(&record))),
        ReportFormat::Github => github::show(&annotations::of_run(&record, &github::locate()?), |most| {
            step_summary(&record, most)
        })?,
        ReportFormat::GithubSummary => terminal::out(step_summary(&record, summary::MOST_BYTES).trim_end()),
        ReportFormat::Bencher => json(bencher::render(&record))?,
        ReportFormat::GithubBenchmark => json(github_benchmark::render(&record, Better::Smaller))?,
        ReportFormat::GithubBenchmarkBigger => json(github_benchmark::render(&record, Better::Bigger))?,
        ReportFormat::Junit => bytes(junit::render(&record))?,
        ReportFormat::Csv => bytes(csv::render(&record))?,
    }
    Ok(ExitCode::Passed)
}

fn step_summary(record: &RunRecord, most: usize) -> String {
    summary::render(&ReportView::new(record), record.verdict.gate.as_ref(), most)
}

fn cannot(error: &RenderError) -> CliError {
    CliError::setup(format!("the report cannot be made: {error}"))
}

/// Prints a JSON document, in which no character acts on a terminal.
fn json(document: Result<String, RenderError>) -> Result<(), CliError> {
    let text = document.map_err(|error| cannot(&error))?;
    terminal::out(&terminal::plain_json(&text));
    Ok(())
}

/// Prints a file as it would be written: its renderer has made everything in it visible.
fn bytes(file: Result<Vec<u8>, RenderError>) -> Result<(), CliError> {
    let bytes = file.map_err(|error| cannot(&error))?;
    terminal::out(String::from_utf8_lossy(&bytes).trim_end_matches('\n'));
    Ok(())
}

/// Writes all artifacts of a report below a folder.
pub(crate) fn write(record: &RunRecord, folder: &Path) -> Result<(), CliError> {
    let artifacts = placebench_report::artifacts(record).map_err(|error| cannot(&error))?;
    for artifact in artifacts {
        store::write_artifact(folder, &artifact.path, &artifact.bytes)
            .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    }
    Ok(())
}
