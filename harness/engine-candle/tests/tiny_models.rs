//! Tiny models of all families against what transformers computes from them: every position's logits and the greedy
//! tokens, on one device and under every two-way split.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::path::{Path, PathBuf};

use candle_core::DType;
use common::expected::{MODELS, cases};
use common::{all_logits, decoder, greedy, module_count, tiny, two_way};
use placebench_core::placement::Transfer;
use placebench_engine_candle::config::ModelConfig;
use placebench_engine_candle::weights::Compute;

const F32: Compute = Compute::Dense(DType::F32);

/// What rounding explains; a wrong model is off by more.
const TOLERANCE: f32 = 1e-3;

fn check(model: &Path, name: &str, homes: &[usize], transfer: Transfer) -> f32 {
    let (decoder, ledger) = decoder(model, F32, homes, transfer);
    let mut largest = 0_f32;
    for case in cases(name) {
        let about = format!("{name} {homes:?} {} tokens", case.input_ids.len());
        let distance = case.distance(&all_logits(&decoder, &ledger, &case.input_ids));
        assert!(distance < TOLERANCE, "{about}: off by {distance}");
        let tokens = greedy(&decoder, &ledger, &case.input_ids, case.max_new_tokens, &[2]);
        assert_eq!(tokens, case.greedy_ids, "{about}");
        largest = largest.max(distance);
    }
    largest
}

#[test]
fn one_device_computes_the_reference() {
    for name in MODELS {
        let model = tiny(name);
        let largest = check(&model, name, &vec![0; module_count(&model)], Transfer::Direct);
        eprintln!("{name}: largest difference {largest:.1e}");
    }
}

#[test]
fn every_two_way_split_computes_the_reference() {
    for name in MODELS {
        let model = tiny(name);
        let modules = module_count(&model);
        for cut in 1..modules {
            let transfer = if cut % 2 == 0 { Transfer::Direct } else { Transfer::Host };
            check(&model, name, &two_way(modules, cut), transfer);
        }
    }
}

#[test]
fn alternating_devices_compute_the_reference() {
    for name in MODELS {
        let model = tiny(name);
        let homes: Vec<usize> = (0..module_count(&model)).map(|module| module % 3).collect();
        check(&model, name, &homes, Transfer::Direct);
    }
}

/// The model in a folder of its own, with its configuration changed.
fn with_config(name: &str, source: &str, edit: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(tiny(name).join(source)).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for file in ["generation_config.json", "model.safetensors"] {
        std::fs::copy(tiny(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn the_configuration_as_transformers_5_writes_it_means_the_same() {
    for name in MODELS {
        let read = |file: &str| {
            let text = std::fs::read_to_string(tiny(name).join(file)).unwrap();
            ModelConfig::from_json(&text, None).unwrap()
        };
        assert_eq!(read("config.json"), read("config.transformers5.json"), "{name}");
        let folder = with_config(name, "config.transformers5.json", |_| ());
        let model: PathBuf = folder.path().to_owned();
        let modules = module_count(&model);
        check(&model, name, &two_way(modules, modules / 2), Transfer::Direct);
    }
}

#[test]
fn another_models_expectations_are_not_met() {
    let model = tiny("qwen2-tied");
    let (decoder, ledger) = decoder(&model, F32, &vec![0; module_count(&model)], Transfer::Direct);
    let case = &cases("qwen2-untied")[1];
    assert!(case.distance(&all_logits(&decoder, &ledger, &case.input_ids)) > TOLERANCE);
}

/// Whether prefill and greedy tokens of the longest prompts notice that the configuration says something else.
fn notices(name: &str, edit: impl Fn(&mut serde_json::Value)) -> (bool, bool) {
    let folder = with_config(name, "config.json", edit);
    let (decoder, ledger) = decoder(
        folder.path(),
        F32,
        &vec![0; module_count(folder.path())],
        Transfer::Direct,
    );
    let (mut prefill, mut decode) = (false, false);
    for case in cases(name) {
        prefill |= case.distance(&all_logits(&decoder, &ledger, &case.input_ids)) > TOLERANCE;
        // After the shortest prompt, nearly everything comes from steps of one token.
        if case.input_ids.len() == 1 {
            decode = greedy(&decoder, &ledger, &case.input_ids, case.max_new_tokens, &[2]) != case.greedy_ids;
        }
    }
    (prefill, decode)
}

#[test]
fn a_wrong_window_is_noticed() {
    let null = serde_json::Value::Null;
    for window in [7.into(), 9.into(), null] {
        let (prefill, decode) = notices("mistral-sliding-window", |config| {
            config["sliding_window"] = window.clone();
        });
        assert!(prefill && decode, "{window}: {prefill} {decode}");
        for name in ["qwen2-sliding-window", "gemma2"] {
            let (prefill, _) = notices(name, |config| config["sliding_window"] = window.clone());
            assert!(prefill, "{name} {window}");
        }
    }
    assert!(notices("qwen2-sliding-window", |config| config["max_window_layers"] = 2.into()).0);
    assert!(notices("phi3", |config| config["sliding_window"] = 17.into()).0);
}

#[test]
fn every_number_of_a_configuration_is_noticed() {
    let changes: [(&str, &str, serde_json::Value); 12] = [
        ("gemma2", "attn_logit_softcapping", serde_json::Value::Null),
        ("gemma2", "final_logit_softcapping", serde_json::Value::Null),
        ("gemma2", "query_pre_attn_scalar", 16.into()),
        ("gemma2", "hidden_activation", "silu".into()),
        ("llama3-rope", "rope_scaling", serde_json::Value::Null),
        ("llama-linear", "rope_scaling", serde_json::Value::Null),
        ("llama-dynamic", "rope_scaling", serde_json::Value::Null),
        ("llama-yarn", "rope_scaling", serde_json::Value::Null),
        ("phi3-longrope", "rope_scaling", serde_json::Value::Null),
        ("phi3-longrope", "original_max_position_embeddings", 41.into()),
        ("phi3", "rope_theta", 9000.0.into()),
        ("qwen3", "rms_norm_eps", 1e-3.into()),
    ];
    for (name, key, value) in changes {
        assert!(notices(name, |config| config[key] = value.clone()).0, "{name} {key}");
    }
}
