//! A GPT-2 in a GGUF file: it can be planned from its header, though no engine here runs it.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use placebench_core::module_tree::ModuleTree;
use serde_json::json;

use super::{EMBEDDING, ModelFilesError, list, read_content};
use crate::checkpoint::{Listed, StoredDtype, is_gguf};
use crate::tree;

const ARCHITECTURE: &str = "gpt2";

/// Modules of a block, by the names of Hugging Face and of GGUF.
const BLOCK: [(&str, &str); 6] = [
    ("ln_1", "attn_norm"),
    ("attn.c_attn", "attn_qkv"),
    ("attn.c_proj", "attn_output"),
    ("ln_2", "ffn_norm"),
    ("mlp.c_fc", "ffn_up"),
    ("mlp.c_proj", "ffn_down"),
];

/// The module tree of a file that holds a GPT-2, with parameters as they are stored or, for a plan in another element type,
/// in single precision; `None` for any other model.
///
/// # Errors
/// When the file is broken, or lacks a tensor that a GPT-2 has.
pub fn gpt2_tree(id: &str, path: &Path, as_stored: bool) -> Result<Option<ModuleTree>, ModelFilesError> {
    let unreadable = |source| ModelFilesError::Read {
        path: path.to_owned(),
        source,
    };
    if !is_gguf(path).map_err(unreadable)? {
        return Ok(None);
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    let content = read_content(path, &mut file, file_len)?;
    let architecture = content.metadata.get("general.architecture");
    if architecture
        .and_then(|value| value.to_string().ok())
        .map(String::as_str)
        != Some(ARCHITECTURE)
    {
        return Ok(None);
    }
    let listed = list(path, &content, file_len)?;
    let config = config(path, &content, &listed)?;
    let plain = placebench_core::module_tree::from_config(id, &config)
        .map_err(|error| ModelFilesError::malformed(path, error.to_string()))?;
    let mut missing = Vec::new();
    for tensor in plain.tensors().iter().filter(|tensor| tensor.kind.is_stored()) {
        let name = gguf_name(&tensor.name);
        let elements = |shape: &[usize]| shape.iter().map(|&size| size as u64).product::<u64>();
        let wanted: u64 = tensor.shape.iter().product();
        match name.as_deref().and_then(|name| listed.get(name)) {
            Some(found) if elements(&found.shape) == wanted => {}
            _ => missing.push(name.unwrap_or_else(|| tensor.name.clone())),
        }
    }
    if !missing.is_empty() {
        return Err(ModelFilesError::Tensors {
            path: path.to_owned(),
            missing,
            misshapen: Vec::new(),
        });
    }
    let stored = |name: &str| -> (String, Option<u64>) {
        match gguf_name(name).and_then(|name| listed.get(&name)) {
            Some(Listed {
                dtype: Some(dtype),
                bytes,
                ..
            }) if as_stored => (StoredDtype::name(*dtype), Some(*bytes)),
            _ => ("float32".to_owned(), None),
        }
    };
    tree::from_hyper_parameters(id, config, stored)
        .map(Some)
        .map_err(|error| ModelFilesError::malformed(path, error.to_string()))
}

/// The file's numbers in the words of `config.json`. The head is the embedding's tensor, as in every published GPT-2: files
/// that hold it twice are planned as Hugging Face would load them.
fn config(
    path: &Path,
    content: &Content,
    listed: &HashMap<String, Listed>,
) -> Result<serde_json::Value, ModelFilesError> {
    let number = |key: &str| -> Result<u64, ModelFilesError> {
        let name = format!("{ARCHITECTURE}.{key}");
        let value: Option<&Value> = content.metadata.get(&name);
        let number = value.and_then(|value| value.to_u32().map(u64::from).or_else(|_| value.to_u64()).ok());
        number.ok_or_else(|| ModelFilesError::malformed(path, format!("{name} is no whole number, or missing")))
    };
    let vocabulary = listed.get(EMBEDDING).and_then(|tensor| tensor.shape.first().copied());
    Ok(json!({
        "model_type": ARCHITECTURE,
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": number("embedding_length")?,
        "n_head": number("attention.head_count")?,
        "n_layer": number("block_count")?,
        "n_positions": number("context_length")?,
        "n_inner": number("feed_forward_length")?,
        "vocab_size": vocabulary.unwrap_or(0),
        "tie_word_embeddings": true,
    }))
}

/// The name in the file of what Hugging Face calls `name`.
fn gguf_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("transformer.h.") {
        let (index, rest) = rest.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        let (_, stored) = BLOCK.iter().find(|(known, _)| *known == module)?;
        return Some(format!("blk.{index}.{stored}.{kind}"));
    }
    let stored = match name {
        "transformer.wte.weight" | "lm_head.weight" => EMBEDDING,
        "transformer.wpe.weight" => "position_embd.weight",
        "transformer.ln_f.weight" => "output_norm.weight",
        "transformer.ln_f.bias" => "output_norm.bias",
        _ => return None,
    };
    Some(stored.to_owned())
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
    use candle_core::{Device, Tensor};

    use super::*;

    const LAYERS: usize = 2;
    const HIDDEN: usize = 32;
    const VOCABULARY: usize = 64;

    /// A file with all tensors but those whose name contains `without`.
    fn write(folder: &Path, architecture: &str, without: &str) -> std::path::PathBuf {
        let mut shapes: Vec<(String, Vec<usize>)> = vec![
            ("token_embd.weight".into(), vec![VOCABULARY, HIDDEN]),
            ("position_embd.weight".into(), vec![16, HIDDEN]),
            ("output_norm.weight".into(), vec![HIDDEN]),
            ("output_norm.bias".into(), vec![HIDDEN]),
        ];
        for layer in 0..LAYERS {
            let sizes = [
                ("attn_norm", vec![HIDDEN]),
                ("attn_qkv", vec![3 * HIDDEN, HIDDEN]),
                ("attn_output", vec![HIDDEN, HIDDEN]),
                ("ffn_norm", vec![HIDDEN]),
                ("ffn_up", vec![4 * HIDDEN, HIDDEN]),
                ("ffn_down", vec![HIDDEN, 4 * HIDDEN]),
            ];
            for (module, shape) in sizes {
                shapes.push((format!("blk.{layer}.{module}.bias"), shape[..1].to_vec()));
                shapes.push((format!("blk.{layer}.{module}.weight"), shape));
            }
        }
        let tensors: Vec<(String, QTensor)> = shapes
            .into_iter()
            .filter(|(name, _)| without.is_empty() || !name.contains(without))
            .map(|(name, shape)| {
                let dtype = if shape.len() == 2 {
                    GgmlDType::Q8_0
                } else {
                    GgmlDType::F32
                };
                let values = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
                (name, QTensor::quantize(&values, dtype).unwrap())
            })
            .collect();
        let number = |key: &str, value: usize| (format!("gpt2.{key}"), Value::U32(u32::try_from(value).unwrap()));
        let metadata = [
            (
                "general.architecture".to_owned(),
                Value::String(architecture.to_owned()),
            ),
            number("embedding_length", HIDDEN),
            number("attention.head_count", 4),
            number("block_count", LAYERS),
            number("context_length", 16),
            number("feed_forward_length", 4 * HIDDEN),
        ];
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let path = folder.join("model.gguf");
        gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &tensors).unwrap();
        path
    }

    #[test]
    fn a_gpt2_is_planned_with_its_stored_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "gpt2", "");
        let tree = gpt2_tree("m", &path, true).unwrap().unwrap();
        assert_eq!(tree.architecture(), "GPT2LMHeadModel");
        let bytes =
            |tree: &ModuleTree, name: &str| tree.tensors()[tree.tensor_index(name).unwrap()].bytes.whole_bytes();
        // 34 bytes for each block of 32 weights.
        assert_eq!(
            bytes(&tree, "transformer.h.1.attn.c_attn.weight"),
            (3 * HIDDEN * HIDDEN / 32 * 34) as u64
        );
        assert_eq!(
            bytes(&tree, "transformer.h.1.attn.c_attn.bias"),
            (3 * HIDDEN * 4) as u64
        );
        assert_eq!(tree.tied(), [["lm_head.weight", "transformer.wte.weight"]]);
        let plain = gpt2_tree("m", &path, false).unwrap().unwrap();
        assert_eq!(
            bytes(&plain, "transformer.wte.weight"),
            (VOCABULARY * HIDDEN * 4) as u64
        );
        let as_by_config = placebench_core::module_tree::from_config("m", plain.config().unwrap()).unwrap();
        assert_eq!(plain.modules(), as_by_config.modules());
        assert_eq!(plain.tensors(), as_by_config.tensors());
    }

    #[test]
    fn what_a_gpt2_lacks_is_named_and_other_models_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "gpt2", "blk.1.ffn_up.bias");
        let message = gpt2_tree("m", &path, true).unwrap_err().to_string();
        assert!(message.contains("blk.1.ffn_up.bias"), "{message}");
        let path = write(folder.path(), "llama", "");
        assert!(gpt2_tree("m", &path, true).unwrap().is_none());
        let path = folder.path().join("other.gguf.txt");
        std::fs::write(&path, "no model").unwrap();
        assert!(gpt2_tree("m", &path, true).unwrap().is_none());
    }
}
