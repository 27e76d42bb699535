//! Models with one element a weight.

use std::collections::HashMap;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Activation as CandleActivation, VarBuilder};
use candle_transformers::models::{gemma2, llama, mistral, phi3, qwen2, qwen3};

use super::{Whole, unknown, whole};
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, ModelConfig, RopeScaling};
use crate::error::EngineError;
use crate::weights::{self, Compute};

whole!(
    gemma2::Model,
    mistral::Model,
    phi3::Model,
    qwen2::ModelForCausalLM,
    qwen3::ModelForCausalLM
);

struct Llama {
    model: llama::Llama,
    empty: llama::Cache,
    cache: llama::Cache,
}

impl Whole for Llama {
    fn forward(&mut self, ids: &Tensor, position: usize) -> CandleResult<Tensor> {
        self.model.forward(ids, position, &mut self.cache)
    }

    fn reset(&mut self) {
        self.cache.clone_from(&self.empty);
    }
}

pub(super) fn load(
    checkpoint: &Checkpoint,
    dtype: DType,
    capacity: usize,
    device: &Device,
) -> Result<Box<dyn Whole>, EngineError> {
    let config = &checkpoint.config;
    // Tables of positions are made for all of these. candle's Llama compares the number of key heads with it, and cuts
    // keys where that is larger.
    let positions = capacity.max(config.num_heads);
    let tensors = dense_tensors(checkpoint, dtype, device)?;
    let builder = VarBuilder::from_tensors(tensors, dtype, device);
    let model: CandleResult<Box<dyn Whole>> = match config.family.model_type {
        "llama" => load_llama(&llama_config(config, positions), builder, dtype, device),
        "qwen2" => {
            qwen2::ModelForCausalLM::new(&qwen2_config(config, positions), builder).map(|model| Box::new(model) as _)
        }
        "qwen3" => {
            qwen3::ModelForCausalLM::new(&qwen3_config(config, positions), builder).map(|model| Box::new(model) as _)
        }
        "mistral" => mistral::Model::new(&mistral_config(config, positions), builder).map(|model| Box::new(model) as _),
        "phi3" => phi3::Model::new(&phi3_config(config, positions), builder).map(|model| Box::new(model) as _),
        "gemma2" => {
            gemma2::Model::new(false, &gemma2_config(config, positions), builder).map(|model| Box::new(model) as _)
        }
        _ => return Err(unknown(checkpoint)),
    };
    model.map_err(EngineError::candle("loading the whole model"))
}

fn load_llama(
    config: &llama::Config,
    builder: VarBuilder<'_>,
    dtype: DType,
    device: &Device,
) -> CandleResult<Box<dyn Whole>> {
    let empty = llama::Cache::new(true, dtype, config, device)?;
    Ok(Box::new(Llama {
        model: llama::Llama::load(builder, config)?,
        cache: empty.clone(),
        empty,
    }))
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
        hidden_act: activation(config),
    }
}

fn qwen3_config(config: &ModelConfig, positions: usize) -> qwen3::Config {
    qwen3::Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_layers,
        num_attention_heads: config.num_heads,
        head_dim: config.head_dim,
        attention_bias: config.block.biases.qkv,
        num_key_value_heads: config.num_kv_heads,
        max_position_embeddings: positions,
        sliding_window: None,
        max_window_layers: config.num_layers,
        tie_word_embeddings: config.tie_word_embeddings,
        rope_theta: config.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        use_sliding_window: false,
        hidden_act: activation(config),
    }
}

fn mistral_config(config: &ModelConfig, positions: usize) -> mistral::Config {
    mistral::Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_layers,
        num_attention_heads: config.num_heads,
        head_dim: Some(config.head_dim),
        num_key_value_heads: config.num_kv_heads,
        hidden_act: activation(config),
        max_position_embeddings: positions,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta,
        sliding_window: None,
        use_flash_attn: false,
    }
}

fn phi3_config(config: &ModelConfig, positions: usize) -> phi3::Config {
    let is_partial = config.rotary_dim < config.head_dim;
    phi3::Config {
        vocab_size: config.vocab_size,
        hidden_act: activation(config),
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_layers,
        num_attention_heads: config.num_heads,
        num_key_value_heads: config.num_kv_heads,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: positions,
        original_max_position_embeddings: None,
        // Half an element more, so that cutting the product off gives the number itself.
        partial_rotary_factor: is_partial.then(|| (config.rotary_dim as f64 + 0.5) / config.head_dim as f64),
        tie_word_embeddings: config.tie_word_embeddings,
    }
}

fn gemma2_config(config: &ModelConfig, positions: usize) -> gemma2::Config {
    gemma2::Config {
        attention_bias: config.block.biases.qkv,
        head_dim: config.head_dim,
        hidden_activation: activation(config),
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_attention_heads: config.num_heads,
        num_hidden_layers: config.num_layers,
        num_key_value_heads: config.num_kv_heads,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta,
        vocab_size: config.vocab_size,
        final_logit_softcapping: config.final_softcap,
        attn_logit_softcapping: config.block.attention_softcap,
        // Not looked at: scores are scaled by the width of a head.
        query_pre_attn_scalar: config.head_dim,
        sliding_window: None,
        max_position_embeddings: positions,
    }
}

fn activation(config: &ModelConfig) -> CandleActivation {
    match config.block.activation {
        Activation::Silu => CandleActivation::Silu,
        Activation::GeluTanh => CandleActivation::GeluPytorchTanh,
        Activation::Gelu => CandleActivation::Gelu,
    }
}
