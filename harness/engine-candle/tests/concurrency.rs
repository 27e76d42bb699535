//! Several sequences together, as a batch and in flight: each says what it says alone.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::request::{PROMPT, fault, halves, id, logical, manual, open, request, run, single};
use common::tiny;
use placebench_core::fault::{FaultKind, FaultPoint};
use placebench_core::outcome::{FailureClass, Phase, Place};
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload};
use placebench_core::protocol::{EventKind, FinishReason, Generation, MemoryKind, Prompt, WorkerRequest};
use placebench_engine::Session;
use placebench_engine_candle::session::CandleSession;

/// Windows, fused matrices, norms of heads and soft limits are among them.
const MODELS: [&str; 7] = [
    "qwen2-tied",
    "qwen2-untied",
    "llama-gqa",
    "mistral-sliding-window",
    "phi3",
    "qwen3",
    "gemma2",
];

/// Of different lengths, with tokens that every model has.
fn prompts() -> Vec<Vec<u32>> {
    vec![
        PROMPT.iter().map(|id| id % 150).collect(),
        vec![9],
        vec![100, 5, 5, 17, 130, 8, 1, 64, 12],
        vec![3, 45, 11],
    ]
}

fn together(model: &str, map: DeviceMapRequest, concurrency: Concurrency) -> WorkerRequest {
    let mut asked = request(&tiny(model), map);
    asked.placement.concurrency = concurrency;
    asked.prompt = Prompt::InputIds(prompts().remove(0));
    let companions = prompts().into_iter().cycle().skip(1);
    asked.companion_prompts = companions
        .take(concurrency.sequences() as usize - 1)
        .map(Prompt::InputIds)
        .collect();
    asked
}

fn sequences(generation: &Generation) -> Vec<&Generation> {
    std::iter::once(generation).chain(&generation.companions).collect()
}

fn texts(asked: &WorkerRequest) -> Vec<Vec<u32>> {
    let (generation, _, _) = run(asked).unwrap();
    sequences(&generation)
        .iter()
        .map(|sequence| sequence.output_ids.clone())
        .collect()
}

fn alone(model: &str, prompt: Vec<u32>) -> Generation {
    let mut asked = request(&tiny(model), single("cpu"));
    asked.prompt = Prompt::InputIds(prompt);
    run(&asked).unwrap().0
}

fn each_alone(model: &str) -> Vec<Vec<u32>> {
    prompts()
        .into_iter()
        .map(|prompt| alone(model, prompt).output_ids)
        .collect()
}

fn both(sequences: u32) -> [Concurrency; 2] {
    [Concurrency::Batch(sequences), Concurrency::InFlight(sequences)]
}

/// Three stages, the first and the last on one device.
fn there_and_back() -> DeviceMapRequest {
    manual(&[("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.1-2", "sim:1")])
}

#[test]
fn prompts_of_different_lengths_do_not_see_each_other() {
    for model in MODELS {
        let expected = each_alone(model);
        let second_half = manual(&[
            ("model", "sim:1"),
            ("lm_head", "sim:1"),
            ("model.embed_tokens", "sim:0"),
            ("model.layers.0", "sim:0"),
        ]);
        for map in [single("cpu"), second_half, there_and_back()] {
            for concurrency in both(4) {
                let about = format!("{model} {map:?} {concurrency:?}");
                assert_eq!(texts(&together(model, map.clone(), concurrency)), expected, "{about}");
            }
        }
    }
}

#[test]
fn more_sequences_than_prompts_and_fewer_than_stages_work_too() {
    let expected = each_alone("llama-gqa");
    for concurrency in both(7) {
        let texts = texts(&together("llama-gqa", there_and_back(), concurrency));
        assert_eq!(
            (&texts[..4], &texts[4..]),
            (&expected[..], &expected[..3]),
            "{concurrency:?}"
        );
    }
    for concurrency in both(2) {
        let texts = texts(&together("llama-gqa", there_and_back(), concurrency));
        assert_eq!(texts, expected[..2], "{concurrency:?}");
    }
}

#[test]
fn offloaded_layers_are_fetched_once_for_a_batch_and_for_each_sequence_in_flight() {
    let expected = each_alone("qwen2-tied");
    let map = manual(&[("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.1-2", "disk")]);
    for concurrency in both(4) {
        let mut asked = together("qwen2-tied", map.clone(), concurrency);
        asked.placement.offload = Offload::Stream;
        let (generation, session, _) = run(&asked).unwrap();
        let layer = session.realised()[2].bytes.0;
        for (sequence, expected) in sequences(&generation).iter().zip(&expected) {
            assert_eq!(&sequence.output_ids, expected, "{concurrency:?}");
            assert_eq!(sequence.streamed_bytes, vec![2 * layer; 8], "{concurrency:?}");
        }
    }
}

/// Ends differ, so sequences drop out one after the other.
#[test]
fn each_sequence_ends_by_itself() {
    let eos = alone("llama-gqa", prompts()[2].clone()).output_ids[2];
    let model = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny("llama-gqa").join(file), model.path().join(file)).unwrap();
    }
    let config = std::fs::read_to_string(model.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["eos_token_id"] = eos.into();
    std::fs::write(model.path().join("config.json"), config.to_string()).unwrap();
    for concurrency in both(4) {
        let mut asked = together("llama-gqa", halves("sim:0", "sim:1"), concurrency);
        asked.model = placebench_core::protocol::ModelSource::Path(model.path().display().to_string());
        asked.generation.ignore_eos = false;
        let (generation, _, _) = run(&asked).unwrap();
        let sequences = sequences(&generation);
        for (sequence, whole) in sequences.iter().zip(each_alone("llama-gqa")) {
            let end = whole
                .iter()
                .position(|token| *token == eos)
                .map_or(whole.len(), |end| end + 1);
            assert_eq!(sequence.output_ids, whole[..end], "{concurrency:?}");
            assert_eq!(sequence.token_stamps_s.len(), end);
        }
        assert_eq!(sequences[2].finish_reason, FinishReason::Eos);
        assert!(
            sequences
                .iter()
                .any(|sequence| sequence.finish_reason == FinishReason::Length)
        );
    }
}

#[test]
fn every_token_of_every_sequence_is_reported_in_order() {
    for concurrency in both(3) {
        let (generation, _, sink) = run(&together("qwen2-tied", halves("sim:0", "sim:1"), concurrency)).unwrap();
        for (number, expected) in sequences(&generation).iter().enumerate() {
            let tokens = sink.events().into_iter().filter_map(|event| match event {
                EventKind::Token {
                    sequence, index, id, ..
                } if sequence as usize == number => Some((index, id)),
                _ => None,
            });
            let expected = (0..).zip(expected.output_ids.iter().copied().map(Some));
            assert!(tokens.eq(expected), "{concurrency:?}");
        }
    }
}

/// A step of a batch moves all its rows at once, a step in flight those of its sequence.
#[test]
fn counters_are_those_of_the_step() {
    const ROW: u64 = 64 * 4;
    let of = |concurrency| {
        run(&together("qwen2-tied", halves("sim:0", "sim:1"), concurrency))
            .unwrap()
            .0
    };
    let batch = of(Concurrency::Batch(2));
    let rows = [prompts()[0].len() as u64, prompts()[1].len() as u64];
    for sequence in sequences(&batch) {
        assert_eq!(sequence.hops, [1; 8]);
        assert_eq!(sequence.transfer_bytes[..2], [(rows[0] + rows[1]) * ROW, 2 * ROW]);
    }
    let in_flight = of(Concurrency::InFlight(2));
    for (sequence, rows) in sequences(&in_flight).iter().zip(rows) {
        assert_eq!(sequence.transfer_bytes[..2], [rows * ROW, ROW]);
        assert!(
            sequence.stage_times_s.iter().all(|step| step.len() == 3),
            "stage, hop, stage"
        );
    }
}

fn bytes_on(session: &CandleSession, device: &str, kind: MemoryKind) -> u64 {
    let figures = session.memory();
    let found = figures
        .iter()
        .find(|figure| figure.device == id(device) && figure.kind == kind);
    found.map_or(0, |figure| figure.bytes.0)
}

#[test]
fn every_sequence_has_a_cache_and_the_weights_are_shared() {
    let session = |concurrency| {
        run(&together("llama-gqa", halves("sim:0", "sim:1"), concurrency))
            .unwrap()
            .1
    };
    let one = session(Concurrency::Single);
    let positions = |prompts: &[Vec<u32>]| prompts.iter().map(|prompt| prompt.len() as u64 + 8).sum::<u64>();
    for concurrency in both(3) {
        let three = session(concurrency);
        for device in ["sim:0", "sim:1"] {
            let bytes = |session, kind| bytes_on(session, device, kind);
            assert_eq!(bytes(&one, MemoryKind::Weights), bytes(&three, MemoryKind::Weights));
            let per_position = bytes(&one, MemoryKind::KvCache) / positions(&prompts()[..1]);
            assert_eq!(
                bytes(&three, MemoryKind::KvCache),
                per_position * positions(&prompts()[..3]),
                "{concurrency:?} {device}"
            );
        }
    }
}

#[test]
fn a_stage_that_fails_ends_all_and_is_named() {
    let at = FaultPoint {
        module: Some("model.layers.2".into()),
        token: Some(2),
        ..FaultPoint::default()
    };
    for concurrency in both(3) {
        let mut asked = together("qwen2-tied", halves("sim:0", "sim:1"), concurrency);
        asked.faults = vec![fault(FaultKind::Nan, at.clone())];
        assert_eq!(
            run(&asked).err().unwrap().class,
            FailureClass::NonFinite,
            "{concurrency:?}"
        );
    }
    // Enough for the weights and the caches, not for what the head of the second stage makes.
    let asked = |budget| {
        let mut asked = together("qwen2-untied", halves("sim:0", "sim:1"), Concurrency::InFlight(3));
        asked.devices = logical(&[None, budget]);
        asked
    };
    let (_, fits, _) = run(&asked(None)).unwrap();
    let held = [MemoryKind::Weights, MemoryKind::KvCache].map(|kind| bytes_on(&fits, "sim:1", kind));
    let failure = run(&asked(Some(held.iter().sum::<u64>() + 4096))).err().unwrap();
    assert_eq!(
        (failure.class, failure.device),
        (FailureClass::OutOfMemory, Some(id("sim:1")))
    );
    let Some(Place::Module { device, .. }) = failure.place else {
        panic!("no place: {:?}", failure.place)
    };
    assert_eq!((device, failure.phase), (id("sim:1"), Phase::Prefill));
}

#[test]
fn wrong_copies_strike_sequences_in_flight_too() {
    let right = each_alone("qwen2-tied");
    for kind in [FaultKind::ZeroCopy, FaultKind::StaleCopy, FaultKind::CorruptCopy] {
        let mut asked = together("qwen2-tied", halves("sim:0", "sim:1"), Concurrency::InFlight(2));
        asked.faults = vec![fault(kind, FaultPoint::default())];
        let wrong = texts(&asked);
        assert!(wrong[0] != right[0] && wrong[1] != right[1], "{kind:?}");
    }
}

#[test]
fn a_session_generates_again_and_frees_what_it_took() {
    for concurrency in both(2) {
        let (mut session, mut context, _) = open(&together("llama-gqa", there_and_back(), concurrency)).unwrap();
        let first = session.generate(&mut context).unwrap();
        let after_one = bytes_on(&session, "sim:0", MemoryKind::KvCache);
        let second = session.generate(&mut context).unwrap();
        assert_eq!(first.output_ids, second.output_ids);
        assert_eq!(first.companions[0].output_ids, second.companions[0].output_ids);
        assert_eq!(
            bytes_on(&session, "sim:0", MemoryKind::KvCache),
            after_one,
            "{concurrency:?}"
        );
    }
}

#[test]
fn a_sequence_that_has_to_be_computed_anew_cannot_have_company() {
    for concurrency in both(2) {
        let mut asked = together("phi3-longrope", single("cpu"), concurrency);
        // Five tokens of prompt and eight more stay below forty positions.
        assert!(run(&asked).is_ok());
        asked.generation.max_new_tokens = 40;
        let failure = open(&asked).err().unwrap();
        assert_eq!(failure.class, FailureClass::Unsupported);
        assert!(
            failure.message.contains("grows beyond 40 positions"),
            "{}",
            failure.message
        );
    }
}
