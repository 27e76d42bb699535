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

/// Bytes of each module's tensors, from the header of the file.
fn bytes_in_file(model: &str) -> Vec<(String, u64)> {
    let bytes = std::fs::read(tiny(model).join("model.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut modules: Vec<(String, u64)> = Vec::new();
    for (name, entry) in header.as_object().unwrap() {
        let Some(range) = entry["data_offsets"].as_array() else {
            continue;
        };
        let parts = if name.starts_with("model.layers.") { 3 } else { 2 };
        let parts = if name.starts_with("lm_head") { 1 } else { parts };
        let module = name.split('.').take(parts).collect::<Vec<_>>().join(".");
        let size = range[1].as_u64().unwrap() - range[0].as_u64().unwrap();
        match modules.iter_mut().find(|(known, _)| *known == module) {
            Some((_, bytes)) => *bytes += size,
            None => modules.push((module, size)),
        }
    }
    modules
}

/// On the accelerator.
fn figure(session: &CandleSession, kind: MemoryKind) -> u64 {
    let figures = session.memory().into_iter();
    let mut found = figures.filter(|figure| figure.device.as_str() == "sim:0" && figure.kind == kind);
    found.next().map_or(0, |figure| figure.bytes.0)
}

/// Every cut of the model in two, the accelerator first and last, the rest on the host and on disk, both ways.
#[test]
fn every_two_way_split_says_the_same_and_streams_what_it_has_offloaded() {
    for model in ["qwen2-tied", "qwen2-untied", "llama-gqa"] {
        let in_file = bytes_in_file(model);
        let names = [
            "model.embed_tokens",
            "model.layers.0",
            "model.layers.1",
            "model.layers.2",
            "model.layers.3",
        ];
        let names = [names.as_slice(), &["model.norm", "lm_head"]].concat();
        let bytes_of = |module: &str| {
            let find = |wanted: &str| in_file.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| *bytes);
            // A tied head is the embedding's matrix once more.
            find(module).or_else(|| find("model.embed_tokens")).unwrap()
        };
        let is_tied = !in_file.iter().any(|(name, _)| name == "lm_head");
        let generate = |map: DeviceMapRequest, offload| {
            let mut asked = request(&tiny(model), map);
            asked.placement.offload = offload;
            asked.generation.max_new_tokens = 3;
            let (generation, session, _) = run(&asked).unwrap();
            (generation, session)
        };
        let (expected, whole) = generate(single("sim:0"), Offload::Execute);
        for cut in 1..names.len() {
            for (first, second) in [("sim:0", "cpu"), ("sim:0", "disk"), ("cpu", "sim:0"), ("disk", "sim:0")] {
                let device = |index: usize| if index < cut { first } else { second };
                let map: Vec<(&str, &str)> = names.iter().enumerate().map(|(i, name)| (*name, device(i))).collect();
                let offloaded = map.iter().filter(|(_, device)| *device != "sim:0");
                let kept: Vec<&str> = map
                    .iter()
                    .filter(|(_, at)| *at == "sim:0")
                    .map(|(name, _)| *name)
                    .collect();
                let mut resident: u64 = kept.iter().map(|module| bytes_of(module)).sum();
                if is_tied && kept.contains(&names[0]) && kept.contains(&"lm_head") {
                    resident -= bytes_of("lm_head");
                }
                let streamed: u64 = offloaded.map(|(module, _)| bytes_of(module)).sum();
                for offload in [Offload::Stream, Offload::Execute] {
                    let about = format!("{model} {cut} {first} {second} {offload:?}");
                    let (generation, session) = generate(manual(&map), offload);
                    assert_eq!(generation.output_ids, expected.output_ids, "{about}");
                    let per_step = if offload == Offload::Stream { streamed } else { 0 };
                    assert_eq!(generation.streamed_bytes, [per_step; 3], "{about}");
                    assert_eq!(figure(&session, MemoryKind::Weights), resident, "{about}");
                    if offload == Offload::Execute && resident < figure(&whole, MemoryKind::Weights) {
                        let peak = |session| figure(session, MemoryKind::Peak);
                        assert!(peak(&session) < peak(&whole), "{about}");
                    }
                }
            }
        }
    }
}
