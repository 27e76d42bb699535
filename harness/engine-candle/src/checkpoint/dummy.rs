//! A configuration without weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use placebench_core::units::Bytes;

use super::{Checkpoint, CheckpointFormat, ModelFilesError, StoredDtype, StoredTensor, elements};
use crate::config::ModelConfig;
use crate::dtype::candle_dtype;

const CONFIG: &str = "config.json";

/// A checkpoint in the shapes of a configuration: a `config.json` under any name, or the folder of one. Tensors have the
/// element type that the configuration names, float32 where it names none.
///
/// # Errors
/// When the configuration cannot be read, or is of a model this engine does not run.
pub fn dummy(path: &Path, seed: u64) -> Result<Checkpoint, ModelFilesError> {
    let file = if path.is_dir() {
        path.join(CONFIG)
    } else {
        path.to_owned()
    };
    if !path.exists() {
        return Err(ModelFilesError::PathMissing { path: path.to_owned() });
    }
    let config = ModelConfig::from_file(&file).map_err(|source| ModelFilesError::Config {
        path: file.clone(),
        source,
    })?;
    let dtype = config.torch_dtype.map_or(DType::F32, candle_dtype);
    let parameters = config.stored_parameters().into_iter();
    let tensors = parameters.map(|parameter| {
        let bytes = elements(&parameter.shape).and_then(|count| count.checked_mul(dtype.size_in_bytes() as u64));
        StoredTensor {
            stored_name: parameter.name.clone(),
            name: parameter.name,
            shape: parameter.shape,
            dtype: StoredDtype::Plain(dtype),
            // A configuration that passed its checks has no product that large.
            bytes: Bytes(bytes.unwrap_or(u64::MAX)),
            offset: 0,
            file: 0,
        }
    });
    Ok(Checkpoint {
        path: file.parent().map_or_else(PathBuf::new, Path::to_owned),
        format: CheckpointFormat::Dummy { seed },
        tensors: tensors.collect(),
        config,
        files: Vec::new(),
        unused: Vec::new(),
        metadata: HashMap::new(),
    })
}
