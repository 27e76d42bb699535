//! GGUF files of the tiny models, with the names, permutations and metadata that llama.cpp's converter gives them.
//!
//! The table of names is written out here once more, from the format's side: a wrong name in the loader is then noticed.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::panic,
    reason = "the format keeps single precision, and a helper of a test fails the test"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::Value as Json;

use super::tiny;

/// Writes the tiny model `name` as a file in `folder`, its matrices stored as `matrices`.
pub(crate) fn write(name: &str, matrices: GgmlDType, folder: &Path) -> PathBuf {
    let config: Json = serde_json::from_str(&std::fs::read_to_string(tiny(name).join("config.json")).unwrap()).unwrap();
    let weights = candle_core::safetensors::load(tiny(name).join("model.safetensors"), &Device::Cpu).unwrap();
    let converter = Converter { config, matrices };
    let tensors = converter.tensors(weights);
    let metadata = converter.metadata();
    let path = folder.join(format!("{name}.gguf"));
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    path
}

struct Converter {
    config: Json,
    matrices: GgmlDType,
}

impl Converter {
    fn architecture(&self) -> &str {
        match self.config["model_type"].as_str().unwrap() {
            "mistral" => "llama",
            other => other,
        }
    }

    fn size(&self, key: &str) -> Option<usize> {
        self.config[key].as_u64().map(|size| usize::try_from(size).unwrap())
    }

    fn head_dim(&self) -> usize {
        let derived = || self.size("hidden_size").unwrap() / self.size("num_attention_heads").unwrap();
        self.size("head_dim").unwrap_or_else(derived)
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let number = |value: usize| Value::U32(u32::try_from(value).unwrap());
        let float = |value: &Json| value.as_f64().map(|value| Value::F32(value as f32));
        let rotary = self.config["partial_rotary_factor"].as_f64().unwrap_or(1.0) * self.head_dim() as f64;
        let scaling = &self.config["rope_scaling"];
        let scale_of_scores = self.config["query_pre_attn_scalar"].as_f64();
        let window = self
            .size("sliding_window")
            .filter(|_| self.config["use_sliding_window"] != false);
        let own = [
            ("block_count", self.size("num_hidden_layers").map(number)),
            ("context_length", self.size("max_position_embeddings").map(number)),
            ("embedding_length", self.size("hidden_size").map(number)),
            ("feed_forward_length", self.size("intermediate_size").map(number)),
            ("attention.head_count", self.size("num_attention_heads").map(number)),
            ("attention.head_count_kv", self.size("num_key_value_heads").map(number)),
            ("attention.key_length", Some(number(self.head_dim()))),
            ("attention.value_length", Some(number(self.head_dim()))),
            ("attention.layer_norm_rms_epsilon", float(&self.config["rms_norm_eps"])),
            ("attention.sliding_window", window.map(number)),
            (
                "attention.scale",
                scale_of_scores.map(|scalar| Value::F32(scalar.powf(-0.5) as f32)),
            ),
            ("attn_logit_softcapping", float(&self.config["attn_logit_softcapping"])),
            (
                "final_logit_softcapping",
                float(&self.config["final_logit_softcapping"]),
            ),
            ("rope.freq_base", float(&self.config["rope_theta"])),
            ("rope.dimension_count", Some(number(rotary as usize))),
            (
                "rope.scaling.type",
                scaling["rope_type"]
                    .as_str()
                    .filter(|kind| *kind != "llama3")
                    .map(|kind| Value::String(kind.to_owned())),
            ),
            (
                "rope.scaling.factor",
                float(&scaling["factor"]).filter(|_| scaling["rope_type"] != "llama3"),
            ),
            ("rope.scaling.yarn_beta_fast", float(&scaling["beta_fast"])),
            (
                "rope.scaling.original_context_length",
                scaling["original_max_position_embeddings"]
                    .as_u64()
                    .or(self.config["original_max_position_embeddings"].as_u64())
                    .map(|length| number(usize::try_from(length).unwrap())),
            ),
        ];
        let own = own
            .into_iter()
            .filter_map(|(key, value)| Some((format!("{}.{key}", self.architecture()), value?)));
        let general = [
            ("general.architecture", Value::String(self.architecture().to_owned())),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ];
        let general = general.into_iter().map(|(key, value)| (key.to_owned(), value));
        general.chain(own).collect()
    }

    fn tensors(&self, weights: HashMap<String, Tensor>) -> Vec<(String, QTensor)> {
        let mut tensors: Vec<(String, QTensor)> = weights
            .into_iter()
            .map(|(name, tensor)| {
                let stored = self.stored(&name, tensor);
                let dtype = match *stored.dims() {
                    [_, columns] if columns % self.matrices.block_size() == 0 => self.matrices,
                    // As the converter does: rows that are no multiple of a block stay as they are.
                    [_, _] => GgmlDType::F16,
                    _ => GgmlDType::F32,
                };
                (self.name(&name), QTensor::quantize(&stored, dtype).unwrap())
            })
            .collect();
        let scaling = &self.config["rope_scaling"];
        for (key, name) in [
            ("short_factor", "rope_factors_short.weight"),
            ("long_factor", "rope_factors_long.weight"),
        ] {
            if let Some(values) = scaling[key].as_array() {
                let values: Vec<f32> = values.iter().map(|value| value.as_f64().unwrap() as f32).collect();
                tensors.push((name.to_owned(), vector(values)));
            }
        }
        if scaling["rope_type"] == "llama3" {
            tensors.push(("rope_freqs.weight".to_owned(), vector(self.llama3_divisors())));
        }
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        tensors
    }

    /// What the converter does to the values.
    fn stored(&self, name: &str, tensor: Tensor) -> Tensor {
        let heads = |key: &str| self.size(key).unwrap();
        if self.architecture() == "llama" && name.contains("q_proj") {
            return interleaved(&tensor, heads("num_attention_heads"));
        }
        if self.architecture() == "llama" && name.contains("k_proj") {
            return interleaved(&tensor, heads("num_key_value_heads"));
        }
        if self.architecture() == "gemma2" && name.ends_with("norm.weight") {
            return (tensor + 1.0).unwrap();
        }
        tensor
    }

    fn name(&self, name: &str) -> String {
        let Some((layer, rest)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
            return match name {
                "model.embed_tokens.weight" => "token_embd.weight",
                "model.norm.weight" => "output_norm.weight",
                "lm_head.weight" => "output.weight",
                other => other,
            }
            .to_owned();
        };
        let (module, kind) = rest.rsplit_once('.').unwrap();
        let module = match (self.architecture(), module) {
            ("gemma2", "post_attention_layernorm") => "post_attention_norm",
            ("gemma2", "pre_feedforward_layernorm") | (_, "post_attention_layernorm") => "ffn_norm",
            ("gemma2", "post_feedforward_layernorm") => "post_ffw_norm",
            (_, "input_layernorm") => "attn_norm",
            (_, "self_attn.q_proj") => "attn_q",
            (_, "self_attn.k_proj") => "attn_k",
            (_, "self_attn.v_proj") => "attn_v",
            (_, "self_attn.qkv_proj") => "attn_qkv",
            (_, "self_attn.o_proj") => "attn_output",
            (_, "self_attn.q_norm") => "attn_q_norm",
            (_, "self_attn.k_norm") => "attn_k_norm",
            (_, "mlp.gate_proj") => "ffn_gate",
            (_, "mlp.up_proj" | "mlp.gate_up_proj") => "ffn_up",
            (_, "mlp.down_proj") => "ffn_down",
            (_, other) => panic!("{other} has no name in GGUF files"),
        };
        format!("blk.{layer}.{module}.{kind}")
    }

    /// The divisors that the converter writes for Llama 3.1's scaling, by its own formula.
    fn llama3_divisors(&self) -> Vec<f32> {
        let scaling = |key: &str| self.config["rope_scaling"][key].as_f64().unwrap();
        let (factor, low, high) = (
            scaling("factor"),
            scaling("low_freq_factor"),
            scaling("high_freq_factor"),
        );
        let original = scaling("original_max_position_embeddings");
        let (theta, dim) = (self.config["rope_theta"].as_f64().unwrap(), self.head_dim());
        let divisor = |pair: usize| {
            let wavelength = 2.0 * std::f64::consts::PI * theta.powf(2.0 * pair as f64 / dim as f64);
            if wavelength < original / high {
                1.0
            } else if wavelength > original / low {
                factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        (0..dim / 2).map(|pair| divisor(pair) as f32).collect()
    }
}

fn vector(values: Vec<f32>) -> QTensor {
    let len = values.len();
    let tensor = Tensor::from_vec(values, len, &Device::Cpu).unwrap();
    QTensor::quantize(&tensor, GgmlDType::F32).unwrap()
}

/// Rows `i` and `i + dim / 2` of each head side by side, as rotary positions want them in Llama's files.
fn interleaved(rows: &Tensor, heads: usize) -> Tensor {
    let (all, dims) = (rows.dims()[0], rows.dims().to_vec());
    let half = all / heads / 2;
    let order: Vec<u32> = (0..heads)
        .flat_map(|head| (0..half).flat_map(move |pair| [0, 1].map(|side| head * 2 * half + side * half + pair)))
        .map(|row| u32::try_from(row).unwrap())
        .collect();
    let order = Tensor::new(order, &Device::Cpu).unwrap();
    rows.index_select(&order, 0).unwrap().reshape(dims).unwrap()
}
