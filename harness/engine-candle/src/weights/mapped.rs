//! The bytes of stored tensors, mapped into memory while they are read.
//!
//! A map of the whole file that lived as long as the model would keep every page that was read in the process beside the
//! copies on the devices: a model on the host would take twice its size. So each tensor is mapped by itself, and no longer
//! than it takes to copy it to where it is wanted.

use std::collections::HashMap;
use std::fs::File;

use memmap2::MmapOptions;

use super::WeightsError;
use crate::checkpoint::{Checkpoint, StoredTensor};
use crate::error::first_line;

/// The open files of a checkpoint.
pub(super) struct WeightFiles {
    files: Vec<File>,
    tensors: HashMap<String, StoredTensor>,
}

impl WeightFiles {
    /// Opens them. Where tensors are and that they are whole was found out with the checkpoint.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(super) fn open(checkpoint: &Checkpoint) -> Result<Self, WeightsError> {
        let files = checkpoint.files.iter().map(|path| {
            File::open(path).map_err(|error| WeightsError::Unreadable {
                name: path.display().to_string(),
                reason: error.to_string(),
            })
        });
        let tensors = checkpoint.tensors.iter();
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            tensors: tensors.map(|tensor| (tensor.name.clone(), tensor.clone())).collect(),
        })
    }

    /// Where the tensor of that Hugging Face name is.
    ///
    /// # Errors
    /// When there is none, or it has another shape.
    pub(super) fn find(&self, name: &str, shape: &[usize]) -> Result<&StoredTensor, WeightsError> {
        let missing = || WeightsError::Missing { name: name.to_owned() };
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        WeightsError::check_shape(&tensor.stored_name, &tensor.shape, shape)?;
        Ok(tensor)
    }

    /// Shows a tensor's bytes to `read`, which copies what it needs.
    ///
    /// # Errors
    /// When they cannot be mapped, or what `read` says.
    pub(super) fn read<R>(
        &self,
        tensor: &StoredTensor,
        read: impl FnOnce(&[u8]) -> candle_core::Result<R>,
    ) -> Result<R, WeightsError> {
        let unreadable = |reason: String| WeightsError::Unreadable {
            name: tensor.stored_name.clone(),
            reason,
        };
        let file = self.files.get(tensor.file);
        let file = file.ok_or_else(|| unreadable("its file is not open".to_owned()))?;
        let len = usize::try_from(tensor.bytes.0).map_err(|error| unreadable(error.to_string()))?;
        let mut options = MmapOptions::new();
        // All of it is read at once: pages that are asked for together come in one go.
        options.offset(tensor.offset).len(len).populate();
        #[expect(unsafe_code, reason = "there is no other way to map a file")]
        // SAFETY: the map is read-only and lives for this call. Bytes that another process changes meanwhile would be read
        // half old and half new: a checkpoint that changes while it is measured is no checkpoint.
        let bytes = unsafe { options.map(file) }.map_err(|error| unreadable(error.to_string()))?;
        read(&bytes).map_err(|error| unreadable(first_line(&error)))
    }
}
