//! `--rates FILE`: how fast this machine's devices are, as `placebench doctor` measured it.

use std::path::Path;

use placebench_core::device::DeviceId;
use placebench_core::planner::Rates;
use placebench_core::scenario::resolve::rates_from_json;

use crate::error::CliError;

/// Reads the rates of a file.
pub(crate) fn read(path: &Path) -> Result<Rates<DeviceId>, CliError> {
    let broken = |error: String| CliError::setup(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
    rates_from_json(&text).map_err(broken)
}
