//! The placements of one run, each compared with the reference placement of its prompt.

use placebench_core::compare::{GateSpec, compare_placements};
use placebench_core::doctor::noise::NoiseFloor;
use placebench_core::record::{IndexedRun, RunRecord};

use super::document::{COMPARE_VERSION, Document};
use super::matching::{Absence, NotCompared};
use super::stored::ComparedSide;
use crate::error::CliError;

/// Compares the placements of a run, which is given as a record and as a side. `reference` is the placement the others are
/// compared with; absent: the one the scenario's texts must agree with, else `single`, else the first.
pub(crate) fn document(
    record: &RunRecord,
    run: &ComparedSide,
    reference: Option<&str>,
    noise: Option<NoiseFloor>,
    spec: &GateSpec,
) -> Result<Document, CliError> {
    let compared = compare_placements(&IndexedRun::new(record), reference, noise.as_ref(), spec)
        .ok_or_else(|| CliError::setup("no prompt of this run has two placements: there is nothing to compare"))?;
    let comparison = compared.comparison;
    let exit = comparison.exit;
    let is_compared = |name: &String| {
        let mut cases = comparison.cases.iter();
        cases.any(|case| [&case.base_case, &case.case].contains(&name))
    };
    let unfinished = run.unfinished.iter().filter(|case| is_compared(case));
    Ok(Document {
        schema_version: COMPARE_VERSION,
        base: run.name.clone(),
        new: run.name.clone(),
        same_run: false,
        status_changes: Vec::new(),
        not_compared: (compared.left_out.into_iter())
            .map(|(case, reason)| NotCompared {
                case,
                absence: Absence::Neither,
                reason,
            })
            .collect(),
        asked_otherwise: Vec::new(),
        unfinished: unfinished.cloned().collect(),
        unknown_machines: Vec::new(),
        noise,
        comparison,
        exit,
        exit_code: exit.number(),
        gates: true,
    })
}
