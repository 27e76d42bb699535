//! The command line of `report`.

use std::path::PathBuf;

use clap::ValueEnum;

/// `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Folder of a run
    #[arg(default_value = "reports/latest", value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Write the files here instead of into the run's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// What to make of the run. All but html print, and write no files
    #[arg(long, value_enum, default_value_t = ReportFormat::Html, conflicts_with = "output_dir")]
    pub(crate) format: ReportFormat,
    /// The same as --format markdown
    #[arg(long, conflicts_with_all = ["output_dir", "format"])]
    pub(crate) markdown: bool,
    /// Open report.html once it is written
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) open: bool,
}

impl ReportArgs {
    /// The format, whichever way it was asked for.
    pub(crate) fn format(&self) -> ReportFormat {
        match self.markdown {
            true => ReportFormat::Markdown,
            false => self.format,
        }
    }
}

/// What a report is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// All files of a report: report.html, results.csv, junit.xml and pictures
    Html,
    /// A table for issues and pull requests
    Markdown,
    /// For a step of GitHub Actions: annotations, and the summary into the file that GITHUB_STEP_SUMMARY names
    Github,
    /// That summary alone
    GithubSummary,
    /// Bencher Metric Format
    Bencher,
    /// The list that github-action-benchmark reads as customSmallerIsBetter
    GithubBenchmark,
    /// The list that it reads as customBiggerIsBetter
    GithubBenchmarkBigger,
    /// JUnit XML
    Junit,
    /// A row for each case
    Csv,
}
