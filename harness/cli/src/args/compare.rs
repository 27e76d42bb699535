//! The command line of `compare`.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use placebench_core::compare::FingerprintField;
use placebench_core::settings::{DEFAULT_BASELINE_DIR, DEFAULT_OUTPUT_DIR};

/// `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// What is compared with: a run (its folder, its id, or latest), or a baseline (baseline:NAME, or its file)
    #[arg(value_name = "BASE")]
    pub(crate) base: String,
    /// The run that is compared: its folder, its id, or latest
    #[arg(
        value_name = "NEW",
        required_unless_present = "placements",
        conflicts_with = "placements"
    )]
    pub(crate) new: Option<String>,
    /// Compare the placements of one run with each other instead: each with the reference placement of its prompt. Exit code 0
    /// whatever is found
    #[arg(long)]
    pub(crate) placements: bool,
    /// With --placements: the placement the others are compared with; absent: the one that texts must agree with, else single,
    /// else the first
    #[arg(long, value_name = "PLACEMENT", requires = "placements")]
    pub(crate) reference: Option<String>,
    /// With --placements: exit with the answer, as a comparison of two runs does
    #[arg(long, requires = "placements")]
    pub(crate) gate: bool,
    /// Folder that holds the runs that are named by id
    #[arg(long, default_value = DEFAULT_OUTPUT_DIR, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// Folder that holds the baselines
    #[arg(long, default_value = DEFAULT_BASELINE_DIR, value_name = "DIR")]
    pub(crate) baseline_dir: PathBuf,
    /// Compare only what can be counted, and no times: a gate that needs no quiet machine and no repetitions
    #[arg(long, conflicts_with = "placements")]
    pub(crate) counters_only: bool,
    /// How much equal attempts differ on this machine, as `doctor --calibrate --output FILE` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "counters_only")]
    pub(crate) noise: Option<PathBuf>,
    /// A part of the machine that may differ, because it is what is tested; may be given several times
    #[arg(
        long = "expect-difference",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = fingerprint_field(),
        conflicts_with = "counters_only"
    )]
    pub(crate) expected_differences: Vec<FingerprintField>,
    /// Show what is the same too
    #[arg(long)]
    pub(crate) all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    pub(crate) format: CompareFormat,
    /// With --format html: the page; standard output if absent
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// With --format html and --output: open the page
    #[arg(long, requires = "output")]
    pub(crate) open: bool,
}

/// How to print a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    /// For people
    Human,
    /// For programs: everything it was decided by
    Json,
    /// A page with charts, on standard output or into --output
    Html,
    /// A table for issues and pull requests
    Markdown,
    /// For a step of GitHub Actions: annotations, and the table into the file that GITHUB_STEP_SUMMARY names
    Github,
}

fn fingerprint_field() -> impl clap::builder::TypedValueParser<Value = FingerprintField> {
    PossibleValuesParser::new(FingerprintField::ALL.map(FingerprintField::as_str)).try_map(|name| {
        let mut fields = FingerprintField::ALL.into_iter();
        fields
            .find(|field| field.as_str() == name)
            .ok_or("no part of the fingerprint")
    })
}
