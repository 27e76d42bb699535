use super::*;

const QWEN2_V4: &str = include_str!("../../../tests/data/tiny/qwen2-tied/config.json");
const QWEN2_V5: &str = include_str!("../../../tests/data/tiny/qwen2-tied/config.transformers5.json");
const LLAMA_V4: &str = include_str!("../../../tests/data/tiny/llama-gqa/config.json");
const LLAMA_V5: &str = include_str!("../../../tests/data/tiny/llama-gqa/config.transformers5.json");
const MISTRAL: &str = include_str!("../../../tests/data/configs/mistral.v4.json");

/// The text of a configuration with these keys set, or removed where the value is `null` in `removed`.
fn with(text: &str, changes: &[(&str, Value)]) -> String {
    let mut json: Map<String, Value> = serde_json::from_str(text).unwrap();
    for (key, value) in changes {
        json.insert((*key).to_owned(), value.clone());
    }
    Value::Object(json).to_string()
}

fn refusal(text: &str) -> String {
    ModelConfig::from_json(text, None).unwrap_err().to_string()
}

#[test]
fn both_generations_of_the_format_say_the_same() {
    for (v4, v5) in [(QWEN2_V4, QWEN2_V5), (LLAMA_V4, LLAMA_V5)] {
        assert_eq!(
            ModelConfig::from_json(v4, None).unwrap(),
            ModelConfig::from_json(v5, None).unwrap()
        );
    }
}

#[test]
fn values_are_taken_from_the_file() {
    let qwen2 = ModelConfig::from_json(QWEN2_V4, None).unwrap();
    assert_eq!(
        qwen2,
        ModelConfig {
            family: Family::Qwen2,
            vocab_size: 512,
            hidden_size: 64,
            intermediate_size: 128,
            num_layers: 4,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 16,
            rms_norm_eps: 1e-6,
            rope_theta: 1e6,
            rope_scaling: None,
            rope_layout: RopeLayout::Halves,
            tie_word_embeddings: true,
            qkv_bias: true,
            max_position_embeddings: 256,
            eos_token_ids: vec![2],
            bos_token_id: Some(1),
            torch_dtype: Some(Dtype::F32),
        }
    );
}

#[test]
fn silent_files_get_the_defaults_of_transformers() {
    let llama = ModelConfig::from_json(r#"{"model_type": "llama"}"#, None).unwrap();
    assert_eq!(
        (llama.vocab_size, llama.hidden_size, llama.intermediate_size),
        (32_000, 4096, 11_008)
    );
    assert_eq!((llama.num_kv_heads, llama.head_dim), (32, 128));
    assert_eq!(
        (llama.eos_token_ids.as_slice(), llama.bos_token_id),
        ([2].as_slice(), Some(1))
    );
    assert_eq!(
        (llama.rope_theta, llama.rms_norm_eps, llama.torch_dtype),
        (10_000.0, 1e-6, None)
    );
    let qwen2 = ModelConfig::from_json(r#"{"architectures": ["Qwen2ForCausalLM"]}"#, None).unwrap();
    assert_eq!((qwen2.vocab_size, qwen2.intermediate_size), (151_936, 22_016));
    assert_eq!(
        (qwen2.eos_token_ids.as_slice(), qwen2.bos_token_id),
        ([].as_slice(), None)
    );
    assert!(!qwen2.tie_word_embeddings);
}

#[test]
fn end_tokens_of_the_generation_config_win() {
    let eos = |generation: Option<&str>| ModelConfig::from_json(LLAMA_V4, generation).unwrap().eos_token_ids;
    assert_eq!(eos(Some(r#"{"eos_token_id": [7, 9]}"#)), [7, 9]);
    assert_eq!(eos(Some(r#"{"eos_token_id": 5}"#)), [5]);
    assert_eq!(eos(Some(r#"{"temperature": 0.6}"#)), [2]);
    let none = with(LLAMA_V4, &[("eos_token_id", Value::Null)]);
    assert_eq!(ModelConfig::from_json(&none, None).unwrap().eos_token_ids, [0_u32; 0]);
}

#[test]
fn llama3_scaling_reads_in_both_spellings_and_bends_the_frequencies() {
    let scaling = serde_json::json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let v4 = with(
        LLAMA_V4,
        &[
            ("rope_scaling", scaling.clone()),
            ("head_dim", 128.into()),
            ("rope_theta", 5e5.into()),
        ],
    );
    let mut parameters = scaling;
    parameters["rope_theta"] = 5e5.into();
    let v5 = with(LLAMA_V5, &[("rope_parameters", parameters), ("head_dim", 128.into())]);
    let config = ModelConfig::from_json(&v4, None).unwrap();
    assert_eq!(config, ModelConfig::from_json(&v5, None).unwrap());

    let scaled = config.rope_inv_freq();
    let plain = ModelConfig {
        rope_scaling: None,
        ..config
    }
    .rope_inv_freq();
    assert_eq!(scaled.len(), 64);
    assert_eq!(scaled[0], 1.0);
    // High frequencies are kept, low ones divided, those between blended: values of the published formula.
    assert_eq!(scaled[20], plain[20]);
    assert_eq!(scaled[63], plain[63] / 8.0);
    assert!(
        scaled[30] < plain[30] && scaled[30] > plain[30] / 8.0,
        "{} {}",
        scaled[30],
        plain[30]
    );
}

#[test]
fn linear_scaling_divides_all_frequencies() {
    let text = with(
        LLAMA_V4,
        &[("rope_scaling", serde_json::json!({"type": "linear", "factor": 4.0}))],
    );
    let config = ModelConfig::from_json(&text, None).unwrap();
    assert_eq!(config.rope_inv_freq()[0], 0.25);
}

#[test]
fn a_window_that_is_switched_off_is_no_window() {
    for changes in [
        vec![("sliding_window", 8.into())],
        vec![("use_sliding_window", true.into()), ("sliding_window", Value::Null)],
        vec![("use_sliding_window", true.into()), ("max_window_layers", 4.into())],
    ] {
        assert!(
            ModelConfig::from_json(&with(QWEN2_V4, &changes), None).is_ok(),
            "{changes:?}"
        );
    }
    let on = with(
        QWEN2_V4,
        &[("use_sliding_window", true.into()), ("max_window_layers", 2.into())],
    );
    assert_eq!(
        refusal(&on),
        "config.json: attention with sliding_window = 32768 is not computed by this engine"
    );
    let v5 = with(
        QWEN2_V5,
        &[(
            "layer_types",
            serde_json::json!(["full_attention", "sliding_attention"]),
        )],
    );
    assert!(refusal(&v5).contains("`sliding_attention` (layer_types)"));
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let moe = with(LLAMA_V4, &[("model_type", "qwen2_moe".into())]);
    for (text, name) in [
        (MISTRAL.to_owned(), "`mistral`"),
        (moe, "`qwen2_moe`"),
        (
            with(
                LLAMA_V4,
                &[("architectures", serde_json::json!(["LlamaForSequenceClassification"]))],
            ),
            "LlamaForSequence",
        ),
        (
            with(LLAMA_V4, &[("hidden_act", "gelu".into())]),
            "hidden_act = \"gelu\"",
        ),
        (with(LLAMA_V4, &[("attention_bias", true.into())]), "attention_bias"),
        (with(LLAMA_V4, &[("mlp_bias", true.into())]), "mlp_bias"),
        (with(LLAMA_V4, &[("num_local_experts", 8.into())]), "mixture of experts"),
        (
            with(
                LLAMA_V4,
                &[("rope_scaling", serde_json::json!({"rope_type": "yarn", "factor": 4.0}))],
            ),
            "`yarn`",
        ),
        (
            with(LLAMA_V4, &[("partial_rotary_factor", 0.5.into())]),
            "partial_rotary_factor",
        ),
        (
            with(LLAMA_V4, &[("torch_dtype", "float8_e4m3fn".into())]),
            "float8_e4m3fn",
        ),
        (
            with(
                LLAMA_V4,
                &[("quantization_config", serde_json::json!({"quant_method": "gptq"}))],
            ),
            "`gptq`",
        ),
    ] {
        let error = ModelConfig::from_json(&text, None).unwrap_err();
        assert_eq!(
            error.class(),
            placebench_core::outcome::FailureClass::Unsupported,
            "{error}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn contradictions_and_wrong_types_are_named() {
    for (changes, message) in [
        (
            ("hidden_size", Value::from("64")),
            "config.json: `hidden_size` should be a whole number, found \"64\"",
        ),
        (
            ("hidden_size", Value::from(-1)),
            "config.json: `hidden_size` should be a whole number, found -1",
        ),
        (
            ("num_hidden_layers", 0.into()),
            "config.json: number of layers is 0, should be from 1 to 4096",
        ),
        (
            ("num_key_value_heads", 3.into()),
            "config.json: 4 attention heads cannot share 3 key-value heads evenly",
        ),
        (
            ("num_attention_heads", 5.into()),
            "config.json: hidden_size 64 cannot be divided among 5 attention heads",
        ),
        (
            ("rope_theta", 0.0.into()),
            "config.json: rope_theta is 0, should be positive",
        ),
        (
            ("head_dim", 7.into()),
            "config.json: head_dim is 7, rotary positions need an even one",
        ),
    ] {
        assert_eq!(refusal(&with(QWEN2_V4, &[changes])), message);
    }
    assert_eq!(refusal("[1]"), "config.json is not a JSON object: it holds [1]");
    assert!(refusal("{\"a\": ").starts_with("config.json is not a JSON object: EOF while parsing"));
}
