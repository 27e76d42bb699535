//! candle-transformers' models behind one interface.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::{llama, quantized_llama, quantized_qwen2, qwen2};
use placebench_core::outcome::FailureClass;

use crate::checkpoint::{Checkpoint, CheckpointFormat};
use crate::config::{Family, ModelConfig, RopeScaling};
use crate::error::EngineError;
use crate::weights::{self, Compute};

/// A model of candle-transformers with its cache.
pub(super) struct WholeModel {
    kind: Kind,
    device: Device,
}

enum Kind {
    /// Boxed, because with CUDA it is several times as large as the others.
    Llama(Box<Llama>),
    Qwen2(qwen2::ModelForCausalLM),
    QuantisedLlama(quantized_llama::ModelWeights),
    QuantisedQwen2(quantized_qwen2::ModelWeights),
}

struct Llama {
    model: llama::Llama,
    empty: llama::Cache,
    cache: llama::Cache,
}

/// Refuses what our decoder computes and candle-transformers does not, or computes differently without a word.
pub(super) fn check(checkpoint: &Checkpoint, capacity: usize) -> Result<(), EngineError> {
    let config = &checkpoint.config;
    let refuse = |what: &str| {
        Err(EngineError::Files {
            class: FailureClass::Unsupported,
            message: format!("candle-transformers does not compute {what}"),
        })
    };
    if config.query_size() != config.hidden_size {
        return refuse("attention heads whose width is not hidden_size / num_attention_heads");
    }
    let gguf = checkpoint.format == CheckpointFormat::Gguf;
    match (&config.rope_scaling, config.family) {
        (None, _) => {}
        (Some(RopeScaling::Llama3 { .. }), Family::Llama) if !gguf => {}
        _ => return refuse("this model's rope scaling"),
    }
    if gguf && config.family == Family::Llama && capacity > quantized_llama::MAX_SEQ_LEN {
        return refuse(&format!(
            "more than {} positions of a GGUF Llama",
            quantized_llama::MAX_SEQ_LEN
        ));
    }
    Ok(())
}

impl WholeModel {
    /// Loads a model for sequences of at most `capacity` tokens.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        compute: Compute,
        capacity: usize,
        device: &Device,
    ) -> Result<Self, EngineError> {
        let kind = match compute {
            Compute::Dense(dtype) => load_dense(checkpoint, dtype, capacity, device),
            Compute::Quantised => load_quantised(checkpoint, device),
        }?;
        Ok(Self {
            kind,
            device: device.clone(),
        })
    }

    /// Forgets all past tokens.
    pub(super) fn reset(&mut self) {
        match &mut self.kind {
            Kind::Llama(llama) => llama.cache.clone_from(&llama.empty),
            Kind::Qwen2(model) => model.clear_kv_cache(),
            Kind::QuantisedLlama(model) => model.clear_kv_cache(),
            Kind::QuantisedQwen2(model) => model.clear_kv_cache(),
        }
    }

    /// The logits after `ids`, of which the first is at `position`.
    pub(super) fn forward(&mut self, ids: &[u32], position: usize) -> CandleResult<Vec<f32>> {
        let ids = Tensor::new(ids, &self.device)?.unsqueeze(0)?;
        let logits = match &mut self.kind {
            Kind::Llama(llama) => llama.model.forward(&ids, position, &mut llama.cache),
            Kind::Qwen2(model) => model.forward(&ids, position),
            Kind::QuantisedLlama(model) => model.forward(&ids, position),
            Kind::QuantisedQwen2(model) => model.forward(&ids, position),
        }?;
        self.device.synchronize()?;
        logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }
}

fn load_dense(checkpoint: &Checkpoint, dtype: DType, capacity: usize, device: &Device) -> Result<Kind, EngineError> {
    let config = &checkpoint.config;
    // Tables of positions are made for all of these. candle's Llama compares the number of key heads with it, and cuts
    // keys where that is larger.
    let positions = capacity.max(config.num_heads);
    let tensors = dense_tensors(checkpoint, dtype, device)?;
    let builder = VarBuilder::from_tensors(tensors, dtype, device);
    let load = || match config.family {
        Family::Llama => {
            let own = llama_config(config, positions);
            let empty = llama::Cache::new(true, dtype, &own, device)?;
            Ok(Kind::Llama(Box::new(Llama {
                model: llama::Llama::load(builder, &own)?,
                cache: empty.clone(),
                empty,
            })))
        }
        Family::Qwen2 => qwen2::ModelForCausalLM::new(&qwen2_config(config, positions), builder).map(Kind::Qwen2),
    };
    load().map_err(EngineError::candle("loading the whole model"))
}

fn dense_tensors(
    checkpoint: &Checkpoint,
    dtype: DType,
    device: &Device,
) -> Result<HashMap<String, Tensor>, EngineError> {
    let source = weights::open(checkpoint, Compute::Dense(dtype))?;
    let mut tensors = HashMap::new();
    for tensor in &checkpoint.tensors {
        let name = tensor.name.as_str();
        let loaded = match tensor.shape.as_slice() {
            &[rows, columns] => source
                .matrix(name, (rows, columns), device)?
                .dense()
                .map_err(EngineError::candle(name))?,
            shape => source.vector(name, shape.iter().product(), device)?,
        };
        tensors.insert(name.to_owned(), loaded);
    }
    Ok(tensors)
}

fn load_quantised(checkpoint: &Checkpoint, device: &Device) -> Result<Kind, EngineError> {
    let load = || {
        let mut file = BufReader::new(File::open(&checkpoint.path)?);
        let content = Content::read(&mut file)?;
        match checkpoint.config.family {
            Family::Llama => {
                quantized_llama::ModelWeights::from_gguf(content, &mut file, device).map(Kind::QuantisedLlama)
            }
            Family::Qwen2 => {
                quantized_qwen2::ModelWeights::from_gguf(content, &mut file, device).map(Kind::QuantisedQwen2)
            }
        }
    };
    load().map_err(EngineError::candle("loading the whole model"))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "candle keeps these factors in single precision"
)]
fn llama_config(config: &ModelConfig, positions: usize) -> llama::Config {
    llama::Config {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        vocab_size: config.vocab_size,
        num_hidden_layers: config.num_layers,
        num_attention_heads: config.num_heads,
        num_key_value_heads: config.num_kv_heads,
        use_flash_attn: false,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta as f32,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: match &config.rope_scaling {
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            }) => Some(llama::Llama3RopeConfig {
                factor: *factor as f32,
                low_freq_factor: *low_freq_factor as f32,
                high_freq_factor: *high_freq_factor as f32,
                original_max_position_embeddings: *original_max_position_embeddings,
                rope_type: llama::Llama3RopeType::Llama3,
            }),
            _ => None,
        },
        max_position_embeddings: positions,
        tie_word_embeddings: config.tie_word_embeddings,
    }
}

fn qwen2_config(config: &ModelConfig, positions: usize) -> qwen2::Config {
    qwen2::Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_layers,
        num_attention_heads: config.num_heads,
        num_key_value_heads: config.num_kv_heads,
        max_position_embeddings: positions,
        // candle applies the window even where it is switched off: one that no sequence reaches is none.
        sliding_window: positions,
        max_window_layers: config.num_layers,
        tie_word_embeddings: config.tie_word_embeddings,
        rope_theta: config.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    }
}
