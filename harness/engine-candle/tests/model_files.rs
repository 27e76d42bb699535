//! Model files that are whole, cut, bent, or not there.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use common::gguf_fixture::{self, Fixture};
use common::tiny;
use placebench_core::outcome::FailureClass;
use placebench_engine_candle::checkpoint::{self, CheckpointFormat, ModelFilesError, StoredDtype};
use placebench_engine_candle::config::{RopeLayout, RopeScaling};
use placebench_engine_candle::tokenizer::Tokenizer;
use placebench_engine_candle::tree;

fn refused(path: &Path, class: FailureClass) -> String {
    let error = checkpoint::open(path).unwrap_err();
    assert_eq!(error.class(), class, "{}", error.sentence());
    error.sentence()
}

fn copy_of(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        std::fs::copy(tiny(model).join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn gguf(fixture: &Fixture<'_>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    fixture.write(&path);
    (folder, path)
}

fn edited(key: &'static str, value: Value) -> Fixture<'static> {
    Fixture {
        edits: vec![(key, Some(value))],
        ..Fixture::default()
    }
}

/// Lets `edit` change the text of a file.
fn rewrite(path: &Path, edit: impl FnOnce(String) -> String) {
    std::fs::write(path, edit(std::fs::read_to_string(path).unwrap())).unwrap();
}

#[test]
fn a_folder_is_read_with_all_its_tensors() {
    let found = checkpoint::open(&tiny("qwen2-tied")).unwrap();
    assert_eq!(
        (found.format, found.config.family.model_type),
        (CheckpointFormat::Safetensors, "qwen2")
    );
    assert_eq!(found.tensors.len(), 1 + 4 * 12 + 1);
    assert_eq!(found.unused, [""; 0]);
    let file_len = std::fs::metadata(&found.files[0]).unwrap().len();
    let embedding = found.tensor("model.embed_tokens.weight").unwrap();
    assert_eq!(embedding.shape, [512, 64]);
    assert_eq!(embedding.dtype, StoredDtype::Plain(candle_core::DType::F32));
    assert!(found.weights_bytes().0 < file_len && found.weights_bytes().0 > file_len * 9 / 10);
}

#[test]
fn a_tensor_of_a_folder_is_where_the_header_says() {
    let found = checkpoint::open(&tiny("llama-gqa")).unwrap();
    let norm = found.tensor("model.norm.weight").unwrap();
    let mut file = File::open(&found.files[norm.file]).unwrap();
    file.seek(SeekFrom::Start(norm.offset)).unwrap();
    let mut first = [0; 4];
    file.read_exact(&mut first).unwrap();
    let all = candle_core::safetensors::load(&found.files[0], &candle_core::Device::Cpu).unwrap();
    assert_eq!(
        f32::from_le_bytes(first),
        all["model.norm.weight"].to_vec1::<f32>().unwrap()[0]
    );
}

#[test]
fn shards_are_read_through_their_index() {
    let folder = copy_of("llama-gqa");
    let single = folder.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&single, &candle_core::Device::Cpu).unwrap();
    std::fs::remove_file(&single).unwrap();
    let mut map = serde_json::Map::new();
    for (number, half) in [(1, false), (2, true)] {
        let name = format!("model-0000{number}-of-00002.safetensors");
        let part: std::collections::HashMap<String, candle_core::Tensor> = tensors
            .iter()
            .filter(|(key, _)| key.contains("mlp") == half)
            .map(|(k, t)| (k.clone(), t.clone()))
            .collect();
        map.extend(part.keys().map(|key| (key.clone(), name.clone().into())));
        candle_core::safetensors::save(&part, folder.path().join(name)).unwrap();
    }
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();

    let found = checkpoint::open(folder.path()).unwrap();
    assert_eq!(found.files.len(), 2);
    assert_eq!(found.tensor("model.layers.3.mlp.up_proj.weight").unwrap().file, 1);

    std::fs::remove_file(&found.files[1]).unwrap();
    let sentence = refused(folder.path(), FailureClass::ModelMissing);
    assert!(
        sentence.contains("model-00002-of-00002.safetensors is missing, but 12 of the tensors"),
        "{sentence}"
    );

    std::fs::write(&index, r#"{"weight_map": {"a": "../../etc/passwd"}}"#).unwrap();
    assert!(refused(folder.path(), FailureClass::ModelInvalid).contains("is no plain file name"));
}

#[test]
fn a_cut_folder_is_refused_with_both_sizes() {
    let folder = copy_of("qwen2-tied");
    let path = folder.path().join("model.safetensors");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let whole = file.metadata().unwrap().len();
    let lengths = (0..whole).rev().step_by(1009).chain([whole - 1, 9, 8, 7, 1, 0]);
    for len in lengths.collect::<std::collections::BTreeSet<u64>>().into_iter().rev() {
        file.set_len(len).unwrap();
        let sentence = refused(folder.path(), FailureClass::ModelInvalid);
        assert!(sentence.contains("is truncated: expected at least"), "{sentence}");
        assert!(sentence.ends_with(&format!("found {len} bytes")), "{sentence}");
    }
}

#[test]
fn a_bent_folder_is_refused() {
    let folder = copy_of("qwen2-tied");
    let path = folder.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        edit(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        refused(folder.path(), FailureClass::ModelInvalid)
    };
    assert!(with(&|bytes| bytes.push(0)).contains("its header describes"));
    assert!(with(&|bytes| bytes[7] = 1).contains("its header would have"));
    assert!(with(&|bytes| bytes[8] = b'[').contains("its header:"));
    let header = String::from_utf8_lossy(&whole[8..]).into_owned();
    let at = 8 + header.find("\"shape\":[").unwrap() + 9;
    assert!(with(&|bytes| bytes[at] = b'9').contains("cannot have"));
    std::fs::write(
        &path,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    )
    .unwrap();
    assert!(refused(folder.path(), FailureClass::ModelMissing).contains("git lfs pull"));
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_all_named() {
    let folder = copy_of("qwen2-tied");
    rewrite(&folder.path().join("config.json"), |text| {
        text.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5")
    });
    let sentence = refused(folder.path(), FailureClass::ModelInvalid);
    assert!(
        sentence.contains("12 tensors are missing (model.layers.4.self_attn.q_proj.weight, "),
        "{sentence}"
    );
    assert!(sentence.ends_with("and 2 more)"), "{sentence}");
    rewrite(&folder.path().join("config.json"), |text| {
        text.replace("\"num_hidden_layers\": 5", "\"num_hidden_layers\": 4")
            .replace("\"vocab_size\": 512", "\"vocab_size\": 500")
    });
    let sentence = refused(folder.path(), FailureClass::ModelInvalid);
    assert!(
        sentence
            .ends_with("1 tensor has another shape (model.embed_tokens.weight: expected [500, 64], found [512, 64])"),
        "{sentence}"
    );
}

#[test]
fn fused_tensors_are_missed_and_measured_by_name() {
    let folder = copy_of("phi3");
    rewrite(&folder.path().join("config.json"), |text| {
        text.replace("\"intermediate_size\": 48", "\"intermediate_size\": 32")
    });
    let sentence = refused(folder.path(), FailureClass::ModelInvalid);
    assert!(
        sentence.contains("model.layers.0.mlp.gate_up_proj.weight: expected [64, 32], found [96, 32]"),
        "{sentence}"
    );
    // A Phi-3 that is read as a Mistral has none of the separate projections.
    rewrite(&folder.path().join("config.json"), |text| {
        text.replace("phi3", "mistral")
            .replace("Phi3", "Mistral")
            .replace("partial_rotary", "other")
    });
    let sentence = refused(folder.path(), FailureClass::ModelInvalid);
    assert!(
        sentence.contains("model.layers.0.self_attn.q_proj.weight"),
        "{sentence}"
    );
}

#[test]
fn tensors_the_model_does_not_use_are_listed() {
    let folder = copy_of("qwen2-tied");
    rewrite(&folder.path().join("config.json"), |text| {
        text.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 3")
    });
    let found = checkpoint::open(folder.path()).unwrap();
    assert_eq!(found.unused.len(), 12);
    assert!(found.unused.contains(&"model.layers.3.mlp.up_proj.weight".to_owned()));
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    assert!(matches!(
        checkpoint::open(&absent),
        Err(ModelFilesError::PathMissing { .. })
    ));
    refused(&absent, FailureClass::ModelMissing);
    let sentence = refused(folder.path(), FailureClass::ModelMissing);
    assert!(sentence.contains("config.json"), "{sentence}");
    std::fs::copy(tiny("llama-gqa").join("config.json"), folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
    let sentence = refused(folder.path(), FailureClass::ModelMissing);
    assert!(
        sentence.ends_with("(found pytorch_model.bin, which is not read)"),
        "{sentence}"
    );
    refused(&folder.path().join("config.json"), FailureClass::ModelInvalid);
}

#[test]
fn a_gguf_file_gives_configuration_tensors_and_tree() {
    let (_folder, path) = gguf(&Fixture::default());
    let found = checkpoint::open(&path).unwrap();
    assert_eq!(found.format, CheckpointFormat::Gguf);
    let config = &found.config;
    assert_eq!(
        (config.family.model_type, config.rope_layout),
        ("llama", RopeLayout::Interleaved)
    );
    assert_eq!(config.vocab_size, gguf_fixture::vocabulary().len());
    assert_eq!(
        (config.head_dim, config.num_kv_heads, config.rms_norm_eps),
        (16, 2, 1e-5)
    );
    assert_eq!(
        (config.eos_token_ids.as_slice(), config.bos_token_id),
        ([2].as_slice(), Some(1))
    );
    assert!(config.tie_word_embeddings && !config.block.biases.qkv);
    let query = found.tensor("model.layers.1.self_attn.q_proj.weight").unwrap();
    assert_eq!(query.stored_name, "blk.1.attn_q.weight");
    assert_eq!(
        (query.shape.as_slice(), query.dtype),
        ([64, 64].as_slice(), StoredDtype::Packed(GgmlDType::Q8_0))
    );
    assert_eq!(query.bytes.0, 64 * 64 / 32 * 34);

    let built = tree::from_checkpoint("tiny", &found).unwrap();
    let head = &built.tensors()[built.tensor_index("lm_head.weight").unwrap()];
    assert_eq!((head.dtype.as_str(), built.tied().len()), ("q8_0", 1));
}

#[test]
fn the_variants_of_gguf_are_told_apart() {
    let (_folder, path) = gguf(&Fixture {
        architecture: "qwen2",
        tied: false,
        matrices: GgmlDType::F16,
        ..Fixture::default()
    });
    let found = checkpoint::open(&path).unwrap();
    assert_eq!(
        (found.config.family.model_type, found.config.rope_layout),
        ("qwen2", RopeLayout::Halves)
    );
    assert!(found.config.block.biases.qkv && !found.config.tie_word_embeddings);
    assert!(found.tensor("model.layers.0.self_attn.k_proj.bias").is_some());
    assert!(found.tensor("lm_head.weight").is_some());

    let (_folder, path) = gguf(&Fixture {
        edits: vec![
            ("llama.rope.scaling.type", Some(Value::String("linear".into()))),
            ("llama.rope.scaling.factor", Some(Value::F32(4.0))),
            ("tokenizer.ggml.eot_token_id", Some(Value::U32(0))),
        ],
        ..Fixture::default()
    });
    let config = checkpoint::open(&path).unwrap().config;
    assert_eq!(config.rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
    assert_eq!(config.eos_token_ids, [2, 0]);
}

#[test]
fn what_gguf_asks_for_and_is_not_computed_is_refused_by_name() {
    for (key, value, part) in [
        ("general.architecture", Value::String("gemma3".into()), "`gemma3`"),
        ("llama.expert_count", Value::U32(8), "8 experts"),
        ("llama.rope.dimension_count", Value::U32(8), "8 of 16 elements"),
        (
            "llama.rope.scaling.type",
            Value::String("longrope".into()),
            "`longrope` (none, linear and yarn are)",
        ),
        ("llama.attention.value_length", Value::U32(32), "value_length of 32"),
    ] {
        let (_folder, path) = gguf(&edited(key, value));
        let sentence = refused(&path, FailureClass::Unsupported);
        assert!(sentence.contains(part), "{sentence}");
    }
    // Biases in a Llama file would be left out by a decoder that has none.
    let (_folder, path) = gguf(&Fixture {
        architecture: "qwen2",
        ..Fixture::default()
    });
    let mut bytes = std::fs::read(&path).unwrap();
    replace_all(&mut bytes, b"qwen2", b"llama");
    std::fs::write(&path, bytes).unwrap();
    assert!(refused(&path, FailureClass::Unsupported).contains("a llama model with a tensor `blk."));
}

fn replace_all(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
}

#[test]
fn bent_metadata_is_named() {
    for (key, value, part) in [
        (
            "llama.block_count",
            Value::U32(4),
            "9 tensors are missing (blk.3.attn_q.weight, ",
        ),
        (
            "llama.feed_forward_length",
            Value::U32(256),
            "9 tensors have another shape (blk.0.ffn_gate.weight: expected [256, 64], found [128, 64]",
        ),
        (
            "llama.embedding_length",
            Value::String("64".into()),
            "`llama.embedding_length` should be a whole number",
        ),
        (
            "llama.attention.head_count",
            Value::U32(0),
            "cannot be divided among 0 heads",
        ),
        (
            "general.alignment",
            Value::U32(0),
            "general.alignment is no power of two",
        ),
        (
            "llama.block_count",
            Value::U64(u64::MAX),
            "number of layers is 18446744073709551615",
        ),
    ] {
        let (_folder, path) = gguf(&edited(key, value));
        let sentence = refused(&path, FailureClass::ModelInvalid);
        assert!(sentence.contains(part), "{sentence}");
    }
    let (_folder, path) = gguf(&Fixture {
        edits: vec![("llama.feed_forward_length", None)],
        ..Fixture::default()
    });
    assert!(
        refused(&path, FailureClass::ModelInvalid).ends_with("GGUF metadata: `llama.feed_forward_length` is missing")
    );
}

#[test]
fn a_cut_gguf_is_refused_at_every_length() {
    let (_folder, path) = gguf(&Fixture::default());
    let data_start = checkpoint::open(&path)
        .unwrap()
        .tensors
        .iter()
        .map(|tensor| tensor.offset)
        .min()
        .unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // The last bytes are padding, which other writers leave out.
    let end = checkpoint::open(&path)
        .unwrap()
        .tensors
        .iter()
        .map(|tensor| tensor.offset + tensor.bytes.0)
        .max()
        .unwrap();
    for len in (data_start..end).rev().step_by(4999).chain((4..data_start).rev()) {
        file.set_len(len).unwrap();
        let sentence = refused(&path, FailureClass::ModelInvalid);
        assert!(
            sentence.contains("is truncated: expected at least"),
            "{len}: {sentence}"
        );
        assert!(sentence.ends_with(&format!("found {len} bytes")), "{sentence}");
    }
    for len in (0..4).rev() {
        file.set_len(len).unwrap();
        refused(&path, FailureClass::ModelInvalid);
    }
}

/// Whatever a byte of the header becomes, the file is either refused or still a model and a tokenizer that can be used.
#[test]
fn a_bent_gguf_header_never_panics() {
    let (_folder, path) = gguf(&Fixture::default());
    let data_start = checkpoint::open(&path)
        .unwrap()
        .tensors
        .iter()
        .map(|tensor| tensor.offset)
        .min()
        .unwrap();
    let header = std::fs::read(&path).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut put = |at: u64, byte: u8| {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    let mut refusals = 0;
    for at in 0..data_start {
        let byte = header[usize::try_from(at).unwrap()];
        let flip = [0xff, 0x01, 0x80][usize::try_from(at % 3).unwrap()];
        put(at, byte ^ flip);
        match checkpoint::open(&path) {
            Err(_) => refusals += 1,
            Ok(found) => drop(Tokenizer::open(&found)),
        }
        put(at, byte);
    }
    assert!(refusals > 1000, "{refusals} of {data_start}");
    checkpoint::open(&path).unwrap();
}
