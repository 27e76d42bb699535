//! What a run is held against beyond its own expectations, and by what rules.

use std::path::Path;

use placebench_core::compare::{Arrangement, GateSpec, compare};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{BaselineUse, GateBase, GateVerdict, RunRecord, RunVerdict};

use crate::baseline::hold::{Unheld, hold};
use crate::error::CliError;
use crate::terminal;

/// What holds the judgement in the folder of a run.
const VERDICT_FILE: &str = "verdict.json";

/// By what a run is held against a stored baseline.
pub(crate) fn spec() -> GateSpec {
    GateSpec {
        arrangement: Arrangement::Separate,
        ..GateSpec::versions()
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

/// Adds the answer of the gate to the judgement on a run: made anew where it was held against a baseline that is still the same,
/// else the one on record.
pub(crate) fn attach(record: RunRecord, folder: &Path, earlier: Earlier) -> Result<RunRecord, CliError> {
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
                    .map(|asked| nothing_said(asked, why))
            })
        }
    };
    Ok(match gate {
        Some(gate) => RunRecord {
            verdict: record.verdict.with_gate(gate),
            ..record
        },
        None => record,
    })
}

/// The answer that `verdict.json` holds.
fn on_record(folder: &Path) -> Option<GateVerdict> {
    let text = std::fs::read_to_string(folder.join(VERDICT_FILE)).ok()?;
    serde_json::from_str::<RunVerdict>(&text).ok()?.gate
}

/// A run that should have been held against something, and was not.
fn nothing_said(asked: &BaselineUse, why: String) -> GateVerdict {
    let exit = ExitCode::NoVerdict;
    GateVerdict {
        base: GateBase::Baseline {
            name: asked.name.clone(),
            file: String::new(),
        },
        comparison: compare(&[], &spec()),
        notes: vec![why],
        exit,
        exit_code: exit.number(),
    }
}
