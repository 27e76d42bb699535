//! A stored run, read back and judged again without running anything.

use std::collections::HashSet;
use std::path::Path;

use placebench_core::record::{Attempt, RunInfo, RunRecord};
use placebench_runner::run::unfinished;
use placebench_runner::store;

use crate::error::CliError;
use crate::gate::{self, Earlier};
use crate::{snapshots, terminal};

/// Reads a run, and judges it again, also by what it was held against.
pub(crate) fn read(run: &Path) -> Result<RunRecord, CliError> {
    let record = read_alone(run)?;
    gate::attach(record, run, Earlier::Stands).map(|(record, _)| record)
}

/// Reads a run, and judges it again by its own expectations alone.
pub(crate) fn read_alone(run: &Path) -> Result<RunRecord, CliError> {
    let stored = store::read(run).map_err(|error| {
        CliError::setup(terminal::chain(&error)).hint("name the folder of a run: reports/<run-id>, or reports/latest")
    })?;
    for warning in &stored.warnings {
        terminal::warning(&warning.to_string());
    }
    let states = snapshots::states(&stored.info, &stored.attempts);
    let complete = is_complete(&stored.info, &stored.attempts);
    let verdict = placebench_core::judge::judge(&stored.info, &stored.attempts, &states, complete);
    Ok(RunRecord {
        info: stored.info,
        attempts: stored.attempts,
        verdict,
    })
}

/// Whether nothing is left to be made: no attempt of a case, and no case of a shard that was not merged.
fn is_complete(info: &RunInfo, attempts: &[Attempt]) -> bool {
    let known: HashSet<&str> = info.cases.iter().map(|case| case.case.as_str()).collect();
    let is_shard = info.control.partition.is_some();
    let has_all = is_shard || info.control.selected.iter().all(|case| known.contains(case.as_str()));
    has_all && unfinished(&info.cases, attempts).is_empty()
}
