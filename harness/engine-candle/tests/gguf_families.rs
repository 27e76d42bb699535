//! GGUF files of all families against what transformers computes from the same weights.

mod common;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use common::expected::cases;
use common::{all_logits, decoder, gguf_of_tiny, greedy, module_count, tiny, two_way};
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
            let (decoder, mut ledger) = decoder(&path, compute, &homes, Transfer::Direct);
            for case in cases(name) {
                let distance = case.distance(&all_logits(&decoder, &mut ledger, &case.input_ids));
                assert!(distance < 1e-3, "{name} {compute:?}: off by {distance}");
                let tokens = greedy(&decoder, &mut ledger, &case.input_ids, case.max_new_tokens, &[2]);
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
        let (decoder, mut ledger) = decoder(
            &path,
            Compute::Quantised,
            &vec![0; module_count(&path)],
            Transfer::Direct,
        );
        let case = &cases(name)[2];
        let logits = all_logits(&decoder, &mut ledger, &case.input_ids);
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
