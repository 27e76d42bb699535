//! `load_format = "dummy"`: real shapes, random weights, no files.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::path::{Path, PathBuf};

use common::request::{halves, logical, request, run, single, strategy};
use common::tiny;
use placebench_core::judge::text::garbage;
use placebench_core::outcome::FailureClass;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::{Dtype, EventKind, Generation, ModelSource, Prompt, WorkerRequest};
use placebench_engine::Engine;
use placebench_engine_candle::reference::ReferenceEngine;
use tempfile::TempDir;

/// A request for a configuration with 24 tokens to generate: enough to see that they are not all the same.
fn dummy(config: &Path, seed: u64, map: DeviceMapRequest) -> WorkerRequest {
    let mut asked = request(config, map);
    asked.model = ModelSource::Dummy {
        config: Box::new(ModelSource::Path(config.to_str().unwrap().into())),
        seed,
    };
    asked.generation.max_new_tokens = 24;
    asked
}

fn generated(asked: &WorkerRequest) -> Generation {
    let (generation, _, _) = run(asked).unwrap();
    assert_eq!(garbage(&generation, false, &[]), None, "{:?}", generation.output_ids);
    generation
}

/// A configuration alone, under a name of its own.
fn config(model: &str, edits: &[(&str, serde_json::Value)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(tiny(model).join("config.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (key, value) in edits {
        json[*key] = value.clone();
    }
    let path = folder.path().join("some-model.json");
    std::fs::write(&path, json.to_string()).unwrap();
    (folder, path)
}

#[test]
fn every_placement_gives_the_same_tokens_without_any_weights_on_disk() {
    for model in ["qwen2-tied", "qwen2-untied", "llama-gqa"] {
        let (_folder, config) = config(model, &[]);
        let expected = generated(&dummy(&config, 0, single("cpu"))).output_ids;
        for map in [
            single("sim:1"),
            halves("sim:0", "sim:1"),
            halves("cpu", "disk"),
            strategy("auto"),
        ] {
            let mut asked = dummy(&config, 0, map.clone());
            asked.devices = logical(&[Some(900_000), Some(2_000_000)]);
            assert_eq!(generated(&asked).output_ids, expected, "{model} {map:?}");
        }
        let other = generated(&dummy(&config, 1, single("cpu"))).output_ids;
        assert_ne!(other, expected, "another seed is another model");
    }
}

#[test]
fn the_yardstick_engine_makes_the_same_text_of_the_same_seed() {
    for model in ["qwen2-tied", "llama-gqa"] {
        let (_folder, config) = config(model, &[]);
        let mut asked = dummy(&config, 3, single("cpu"));
        let expected = generated(&asked).output_ids;
        asked.engine = "candle-reference".into();
        let (mut context, _) = common::request::context(&asked);
        let mut session = ReferenceEngine.open(&asked, &mut context).unwrap();
        assert_eq!(session.generate(&mut context).unwrap().output_ids, expected, "{model}");
    }
}

/// Deep enough for a bad scale to show: f16 overflows where activations grow from layer to layer, and where positions grow
/// alike most steps choose the token of the step before.
#[test]
fn deep_models_stay_finite_and_say_something_in_every_element_type() {
    let edits = [
        ("num_hidden_layers", serde_json::json!(32)),
        ("hidden_size", serde_json::json!(256)),
        ("intermediate_size", serde_json::json!(512)),
        ("num_attention_heads", serde_json::json!(4)),
        ("head_dim", serde_json::json!(64)),
        ("vocab_size", serde_json::json!(4096)),
    ];
    let (_folder, config) = config("llama-gqa", &edits);
    for (dtype, bytes) in [(Dtype::F32, 4), (Dtype::F16, 2), (Dtype::Bf16, 2)] {
        for seed in 0..3 {
            let mut asked = dummy(&config, seed, single("sim:0"));
            asked.dtype = Some(dtype);
            let (generation, session, _) = run(&asked).unwrap();
            let mut different = generation.output_ids.clone();
            different.sort_unstable();
            different.dedup();
            assert!(different.len() > 18, "{dtype:?} {seed}: {:?}", generation.output_ids);
            let logits = generation.top5.iter().flatten().map(|entry| entry.logit.abs());
            assert!(logits.fold(0.0, f32::max) < 20.0);
            let parameters: u64 = session
                .decoder()
                .config()
                .stored_parameters()
                .iter()
                .map(elements)
                .sum();
            let loaded: u64 = session.realised().iter().map(|module| module.bytes.0).sum();
            assert_eq!(loaded, parameters * bytes, "{dtype:?}");
        }
    }
}

fn elements(parameter: &placebench_engine_candle::config::Parameter) -> u64 {
    parameter.shape.iter().product::<usize>() as u64
}

#[test]
fn a_folder_serves_with_its_tokenizer_and_its_element_type() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/models/tiny");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(shipped.join(name), folder.path().join(name)).unwrap();
    }
    let mut asked = dummy(folder.path(), 0, single("cpu"));
    asked.prompt = Prompt::Text("The Queen".into());
    let (generation, _, _) = run(&asked).unwrap();
    assert!(!generation.text.is_empty());
    assert_eq!(garbage(&generation, true, &[]), None, "{}", generation.text);
}

#[test]
fn modules_on_disk_are_warned_about() {
    let (_folder, config) = config("llama-gqa", &[]);
    let warnings = |map| {
        let (_, _, sink) = run(&dummy(&config, 0, map)).unwrap();
        let planned = sink.events().into_iter().find_map(|event| match event {
            EventKind::Planned(planned) => Some(planned.warnings.join("\n")),
            _ => None,
        });
        planned.unwrap()
    };
    assert!(warnings(halves("cpu", "disk")).contains("dummy weights on disk are in no file"));
    assert!(!warnings(halves("cpu", "sim:0")).contains("dummy"));
}

#[test]
fn what_is_wrong_with_a_configuration_is_said() {
    let check = |asked: &WorkerRequest, class: FailureClass, words: &str| {
        let failure = run(asked).err().unwrap();
        assert_eq!(failure.class, class, "{failure:?}");
        assert!(failure.message.contains(words), "{}", failure.message);
    };
    let absent = dummy(Path::new("/nowhere/qwen.json"), 0, single("cpu"));
    check(&absent, FailureClass::ModelMissing, "/nowhere/qwen.json");
    let (_folder, strange) = config(
        "llama-gqa",
        &[
            ("model_type", "mamba".into()),
            ("architectures", serde_json::json!(["MambaForCausalLM"])),
        ],
    );
    check(
        &dummy(&strange, 0, single("cpu")),
        FailureClass::Unsupported,
        "some-model.json",
    );
    let (_folder, text) = config("llama-gqa", &[]);
    let mut asked = dummy(&text, 0, single("cpu"));
    asked.prompt = Prompt::Text("x".into());
    check(&asked, FailureClass::Tokenizer, "input_ids");
}
