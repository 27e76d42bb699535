//! Layers on the host and on the disk, with an accelerator at hand.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::expected::{MODELS, cases};
use common::request::{halves, manual, request, run, single};
use common::tiny;
use placebench_core::placement::{DeviceMapRequest, Offload};
use placebench_core::protocol::{Generation, MemoryKind, Prompt};
use placebench_engine::Session;
use placebench_engine_candle::session::CandleSession;

/// `sim:0` has all but layers 1 and 2.
fn offloaded_to(device: &str) -> DeviceMapRequest {
    manual(&[("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.1-2", device)])
}

fn generate(map: DeviceMapRequest, offload: Offload) -> (Generation, CandleSession) {
    let mut asked = request(&tiny("qwen2-tied"), map);
    asked.placement.offload = offload;
    let (generation, session, _) = run(&asked).unwrap();
    (generation, session)
}

fn layer_bytes(session: &CandleSession) -> u64 {
    session.realised()[2].bytes.0
}

#[test]
fn offloaded_layers_compute_the_same_tokens() {
    let (expected, _) = generate(single("cpu"), Offload::Execute);
    for device in ["cpu", "disk"] {
        for offload in [Offload::Execute, Offload::Stream] {
            let (generation, session) = generate(offloaded_to(device), offload);
            assert_eq!(generation.output_ids, expected.output_ids, "{device} {offload:?}");
            assert_eq!(session.realised()[2].device.as_str(), device);
            assert_eq!(session.realised()[1].device.as_str(), "sim:0");
        }
    }
}

/// Every tiny model with a layer on the host or on the disk: the tokens of transformers, through the token loop of a
/// session.
#[test]
fn every_family_computes_its_tokens_with_offloaded_layers() {
    for name in MODELS {
        // The longest prompt but one: in some models windows and rotary positions change while it generates.
        let case = &cases(name)[3];
        for device in ["cpu", "disk"] {
            for offload in [Offload::Execute, Offload::Stream] {
                let map = manual(&[("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.1", device)]);
                let mut asked = request(&tiny(name), map);
                asked.placement.offload = offload;
                asked.prompt = Prompt::InputIds(case.input_ids.clone());
                asked.generation.max_new_tokens = u32::try_from(case.max_new_tokens).unwrap();
                asked.generation.ignore_eos = false;
                let (generation, session, _) = run(&asked).unwrap();
                assert_eq!(generation.output_ids, case.greedy_ids, "{name} {device} {offload:?}");
                assert_eq!(session.realised()[2].device.as_str(), device, "{name}");
            }
        }
    }
}

#[test]
fn execute_moves_activations_and_stream_moves_weights() {
    for device in ["cpu", "disk"] {
        let (executed, session) = generate(offloaded_to(device), Offload::Execute);
        assert_eq!(executed.hops, [2; 8], "{device}: there and back");
        assert_eq!(executed.streamed_bytes, [0; 8], "{device}");
        let (streamed, _) = generate(offloaded_to(device), Offload::Stream);
        assert_eq!(streamed.hops, [0; 8], "{device}");
        assert_eq!(streamed.streamed_bytes, [2 * layer_bytes(&session); 8], "{device}");
    }
}

#[test]
fn what_is_on_disk_is_not_in_memory() {
    let weights = |map: DeviceMapRequest| -> u64 {
        let (_, session) = generate(map, Offload::Stream);
        let figures = session.memory();
        let weights = figures.iter().filter(|figure| figure.kind == MemoryKind::Weights);
        weights.map(|figure| figure.bytes.0).sum()
    };
    let (_, session) = generate(single("sim:0"), Offload::Stream);
    let all = weights(single("sim:0"));
    assert_eq!(weights(offloaded_to("cpu")), all);
    assert_eq!(weights(offloaded_to("disk")), all - 2 * layer_bytes(&session));
}

#[test]
fn the_whole_model_may_stay_on_disk_and_ties_hold_there() {
    let (expected, _) = generate(single("cpu"), Offload::Execute);
    for map in [single("disk"), halves("disk", "sim:0"), halves("sim:0", "disk")] {
        let (generation, _) = generate(map.clone(), Offload::Execute);
        assert_eq!(generation.output_ids, expected.output_ids, "{map:?}");
    }
}

#[test]
fn fetched_weights_count_against_the_budget_while_they_are_used() {
    let peak = |offload: Offload| -> u64 {
        let (_, session) = generate(offloaded_to("cpu"), offload);
        let figures = session.memory();
        let peak = figures
            .iter()
            .find(|figure| figure.device.as_str() == "sim:0" && figure.kind == MemoryKind::Peak);
        peak.unwrap().bytes.0
    };
    let (_, session) = generate(single("sim:0"), Offload::Stream);
    assert!(peak(Offload::Stream) > peak(Offload::Execute) + layer_bytes(&session) / 2);
}
