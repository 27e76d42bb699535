//! Module trees for planning: from a tree file, a configuration, or the headers of a checkpoint. No weights are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use placebench_core::module_tree::{
    ModuleTree, TensorHeader, from_config, from_headers, safetensors_header, safetensors_index,
};
use serde_json::Value;

use crate::error::CliError;
use crate::terminal::chain;

/// The largest header that is read: the safetensors format's own limit.
const LARGEST_HEADER_BYTES: u64 = 100_000_000;

/// A tree file, in the format of the conformance data.
pub(crate) fn tree_file(path: &Path) -> Result<ModuleTree, CliError> {
    serde_json::from_str(&text(path)?).map_err(|error| broken(path, &error))
}

/// A configuration alone: real shapes, no weights needed.
pub(crate) fn config_file(path: &Path) -> Result<ModuleTree, CliError> {
    let config = json(path)?;
    from_config(&name(path), &config).map_err(|error| broken(path, &error))
}

/// A folder with `config.json` and safetensors, or a `.gguf` file. Loaders make the model in the element type that was
/// asked for, whatever is stored; only without one do tensors keep their own.
pub(crate) fn model(path: &Path, dtype: Option<&str>) -> Result<ModuleTree, CliError> {
    if !path.exists() {
        return Err(CliError::setup(format!("no model at {}", path.display())));
    }
    if path.is_dir() {
        folder(path, dtype)
    } else {
        gguf(path, dtype)
    }
}

fn folder(path: &Path, dtype: Option<&str>) -> Result<ModuleTree, CliError> {
    let config = json(&path.join("config.json"))?;
    let index = path.join("model.safetensors.index.json");
    let single = path.join("model.safetensors");
    let files = if single.is_file() || !index.is_file() {
        vec![single]
    } else {
        let names = safetensors_index(&text(&index)?).map_err(|error| broken(&index, &error))?;
        names.iter().map(|name| path.join(name)).collect()
    };
    let mut headers = Vec::new();
    for file in &files {
        headers.extend(header(file)?);
    }
    // Also where the stored types do not matter: a checkpoint that lacks a tensor is no model.
    let made = from_headers(&name(path), &config, headers).map_err(|error| broken(path, &error))?;
    match dtype {
        None => Ok(made.tree),
        Some(_) => from_config(&name(path), &config).map_err(|error| broken(path, &error)),
    }
}

/// The tensors a safetensors file says it holds: eight bytes of length, then JSON.
fn header(path: &Path) -> Result<Vec<TensorHeader>, CliError> {
    let failed = |error: std::io::Error| CliError::setup(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER_BYTES || length.saturating_add(8) > size {
        return Err(CliError::setup(format!(
            "{} is truncated or no safetensors file: its header should have {length} bytes, the file has {size}",
            path.display()
        )));
    }
    let mut text = String::new();
    file.take(length).read_to_string(&mut text).map_err(failed)?;
    safetensors_header(&text).map_err(|error| broken(path, &error))
}

#[cfg(feature = "candle")]
fn gguf(path: &Path, dtype: Option<&str>) -> Result<ModuleTree, CliError> {
    use placebench_core::protocol::Dtype;
    use placebench_engine_candle::{checkpoint, tree};

    let gpt2 = checkpoint::gpt2_tree(&name(path), path, dtype.is_none());
    if let Some(tree) = gpt2.map_err(|error| CliError::setup(chain(&error)))? {
        return Ok(tree);
    }
    let checkpoint = checkpoint::open(path).map_err(|error| CliError::setup(error.sentence()))?;
    match dtype {
        None => tree::from_checkpoint(&name(path), &checkpoint),
        // The planner never counts more than the type that was asked for.
        Some(_) => tree::from_config(&name(path), &checkpoint.config, Dtype::F32),
    }
    .map_err(|error| broken(path, &error))
}

#[cfg(not(feature = "candle"))]
fn gguf(path: &Path, _dtype: Option<&str>) -> Result<ModuleTree, CliError> {
    Err(CliError::setup(format!(
        "{}: this build reads no GGUF files (feature `candle`)",
        path.display()
    )))
}

fn text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::setup(format!("{}: {error}", path.display())))
}

fn json(path: &Path) -> Result<Value, CliError> {
    serde_json::from_str(&text(path)?).map_err(|error| broken(path, &error))
}

fn broken(path: &Path, error: &dyn std::error::Error) -> CliError {
    CliError::setup(format!("{}: {}", path.display(), chain(error)))
}

fn name(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
