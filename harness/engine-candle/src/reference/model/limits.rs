//! What candle-transformers 0.11.1 does not compute, or computes differently from transformers without a word.

use candle_core::DType;
use candle_transformers::models::quantized_llama;
use placebench_core::outcome::FailureClass;

use crate::checkpoint::{Checkpoint, CheckpointFormat};
use crate::config::{Activation, Biases, ModelConfig, RopeScaling};
use crate::error::EngineError;
use crate::weights::Compute;

/// Refuses what the library would compute wrongly for sequences of at most `capacity` positions.
pub(in crate::reference) fn check(
    checkpoint: &Checkpoint,
    compute: Compute,
    capacity: usize,
) -> Result<(), EngineError> {
    let config = &checkpoint.config;
    let is_gguf = checkpoint.format == CheckpointFormat::Gguf;
    check_attention(config, capacity)?;
    check_rope(config, compute, is_gguf)?;
    let family = config.family.model_type;
    if is_gguf && !["llama", "qwen2"].contains(&family) {
        // Its quantised Qwen3 makes position tables in half precision, its Phi-3 knows one rotary base only, and there is
        // no quantised Gemma 2.
        return Err(refusal(&format!("GGUF files of the family {family}")));
    }
    if is_gguf && family == "llama" && capacity > quantized_llama::MAX_SEQ_LEN {
        return Err(refusal(&format!(
            "more than {} positions of a GGUF Llama",
            quantized_llama::MAX_SEQ_LEN
        )));
    }
    if family == "gemma2" && !config.tie_word_embeddings {
        return Err(refusal("a Gemma 2 with a head of its own"));
    }
    if family == "llama" && (config.block.biases != Biases::default() || config.block.activation != Activation::Silu) {
        return Err(refusal("a Llama with biases or another activation than silu"));
    }
    Ok(())
}

fn check_attention(config: &ModelConfig, capacity: usize) -> Result<(), EngineError> {
    let own_width = ["qwen3", "mistral", "gemma2"].contains(&config.family.model_type);
    if !own_width && config.query_size() != config.hidden_size {
        return Err(refusal(
            "attention heads whose width is not hidden_size / num_attention_heads",
        ));
    }
    // The library's masks keep one key more than the window, Gemma 2's has it on every layer, Phi-3 and Qwen3 have none,
    // and a single token after a cache sees everything. A window that no position reaches is none.
    if let Some(window) = config.windows.iter().flatten().find(|window| **window < capacity) {
        return Err(refusal(&format!(
            "a sliding window of {window} rightly: it would be exceeded by {capacity} positions"
        )));
    }
    let usual = 1.0 / (config.head_dim as f64).sqrt();
    if (config.attention_scale - usual).abs() > 1e-9 {
        return Err(refusal(
            "a scale of attention scores that is not that of the head's width (query_pre_attn_scalar)",
        ));
    }
    Ok(())
}

fn check_rope(config: &ModelConfig, compute: Compute, is_gguf: bool) -> Result<(), EngineError> {
    let family = config.family.model_type;
    match &config.rope_scaling {
        None => {}
        Some(RopeScaling::Llama3 { .. }) if family == "llama" && !is_gguf => {}
        // Its Phi-3 multiplies frequencies by the factors that should divide them.
        Some(_) => return Err(refusal("this model's rope scaling")),
    }
    if ["phi3", "gemma2"].contains(&family) && matches!(compute, Compute::Dense(dtype) if dtype != DType::F32) {
        return Err(refusal(&format!(
            "{family} in half precision rightly: its position tables are made in it"
        )));
    }
    Ok(())
}

pub(super) fn refusal(what: &str) -> EngineError {
    EngineError::Files {
        class: FailureClass::Unsupported,
        message: format!("candle-transformers does not compute {what}"),
    }
}
