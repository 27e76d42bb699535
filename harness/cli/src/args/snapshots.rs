//! Flags of the commands that deal with snapshots.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Format;

/// Which pending snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    /// Pending snapshots (.snap.new), or folders of them
    #[arg(default_value = "scenarios", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Only the snapshots of these cases, as `run` takes the filter; the folders must hold their scenarios. One snapshot serves
    /// all placements of a prompt
    #[arg(long, short = 'E', value_name = "EXPR")]
    pub(crate) filterset: Vec<String>,
}

/// `pending`.
#[derive(Debug, clap::Args)]
pub(crate) struct PendingArgs {
    #[command(flatten)]
    pub(crate) which: SnapshotArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// `accept`.
#[derive(Debug, clap::Args)]
pub(crate) struct AcceptArgs {
    #[command(flatten)]
    pub(crate) which: SnapshotArgs,
    /// What becomes of approved snapshots that no case refers to; told only of whole suites
    #[arg(long, value_enum, default_value_t = UnreferencedArg::Ignore, value_name = "WHAT", conflicts_with = "filterset")]
    pub(crate) unreferenced: UnreferencedArg,
}

/// What becomes of approved snapshots that no case refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnreferencedArg {
    /// Nothing, and nothing is said
    Ignore,
    /// They are named
    Warn,
    /// They are named, and nothing is accepted: exit code 96
    Reject,
    /// They are removed
    Delete,
}
