//! What a run is held against beyond its own expectations, and by what rules.

use std::path::Path;

use placebench_core::compare::{Arrangement, GateSpec, compare};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{BaselineUse, GateBase, GateVerdict, RunInfo, RunRecord, RunVerdict};
use placebench_report::view::changes::named;

use crate::against;
use crate::baseline::hold::{Unheld, hold};
use crate::compare::document::Document;
use crate::compare::matching::Absence;
use crate::compare::sentences::{asked_otherwise, not_compared, unfinished};
use crate::error::CliError;
use crate::terminal;

/// What holds the judgement in the folder of a run.
const VERDICT_FILE: &str = "verdict.json";

/// By what a run is held against a stored baseline: what its settings said when it was begun.
pub(crate) fn spec(info: &RunInfo) -> GateSpec {
    let said = info.control.baseline.as_ref().and_then(|asked| asked.spec.as_ref());
    GateSpec {
        arrangement: Arrangement::Separate,
        ..said.cloned().unwrap_or_else(GateSpec::versions)
    }
}

/// Whether an answer that is on record already may stand for one that cannot be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// The run was over when it was given.
    Stands,
    /// The run went on since.
    IsOld,
}

/// Adds the answer of the gate to the judgement on a run: made anew where it was held against another program, whose attempts
/// are in its folder, or against a baseline that is still the same; else the one on record. With the comparison with the other
/// program, where there is one.
pub(crate) fn attach(
    record: RunRecord,
    folder: &Path,
    earlier: Earlier,
) -> Result<(RunRecord, Option<Document>), CliError> {
    if let Some(document) = against::gate::compared(&record, folder)? {
        let gate = against::gate::verdict(&record.info, &document);
        return Ok((with_gate(record, gate), Some(document)));
    }
    let gate = match (hold(&record), earlier) {
        (Ok(Some(gate)), _) => Some(gate),
        (Ok(None), Earlier::IsOld) => None,
        (Ok(None), Earlier::Stands) => on_record(folder),
        (Err(Unheld::Broken(error)), Earlier::IsOld) => return Err(error),
        (Err(unheld), earlier) => {
            let why = match unheld {
                Unheld::Changed(why) => why,
                Unheld::Broken(error) => error.message().to_owned(),
            };
            let stands = (earlier == Earlier::Stands).then(|| on_record(folder)).flatten();
            if stands.is_some() {
                terminal::warning(&format!("{why}; shown is the answer of then"));
            }
            stands.or_else(|| {
                record
                    .info
                    .control
                    .baseline
                    .as_ref()
                    .map(|asked| nothing_said(asked, spec(&record.info), why))
            })
        }
    };
    Ok((with_gate(record, gate), None))
}

fn with_gate(record: RunRecord, gate: Option<GateVerdict>) -> RunRecord {
    match gate {
        Some(gate) => RunRecord {
            verdict: record.verdict.with_gate(gate),
            ..record
        },
        None => record,
    }
}

/// The answer of a comparison as it goes on record, with what its figures do not say.
pub(crate) fn verdict(base: GateBase, document: Document) -> GateVerdict {
    let mut notes = document.unknown_machines.clone();
    for change in document.status_changes.iter().filter(|change| change.is_broken) {
        notes.push(format!("broken: {}: {}", change.case, change.reason));
    }
    let told = document.not_compared.iter();
    notes.extend(told.filter(|case| case.absence != Absence::Neither).map(not_compared));
    if !document.unfinished.is_empty() {
        notes.push(unfinished(&document.unfinished));
    }
    notes.extend(asked_notes(&document));
    GateVerdict {
        base,
        comparison: document.comparison,
        notes,
        exit: document.exit,
        exit_code: document.exit_code,
    }
}

/// What was asked otherwise, each answer once.
fn asked_notes(document: &Document) -> Vec<String> {
    let mut parts: Vec<(&[String], Vec<String>)> = Vec::new();
    for asked in &document.asked_otherwise {
        match parts.iter_mut().find(|(known, _)| *known == asked.asked_otherwise) {
            Some((_, cases)) => cases.push(asked.case.clone()),
            None => parts.push((&asked.asked_otherwise, vec![asked.case.clone()])),
        }
    }
    let note = |(parts, cases): (&[String], Vec<String>)| format!("{}: {}", named(&cases), asked_otherwise(parts));
    parts.into_iter().map(note).collect()
}

/// The answer that `verdict.json` holds. A run that was killed has none.
fn on_record(folder: &Path) -> Option<GateVerdict> {
    let path = folder.join(VERDICT_FILE);
    let text = std::fs::read(&path).ok()?;
    match serde_json::from_slice::<RunVerdict>(&text) {
        Ok(verdict) => verdict.gate,
        Err(error) => {
            let path = path.display();
            terminal::warning(&format!("{path}: {error}: what the run was held against is left out"));
            None
        }
    }
}

/// A run that should have been held against something, and was not.
fn nothing_said(asked: &BaselineUse, spec: GateSpec, why: String) -> GateVerdict {
    let exit = ExitCode::NoVerdict;
    GateVerdict {
        base: GateBase::Baseline {
            name: asked.name.clone(),
            file: String::new(),
        },
        comparison: compare(&[], &spec),
        notes: vec![why],
        exit,
        exit_code: exit.number(),
    }
}
