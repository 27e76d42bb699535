//! The step over the prompt before anything is generated: the same logits as the first step, no trace, and faults where they
//! name the phase.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::request::{PROMPT, context, fault, halves, logical, open, request, single};
use common::tiny;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::outcome::Phase;
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, Transfer};
use placebench_core::protocol::{Dtype, Generation, MemoryFigure, Precision, Probe, Prompt, WorkerRequest};
use placebench_engine::{Engine, Session};
use placebench_engine_candle::reference::ReferenceEngine;

fn asked(map: DeviceMapRequest) -> WorkerRequest {
    request(&tiny("qwen2-tied"), map)
}

fn split() -> DeviceMapRequest {
    halves("sim:0", "sim:1")
}

/// What a worker does: links, the probe if it is asked for, one generation.
fn made(asked: &WorkerRequest, probes: bool) -> (Option<Probe>, Generation, Vec<MemoryFigure>) {
    let (mut session, mut context, _) = open(asked).unwrap();
    context.phase(Phase::Prepare);
    session.prepare(&mut context).unwrap();
    let probe = probes.then(|| session.probe(&mut context).unwrap()).flatten();
    let generation = session.generate(&mut context).unwrap();
    (probe, generation, session.memory())
}

fn prepare_fault(kind: FaultKind, point: FaultPoint) -> Fault {
    let at = FaultPoint {
        phase: Some(Phase::Prepare),
        ..point
    };
    fault(kind, at)
}

#[test]
fn it_is_the_first_step_of_the_generation() {
    for offload in [Offload::Execute, Offload::Stream] {
        for map in [single("sim:0"), split(), halves("sim:0", "cpu")] {
            let mut asked = asked(map);
            asked.placement.offload = offload;
            let (probe, generation, _) = made(&asked, true);
            let probe = probe.unwrap();
            assert_eq!(probe.top5, generation.top5[0]);
            assert_eq!((probe.input_tokens as usize, probe.non_finite), (PROMPT.len(), 0));
            assert_eq!(probe.precision, Some(Precision::F32));
            assert!(probe.logits_l2 > 0.0 && probe.logits > 5);
        }
    }
}

#[test]
fn it_leaves_no_trace() {
    let with_probe = made(&asked(split()), true);
    let without = made(&asked(split()), false);
    assert_eq!(with_probe.1.output_ids, without.1.output_ids);
    assert_eq!(with_probe.1.top5, without.1.top5);
    assert_eq!(with_probe.2, without.2, "neither cache nor peak");
}

#[test]
fn the_first_of_several_sequences_is_probed() {
    for concurrency in [Concurrency::Batch(2), Concurrency::InFlight(2)] {
        let mut asked = asked(split());
        asked.placement.concurrency = concurrency;
        asked.companion_prompts = vec![Prompt::InputIds(vec![9, 8, 7])];
        let (probe, generation, _) = made(&asked, true);
        let probe = probe.unwrap();
        assert_eq!(probe.input_tokens as usize, PROMPT.len());
        assert_eq!(probe.top5[0].id, generation.output_ids[0], "{concurrency:?}");
    }
}

#[test]
fn a_broken_hop_bends_it_and_a_fault_of_the_generation_does_not() {
    let right = made(&asked(split()), true);
    let hop = || FaultPoint {
        hop: Some("model.layers.1 -> model.layers.2".into()),
        ..FaultPoint::default()
    };
    for kind in [FaultKind::ZeroCopy, FaultKind::StaleCopy, FaultKind::CorruptCopy] {
        let mut asked = asked(split());
        asked.faults = vec![prepare_fault(kind, hop())];
        let (probe, _, _) = made(&asked, true);
        assert_eq!(probe, right.0, "{kind:?}: the link was tried, and is got round");
        // What was asked to go through the host is not tried.
        asked.placement.transfer = Transfer::Host;
        let (probe, generation, _) = made(&asked, true);
        let (probe, expected) = (probe.unwrap(), right.0.clone().unwrap());
        let apart = (probe.logits_l2 - expected.logits_l2).abs() / expected.logits_l2;
        assert!(
            probe.top5[0].id != expected.top5[0].id || apart > 1e-3,
            "{kind:?}: {apart}"
        );
        assert_eq!(generation.output_ids, right.1.output_ids, "{kind:?}");
        asked.faults = vec![fault(kind, hop())];
        let (probe, generation, _) = made(&asked, true);
        assert_eq!(probe, right.0, "{kind:?} without a phase strikes while generating");
        assert_ne!(generation.output_ids, right.1.output_ids, "{kind:?}");
    }
    let mut left_behind = asked(split());
    left_behind.faults = vec![fault(FaultKind::InputDevice, FaultPoint::default())];
    let (mut session, mut context, _) = open(&left_behind).unwrap();
    context.phase(Phase::Prepare);
    assert_eq!(session.probe(&mut context).unwrap(), right.0);
    assert!(session.generate(&mut context).is_err());
}

#[test]
fn what_is_not_finite_is_counted() {
    let mut asked = asked(split());
    let at = FaultPoint {
        module: Some("model.layers.2".into()),
        ..FaultPoint::default()
    };
    asked.faults = vec![prepare_fault(FaultKind::Nan, at)];
    let (probe, _, _) = made(&asked, true);
    let probe = probe.unwrap();
    assert_eq!(probe.non_finite, probe.logits);
    assert!(probe.top5.is_empty() && probe.logits_l2 == 0.0);
}

#[test]
fn without_room_it_is_left_to_the_generation() {
    let whole = made(&asked(split()), false).2;
    let weights: u64 = whole
        .iter()
        .find(|figure| figure.device.as_str() == "sim:1")
        .unwrap()
        .bytes
        .0;
    let mut tight = asked(split());
    tight.devices = logical(&[None, Some(weights)]);
    let (mut session, mut context, _) = open(&tight).unwrap();
    context.phase(Phase::Prepare);
    assert_eq!(session.probe(&mut context).unwrap(), None);
    let failure = session.generate(&mut context).unwrap_err();
    assert_eq!(failure.phase, Phase::Prefill);
}

#[test]
fn candles_own_model_gives_the_same_logits() {
    let placed = made(&asked(split()), true).0.unwrap();
    let mut whole = asked(single("cpu"));
    whole.devices = Vec::new();
    let (mut context, _) = context(&whole);
    let mut session = ReferenceEngine.open(&whole, &mut context).unwrap();
    context.phase(Phase::Prepare);
    let probe = session.probe(&mut context).unwrap().unwrap();
    let generation = session.generate(&mut context).unwrap();
    assert_eq!(probe.top5, generation.top5[0], "and leaves no cache behind");
    let apart = (probe.logits_l2 - placed.logits_l2).abs() / placed.logits_l2;
    assert!(probe.top5[0].id == placed.top5[0].id && apart < 1e-4, "{apart}");
}

#[test]
fn half_precision_is_said() {
    let mut asked = asked(split());
    asked.dtype = Some(Dtype::Bf16);
    assert_eq!(made(&asked, true).0.unwrap().precision, Some(Precision::Bf16));
}
