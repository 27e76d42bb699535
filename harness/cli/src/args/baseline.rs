//! Flags on baselines.

use std::path::PathBuf;

use placebench_core::settings::check_baseline_name;

/// What is done with a baseline.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct BaselineArgs {
    /// Hold the run against this baseline: what is counted must not have got worse. What the baseline lacks has no verdict
    /// (exit code 112)
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with_all = ["baseline_lenient", "save_baseline", "audit", "resume"])]
    pub(crate) baseline: Option<String>,
    /// The same, but what the baseline lacks is passed over with a note
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with_all = ["save_baseline", "audit", "resume"])]
    pub(crate) baseline_lenient: Option<String>,
    /// Keep the figures of this run, if it passes, as a baseline for this machine; cases that it did not run stay
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with_all = ["audit", "resume"])]
    pub(crate) save_baseline: Option<String>,
    /// With --save-baseline: only what can be counted, for all machines
    #[arg(long, requires = "save_baseline")]
    pub(crate) counters_only: bool,
    /// Hold the run against no baseline, although a profile says so
    #[arg(long, conflicts_with_all = ["baseline", "baseline_lenient"])]
    pub(crate) no_baseline: bool,
    /// Folder of the baselines; ci/baselines if absent
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) baseline_dir: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    check_baseline_name(text).map(|()| text.to_owned())
}
