//! The command line. Types only: nothing is computed here.

mod against;
mod baseline;
mod compare;
mod engine_check;
mod generate;
mod history;
mod plan;
mod report;
mod run_name;
mod selection;
mod snapshots;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use placebench_core::settings::DEFAULT_OUTPUT_DIR;

pub(crate) use self::against::AgainstArgs;
pub(crate) use self::baseline::BaselineArgs;
pub(crate) use self::compare::{CompareArgs, CompareFormat};
pub(crate) use self::engine_check::EngineCheckArgs;
pub(crate) use self::generate::{GenerateArgs, LoadFormat, SourceArgs};
pub(crate) use self::history::{
    DatabaseArgs, HistoryArgs, HistoryCommand, HistoryListArgs, ImportArgs, PruneArgs, RebuildArgs, TrendArgs,
    TrendFormat,
};
pub(crate) use self::plan::PlanArgs;
pub(crate) use self::report::{ReportArgs, ReportFormat};
pub(crate) use self::run_name::RunNameArgs;
pub(crate) use self::selection::{FailureArgs, NoCases, SelectionArgs};
use self::selection::{MessageFormatArg, multiplier};
pub(crate) use self::snapshots::{AcceptArgs, PendingArgs, SnapshotArgs, UnreferencedArg};

/// Does this placement generate the right text, at what cost, and is it still so today?
#[derive(Debug, Parser)]
#[command(name = "placebench", version, about, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios, judge them, and write a report
    Run(RunArgs),
    /// List the cases that would run
    List(ListArgs),
    /// Check scenario files without running them
    Validate(PathArgs),
    /// Print the JSON Schema of scenario files, or of what a run writes
    Schema(SchemaArgs),
    /// Show where modules would go and what that needs, without loading anything
    Plan(PlanArgs),
    /// Generate once, in this process, and print what happened
    Generate(GenerateArgs),
    /// Check devices and the links between them, and measure how fast they are
    Doctor(DoctorArgs),
    /// Check whether a program keeps to the worker protocol
    EngineCheck(EngineCheckArgs),
    /// Find the smallest change of placement that makes a failing case pass
    Bisect(BisectArgs),
    /// Make the report of a stored run again
    Report(ReportArgs),
    /// Say what has changed between two stored runs
    Compare(CompareArgs),
    /// Put the runs of several machines together, and judge them as one
    Merge(MergeArgs),
    /// Look at pending snapshots one after the other, and approve or reject each
    Review(SnapshotArgs),
    /// List pending snapshots, and approved ones that no case refers to
    Pending(PendingArgs),
    /// Approve pending snapshots
    Accept(AcceptArgs),
    /// Throw pending snapshots away
    Reject(SnapshotArgs),
    /// Keep the results of many runs in one database, and say what has become of them
    History(HistoryArgs),
    /// Execute one attempt: the other end of the worker protocol
    #[command(hide = true)]
    Worker,
    /// Answer one question of `doctor`
    #[command(hide = true)]
    Probe,
    /// Start a server, and end it when the standard input closes
    #[command(hide = true)]
    Guard(GuardArgs),
}

/// `guard`.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// Become the server, tied to the life of the process that started this one
    #[arg(long)]
    pub(crate) leashed: bool,
    /// The server's command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Where scenarios are.
#[derive(Debug, clap::Args)]
pub(crate) struct PathArgs {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Scenario files, or folders of them
    #[arg(required_unless_present = "resume", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder in which the folder of the run is made; reports if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Go on with an interrupted run
    #[arg(
        long,
        value_name = "RUN-ID",
        conflicts_with_all = [
            "paths", "seed", "filterset", "partition", "retries", "flaky_result", "fail_fast", "no_fail_fast", "max_fail"
        ]
    )]
    pub(crate) resume: Option<String>,
    /// How fast this machine's devices are, as `doctor --format json` wrote it; wins over the scenarios' own `[rates]`
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) rates: Option<PathBuf>,
    /// Seed of the order of attempts; recorded; 0 if absent
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Counted generations of each case; wins over the scenarios' own `measure.repetitions`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    pub(crate) repetitions: Option<u32>,
    /// Run so many attempts at a time, of cases whose times nobody asks for: one repetition, no limits on times. Others run
    /// alone; times of attempts that ran beside others are not shown. 1 if absent
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Measure on a GPU although another run of yours measures on it. Otherwise an attempt waits until the card is free
    #[arg(long)]
    pub(crate) no_device_lock: bool,
    /// Multiply all deadlines by this, for a machine that is slow as a whole
    #[arg(long, value_name = "FACTOR", value_parser = multiplier, conflicts_with = "resume")]
    pub(crate) timeout_multiplier: Option<f64>,
    /// Note what every module makes and every hop delivers, and name the first place where placements part. One generation a
    /// placement, and no times
    #[arg(long, conflicts_with_all = ["resume", "repetitions", "retries"])]
    pub(crate) audit: bool,
    /// With --audit: generate at most so many tokens; absent: as many as the scenarios ask for
    #[arg(long, value_name = "N", requires = "audit", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) audit_tokens: Option<u32>,
    /// What to print while running; human if absent
    #[arg(long, value_enum)]
    pub(crate) message_format: Option<MessageFormatArg>,
    /// Print only failures and the closing summary
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// At the end, print tables of a prompt's placements beside each other, to be pasted into an issue; as wide as the
    /// terminal, or as COLUMNS says, and in ASCII where the locale is not UTF-8
    #[arg(long, value_enum, default_value_t = Tables::Auto, value_name = "WHICH")]
    pub(crate) table: Tables,
    /// Open report.html when the run is over
    #[arg(long)]
    pub(crate) open: bool,
    /// Print every setting with its origin, and run nothing
    #[arg(long, conflicts_with = "resume")]
    pub(crate) show_config: bool,
    /// Allow scenarios to start programs of their own (`[program]`) and to set environment variables that can do so: they run
    /// with your rights
    #[arg(long)]
    pub(crate) allow_exec: bool,
    #[command(flatten)]
    pub(crate) name: RunNameArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) failures: FailureArgs,
    #[command(flatten)]
    pub(crate) against: AgainstArgs,
    #[command(flatten)]
    pub(crate) baselines: BaselineArgs,
}

/// Which tables of placements a run ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tables {
    /// Of up to three prompts all; of more the first three in which a case failed. With --quiet: failed
    #[default]
    Auto,
    /// Of every prompt with two placements or more
    All,
    /// Of every such prompt in which a case failed
    Failed,
    /// None
    None,
}

/// How to print a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// `schema`.
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// Print the reference of all keys as Markdown instead
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Print the JSON Schema of placebench.toml instead
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) config: bool,
    /// Print the JSON Schema of a line of `run --message-format ndjson` instead
    #[arg(long, conflicts_with_all = ["markdown", "config"])]
    pub(crate) events: bool,
    /// Print the JSON Schema of verdict.json instead
    #[arg(long, conflicts_with_all = ["markdown", "config", "events"])]
    pub(crate) verdict: bool,
}

/// `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) at: PathArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// A scenario file, or a folder of them: their logical devices are examined too
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: Option<PathBuf>,
    /// A logical device, as NAME=PHYSICAL or NAME=PHYSICAL,SIZE: sim:0=cpu,96MiB
    #[arg(long = "device", value_name = "NAME=PHYSICAL[,SIZE]")]
    pub(crate) devices: Vec<String>,
    /// Fewer and smaller samples
    #[arg(long)]
    pub(crate) quick: bool,
    /// How long a probe may be silent before it counts as stalled
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) timeout: String,
    /// Also run the first case of SCENARIO (absent: of the shipped scenarios) in pairs, and note how much equal attempts
    /// differ here
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// Pairs of attempts for --calibrate
    #[arg(long, default_value_t = 10, value_name = "N", requires = "calibrate")]
    pub(crate) pairs: u32,
    /// Write the JSON document to this file, whatever is printed
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// For testing the doctor: break a link. KIND is zero_copy, stale_copy, corrupt_copy, stall, slow_link or crash; write
    /// FROM->host->TO for the way through host memory
    #[arg(long, value_name = "KIND:FROM->TO", hide_short_help = true)]
    pub(crate) inject: Vec<String>,
}

/// `bisect`.
#[derive(Debug, clap::Args)]
pub(crate) struct BisectArgs {
    /// The failing case, as `list` prints it: scenario/prompt/placement
    #[arg(required_unless_present = "resume", value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// Scenario files, or folders of them
    #[arg(default_value = "scenarios", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// A placement of the scenario that passes; absent: the one texts must agree with, else one that passes, else one device
    #[arg(long, value_name = "PLACEMENT", conflicts_with = "resume")]
    pub(crate) good: Option<String>,
    /// Most attempts, those that confirm the two placements included; 32 if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) max_attempts: Option<u32>,
    /// Attempts a placement must pass to count as passing, for faults that do not strike every time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), conflicts_with = "resume")]
    pub(crate) repeat: u32,
    /// Longest wait for a token, where the scenario allows more: a hang then costs no more than this
    #[arg(long, value_name = "DURATION", conflicts_with = "resume")]
    pub(crate) timeout: Option<String>,
    /// Folder in which the folder of the search is made
    #[arg(long, default_value = DEFAULT_OUTPUT_DIR, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// Go on with an interrupted search, or with one whose attempts were used up
    #[arg(long, value_name = "RUN-ID", conflicts_with_all = ["case", "paths"])]
    pub(crate) resume: Option<String>,
    /// Allow the scenario to start a program of its own (`[program]`) and to set environment variables that can do so: they run
    /// with your rights
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// `merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Folders of runs, or folders that hold some
    #[arg(required = true, value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder in which the folder of the merged run is made
    #[arg(long, default_value = DEFAULT_OUTPUT_DIR, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// Merge although cases are missing; nothing is said then about the whole (exit code 112), unless a case failed
    #[arg(long)]
    pub(crate) allow_gaps: bool,
    /// Folder of the approved snapshots, where the runs name one that is not on this machine
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshot_dir: Option<PathBuf>,
}
