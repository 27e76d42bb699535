//! Tiny models against what transformers computes from them: every position's logits and the greedy tokens, on one
//! device and under every two-way split.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::path::{Path, PathBuf};

use candle_core::DType;
use common::{all_logits, argmax, decoder, greedy, module_count, tiny, two_way};
use placebench_core::placement::Transfer;
use placebench_engine_candle::weights::Compute;
use serde::Deserialize;

const MODELS: [&str; 3] = ["qwen2-tied", "qwen2-untied", "llama-gqa"];
const F32: Compute = Compute::Dense(DType::F32);

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    input_ids: Vec<u32>,
    last_logits: Vec<f32>,
    argmax_per_position: Vec<u32>,
    logsumexp_per_position: Vec<f32>,
    max_new_tokens: usize,
    greedy_ids: Vec<u32>,
}

fn cases(name: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(tiny(name).join("expected.json")).unwrap();
    serde_json::from_str::<Expected>(&text).unwrap().cases
}

fn logsumexp(row: &[f32]) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest + row.iter().map(|x| (x - largest).exp()).sum::<f32>().ln()
}

fn check(model: &Path, name: &str, homes: &[usize], transfer: Transfer) {
    let (decoder, ledger) = decoder(model, F32, homes, transfer);
    for case in cases(name) {
        let about = format!("{name} {homes:?} {} tokens", case.input_ids.len());
        let logits = all_logits(&decoder, &ledger, &case.input_ids);
        let last = logits.last().unwrap();
        assert_eq!(last.len(), case.last_logits.len(), "{about}");
        for (ours, theirs) in last.iter().zip(&case.last_logits) {
            assert!(
                (ours - theirs).abs() < 1e-3,
                "{about}: logit {ours} instead of {theirs}"
            );
        }
        let picks: Vec<u32> = logits.iter().map(|row| argmax(row)).collect();
        assert_eq!(picks, case.argmax_per_position, "{about}");
        for (row, expected) in logits.iter().zip(&case.logsumexp_per_position) {
            assert!((logsumexp(row) - expected).abs() < 1e-3, "{about}");
        }
        let tokens = greedy(&decoder, &ledger, &case.input_ids, case.max_new_tokens, &[2]);
        assert_eq!(tokens, case.greedy_ids, "{about}");
    }
}

#[test]
fn one_device_computes_the_reference() {
    for name in MODELS {
        let model = tiny(name);
        check(&model, name, &vec![0; module_count(&model)], Transfer::Direct);
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

#[test]
fn the_configuration_as_transformers_5_writes_it_means_the_same() {
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let model: PathBuf = folder.path().to_owned();
        for (from, to) in [
            ("config.transformers5.json", "config.json"),
            ("generation_config.json", "generation_config.json"),
            ("model.safetensors", "model.safetensors"),
        ] {
            std::fs::copy(tiny(name).join(from), model.join(to)).unwrap();
        }
        let modules = module_count(&model);
        check(&model, name, &vec![0; modules], Transfer::Direct);
        for cut in 1..modules {
            check(&model, name, &two_way(modules, cut), Transfer::Direct);
        }
    }
}

#[test]
fn another_models_expectations_are_not_met() {
    let model = tiny("qwen2-tied");
    let (decoder, ledger) = decoder(&model, F32, &vec![0; module_count(&model)], Transfer::Direct);
    let case = &cases("qwen2-untied")[1];
    let logits = all_logits(&decoder, &ledger, &case.input_ids);
    let picks: Vec<u32> = logits.iter().map(|row| argmax(row)).collect();
    assert_ne!(picks, case.argmax_per_position);
}
