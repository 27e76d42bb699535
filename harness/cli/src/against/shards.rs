//! The other sides of shards put together, so that a merged run is held against the same program as its parts were.

use std::path::{Path, PathBuf};

use placebench_core::merge::{Part, merge};
use placebench_core::record::{AgainstSpec, RunControl, RunInfo};
use placebench_runner::run::unfinished;
use placebench_runner::store::{self, RunFolder, RunRecordParts, StoreError};

use crate::error::CliError;
use crate::terminal::{self, printable};

/// A shard: its folder and what it holds.
pub(crate) struct Shard<'a> {
    pub(crate) name: &'a str,
    pub(crate) folder: &'a Path,
    pub(crate) info: &'a RunInfo,
}

/// What all shards were held against. Nothing, with a warning where some were, if they were not all held against the same
/// program by the same rule: each has its own answer then.
pub(crate) fn agreed(shards: &[Shard<'_>]) -> Option<AgainstSpec> {
    let all: Vec<&AgainstSpec> = shards
        .iter()
        .filter_map(|shard| shard.info.control.against.as_ref())
        .collect();
    let first = all.first()?;
    let is_same = |other: &&AgainstSpec| {
        (&other.sha256, &other.version, &other.spec, other.cases)
            == (&first.sha256, &first.version, &first.spec, first.cases)
    };
    if all.len() < shards.len() || !all.iter().all(is_same) {
        terminal::warning(
            "the runs were not all held against the same program by the same rule: each keeps its own answer, and the merged \
             run is held against none",
        );
        return None;
    }
    // The noise of one machine is not that of another.
    let same_noise = all.iter().all(|other| other.noise == first.noise);
    if !same_noise {
        terminal::warning("the machines have a noise of their own each, so none is used for the merged run");
    }
    Some(AgainstSpec {
        noise: first.noise.clone().filter(|_| same_noise),
        left_out: all
            .iter()
            .flat_map(|against| against.left_out.iter().cloned())
            .collect(),
        ..(*first).clone()
    })
}

/// Puts the other sides of the shards into the folder of the merged run.
pub(crate) fn put_together(shards: &[Shard<'_>], info: &RunInfo, folder: &RunFolder) -> Result<(), CliError> {
    if info.control.against.is_none() {
        return Ok(());
    }
    let failed = |error: StoreError| CliError::setup(terminal::chain(&error));
    let folders: Vec<PathBuf> = shards.iter().map(|shard| shard.folder.join(store::BASE)).collect();
    let sides = folders.iter().map(|folder| store::read(folder).map_err(failed));
    let sides = sides.collect::<Result<Vec<RunRecordParts>, CliError>>()?;
    let open: Vec<Vec<String>> = sides
        .iter()
        .map(|side| unfinished(&side.info.cases, &side.attempts))
        .collect();
    let parts: Vec<Part<'_>> = (sides.iter().zip(&open).zip(shards))
        .map(|((side, unfinished), shard)| Part {
            name: shard.name,
            info: &side.info,
            unfinished,
        })
        .collect();
    // Gaps of the whole are those of the runs themselves, which have been told.
    let (merged, _) = merge(&parts).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(|error| printable(&error.to_string())).collect();
        CliError::setup(format!(
            "the other sides of the runs do not fit together: {}",
            errors.join("; ")
        ))
    })?;
    let tool = sides
        .first()
        .map_or_else(|| info.tool.clone(), |side| side.info.tool.clone());
    let mut base = folder
        .create_base(&RunInfo {
            run_id: format!("{}-{}", info.run_id, store::BASE),
            tool,
            cases: merged.cases,
            shards: merged.shards,
            environment: merged.environment,
            control: RunControl {
                base_of: Some(info.run_id.clone()),
                ..merged.control
            },
            ..info.clone()
        })
        .map_err(failed)?;
    for (side, folder) in sides.iter().zip(&folders) {
        for attempt in &side.attempts {
            base.append(attempt).map_err(failed)?;
        }
        base.take_raw_files(folder).map_err(failed)?;
    }
    Ok(())
}
