//! Writes a page where the command line says.

use std::path::Path;

use placebench_core::exit_code::ExitCode;
use placebench_runner::store;

use crate::error::CliError;
use crate::terminal;

/// Writes a page, whole or not at all.
pub(crate) fn write(page: &Path, html: &str) -> Result<(), CliError> {
    let name = page.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| CliError::with_code(ExitCode::Usage, "--output names no file"))?;
    let folder = match page.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    store::write_artifact(folder, name, html.as_bytes()).map_err(|error| CliError::setup(terminal::chain(&error)))?;
    Ok(())
}
