//! Models and prompts that do not fit: a sentence with names and numbers, never a panic.

use std::path::Path;

use placebench_core::record::CaseStatus;
use serde_json::{Value, json};

use crate::env::{Ran, TestEnv, of};
use crate::shipped::with_model;

const MODEL: &str = "suite/models/m";

/// What the case `s/p/single` became.
fn outcome(env: &TestEnv) -> (Ran, CaseStatus) {
    let (ran, verdict) = env.run_suite();
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!shown.contains("panicked"), "{shown}");
    assert!(shown.lines().count() <= 24, "one screen: {shown}");
    (ran, of(&verdict, "s/p/single").status)
}

/// Refused before anything was computed, in words that hold all of these.
fn refused(env: &TestEnv, words: &[&str]) {
    let (ran, status) = outcome(env);
    assert_eq!((ran.code, status), (Some(96), CaseStatus::Setup), "{ran:?}");
    for word in words {
        assert!(ran.stdout.contains(word), "`{word}` is missing in {}", ran.stdout);
    }
}

fn passes(env: &TestEnv) {
    let (ran, status) = outcome(env);
    assert_eq!((ran.code, status), (Some(0), CaseStatus::Passed), "{ran:?}");
}

fn edit(env: &TestEnv, file: &str, change: impl FnOnce(&mut Value)) {
    let path = env.path(MODEL).join(file);
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

fn edit_scenario(env: &TestEnv, from: &str, to: &str) {
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    env.write("suite/s.toml", &text.replace(from, to));
}

#[test]
fn an_architecture_that_is_not_computed_is_named_with_those_that_are() {
    let env = with_model();
    edit(&env, "config.json", |config| {
        config["model_type"] = "mamba".into();
        config["architectures"] = json!(["MambaForCausalLM"]);
    });
    refused(&env, &["amba", "llama", "qwen2"]);
}

#[test]
fn a_quantisation_that_is_not_computed_is_named_with_those_that_are() {
    let env = with_model();
    edit(&env, "config.json", |config| {
        config["quantization_config"] = json!({"quant_method": "gptq"});
    });
    refused(&env, &["gptq", "bf16", "GGUF"]);

    let env = with_model();
    std::fs::write(env.path("suite/models/m.gguf"), gguf_with_format(19)).unwrap();
    edit_scenario(&env, "models/m", "models/m.gguf");
    refused(&env, &["IQ1_S", "token_embd.weight", "Q4_K"]);
}

/// A GGUF file whose header lists one tensor of a format, by its number in ggml.h.
fn gguf_with_format(kind: u32) -> Vec<u8> {
    let name = "token_embd.weight";
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend((name.len() as u64).to_le_bytes());
    bytes.extend(name.bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(256_u64.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.resize(4096, 0);
    bytes
}

#[test]
fn weights_that_are_no_numbers_fail_the_case_and_nothing_else() {
    let env = with_model();
    spoil_norm(&env.path(MODEL).join("model.safetensors"));
    let (ran, status) = outcome(&env);
    assert_eq!((ran.code, status), (Some(100), CaseStatus::Failed), "{ran:?}");
    assert!(ran.stdout.contains("logits are not finite"), "{ran:?}");
}

/// Makes the first weight of the last norm no number.
fn spoil_norm(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let norm = &header["model.norm.weight"];
    let begin = 8 + length + usize::try_from(norm["data_offsets"][0].as_u64().unwrap()).unwrap();
    let nan = match norm["dtype"].as_str().unwrap() {
        "F32" => f32::NAN.to_le_bytes().to_vec(),
        // In a half and in a brain float this has all bits of the exponent set, and one after them.
        _ => vec![0xff, 0x7f],
    };
    bytes[begin..begin + nan.len()].copy_from_slice(&nan);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_all_three_numbers() {
    let ids = |count: usize| format!("input_ids = {:?}", vec![5; count]);
    // 512 positions, 12 of them for new tokens.
    let env = with_model();
    edit_scenario(&env, "text = \"Hello\"", &ids(501));
    refused(&env, &["501 tokens", "max_new_tokens is 12", "512 positions"]);
    let env = with_model();
    edit_scenario(&env, "text = \"Hello\"", &ids(500));
    passes(&env);
}

#[test]
fn no_new_tokens_are_none_to_measure() {
    let env = with_model();
    edit_scenario(&env, "max_new_tokens = 12", "max_new_tokens = 0");
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("max_new_tokens must be at least 1"), "{ran:?}");
    let generate = |tokens: &str| {
        env.run(&[
            "generate",
            "--model",
            MODEL,
            "--prompt",
            "The",
            "--max-new-tokens",
            tokens,
        ])
        .code
    };
    assert_eq!((generate("0"), generate("1")), (Some(2), Some(0)));
}

#[test]
fn a_tokenizer_of_another_model_is_refused_with_both_numbers() {
    let config = std::fs::read_to_string(with_model().path(MODEL).join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    // The shipped tokenizer has a token for each row.
    let rows = config["vocab_size"].as_u64().unwrap();
    let tokens = format!("{} tokens", rows + 1);
    let with_one_more = || {
        let env = with_model();
        edit(&env, "tokenizer.json", |tokenizer| {
            let added = tokenizer["added_tokens"].as_array_mut().unwrap();
            added.push(json!({
                "id": rows, "content": "<new>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            }));
        });
        env
    };
    let env = with_one_more();
    edit_scenario(&env, "text = \"Hello\"", "text = \"Hello<new>\"");
    let rows = format!("{rows} rows");
    refused(&env, &["tokenizer does not fit the model", &tokens, &rows, "<new>"]);

    // Nobody needs the token that is too many: the model runs, with a word about it.
    let env = with_one_more();
    passes(&env);
    let warnings = env.attempts().remove(0).planned.unwrap().warnings.join("\n");
    assert!(warnings.contains(&tokens) && warnings.contains(&rows), "{warnings}");
}
