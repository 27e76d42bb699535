//! The command line of `history`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use placebench_core::settings::DEFAULT_OUTPUT_DIR;

use super::Format;

/// `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    #[command(subcommand)]
    pub(crate) command: HistoryCommand,
}

/// What to do with a history.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Take in runs that are not there yet
    Import(ImportArgs),
    /// List the runs that are there
    List(HistoryListArgs),
    /// Say what has become of figures and states, and where they changed
    Trend(TrendArgs),
    /// Remove old runs
    Prune(PruneArgs),
    /// Make the database again from the run folders, which remain the truth
    Rebuild(RebuildArgs),
}

/// Where the history is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Folder that holds the folders of runs
    #[arg(long, default_value = DEFAULT_OUTPUT_DIR, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// The database; history.sqlite in that folder if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,
    /// How long to wait for another process that is writing it
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    pub(crate) wait: String,
}

/// `history import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// Folders of runs, or folders that hold some; all runs of --output-dir if absent
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// `history list`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryListArgs {
    /// Only runs with such a case: * is any text, ? any character
    #[arg(long, value_name = "GLOB")]
    pub(crate) case: Option<String>,
    /// Only runs from then on: 2026-11-22, 2026-11-22T14:00:00Z, or how long ago: 30d
    #[arg(long, value_name = "DATE|DURATION")]
    pub(crate) since: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// `history trend`.
#[derive(Debug, clap::Args)]
pub(crate) struct TrendArgs {
    /// Only these cases, as `run` takes it
    #[arg(long, short = 'E', value_name = "EXPR")]
    pub(crate) filterset: Vec<String>,
    /// Figures: tpot_s, ttft_s, load_s, peak_memory_bytes and so on, or all
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["tpot_s", "ttft_s", "load_s"])]
    pub(crate) metric: Vec<String>,
    /// Only this machine: its key, or how that begins
    #[arg(long, value_name = "KEY")]
    pub(crate) machine: Option<String>,
    /// Most runs of a series, from the newest
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) last: u32,
    /// Smallest change that counts, in percent
    #[arg(long, default_value_t = 3.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) min_change: f64,
    /// How to print: html writes a page
    #[arg(long, value_enum, default_value_t = TrendFormat::Human)]
    pub(crate) format: TrendFormat,
    /// With --format html: the page; trend.html next to the database if absent
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// With --format html: open the page
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// How to print a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrendFormat {
    /// For people
    Human,
    /// For programs: every point
    Json,
    /// A page with charts
    Html,
}

/// `history prune`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["keep_last", "older_than"])))]
pub(crate) struct PruneArgs {
    /// Keep so many of the newest runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_last: Option<u32>,
    /// Remove runs that are older: 90d
    #[arg(long, value_name = "DURATION")]
    pub(crate) older_than: Option<String>,
    /// Remove the folders of the runs too
    #[arg(long)]
    pub(crate) runs: bool,
    /// Folder of baselines: the folder of a run that one of its files names stays
    #[arg(long, default_value = "ci/baselines", value_name = "DIR", requires = "runs")]
    pub(crate) baseline_dir: PathBuf,
    /// Really remove; absent: only say what would be
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// `history rebuild`.
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    /// More folders of runs, or folders that hold some, besides --output-dir and those the database knows
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Go on although runs that are known would be lost, because their folders are gone
    #[arg(long)]
    pub(crate) forget_missing: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text
        .trim_end_matches('%')
        .trim()
        .parse()
        .map_err(|_| "write a number such as 5".to_owned())?;
    match (0.0..=1000.0).contains(&percent) {
        true => Ok(percent),
        false => Err("write a number from 0 to 1000".to_owned()),
    }
}
