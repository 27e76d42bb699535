//! The whole models of candle-transformers, as an engine: the same tokens as transformers, and as the placed decoder.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod common;

use std::path::Path;

use common::gguf_fixture::{Fixture, id};
use common::{three_devices, tiny};
use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::fault::FaultKind;
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, StrategyName, Transfer};
use placebench_core::protocol::{
    Dtype, Generation, GenerationSpec, MemoryKind, ModelSource, PROTOCOL_VERSION, Prompt, WorkerRequest,
};
use placebench_core::units::Bytes;
use placebench_engine::{Context, Engine};
use placebench_engine_candle::engine::CandleEngine;
use placebench_engine_candle::reference::ReferenceEngine;

fn request(model: &Path, input_ids: &[u32], max_new_tokens: u32) -> WorkerRequest {
    WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: "test/prompt/single".into(),
        engine: String::new(),
        model: ModelSource::Path(model.to_str().unwrap().into()),
        dtype: None,
        devices: three_devices(),
        rates: None,
        placement: PlacementRequest {
            device_map: DeviceMapRequest::Single(DeviceId::new("sim:1").unwrap()),
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency: Default::default(),
        },
        prompt: Prompt::InputIds(input_ids.to_vec()),
        companion_prompts: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        },
        warmup: 0,
        repetitions: 1,
        faults: Vec::new(),
    }
}

/// Two generations, which must be the same: the cache is emptied between them.
fn generate(engine: &dyn Engine, request: &WorkerRequest) -> Generation {
    let mut context = Context::unheard();
    let mut session = engine.open(request, &mut context).unwrap();
    let first = session.generate(&mut context).unwrap();
    let second = session.generate(&mut context).unwrap();
    assert_eq!(first.output_ids, second.output_ids);
    second
}

fn refusal(request: &WorkerRequest) -> WorkerFailure {
    let opened = ReferenceEngine.open(request, &mut Context::unheard());
    opened.err().unwrap()
}

#[test]
fn tiny_models_give_the_tokens_of_transformers_and_of_the_placed_decoder() {
    for name in ["qwen2-tied", "qwen2-untied", "llama-gqa"] {
        let text = std::fs::read_to_string(tiny(name).join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in expected["cases"].as_array().unwrap() {
            let ids = |key: &str| serde_json::from_value::<Vec<u32>>(case[key].clone()).unwrap();
            let most = u32::try_from(case["max_new_tokens"].as_u64().unwrap()).unwrap();
            let request = request(&tiny(name), &ids("input_ids"), most);
            let reference = generate(&ReferenceEngine, &request);
            assert_eq!(reference.output_ids, ids("greedy_ids"), "{name}");
            let ours = generate(&CandleEngine, &request);
            assert_eq!(reference.output_ids, ours.output_ids, "{name}");
            assert_eq!(reference.finish_reason, ours.finish_reason, "{name}");
            for (theirs, ours) in reference.top5.iter().flatten().zip(ours.top5.iter().flatten()) {
                assert!((theirs.logit - ours.logit).abs() < 1e-3, "{name}: {theirs:?} {ours:?}");
            }
        }
    }
}

#[test]
fn quantised_files_give_the_tokens_of_the_placed_decoder() {
    for (architecture, tied) in [("llama", true), ("llama", false), ("qwen2", true), ("qwen2", false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        Fixture {
            architecture,
            tied,
            ..Fixture::default()
        }
        .write(&path);
        let mut request = request(&path, &[], 24);
        request.prompt = Prompt::Text("<|im_start|>the inn 123".into());
        let reference = generate(&ReferenceEngine, &request);
        let ours = generate(&CandleEngine, &request);
        assert_eq!(reference.input_ids[..3], [id("<|im_start|>"), id("t"), id("he")]);
        assert_eq!(reference.output_ids, ours.output_ids, "{architecture} tied {tied}");
        assert_eq!(reference.text, ours.text);
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let good = request(&tiny("llama-gqa"), &[3, 4], 4);
    for device_map in [
        DeviceMapRequest::Strategy(StrategyName::Auto),
        DeviceMapRequest::Single(DeviceId::disk()),
        DeviceMapRequest::Manual(vec![(String::new(), DeviceId::cpu())]),
    ] {
        let mut request = good.clone();
        request.placement.device_map = device_map;
        assert_eq!(refusal(&request).class, FailureClass::PlacementInvalid);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    Fixture::default().write(&path);
    let mut request = request(&path, &[3], 4);
    request.dtype = Some(Dtype::F32);
    assert_eq!(refusal(&request).class, FailureClass::Unsupported);
    assert!(!ReferenceEngine.supports_fault(FaultKind::Stall));
}

#[test]
fn a_budget_is_kept_and_memory_is_counted() {
    let mut request = request(&tiny("qwen2-tied"), &[3, 4], 4);
    let mut context = Context::unheard();
    let mut session = ReferenceEngine.open(&request, &mut context).unwrap();
    session.generate(&mut context).unwrap();
    let figures = session.memory();
    let bytes = |kind: MemoryKind| figures.iter().find(|figure| figure.kind == kind).unwrap().bytes.0;
    let stored = placebench_engine_candle::checkpoint::open(&tiny("qwen2-tied"))
        .unwrap()
        .weights_bytes()
        .0;
    assert_eq!(bytes(MemoryKind::Weights), stored);
    // Keys and values: 4 layers, 2 heads of 16, 6 positions, 4 bytes.
    assert_eq!(bytes(MemoryKind::KvCache), 2 * 4 * 2 * 16 * 6 * 4);
    request.devices = vec![LogicalDevice {
        id: DeviceId::new("sim:1").unwrap(),
        on: DeviceId::cpu(),
        memory_bytes: Some(Bytes(stored - 1)),
    }];
    let failure = refusal(&request);
    assert_eq!(
        (failure.class, failure.allowed_bytes),
        (FailureClass::OutOfMemory, Some(Bytes(stored - 1)))
    );
}
