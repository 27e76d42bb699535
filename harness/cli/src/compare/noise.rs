//! `--noise FILE`: how much equal attempts differ on this machine, as `doctor --calibrate` measured it.

use std::path::Path;

use placebench_core::doctor::noise::{FEWEST_PAIRS, NoiseFloor};
use placebench_core::doctor::report::DOCTOR_VERSION;
use placebench_core::settings::GateSettings;
use serde::Deserialize;

use crate::error::CliError;
use crate::terminal;

/// What of the document is needed.
#[derive(Deserialize)]
struct Document {
    schema_version: u32,
    noise_floor: Option<NoiseFloor>,
}

/// The noise of the machine that the settings name a file of, if they do.
pub(crate) fn of_gate(gate: &GateSettings) -> Result<Option<NoiseFloor>, CliError> {
    let file = gate.noise.value.as_deref();
    file.map(|file| read(Path::new(file))).transpose()
}

/// Reads the noise floor of a file.
pub(crate) fn read(path: &Path) -> Result<NoiseFloor, CliError> {
    let broken = |error: String| CliError::setup(format!("--noise {}: {error}", path.display()));
    let how = "make it with: placebench doctor --calibrate --output FILE";
    let text = std::fs::read_to_string(path).map_err(|error| broken(error.to_string()).hint(how))?;
    let document: Document =
        serde_json::from_str(&text).map_err(|error| broken(format!("no document of `doctor`: {error}")).hint(how))?;
    if document.schema_version != DOCTOR_VERSION {
        return Err(broken(format!(
            "its format is version {}, and this program reads version {DOCTOR_VERSION}",
            document.schema_version
        ))
        .hint(how));
    }
    let noise = document
        .noise_floor
        .ok_or_else(|| broken("the noise was not measured".to_owned()).hint(how))?;
    if noise.pairs < FEWEST_PAIRS {
        terminal::warning(&format!(
            "--noise {}: {} are too few to know the noise, which is likely larger; {FEWEST_PAIRS} are the least",
            path.display(),
            terminal::counted(noise.pairs as u64, "pair"),
        ));
    }
    Ok(noise)
}
