//! A real model against golden generations: SmolLM2-135M-Instruct from its GGUF file.
//!
//! The file is fetched separately (see `scenarios/models/README.md`); without it these tests say so and pass.
//! `PLACEBENCH_FULL_SWEEP=1` runs every case to its end under every split, which takes many minutes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::path::{Path, PathBuf};

use candle_core::DType;
use common::request::{halves, request, run, single};
use common::{decoder, greedy, module_count, two_way};
use placebench_core::placement::Transfer;
use placebench_core::protocol::{Dtype, FinishReason, Message, Prompt};
use placebench_engine_candle::weights::Compute;
use serde::Deserialize;

const F32: Compute = Compute::Dense(DType::F32);
const EOS: u32 = 2;

#[derive(Deserialize)]
struct Golden {
    id: String,
    templated: bool,
    messages: Option<Vec<Message>>,
    prompt: String,
    text: String,
    input_ids: Vec<u32>,
    max_new_tokens: usize,
    output_ids: Vec<u32>,
    margins: Vec<f32>,
}

#[expect(clippy::print_stderr, reason = "a skipped test must say why")]
fn model() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../scenarios/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    let path = std::env::var_os("PLACEBENCH_SMOLLM2").map_or(default, PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    eprintln!(
        "skipped: {} is not there; set PLACEBENCH_SMOLLM2 to the GGUF file",
        path.display()
    );
    None
}

fn golden() -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokens/smollm2-135m.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_full_sweep() -> bool {
    std::env::var_os("PLACEBENCH_FULL_SWEEP").is_some()
}

/// Dequantised weights give the golden tokens exactly. Without a full sweep at most `tokens` of each case are made.
fn check(model: &Path, homes: &[usize], transfer: Transfer, cases: &[&Golden], tokens: usize) {
    let (decoder, ledger) = decoder(model, F32, homes, transfer);
    for case in cases {
        let limit = if is_full_sweep() {
            case.max_new_tokens
        } else {
            case.max_new_tokens.min(tokens)
        };
        let output = greedy(&decoder, &ledger, &case.input_ids, limit, &[EOS]);
        let expected = &case.output_ids[..limit.min(case.output_ids.len())];
        assert_eq!(output, expected, "{} on {homes:?}", case.id);
    }
}

#[test]
fn all_golden_generations_come_out_exactly_on_one_device() {
    let Some(model) = model() else { return };
    let golden = golden();
    assert_eq!(golden.len(), 13);
    let all: Vec<&Golden> = golden.iter().collect();
    check(
        &model,
        &vec![0; module_count(&model)],
        Transfer::Direct,
        &all,
        usize::MAX,
    );
}

#[test]
fn every_two_way_split_gives_the_same_tokens() {
    let Some(model) = model() else { return };
    let golden = golden();
    let modules = module_count(&model);
    // The long prompt is left to the full sweep; the others take turns.
    let short: Vec<&Golden> = golden.iter().filter(|case| case.input_ids.len() < 100).collect();
    for cut in 1..modules {
        let cases = if is_full_sweep() {
            golden.iter().collect()
        } else {
            vec![short[cut % short.len()]]
        };
        let transfer = if cut % 2 == 0 { Transfer::Direct } else { Transfer::Host };
        check(&model, &two_way(modules, cut), transfer, &cases, 8);
    }
}

#[test]
fn three_way_splits_give_the_same_tokens() {
    let Some(model) = model() else { return };
    let golden = golden();
    let modules = module_count(&model);
    for (first, second) in [(1, modules - 1), (2, 17), (11, 22)] {
        let homes: Vec<usize> = (0..modules)
            .map(|module| usize::from(module >= first) + usize::from(module >= second))
            .collect();
        let cases: Vec<&Golden> = if is_full_sweep() {
            golden.iter().collect()
        } else {
            vec![&golden[first % 5], &golden[10]]
        };
        check(&model, &homes, Transfer::Direct, &cases, 12);
    }
}

#[test]
fn text_and_chats_go_in_and_text_comes_out() {
    let Some(model) = model() else { return };
    for id in ["chat-product", "raw-json"] {
        let golden = golden();
        let case = golden.iter().find(|case| case.id == id).unwrap();
        let mut asked = request(&model, halves("sim:0", "sim:1"));
        asked.placement.device_map = common::request::manual(&[
            ("model.embed_tokens", "sim:0"),
            ("model.layers.0-13", "sim:0"),
            ("model.layers.14-29", "sim:1"),
            ("model.norm", "sim:1"),
            ("lm_head", "sim:0"),
        ]);
        asked.dtype = Some(Dtype::F32);
        asked.prompt = match (&case.messages, case.templated) {
            (Some(messages), true) => Prompt::Messages(messages.clone()),
            _ => Prompt::Text(case.prompt.clone()),
        };
        asked.generation.max_new_tokens = u32::try_from(case.max_new_tokens).unwrap();
        asked.generation.ignore_eos = false;
        let (generation, _, _) = run(&asked).unwrap();
        assert_eq!(generation.input_ids, case.input_ids, "{id}");
        assert_eq!(generation.output_ids, case.output_ids, "{id}");
        assert_eq!(generation.text, case.text, "{id}");
        assert_eq!(generation.hops, vec![2; case.output_ids.len()], "{id}");
    }
}

#[test]
fn a_stop_text_ends_the_generation_and_is_no_part_of_it() {
    let Some(model) = model() else { return };
    let golden = golden();
    let case = golden.iter().find(|case| case.id == "raw-python").unwrap();
    let stop: String = case.text.chars().skip(20).take(6).collect();
    let mut asked = request(&model, single("sim:0"));
    asked.dtype = Some(Dtype::F32);
    asked.prompt = Prompt::Text(case.prompt.clone());
    asked.generation.max_new_tokens = 40;
    asked.generation.stop = vec!["never said".into(), stop.clone()];
    let (generation, _, _) = run(&asked).unwrap();
    assert_eq!(generation.finish_reason, FinishReason::Stop);
    assert!(case.text.starts_with(&generation.text) && !generation.text.contains(&stop));
    assert!(generation.output_ids.len() < 40);
}

/// Products with 8-bit activations move logits by some tenths, so a token may differ where two were that close.
#[test]
fn quantised_weights_agree_as_far_as_their_rounding_allows() {
    const NOISE: f32 = 0.6;
    let Some(model) = model() else { return };
    let (decoder, ledger) = decoder(
        &model,
        Compute::Quantised,
        &vec![0; module_count(&model)],
        Transfer::Direct,
    );
    let mut compared = 0;
    for case in golden().iter().filter(|case| case.input_ids.len() < 20) {
        let output = greedy(&decoder, &ledger, &case.input_ids, case.max_new_tokens.min(12), &[EOS]);
        for (step, (ours, theirs)) in output.iter().zip(&case.output_ids).enumerate() {
            if ours != theirs {
                assert!(
                    case.margins[step] < NOISE,
                    "{} step {step}: margin {}",
                    case.id,
                    case.margins[step]
                );
                break;
            }
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} tokens could be compared");
}

#[test]
fn quantised_weights_stay_quantised_in_memory() {
    let Some(model) = model() else { return };
    let homes = vec![0; module_count(&model)];
    let bytes = |compute: Compute| -> u64 {
        let (decoder, _) = decoder(&model, compute, &homes, Transfer::Direct);
        decoder.realised().iter().map(|module| module.bytes.0).sum()
    };
    let file = std::fs::metadata(&model).unwrap().len();
    let (quantised, dense) = (bytes(Compute::Quantised), bytes(F32));
    assert!(
        quantised < file && quantised > file * 9 / 10,
        "{quantised} of a file of {file}"
    );
    assert_eq!(dense, 134_515_008 * 4);
}
