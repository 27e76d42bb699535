//! Flags that say what a run is called, for those who start it more than once.

/// The name of a run.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Name")]
pub(crate) struct RunNameArgs {
    /// Name of the run's folder; absent: the time it began. A run of that name is not written over
    #[arg(long, value_name = "RUN-ID", conflicts_with = "resume")]
    pub(crate) run_id: Option<String>,
    /// With --run-id: go on with the run of that name where it was begun before, if it is the same run. For schedulers, which
    /// start a job again with the same command line
    #[arg(long, requires = "run_id", conflicts_with = "show_config")]
    pub(crate) resume_or_start: bool,
}
