//! GGUF files of all families against what transformers computes from the same weights.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod common;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use common::expected::cases;
use common::{all_logits, decoder, gguf_of_tiny, greedy, module_count, tiny, two_way};
use placebench_core::outcome::FailureClass;
use placebench_core::placement::Transfer;
use placebench_engine_candle::weights::Compute;
use placebench_engine_candle::{checkpoint, tree};

/// All tiny models that the format can hold: it has no word for biases of Llama, for dynamic rotary positions, or for
/// Qwen2's windows.
const MODELS: [&str; 10] = [
    "qwen2-tied",
    "qwen3",
    "llama-gqa",
    "llama-linear",
    "llama-yarn",
    "llama3-rope",
    "mistral-sliding-window",
    "phi3",
    "phi3-longrope",
    "gemma2",
];

#[test]
fn full_precision_gives_the_tokens_of_transformers() {
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let path = gguf_of_tiny::write(name, GgmlDType::F32, folder.path());
        let modules = module_count(&path);
        for (compute, homes) in [
            (Compute::Dense(DType::F32), vec![0; modules]),
            (Compute::Quantised, two_way(modules, modules / 2)),
        ] {
            let (decoder, ledger) = decoder(&path, compute, &homes, Transfer::Direct);
            for case in cases(name) {
                let distance = case.distance(&all_logits(&decoder, &ledger, &case.input_ids));
                assert!(distance < 1e-3, "{name} {compute:?}: off by {distance}");
                let tokens = greedy(&decoder, &ledger, &case.input_ids, case.max_new_tokens, &[2]);
                assert_eq!(tokens, case.greedy_ids, "{name} {compute:?}");
            }
        }
    }
}

/// Matrices of 8 bits a weight are near: the same model, rounded. Logits of unrelated models are 1.4 times their own
/// length apart.
#[test]
fn quantised_matrices_of_every_layout_are_near() {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let path = gguf_of_tiny::write(name, GgmlDType::Q8_0, folder.path());
        let (decoder, ledger) = decoder(
            &path,
            Compute::Quantised,
            &vec![0; module_count(&path)],
            Transfer::Direct,
        );
        let case = &cases(name)[2];
        let logits = all_logits(&decoder, &ledger, &case.input_ids);
        let pairs = || logits.last().unwrap().iter().zip(&case.last_logits);
        let apart =
            norm(&mut pairs().map(|(ours, theirs)| ours - theirs)) / norm(&mut pairs().map(|(_, theirs)| *theirs));
        assert!(apart > 0.0 && apart < 0.4, "{name}: off by {apart}");
    }
}

#[test]
fn trees_of_files_are_those_of_the_configuration() {
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let path = gguf_of_tiny::write(name, GgmlDType::F32, folder.path());
        let from_gguf = tree::from_checkpoint("tiny", &checkpoint::open(&path).unwrap()).unwrap();
        let from_folder = tree::from_checkpoint("tiny", &checkpoint::open(&tiny(name)).unwrap()).unwrap();
        // Mistral's files say that they are Llama.
        if name != "mistral-sliding-window" {
            assert_eq!(from_gguf.modules(), from_folder.modules(), "{name}");
        }
        assert_eq!(from_gguf.tensors(), from_folder.tensors(), "{name}");
        assert_eq!(from_gguf.tied(), from_folder.tied(), "{name}");
    }
}

/// What is wrong with a file whose bytes were changed.
fn refusal(name: &str, edit: impl Fn(&mut Vec<u8>)) -> (FailureClass, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_of_tiny::write(name, GgmlDType::F32, folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    edit(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let error = checkpoint::open(&path).unwrap_err();
    (error.class(), error.sentence())
}

/// Where in the file the name of a tensor or key begins.
fn find(bytes: &[u8], name: &str) -> usize {
    bytes
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .unwrap()
}

#[test]
fn a_quantisation_that_cannot_be_used_is_named() {
    let (class, sentence) = refusal("qwen3", |bytes| {
        let name = "blk.1.attn_q_norm.weight";
        // Behind the name: the number of dimensions, one dimension, then the type; 20 is IQ4_NL.
        let kind = find(bytes, name) + name.len() + 4 + 8;
        bytes[kind] = 20;
    });
    assert_eq!(class, FailureClass::Unsupported);
    assert!(
        sentence.contains("the format IQ4_NL of tensor `blk.1.attn_q_norm.weight`"),
        "{sentence}"
    );
}

#[test]
fn tensors_of_every_layout_are_missed_by_name() {
    for (name, tensor, misspelt) in [
        ("qwen3", "blk.1.attn_q_norm.weight", "blk.1.attn_q_nerm.weight"),
        ("phi3", "blk.2.attn_qkv.weight", "blk.2.attn_qkw.weight"),
        ("gemma2", "blk.0.post_ffw_norm.weight", "blk.0.post_ffw_nerm.weight"),
        ("phi3-longrope", "rope_factors_long.weight", "rope_factors_lang.weight"),
    ] {
        let (class, sentence) = refusal(name, |bytes| {
            let at = find(bytes, tensor);
            bytes[at..at + misspelt.len()].copy_from_slice(misspelt.as_bytes());
        });
        assert_eq!(class, FailureClass::ModelInvalid, "{name}");
        assert!(
            sentence.contains(&format!("1 tensor is missing ({tensor})")),
            "{sentence}"
        );
    }
    let (_, sentence) = refusal("phi3", |bytes| {
        let key = "phi3.feed_forward_length";
        // Behind the key: its type, then the number.
        let at = find(bytes, key) + key.len() + 4;
        bytes[at] = 32;
    });
    assert!(
        sentence.contains("blk.0.ffn_up.weight: expected [64, 32], found [96, 32]"),
        "{sentence}"
    );
}

/// Qwen2's metadata do not say which layers have the window.
#[test]
fn a_window_that_no_layer_can_be_given_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_of_tiny::write("qwen2-sliding-window", GgmlDType::F32, folder.path());
    let error = checkpoint::open(&path).unwrap_err();
    assert_eq!(error.class(), FailureClass::Unsupported);
    assert!(
        error.sentence().contains("a sliding window of 8"),
        "{}",
        error.sentence()
    );
}
