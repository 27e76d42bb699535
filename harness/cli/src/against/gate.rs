//! The judgement of a run that is held against another program, from what is on disk.

use std::path::Path;

use placebench_core::record::{GateBase, GateVerdict, RunInfo, RunRecord};
use placebench_runner::store;

use crate::compare::document::{Document, document};
use crate::compare::stored::of_record;
use crate::error::CliError;
use crate::{gate, judged, terminal};

/// The file that holds all a comparison was decided by.
const COMPARISON_FILE: &str = "comparison.json";

/// The comparison of a run with the other program's side of it. Nothing where it is held against none.
pub(crate) fn compared(record: &RunRecord, folder: &Path) -> Result<Option<Document>, CliError> {
    let Some(against) = &record.info.control.against else {
        return Ok(None);
    };
    // The record names the run, not the link to it.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let base_folder = folder.join(store::BASE);
    let base = of_record(&judged::read_alone(&base_folder)?, base_folder);
    let new = of_record(record, folder.clone());
    let mut document = document(&base, &new, against.noise.clone(), &against.spec)?;
    for absent in &mut document.not_compared {
        if let Some(left_out) = against.left_out.iter().find(|known| known.case == absent.case) {
            absent.reason = format!("it {}", left_out.reason);
        }
    }
    Ok(Some(document))
}

/// The answer of a comparison as it goes on record.
pub(crate) fn verdict(info: &RunInfo, document: &Document) -> Option<GateVerdict> {
    let against = info.control.against.as_ref()?;
    let base = GateBase::Program {
        program: against.program.clone(),
        version: against.version.clone(),
    };
    Some(gate::verdict(base, document.clone()))
}

/// Writes everything a comparison was decided by into the run's folder.
pub(crate) fn write(document: &Document, folder: &Path) -> Result<(), CliError> {
    let value = serde_json::to_value(document)
        .map_err(|error| CliError::setup(format!("the comparison cannot be put into JSON: {error}")))?;
    let text = format!("{}\n", terminal::pretty_json(&value));
    store::write_artifact(folder, COMPARISON_FILE, text.as_bytes())
        .map(drop)
        .map_err(|error| CliError::setup(terminal::chain(&error)))
}
