//! Flags that say which cases are run, and how failures are dealt with.

use std::path::PathBuf;

use clap::ValueEnum;
use placebench_core::record::FlakyResult;
use placebench_core::selection::Partition;
use placebench_core::settings::{MaxFail, MessageFormat as Format};

/// Which cases.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only these cases: name(…), scenario(…), prompt(…), placement(…), tag(…), device(…), engine(…), model(…), all() and
    /// none(), with and (&), or (|), not (!), - and brackets; inside =exact, ~part, #glob or /regex/. Given more than once:
    /// the cases of any of them
    #[arg(long, short = 'E', value_name = "EXPR")]
    pub(crate) filterset: Vec<String>,
    /// Only this share of the cases, as slice:1/4 (in turn) or hash:1/4 (by name); placements that are compared with each
    /// other stay together
    #[arg(long, value_name = "slice|hash:I/N")]
    pub(crate) partition: Option<Partition>,
    /// Profile of settings in placebench.toml (not a workload, and not a build profile); default if absent
    #[arg(long, short = 'P', value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// File with profiles; absent: placebench.toml here or in a folder above, up to the root of the repository
    #[arg(long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// What it means if no case is selected
    #[arg(long, value_enum, default_value_t = NoCases::Fail, value_name = "RESULT")]
    pub(crate) no_cases: NoCases,
}

/// What it means if no case is selected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NoCases {
    /// Exit code 4
    #[default]
    Fail,
    /// Exit code 0: a shard may be empty
    Pass,
}

/// What is done about failures.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Failures")]
pub(crate) struct FailureArgs {
    /// Try a failed case again, so often at most; one that passes then is called flaky
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// What a flaky case means for the run; pass if absent
    #[arg(long, value_enum, value_name = "RESULT")]
    pub(crate) flaky_result: Option<FlakyResultArg>,
    /// Stop at the first failed case
    #[arg(long, conflicts_with_all = ["no_fail_fast", "max_fail"])]
    pub(crate) fail_fast: bool,
    /// Go on whatever fails, although a profile says otherwise
    #[arg(long, conflicts_with = "max_fail")]
    pub(crate) no_fail_fast: bool,
    /// Stop when so many cases have failed
    #[arg(long, value_name = "N|all")]
    pub(crate) max_fail: Option<MaxFail>,
}

impl FailureArgs {
    /// When to stop early, if the flags say so.
    pub(crate) fn max_fail(&self) -> Option<MaxFail> {
        match (self.fail_fast, self.no_fail_fast) {
            (true, _) => Some(MaxFail::After(1)),
            (_, true) => Some(MaxFail::All),
            _ => self.max_fail,
        }
    }
}

/// `--flaky-result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlakyResultArg {
    /// It does not fail the run
    Pass,
    /// It fails the run
    Fail,
}

impl From<FlakyResultArg> for FlakyResult {
    fn from(arg: FlakyResultArg) -> Self {
        match arg {
            FlakyResultArg::Pass => Self::Pass,
            FlakyResultArg::Fail => Self::Fail,
        }
    }
}

/// `--message-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormatArg {
    /// For people
    Human,
    /// One JSON object a line on standard output
    Ndjson,
}

impl From<MessageFormatArg> for Format {
    fn from(arg: MessageFormatArg) -> Self {
        match arg {
            MessageFormatArg::Human => Self::Human,
            MessageFormatArg::Ndjson => Self::Ndjson,
        }
    }
}

/// A multiplier of deadlines.
pub(crate) fn multiplier(text: &str) -> Result<f64, String> {
    let multiplier = text.parse().map_err(|_| "write a number such as 2.5".to_owned())?;
    placebench_core::settings::check_multiplier(multiplier).map(|()| multiplier)
}
