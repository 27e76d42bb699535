//! Requests through the whole engine on tiny models: text, maps, counters, budgets, refusals.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::request::{PROMPT, halves, id, logical, manual, open, request, run, single, strategy};
use common::tiny;
use placebench_core::outcome::{FailureClass, Phase};
use placebench_core::placement::{DeviceMapRequest, Transfer};
use placebench_core::protocol::{
    Dtype, EventKind, FinishReason, Generation, MemoryKind, Prompt, Sampling, WorkerRequest,
};
use placebench_core::units::Bytes;
use placebench_engine::Session;
use placebench_engine_candle::session::CandleSession;

/// Hidden width of the tiny models times four bytes.
const ROW_BYTES: u64 = 64 * 4;

fn tokens(request: &WorkerRequest) -> Vec<u32> {
    run(request).unwrap().0.output_ids
}

fn on_one(model: &str) -> Vec<u32> {
    tokens(&request(&tiny(model), single("cpu")))
}

fn bytes_on(session: &CandleSession, device: &str, kind: MemoryKind) -> u64 {
    let figures = session.memory();
    let found = figures
        .iter()
        .find(|figure| figure.device == id(device) && figure.kind == kind);
    found.map_or(0, |figure| figure.bytes.0)
}

fn devices_of(session: &CandleSession) -> Vec<String> {
    session
        .realised()
        .iter()
        .map(|module| module.device.to_string())
        .collect()
}

#[test]
fn every_kind_of_map_gives_the_same_tokens() {
    for model in ["qwen2-tied", "llama-gqa"] {
        let expected = on_one(model);
        for map in [
            single("sim:1"),
            halves("sim:0", "sim:1"),
            halves("sim:1", "cpu"),
            manual(&[("model", "sim:0"), ("lm_head", "sim:1")]),
            strategy("auto"),
        ] {
            let mut asked = request(&tiny(model), map.clone());
            asked.devices = logical(&[Some(900_000), Some(2_000_000)]);
            assert_eq!(tokens(&asked), expected, "{model} {map:?}");
            asked.placement.transfer = Transfer::Host;
            assert_eq!(tokens(&asked), expected, "{model} {map:?} through the host");
        }
    }
}

#[test]
fn the_realised_map_and_the_counters_follow_the_request() {
    let (generation, session, _) = run(&request(&tiny("llama-gqa"), halves("sim:0", "sim:1"))).unwrap();
    let expected = ["sim:0", "sim:0", "sim:0", "sim:1", "sim:1", "sim:1", "sim:1"];
    assert_eq!(devices_of(&session), expected);
    assert_eq!(generation.hops, [1; 8]);
    assert_eq!(generation.transfer_bytes[0], PROMPT.len() as u64 * ROW_BYTES);
    assert_eq!(generation.transfer_bytes[1..], [ROW_BYTES; 7]);
    assert_eq!(generation.streamed_bytes, [0; 8]);

    let (generation, session, _) = run(&request(&tiny("llama-gqa"), single("sim:0"))).unwrap();
    assert_eq!(devices_of(&session), ["sim:0"; 7]);
    assert_eq!(generation.hops, [0; 8]);
    assert_eq!(generation.transfer_bytes, [0; 8]);
}

#[test]
fn strategies_use_both_devices_and_announce_what_they_did() {
    let mut asked = request(&tiny("llama-gqa"), strategy("auto"));
    asked.devices = logical(&[Some(2_000_000), Some(2_000_000)]);
    asked.placement.max_memory = Some(vec![(id("sim:0"), Bytes(700_000)), (id("sim:1"), Bytes(700_000))]);
    let (_, session, sink) = run(&asked).unwrap();
    let used = devices_of(&session);
    assert!(
        used.contains(&"sim:0".to_owned()) && used.contains(&"sim:1".to_owned()),
        "{used:?}"
    );
    let planned: u64 = session.planned().weights_bytes.iter().map(|entry| entry.bytes.0).sum();
    let realised: u64 = session.realised().iter().map(|module| module.bytes.0).sum();
    assert_eq!(planned, realised);
    assert!(
        sink.events()
            .iter()
            .any(|event| matches!(event, EventKind::Planned(plan) if !plan.budgets.is_empty()))
    );
}

#[test]
fn what_does_not_fit_spills_to_the_host_with_a_warning() {
    let mut asked = request(&tiny("llama-gqa"), strategy("sequential"));
    // The cpu is named nowhere: a budget for it would be leave to use it.
    asked.devices = logical(&[Some(600_000)]);
    let (generation, session, _) = run(&asked).unwrap();
    assert_eq!(generation.output_ids, on_one("llama-gqa"));
    assert!(devices_of(&session).contains(&"cpu".to_owned()));
    let warnings = &session.planned().warnings;
    assert!(
        warnings.iter().any(|warning| warning.contains("went to cpu")),
        "{warnings:?}"
    );

    asked.devices = logical(&[Some(4_000_000)]);
    let (session, _, _) = open(&asked).unwrap();
    assert!(!devices_of(&session).contains(&"cpu".to_owned()));
    assert!(
        !session
            .planned()
            .warnings
            .iter()
            .any(|warning| warning.contains("went to cpu"))
    );
}

#[test]
fn a_tied_head_is_counted_where_it_is() {
    let embedding = 512 * 64 * 4;
    let head_bytes = |map: DeviceMapRequest| -> (u64, u64) {
        let (_, session, _) = run(&request(&tiny("qwen2-tied"), map)).unwrap();
        let head = session.realised().last().unwrap().bytes.0;
        (head, bytes_on(&session, "sim:1", MemoryKind::Weights))
    };
    assert_eq!(
        head_bytes(halves("sim:0", "sim:0")),
        (0, 0),
        "shared with the embedding"
    );
    let (head, on_second) = head_bytes(manual(&[("model", "sim:0"), ("lm_head", "sim:1")]));
    assert_eq!((head, on_second), (embedding, embedding), "a copy of its own");
}

#[test]
fn events_come_in_order() {
    let (_, _, sink) = run(&request(&tiny("qwen2-tied"), halves("sim:0", "sim:1"))).unwrap();
    let events = sink.events();
    let phases: Vec<Phase> = events
        .iter()
        .filter_map(|event| match event {
            EventKind::Phase { phase } => Some(*phase),
            _ => None,
        })
        .collect();
    assert_eq!(
        phases,
        [Phase::Resolve, Phase::Plan, Phase::Load, Phase::Prefill, Phase::Decode]
    );
    let position = |wanted: fn(&EventKind) -> bool| events.iter().position(wanted).unwrap();
    let devices = position(|event| matches!(event, EventKind::Devices { .. }));
    let planned = position(|event| matches!(event, EventKind::Planned(_)));
    let places = position(|event| matches!(event, EventKind::Places { hops, .. } if hops.len() == 1));
    let loaded = position(|event| matches!(event, EventKind::Loaded { realised, .. } if realised.len() == 7));
    let token = position(|event| matches!(event, EventKind::Token { index: 0, .. }));
    assert!(devices < planned && planned < places && places < loaded && loaded < token);
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, EventKind::Token { .. }))
            .count(),
        8
    );
}

#[test]
fn a_generation_is_complete_and_repeats() {
    let asked = request(&tiny("llama-gqa"), halves("sim:0", "sim:1"));
    let (mut session, mut context, _) = open(&asked).unwrap();
    let strip = |generation: Generation| {
        (
            generation.output_ids,
            generation.top2_gaps,
            generation.top5,
            generation.hops,
        )
    };
    let first = session.generate(&mut context).unwrap();
    assert_eq!(first.token_stamps_s.len(), 8);
    assert!(first.token_stamps_s.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(first.finish_reason, FinishReason::Length);
    assert_eq!(
        (first.text.as_str(), first.input_ids.as_slice()),
        ("", PROMPT.as_slice())
    );
    for (top, gap) in first.top5.iter().zip(&first.top2_gaps) {
        assert_eq!(top.len(), 5);
        assert!((top[0].logit - top[1].logit - gap).abs() < 1e-6);
    }
    let second = session.generate(&mut context).unwrap();
    assert_eq!(strip(first), strip(second));
}

#[test]
fn an_end_token_ends_unless_it_is_ignored() {
    // The end token of the copy is the third token of the greedy text, so that it surely comes.
    let expected = on_one("llama-gqa");
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        let mut bytes = std::fs::read(tiny("llama-gqa").join(file)).unwrap();
        if file != "model.safetensors" {
            let text = String::from_utf8(bytes).unwrap();
            bytes = text
                .replace("\"eos_token_id\": 2", &format!("\"eos_token_id\": {}", expected[2]))
                .into();
        }
        std::fs::write(folder.path().join(file), bytes).unwrap();
    }
    let mut asked = request(folder.path(), single("cpu"));
    assert_eq!(tokens(&asked), expected);
    asked.generation.ignore_eos = false;
    let (generation, _, _) = run(&asked).unwrap();
    assert_eq!(generation.output_ids, expected[..3]);
    assert_eq!(generation.finish_reason, FinishReason::Eos);
}

#[test]
fn sampling_repeats_with_its_seed_on_any_placement() {
    let sampled = |seed: u64, map: DeviceMapRequest| {
        let mut asked = request(&tiny("qwen2-tied"), map);
        asked.generation.sampling = Some(Sampling {
            temperature: 2.0,
            top_k: Some(50),
            top_p: None,
            seed,
        });
        tokens(&asked)
    };
    assert_eq!(sampled(1, single("cpu")), sampled(1, halves("sim:0", "sim:1")));
    assert_ne!(sampled(1, single("cpu")), sampled(2, single("cpu")));
}

#[test]
fn half_precision_is_computed_when_asked_for() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let mut asked = request(&tiny("llama-gqa"), halves("sim:0", "sim:1"));
        asked.dtype = Some(dtype);
        let (generation, session, _) = run(&asked).unwrap();
        assert_eq!(generation.output_ids.len(), 8, "{dtype:?}");
        assert_eq!(generation.transfer_bytes[1], ROW_BYTES / 2, "{dtype:?}");
        let weights: u64 = session.realised().iter().map(|module| module.bytes.0).sum();
        let (full, _, _) = open(&request(&tiny("llama-gqa"), single("cpu"))).unwrap();
        assert_eq!(
            weights * 2,
            full.realised().iter().map(|module| module.bytes.0).sum::<u64>(),
            "{dtype:?}"
        );
    }
}

#[test]
fn budgets_hold_to_the_byte() {
    let mut asked = request(&tiny("llama-gqa"), halves("sim:0", "sim:1"));
    let (_, session, _) = run(&asked).unwrap();
    let peak = bytes_on(&session, "sim:0", MemoryKind::Peak);
    let weights = bytes_on(&session, "sim:0", MemoryKind::Weights);
    let cache = bytes_on(&session, "sim:0", MemoryKind::KvCache);
    // Two layers, keys and values, 2 heads of 8 elements, 5 + 8 positions, 4 bytes.
    assert_eq!(cache, 2 * 2 * 2 * 8 * 13 * 4);
    assert!(peak > weights + cache);

    asked.devices = logical(&[Some(peak), None]);
    assert!(run(&asked).is_ok(), "an exact fit fits");
    for (budget, phase) in [(peak - 1, Phase::Prefill), (weights - 1, Phase::Load)] {
        asked.devices = logical(&[Some(budget), None]);
        let failure = run(&asked).err().unwrap();
        assert_eq!(failure.class, FailureClass::OutOfMemory);
        assert_eq!(failure.phase, phase);
        assert_eq!(failure.device, Some(id("sim:0")));
        assert_eq!(failure.allowed_bytes, Some(Bytes(budget)));
        assert!(failure.needed_bytes > failure.allowed_bytes);
        assert!(failure.place.is_some(), "{failure:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_class() {
    let model = tiny("llama-gqa");
    let class = |asked: &WorkerRequest| open(asked).err().map(|failure| failure.class);
    let with = |change: fn(&mut WorkerRequest)| {
        let mut asked = request(&model, single("sim:0"));
        change(&mut asked);
        class(&asked)
    };
    assert_eq!(with(|_| ()), None);
    assert_eq!(
        with(|asked| asked.generation.max_new_tokens = 0),
        Some(FailureClass::RequestInvalid)
    );
    assert_eq!(
        with(|asked| asked.generation.max_new_tokens = 252),
        Some(FailureClass::RequestInvalid)
    );
    assert_eq!(with(|asked| asked.generation.max_new_tokens = 251), None);
    assert_eq!(
        with(|asked| asked.generation.stop = vec!["x".into()]),
        Some(FailureClass::RequestInvalid)
    );
    assert_eq!(
        with(|asked| asked.prompt = Prompt::Text("x".into())),
        Some(FailureClass::Tokenizer)
    );
    assert_eq!(
        with(|asked| asked.placement.device_map = single("sim:7")),
        Some(FailureClass::DeviceMissing)
    );
    assert_eq!(
        with(|asked| asked.placement.device_map = single("cuda:99")),
        Some(FailureClass::DeviceMissing)
    );
    let incomplete = request(&model, manual(&[("model.layers.0-3", "sim:0")]));
    assert_eq!(class(&incomplete), Some(FailureClass::PlacementInvalid));
    let absent = request(&model.join("absent"), single("cpu"));
    assert_eq!(class(&absent), Some(FailureClass::ModelMissing));
}
