use serde_json::Map;

use super::super::{NormWeight, Projections};
use super::*;

const QWEN2_V4: &str = include_str!("../../../tests/data/tiny/qwen2-tied/config.json");
const QWEN2_V5: &str = include_str!("../../../tests/data/tiny/qwen2-tied/config.transformers5.json");
const LLAMA_V4: &str = include_str!("../../../tests/data/tiny/llama-gqa/config.json");
const LLAMA_V5: &str = include_str!("../../../tests/data/tiny/llama-gqa/config.transformers5.json");
const MISTRAL: &str = include_str!("../../../tests/data/configs/mistral.v4.json");
const PHI3: &str = include_str!("../../../tests/data/tiny/phi3/config.json");
const LONGROPE: &str = include_str!("../../../tests/data/tiny/phi3-longrope/config.json");
const GEMMA2: &str = include_str!("../../../tests/data/tiny/gemma2/config.json");

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
            family: family::by_model_type("qwen2").unwrap(),
            vocab_size: 512,
            hidden_size: 64,
            intermediate_size: 128,
            num_layers: 4,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 16,
            rotary_dim: 16,
            rms_norm_eps: 1e-6,
            rope_theta: 1e6,
            rope_scaling: None,
            rope_layout: RopeLayout::Halves,
            tie_word_embeddings: true,
            block: BlockConfig {
                biases: super::super::Biases {
                    qkv: true,
                    ..Default::default()
                },
                ..BlockConfig::default()
            },
            windows: vec![None; 4],
            attention_scale: 0.25,
            embedding_scale: None,
            final_softcap: None,
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

    let scaled = config.rope_inv_freq(0);
    let plain = ModelConfig {
        rope_scaling: None,
        ..config
    }
    .rope_inv_freq(0);
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
    assert_eq!(config.rope_inv_freq(0)[0], 0.25);
}

fn windows(text: &str, changes: &[(&str, Value)]) -> Vec<Option<usize>> {
    ModelConfig::from_json(&with(text, changes), None).unwrap().windows
}

#[test]
fn a_window_that_is_switched_off_is_no_window() {
    for changes in [
        vec![("sliding_window", 8.into())],
        vec![("use_sliding_window", true.into()), ("sliding_window", Value::Null)],
        vec![("use_sliding_window", true.into()), ("max_window_layers", 4.into())],
    ] {
        assert_eq!(windows(QWEN2_V4, &changes), [None; 4], "{changes:?}");
    }
    // Transformers' Llama never looks at the key.
    assert_eq!(windows(LLAMA_V4, &[("sliding_window", 8.into())]), [None; 4]);
}

#[test]
fn windows_are_on_the_layers_that_a_family_or_the_file_says() {
    let (o, w) = (None, Some(8));
    let qwen2 = [
        ("use_sliding_window", true.into()),
        ("max_window_layers", 2.into()),
        ("sliding_window", 8.into()),
    ];
    assert_eq!(windows(QWEN2_V4, &qwen2), [o, o, w, w]);
    let default = [("use_sliding_window", true.into()), ("max_window_layers", 3.into())];
    assert_eq!(windows(QWEN2_V4, &default), [o, o, o, Some(32_768)]);
    assert_eq!(windows(GEMMA2, &[]), [w, o, w]);
    let types = serde_json::json!(["full_attention", "full_attention", "sliding_attention"]);
    assert_eq!(windows(GEMMA2, &[("layer_types", types.clone())]), [o, o, w]);
    assert_eq!(windows(PHI3, &[]), [Some(16); 3]);

    let refused = |text: &str, changes: &[(&str, Value)]| refusal(&with(text, changes));
    assert_eq!(
        refused(GEMMA2, &[("layer_types", types), ("sliding_window", Value::Null)]),
        "config.json: `sliding_window` is missing"
    );
    assert_eq!(
        refused(GEMMA2, &[("layer_types", serde_json::json!(["full_attention"]))]),
        "config.json: layer_types has 1 entries for 3 layers"
    );
    let chunked = serde_json::json!(["chunked_attention", "full_attention", "full_attention"]);
    assert_eq!(
        refused(GEMMA2, &[("layer_types", chunked)]),
        "config.json: attention of the type `chunked_attention` (layer_types) is not computed by this engine"
    );
    let sliding = serde_json::json!(["full_attention", "sliding_attention"]);
    assert!(refused(LLAMA_V5, &[("layer_types", sliding)]).contains("`sliding_attention` (layer_types)"));
    assert_eq!(
        refused(PHI3, &[("sliding_window", 0.into())]),
        "config.json: sliding_window is 0, should be at least 1"
    );
}

#[test]
fn what_gemma2_and_phi3_have_of_their_own_is_read() {
    let gemma2 = ModelConfig::from_json(r#"{"model_type": "gemma2"}"#, None).unwrap();
    assert_eq!((gemma2.num_layers, gemma2.num_kv_heads, gemma2.head_dim), (26, 4, 256));
    assert_eq!(
        (gemma2.block.attention_softcap, gemma2.final_softcap),
        (Some(50.0), Some(30.0))
    );
    assert_eq!((gemma2.windows[0], gemma2.windows[1]), (Some(4096), None));
    assert_eq!(
        (gemma2.attention_scale, gemma2.embedding_scale),
        (1.0 / 16.0, Some(48.0))
    );
    assert_eq!(gemma2.block.norm_weight, NormWeight::OnePlus);
    assert!(gemma2.tie_word_embeddings);
    let off = with(GEMMA2, &[("attn_logit_softcapping", Value::Null)]);
    assert_eq!(
        ModelConfig::from_json(&off, None).unwrap().block.attention_softcap,
        None
    );

    let phi3 = ModelConfig::from_json(PHI3, None).unwrap();
    assert_eq!((phi3.head_dim, phi3.rotary_dim), (16, 12));
    assert_eq!(phi3.block.projections, Projections::Fused);
    let odd = with(PHI3, &[("partial_rotary_factor", 0.2.into())]);
    assert_eq!(
        refusal(&odd),
        "config.json: head_dim is 16 and the rotating part of it 3, rotary positions need an even one"
    );
}

#[test]
fn longrope_has_two_lists_and_three_names() {
    let config = ModelConfig::from_json(LONGROPE, None).unwrap();
    assert_eq!(config.rope_switch(), Some(40));
    let (short, long) = (config.rope_inv_freq(40), config.rope_inv_freq(41));
    assert_eq!((short[0], long[0]), (1.0, 1.0 / 1.5));
    // sqrt(1 + ln(256 / 40) / ln 40), as the reference computes it.
    assert!((config.rope_attention_factor() - 1.226_057).abs() < 1e-5);
    for name in ["su", "yarn", "longrope"] {
        let json: Value = serde_json::from_str(LONGROPE).unwrap();
        let mut scaling = json["rope_scaling"].clone();
        scaling["type"] = name.into();
        let text = with(LONGROPE, &[("rope_scaling", scaling)]);
        assert_eq!(ModelConfig::from_json(&text, None).unwrap(), config, "{name}");
    }
    let short_of_one = serde_json::json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]});
    assert_eq!(
        refusal(&with(LONGROPE, &[("rope_scaling", short_of_one)])),
        "config.json: short_factor has 1 values, 12 rotating elements of a head need 6"
    );
}

#[test]
fn scalings_that_stretch_the_context_say_so() {
    let longest = |scaling: Value| {
        let text = with(LLAMA_V4, &[("rope_scaling", scaling)]);
        ModelConfig::from_json(&text, None).unwrap().max_position_embeddings
    };
    assert_eq!(longest(serde_json::json!({"type": "dynamic", "factor": 2.0})), 512);
    assert_eq!(longest(serde_json::json!({"type": "yarn", "factor": 4.0})), 1024);
    // A file that names the stretched context already.
    let stretched = serde_json::json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64});
    assert_eq!(longest(stretched), 256);
    let small = serde_json::json!({"type": "dynamic", "factor": 0.5});
    assert_eq!(
        refusal(&with(LLAMA_V4, &[("rope_scaling", small)])),
        "config.json: rope scaling factor is 0.5, should be at least 1"
    );
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let moe = with(LLAMA_V4, &[("model_type", "qwen2_moe".into())]);
    for (text, name) in [
        (with(MISTRAL, &[("model_type", "mixtral".into())]), "`mixtral`"),
        (
            moe,
            "`qwen2_moe` is not one this engine computes (llama, qwen2, qwen3, mistral, phi3, gemma2)",
        ),
        (
            with(
                LLAMA_V4,
                &[("architectures", serde_json::json!(["LlamaForSequenceClassification"]))],
            ),
            "LlamaForSequence",
        ),
        (
            with(LLAMA_V4, &[("hidden_act", "relu".into())]),
            "hidden_act = \"relu\"",
        ),
        (
            with(GEMMA2, &[("hidden_activation", "relu".into())]),
            "hidden_activation = \"relu\"",
        ),
        (with(LLAMA_V4, &[("num_local_experts", 8.into())]), "mixture of experts"),
        (
            with(
                LLAMA_V4,
                &[(
                    "rope_scaling",
                    serde_json::json!({"rope_type": "longrope", "factor": 4.0}),
                )],
            ),
            "`longrope` (for llama: default, linear, dynamic, yarn, llama3)",
        ),
        (
            with(
                PHI3,
                &[("rope_scaling", serde_json::json!({"type": "linear", "factor": 4.0}))],
            ),
            "`linear` (for phi3: default, longrope, su, yarn)",
        ),
        (
            with(
                LLAMA_V4,
                &[(
                    "rope_scaling",
                    serde_json::json!({"type": "yarn", "factor": 4.0, "mscale": 1.0}),
                )],
            ),
            "mscale",
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
