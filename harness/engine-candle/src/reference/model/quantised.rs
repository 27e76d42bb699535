//! Models whose matrices stay quantised, from GGUF files.

use std::fs::File;
use std::io::BufReader;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2};

use super::{Whole, unknown, whole};
use crate::checkpoint::Checkpoint;
use crate::error::EngineError;

whole!(quantized_llama::ModelWeights, quantized_qwen2::ModelWeights);

pub(super) fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Box<dyn Whole>, EngineError> {
    let failed = |error| EngineError::candle("loading the whole model")(error);
    let mut file = BufReader::new(File::open(&checkpoint.path).map_err(|error| failed(error.into()))?);
    let content = Content::read(&mut file).map_err(failed)?;
    let model: CandleResult<Box<dyn Whole>> = match checkpoint.config.family.model_type {
        "llama" => {
            quantized_llama::ModelWeights::from_gguf(content, &mut file, device).map(|model| Box::new(model) as _)
        }
        "qwen2" => {
            quantized_qwen2::ModelWeights::from_gguf(content, &mut file, device).map(|model| Box::new(model) as _)
        }
        _ => return Err(unknown(checkpoint)),
    };
    model.map_err(failed)
}
