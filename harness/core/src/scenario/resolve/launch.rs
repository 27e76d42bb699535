//! Several processes instead of a device map.

use toml::Spanned;

use crate::placement::RanksSpec;
use crate::scenario::engine_tables::LaunchTable;
use crate::scenario::problem::Problem;

/// More processes than any machine has devices.
const MOST_PROCESSES: u32 = 64;

pub(super) fn resolve_launch(table: &Spanned<LaunchTable>, problems: &mut Vec<Problem>) -> RanksSpec {
    let span = table.span();
    let table = table.get_ref();
    let processes = table.processes.as_ref().map_or(2, |number| *number.get_ref());
    if !(2..=MOST_PROCESSES).contains(&processes) {
        problems.push(Problem::at(
            table.processes.as_ref().map_or(span, Spanned::span),
            format!("processes is a number from 2 to {MOST_PROCESSES}: one process is device_map = a device"),
        ));
    }
    RanksSpec {
        launcher: table.with.unwrap_or_default(),
        processes,
        backend: table.backend.as_ref().map(|backend| backend.get_ref().clone()),
        parallel: table.parallel.unwrap_or_default(),
    }
}
