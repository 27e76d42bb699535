//! Tokenizers from GGUF files and from folders.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod common;

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use common::gguf_fixture::{Fixture, id};
use placebench_core::outcome::FailureClass;
use placebench_core::protocol::{Message, Prompt};
use placebench_engine_candle::checkpoint;
use placebench_engine_candle::tokenizer::{Tokenizer, TokenizerError, input_ids};

fn open(path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
    Tokenizer::open(&checkpoint::open(path).unwrap())
}

fn tokenizer(fixture: &Fixture<'_>) -> Result<Option<Tokenizer>, TokenizerError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    fixture.write(&path);
    open(&path)
}

fn with_pre(pre: &str) -> Tokenizer {
    let fixture = Fixture {
        pre,
        ..Fixture::default()
    };
    tokenizer(&fixture).unwrap().unwrap()
}

fn ids(tokens: &[&str]) -> Vec<u32> {
    tokens.iter().map(|token| id(token)).collect()
}

fn turn(role: &str, content: &str) -> Message {
    Message {
        role: role.into(),
        content: content.into(),
    }
}

#[test]
fn text_is_merged_and_markers_are_recognised() {
    let tokenizer = with_pre("smollm");
    let encoded = tokenizer.encode_text("<|im_start|>he the inn<tool>").unwrap();
    assert_eq!(encoded, ids(&["<|im_start|>", "he", "Ġthe", "Ġ", "in", "n", "<tool>"]));
    assert_eq!(tokenizer.decode(&encoded).unwrap(), "he the inn<tool>");
}

#[test]
fn each_way_of_splitting_is_its_own() {
    for (pre, text, tokens) in [
        ("smollm", "123", vec!["1", "2", "3"]),
        ("gpt-2", "1234", vec!["123", "4"]),
        ("default", "123", vec!["123"]),
        ("qwen2", "123", vec!["1", "2", "3"]),
        // Composed first: e and an accent become one letter of two bytes, which merge.
        ("qwen2", "e\u{301}", vec!["Ã©"]),
        ("smollm", "e\u{301}", vec!["e", "Ì", "ģ"]),
    ] {
        assert_eq!(with_pre(pre).encode_text(text).unwrap(), ids(&tokens), "{pre} {text}");
    }
    // Llama 3 begins every text with its begin token, and takes at most three digits together.
    assert_eq!(
        with_pre("llama-bpe").encode_text("1231").unwrap(),
        ids(&["<|im_start|>", "123", "1"])
    );
}

#[test]
fn the_file_decides_about_the_begin_token() {
    for (value, expected) in [(true, ids(&["<|im_start|>", "a"])), (false, ids(&["a"]))] {
        let fixture = Fixture {
            pre: "llama-bpe",
            edits: vec![("tokenizer.ggml.add_bos_token", Some(Value::Bool(value)))],
            ..Fixture::default()
        };
        assert_eq!(
            tokenizer(&fixture).unwrap().unwrap().encode_text("a").unwrap(),
            expected
        );
    }
}

#[test]
fn a_chat_is_put_through_the_template_and_gets_no_further_tokens() {
    let tokenizer = with_pre("llama-bpe");
    let turns = [turn("user", "he")];
    assert_eq!(
        tokenizer.render(&turns).unwrap(),
        "<|im_start|>user\nhe<|im_end|>\n<|im_start|>assistant\n"
    );
    let encoded = tokenizer.encode_messages(&turns).unwrap();
    assert_eq!(encoded[..3], ids(&["<|im_start|>", "u", "s"]));
}

#[test]
fn a_growing_text_never_shows_half_a_character() {
    let tokenizer = with_pre("smollm");
    let text = "a€ the inn é 12".repeat(30);
    let encoded = tokenizer.encode_text(&text).unwrap();
    let mut stream = tokenizer.stream();
    let mut before = String::new();
    for token in encoded {
        let now = stream.push(token).unwrap().to_owned();
        assert!(now.starts_with(&before) && text.starts_with(&now), "{now}");
        before = now;
    }
    assert_eq!(stream.text(), text);
}

#[test]
fn broken_and_unknown_tokenizers_are_named() {
    for (key, value, part) in [
        (
            "tokenizer.ggml.model",
            Value::String("llama".into()),
            "tokenizer.ggml.model = \"llama\"",
        ),
        (
            "tokenizer.ggml.pre",
            Value::String("tekken".into()),
            "tokenizer.ggml.pre = \"tekken\"",
        ),
        // Each half is a token, the whole is longer than any.
        (
            "tokenizer.ggml.merges",
            Value::Array(vec![Value::String("<|endoftext|> <|im_start|>".into())]),
            "the merge `<|end",
        ),
        (
            "tokenizer.ggml.merges",
            Value::Array(vec![Value::String("Ġ".into())]),
            "is no pair of tokens",
        ),
        (
            "tokenizer.ggml.tokens",
            Value::Array(vec![Value::String("a".into()); 267]),
            "the token `a` is there twice",
        ),
        (
            "tokenizer.ggml.token_type",
            Value::Array(vec![Value::I32(1)]),
            "267 tokens have 1 types",
        ),
        ("tokenizer.ggml.bos_token_id", Value::U32(999), "is 999, of 267 tokens"),
    ] {
        let fixture = Fixture {
            edits: vec![(key, Some(value))],
            ..Fixture::default()
        };
        let Err(error) = tokenizer(&fixture) else {
            panic!("{key} was accepted")
        };
        assert_eq!(error.class(), FailureClass::Tokenizer);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_model_without_tokenizer_takes_tokens_only() {
    let folder = common::tiny("llama-gqa");
    assert!(open(&folder).unwrap().is_none());
    assert_eq!(input_ids(None, &Prompt::InputIds(vec![1, 511]), 512).unwrap(), [1, 511]);
    let refused = |prompt: Prompt| input_ids(None, &prompt, 512).unwrap_err();
    assert_eq!(refused(Prompt::Text("a".into())).class(), FailureClass::Tokenizer);
    assert!(matches!(
        refused(Prompt::Messages(vec![turn("user", "a")])),
        TokenizerError::NoTokenizer
    ));
    assert!(matches!(refused(Prompt::InputIds(vec![])), TokenizerError::EmptyPrompt));
    assert!(matches!(
        refused(Prompt::InputIds(vec![512])),
        TokenizerError::OutOfVocabulary { id: 512, .. }
    ));
}

#[test]
fn a_folder_has_its_tokenizer_and_template() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let json = serde_json::json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [{"id": 3, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {"<end>": {"id": "<end>", "ids": [3], "tokens": ["<end>"]}}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"one": 0, "two": 1, "three": 2, "<end>": 3}, "unk_token": "one"}
    });
    std::fs::write(file("tokenizer.json"), json.to_string()).unwrap();
    let config = serde_json::json!({
        "bos_token": {"content": "<end>"},
        "chat_template": [{"name": "rag", "template": "no"},
            {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}],
    });
    std::fs::write(file("tokenizer_config.json"), config.to_string()).unwrap();
    let read = || Tokenizer::from_dir(folder.path()).unwrap().unwrap();
    // Not cut to two tokens, although the file says so.
    assert_eq!(read().encode_text("one two three two").unwrap(), [3, 0, 1, 2, 1]);
    assert_eq!(read().encode_messages(&[turn("user", " two")]).unwrap(), [3, 1]);
    assert_eq!(read().decode(&[3, 1, 2]).unwrap(), "two three");

    std::fs::write(file("chat_template.jinja"), "three {{ messages[0].content }}").unwrap();
    assert_eq!(read().encode_messages(&[turn("user", "two")]).unwrap(), [2, 1]);

    std::fs::remove_file(file("chat_template.jinja")).unwrap();
    std::fs::remove_file(file("tokenizer_config.json")).unwrap();
    let error = read().encode_messages(&[turn("user", "two")]).unwrap_err();
    assert!(matches!(error, TokenizerError::NoTemplate));

    std::fs::write(file("tokenizer.json"), "{").unwrap();
    assert!(matches!(
        Tokenizer::from_dir(folder.path()),
        Err(TokenizerError::Malformed { .. })
    ));
}

/// A real tokenizer of 49152 tokens, against what llama.cpp and transformers answer; skipped where the model was not fetched.
#[test]
fn the_golden_prompts_have_the_golden_tokens() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../scenarios/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.exists() {
        println!("skipped: {} was not fetched", path.display());
        return;
    }
    let tokenizer = open(&path).unwrap().unwrap();
    let cases = include_str!("data/tokens/smollm2-135m.jsonl").lines();
    let mut count = 0;
    for case in cases.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let name = case["id"].as_str().unwrap();
        let prompt = case["prompt"].as_str().unwrap();
        let list = |key: &str| serde_json::from_value::<Vec<u32>>(case[key].clone()).unwrap();
        if case["templated"].as_bool().unwrap() {
            let turns: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
            assert_eq!(tokenizer.render(&turns).unwrap(), prompt, "{name}");
            assert_eq!(tokenizer.encode_messages(&turns).unwrap(), list("input_ids"), "{name}");
        }
        assert_eq!(tokenizer.encode_text(prompt).unwrap(), list("input_ids"), "{name}");
        assert_eq!(
            tokenizer.decode(&list("output_ids")).unwrap(),
            case["text"].as_str().unwrap(),
            "{name}"
        );
        let mut stream = tokenizer.stream();
        for token in list("output_ids") {
            stream.push(token).unwrap();
        }
        // A generation may end in the middle of a character.
        let complete = case["text"]
            .as_str()
            .unwrap()
            .trim_end_matches(char::REPLACEMENT_CHARACTER);
        assert_eq!(stream.text(), complete, "{name}");
        count += 1;
    }
    assert_eq!(count, 13);
}
