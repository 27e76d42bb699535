//! Module trees from configurations equal those of the reference, and tree files are refused with the entry's name.
//!
//! `tests/data/accelerate/README.md` describes the trees.

use std::fs;
use std::path::Path;

use placebench_core::module_tree::{
    ConfigTreeError, ModuleTree, from_config, safetensors_header, safetensors_index, supported_model_types,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// All trees of real models that were made by running Transformers 4.49.0.
fn golden_trees() -> Vec<ModuleTree> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accelerate/models");
    let files = fs::read_dir(folder).expect("the folder of golden trees");
    let mut trees: Vec<ModuleTree> = files
        .map(|file| file.expect("a golden tree").path())
        .map(|path| fs::read_to_string(path).expect("a golden tree"))
        .map(|text| serde_json::from_str(&text).expect("a golden tree"))
        .filter(|tree: &ModuleTree| tree.config().is_some())
        .collect();
    trees.sort_by(|a, b| a.id().cmp(b.id()));
    trees
}

#[test]
fn configurations_make_the_trees_of_the_reference() {
    let trees = golden_trees();
    assert_eq!(trees.len(), 13);
    for golden in trees {
        let built = from_config(golden.id(), golden.config().unwrap()).unwrap();
        assert_eq!(built.modules(), golden.modules(), "{}", golden.id());
        assert_eq!(built.tensors(), golden.tensors(), "{}", golden.id());
        // Whole files: ids, architectures, ties, undividable classes and modules.
        let (built, golden) = (
            serde_json::to_value(&built).unwrap(),
            serde_json::to_value(&golden).unwrap(),
        );
        assert!(built == golden, "{} differs", golden["id"]);
    }
}

fn tiny(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 32,
    })
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

fn shape(tree: &ModuleTree, name: &str) -> Vec<u64> {
    let tensor = tree.tensor_index(name).expect(name);
    tree.tensors()[tensor].shape.clone()
}

#[test]
fn every_family_has_its_defaults() {
    for model_type in supported_model_types() {
        let tree = from_config("tiny", &tiny(model_type)).unwrap();
        assert_eq!(
            !tree.tied().is_empty(),
            matches!(model_type, "gemma2" | "gpt2"),
            "{model_type}"
        );
        assert_eq!(tree.no_split_modules().len(), 2);
    }
    let heads = |model_type: &str, value: Option<Value>| {
        let mut config = tiny(model_type);
        config.as_object_mut().unwrap().remove("num_key_value_heads");
        if let Some(value) = value {
            config["num_key_value_heads"] = value;
        }
        let tree = from_config("tiny", &config).unwrap();
        shape(&tree, "model.layers.0.self_attn.k_proj.weight")[0]
    };
    assert_eq!(heads("llama", None), 4 * 16);
    assert_eq!(heads("mistral", None), 8 * 16);
    assert_eq!(heads("mistral", Some(Value::Null)), 4 * 16);
    assert_eq!(heads("qwen2", None), 32 * 16);
    assert_eq!(heads("gemma2", None), 4 * 256);
}

#[test]
fn qwen3_normalises_heads_and_has_no_biases() {
    let tree = from_config("tiny", &tiny("qwen3")).unwrap();
    let attention: Vec<&str> = tree
        .modules()
        .iter()
        .filter_map(|module| module.path.strip_prefix("model.layers.1.self_attn."))
        .collect();
    assert_eq!(attention, ["q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"]);
    assert_eq!(shape(&tree, "model.layers.0.self_attn.q_proj.weight"), [4 * 128, 64]);
    assert_eq!(shape(&tree, "model.layers.0.self_attn.k_norm.weight"), [128]);
    assert!(tree.tensors().iter().all(|tensor| !tensor.name.ends_with(".bias")));
    assert_eq!(tree.no_split_classes(), ["Qwen3DecoderLayer"]);
    // Qwen3-0.6B, whose published size is 596,049,920 parameters.
    let published = json!({
        "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": true,
    });
    let tree = from_config("qwen3-0.6b", &published).unwrap();
    let params = tree
        .tensors()
        .iter()
        .filter(|tensor| !tensor.kind.is_buffer() && tensor.name != "lm_head.weight");
    assert_eq!(params.map(|tensor| tensor.elements()).sum::<u64>(), 596_049_920);
}

#[test]
fn options_change_the_tree() {
    let biased = with(
        with(tiny("llama"), "attention_bias", json!(true)),
        "mlp_bias",
        json!(true),
    );
    let tree = from_config("tiny", &biased).unwrap();
    assert_eq!(shape(&tree, "model.layers.0.self_attn.o_proj.bias"), [64]);
    assert_eq!(shape(&tree, "model.layers.0.mlp.up_proj.bias"), [96]);
    let partly = with(
        with(tiny("phi3"), "partial_rotary_factor", json!(0.75)),
        "head_dim",
        json!(20),
    );
    let tree = from_config("tiny", &partly).unwrap();
    assert_eq!(shape(&tree, "model.rotary_emb.inv_freq"), [8]);
    assert_eq!(
        shape(&tree, "model.layers.0.self_attn.qkv_proj.weight"),
        [(4 + 2 + 2) * 20, 64]
    );
    let inner = with(tiny("gpt2"), "n_inner", json!(10));
    let tree = from_config("tiny", &inner).unwrap();
    assert_eq!(shape(&tree, "transformer.h.1.mlp.c_fc.weight"), [64, 10]);
    let tanh = with(tiny("llama"), "hidden_act", json!("gelu_pytorch_tanh"));
    let tree = from_config("tiny", &tanh).unwrap();
    let activation = tree.module_index("model.layers.0.mlp.act_fn").unwrap();
    assert_eq!(tree.modules()[activation].class, "PytorchGELUTanh");
}

#[test]
fn wrong_configurations_name_the_key() {
    let cases = [
        (json!([]), "the configuration is no JSON object"),
        (json!({}), "the configuration has no `model_type`"),
        (
            tiny("mamba"),
            "`model_type` is `mamba`, which is not supported; supported are llama, qwen2, qwen3, mistral, phi3, gemma2, gpt2",
        ),
        (
            with(tiny("llama"), "hidden_size", Value::Null),
            "the configuration has no `hidden_size`",
        ),
        (
            with(tiny("llama"), "vocab_size", json!("many")),
            "`vocab_size` must be a whole number above zero, not \"many\"",
        ),
        (
            with(tiny("qwen2"), "vocab_size", json!(-1)),
            "`vocab_size` must be a whole number above zero, not -1",
        ),
        (
            with(tiny("qwen2"), "vocab_size", json!(1e300)),
            "`vocab_size` must be a whole number above zero, not 1e+300",
        ),
        (
            with(tiny("phi3"), "hidden_size", json!(0)),
            "`hidden_size` is 0; it must be between 1 and 268435456",
        ),
        (
            with(tiny("phi3"), "intermediate_size", json!(u64::MAX)),
            "`intermediate_size` is 18446744073709551615; it must be between 1 and 268435456",
        ),
        (
            with(tiny("gemma2"), "num_hidden_layers", json!(1_000_000_000_u64)),
            "`num_hidden_layers` is 1000000000; it must be between 1 and 10000",
        ),
        (
            with(tiny("mistral"), "num_attention_heads", json!(65)),
            "`hidden_size` is 64, which is no multiple of `num_attention_heads`, 65",
        ),
        (
            with(tiny("gpt2"), "n_head", json!(7)),
            "`n_embd` is 64, which is no multiple of `n_head`, 7",
        ),
        (
            with(tiny("gpt2"), "add_cross_attention", json!(true)),
            "`add_cross_attention` is set, which is not supported: there is no encoder to attend to",
        ),
        (
            with(tiny("llama"), "tie_word_embeddings", json!(1)),
            "`tie_word_embeddings` must be true or false, not 1",
        ),
        (
            with(tiny("llama"), "hidden_act", json!("prelu")),
            "`hidden_act` names the activation `prelu`, which is not known",
        ),
        (
            with(tiny("llama"), "partial_rotary_factor", json!(1.5)),
            "`partial_rotary_factor` must be a number between 0 and 1, not 1.5",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(from_config("t", &config).unwrap_err().to_string(), expected);
    }
}

#[test]
fn absurd_products_are_refused() {
    let mut config = tiny("llama");
    for key in ["hidden_size", "num_attention_heads", "head_dim", "num_key_value_heads"] {
        config[key] = json!(1_u64 << 28);
    }
    let error = from_config("t", &config).unwrap_err();
    assert!(matches!(error, ConfigTreeError::Tree(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "tensor `model.layers.0.self_attn.q_proj.weight` has an absurd size"
    );
}

/// A tree file with these parts.
fn file(modules: Value, tensors: Value, tied: Value, same_module: Value) -> String {
    json!({"modules": modules, "tensors": tensors, "tied": tied, "same_module": same_module}).to_string()
}

#[test]
fn wrong_files_name_the_entry() {
    let modules = || json!([["", "Net"], ["a", "Group"], ["a.b", "Linear"], ["c", "Linear"]]);
    let weight = |name: &str| json!([name, "param", "float32", [2], 8]);
    let tensors = || json!([weight("a.b.w"), weight("c.w")]);
    assert!(serde_json::from_str::<ModuleTree>(&file(modules(), tensors(), json!([]), json!([]))).is_ok());
    let cases = [
        (
            file(json!([["", "Net"], ["a.b", "Linear"]]), json!([]), json!([]), json!([])),
            "`a.b` lies in `a`, which is no module of the tree",
        ),
        (
            file(
                json!([["", "Net"], ["a", "X"], ["a", "Y"]]),
                json!([]),
                json!([]),
                json!([]),
            ),
            "`a` is listed twice",
        ),
        (
            file(modules(), json!([weight("c.w"), weight("c.w")]), json!([]), json!([])),
            "`c.w` is listed twice",
        ),
        (
            file(modules(), json!([weight("d.e.w")]), json!([]), json!([])),
            "`d.e.w` lies in `d.e`, which is no module of the tree",
        ),
        (
            file(modules(), tensors(), json!([["c.w", "c.bias"]]), json!([])),
            "`c.bias` is tied but is no parameter of the tree",
        ),
        (
            file(
                modules(),
                tensors(),
                json!([["c.w", "a.b.w"], ["a.b.w", "c.w"]]),
                json!([]),
            ),
            "`a.b.w` is tied twice",
        ),
        (
            file(modules(), tensors(), json!([]), json!([["a.b", "a"]])),
            "`a.b` cannot be the same module as `a`, which contains it: the tree would have no end",
        ),
        (
            file(modules(), tensors(), json!([]), json!([["a", "c"]])),
            "`a` cannot be the same module as `c`: both must be modules, and `c` must come first",
        ),
        (
            file(modules(), tensors(), json!([]), json!([["c", "a"], ["c", "a.b"]])),
            "`c` is said twice to be the same module as another",
        ),
        (
            file(json!([["a", "X"]]), json!([]), json!([]), json!([])),
            "the tree has no root module",
        ),
    ];
    for (text, expected) in cases {
        let error = serde_json::from_str::<ModuleTree>(&text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

const KEYS: [&str; 16] = [
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "n_embd",
    "n_head",
    "n_layer",
    "n_positions",
    "n_inner",
    "tie_word_embeddings",
    "hidden_act",
    "partial_rotary_factor",
    "attention_bias",
];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..40).prop_map(Value::from),
        Just(json!(1_u64 << 28)),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!({"a": []})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_configurations_are_built_or_refused(
        family in prop::sample::select(supported_model_types()),
        changes in prop::collection::vec((prop::sample::select(KEYS.to_vec()), any_value()), 0..4),
    ) {
        let config = changes.into_iter().fold(tiny(family), |config, (key, value)| with(config, key, value));
        if let Ok(tree) = from_config("any", &config) {
            let json = serde_json::to_string(&tree).unwrap();
            prop_assert!(serde_json::from_str::<ModuleTree>(&json).is_ok());
        }
    }

    #[test]
    fn arbitrary_headers_are_read_or_refused(text in "[{}\\[\\]\",:0-9a-zF]{0,40}") {
        if let Ok(header) = safetensors_header(&text) {
            prop_assert!(header.iter().all(|tensor| tensor.name != "__metadata__"));
        }
        if let Ok(files) = safetensors_index(&text) {
            prop_assert!(files.iter().all(|file| !file.contains('/')));
        }
    }
}
