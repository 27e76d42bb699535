//! Each injected fault does what it says, and nothing where it is not asked for. Stalls, crashes and ignored signals end
//! the process and are tested where processes are supervised.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::request::{fault, halves, id, logical, manual, open, request, run, single};
use common::tiny;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::outcome::{FailureClass, Phase};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::WorkerRequest;
use placebench_core::units::Bytes;
use placebench_engine::{Engine, Session};
use placebench_engine_candle::engine::CandleEngine;
use placebench_engine_candle::session::CandleSession;

fn with(map: DeviceMapRequest, kind: FaultKind, at: FaultPoint) -> WorkerRequest {
    let mut asked = request(&tiny("qwen2-tied"), map);
    asked.faults = vec![fault(kind, at)];
    asked
}

fn split() -> DeviceMapRequest {
    halves("sim:0", "sim:1")
}

fn tokens(asked: &WorkerRequest) -> Vec<u32> {
    run(asked).unwrap().0.output_ids
}

fn right() -> Vec<u32> {
    tokens(&request(&tiny("qwen2-tied"), split()))
}

fn at_token(token: u32) -> FaultPoint {
    FaultPoint {
        token: Some(token),
        ..FaultPoint::default()
    }
}

fn devices_of(session: &CandleSession) -> Vec<String> {
    session
        .realised()
        .iter()
        .map(|module| module.device.to_string())
        .collect()
}

#[test]
fn every_fault_is_supported() {
    for kind in FaultKind::ALL {
        assert!(CandleEngine.supports_fault(kind), "{kind:?}");
    }
}

#[test]
fn wrong_copies_change_the_text_from_where_they_strike() {
    let right = right();
    for kind in [FaultKind::ZeroCopy, FaultKind::StaleCopy, FaultKind::CorruptCopy] {
        let wrong = tokens(&with(split(), kind, FaultPoint::default()));
        assert_ne!(wrong, right, "{kind:?}");
        let later = tokens(&with(split(), kind, at_token(3)));
        assert_eq!(later[..3], right[..3], "{kind:?} strikes only at token 3");
        assert_ne!(later, right, "{kind:?}");
        let nowhere = tokens(&with(single("sim:0"), kind, FaultPoint::default()));
        assert_eq!(nowhere, right, "{kind:?} without a hop");
    }
}

#[test]
fn a_slow_link_is_slow_and_right() {
    let mut asked = with(split(), FaultKind::SlowLink, FaultPoint::default());
    asked.faults[0].delay_s = Some(0.02);
    let (generation, _, _) = run(&asked).unwrap();
    assert_eq!(generation.output_ids, right());
    assert!(
        generation
            .token_stamps_s
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= 0.02)
    );
}

#[test]
fn a_nan_is_named_with_its_step() {
    let at = FaultPoint {
        module: Some("model.layers.2".into()),
        token: Some(2),
        ..FaultPoint::default()
    };
    let failure = run(&with(split(), FaultKind::Nan, at)).err().unwrap();
    assert_eq!((failure.class, failure.phase), (FailureClass::NonFinite, Phase::Decode));
    assert!(failure.message.contains("step 2"), "{}", failure.message);
    let elsewhere = FaultPoint {
        module: Some("model.layers.9".into()),
        ..FaultPoint::default()
    };
    assert_eq!(tokens(&with(split(), FaultKind::Nan, elsewhere)), right());
}

#[test]
fn memory_runs_out_at_the_byte_asked_for() {
    let at = |bytes: u64| FaultPoint {
        bytes: Some(Bytes(bytes)),
        ..FaultPoint::default()
    };
    let failure = run(&with(split(), FaultKind::OutOfMemory, at(100_000))).err().unwrap();
    assert_eq!((failure.class, failure.phase), (FailureClass::OutOfMemory, Phase::Load));
    assert!(failure.needed_bytes > Some(Bytes(100_000)));
    assert_eq!(failure.allowed_bytes, Some(Bytes(100_000)));
    assert_eq!(tokens(&with(split(), FaultKind::OutOfMemory, at(1 << 40))), right());
}

#[test]
fn memory_runs_out_at_the_module_phase_and_token_asked_for() {
    let failure = |at: FaultPoint| run(&with(split(), FaultKind::OutOfMemory, at)).err().unwrap();
    let module = |phase, token| FaultPoint {
        module: Some("model.layers.2".into()),
        phase,
        token,
        ..FaultPoint::default()
    };
    let loading = failure(module(None, None));
    assert_eq!((loading.class, loading.phase), (FailureClass::OutOfMemory, Phase::Load));
    for failed in [
        failure(module(Some(Phase::Prefill), None)),
        failure(module(None, Some(0))),
    ] {
        assert_eq!(
            (failed.class, failed.phase),
            (FailureClass::OutOfMemory, Phase::Prefill)
        );
        assert_eq!(failed.place.unwrap().name(), "model.layers.2");
        assert_eq!(failed.device, Some(id("sim:1")));
    }
    assert_eq!(failure(at_token(3)).phase, Phase::Decode);
}

#[test]
fn garbage_is_one_token_again_and_again() {
    let garbage = tokens(&with(split(), FaultKind::Garbage, FaultPoint::default()));
    assert!(garbage.windows(2).all(|pair| pair[0] == pair[1]), "{garbage:?}");
    assert!(!right().windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_ignored_split_shows_in_the_realised_map_only() {
    let (session, _, _) = open(&with(split(), FaultKind::IgnoredSplit, FaultPoint::default())).unwrap();
    assert_eq!(devices_of(&session), ["sim:0"; 7]);
    assert!(
        session
            .planned()
            .device_map
            .iter()
            .any(|(_, device)| *device == id("sim:1"))
    );
}

#[test]
fn a_spill_shows_in_the_realised_map_only() {
    let (generation, session, _) = run(&with(split(), FaultKind::Spill, FaultPoint::default())).unwrap();
    assert_eq!(
        devices_of(&session),
        ["sim:0", "sim:0", "sim:0", "cpu", "cpu", "sim:1", "sim:1"]
    );
    assert!(
        session
            .planned()
            .device_map
            .iter()
            .all(|(_, device)| *device != id("cpu"))
    );
    assert_eq!(generation.output_ids, right());
}

#[test]
fn a_single_module_can_be_displaced() {
    let at = |module: &str| FaultPoint {
        module: Some(module.into()),
        ..FaultPoint::default()
    };
    let devices = |kind, module| devices_of(&open(&with(split(), kind, at(module))).unwrap().0);
    assert_eq!(
        devices(FaultKind::Spill, "model.layers.0"),
        ["sim:0", "cpu", "sim:0", "sim:1", "sim:1", "sim:1", "sim:1"]
    );
    assert_eq!(
        devices(FaultKind::IgnoredSplit, "model.layers.3"),
        ["sim:0", "sim:0", "sim:0", "sim:1", "sim:0", "sim:1", "sim:1"]
    );
}

#[test]
fn what_is_held_grows_with_each_generation_of_a_leak_and_is_the_weights_without_one() {
    let held = |faults: Vec<Fault>| -> Vec<u64> {
        let mut asked = request(&tiny("qwen2-tied"), split());
        asked.faults = faults;
        let (mut session, mut context, _) = open(&asked).unwrap();
        let mut after_each = || {
            session.generate(&mut context).unwrap();
            let second = session.held().into_iter().find(|figure| figure.device == id("sim:1"));
            second.unwrap().bytes.0
        };
        vec![after_each(), after_each(), after_each()]
    };
    let sound = held(Vec::new());
    let (session, _, _) = open(&request(&tiny("qwen2-tied"), split())).unwrap();
    let here = session
        .realised()
        .into_iter()
        .filter(|module| module.device == id("sim:1"));
    let weights: Bytes = here.map(|module| module.bytes).sum();
    assert_eq!(sound, [weights.0; 3], "caches and activations are given back");
    let caches = held(vec![fault(FaultKind::Leak, FaultPoint::default())]);
    assert!(caches.windows(2).all(|pair| pair[0] < pair[1]), "{caches:?}");
    let at = FaultPoint {
        bytes: Some(Bytes(1000)),
        ..FaultPoint::default()
    };
    let bytes = held(vec![fault(FaultKind::Leak, at)]);
    assert_eq!(bytes, [1000, 2000, 3000].map(|kept| weights.0 + kept));
}

#[test]
fn a_leak_fills_the_device_from_generation_to_generation() {
    let generations = |leaks: bool| -> (u32, Option<FailureClass>) {
        let mut asked = with(split(), FaultKind::Leak, FaultPoint::default());
        if !leaks {
            asked.faults.clear();
        }
        let (_, once, _) = run(&asked).unwrap();
        let peaks = once.memory();
        let peak = peaks.iter().map(|figure| figure.bytes.0).max().unwrap();
        asked.devices = logical(&[Some(peak + 4096), Some(peak + 4096)]);
        let (mut session, mut context, _) = open(&asked).unwrap();
        for done in 0..40 {
            if let Err(failure) = session.generate(&mut context) {
                return (done, Some(failure.class));
            }
        }
        (40, None)
    };
    assert_eq!(generations(false), (40, None));
    let (done, class) = generations(true);
    assert_eq!(class, Some(FailureClass::OutOfMemory));
    assert!(done > 0, "the first generation still fits");
}

#[test]
fn inputs_left_behind_are_refused_and_not_computed_with() {
    let failure = run(&with(split(), FaultKind::InputDevice, FaultPoint::default()))
        .err()
        .unwrap();
    assert_eq!(failure.class, FailureClass::Internal);
    assert_eq!(
        failure.message,
        "a tensor on cpu was used on sim:0 without a transfer, by module model.embed_tokens on sim:0"
    );
    let later = run(&with(split(), FaultKind::InputDevice, at_token(2))).err().unwrap();
    assert_eq!((later.class, later.phase), (FailureClass::Internal, Phase::Decode));
    assert_eq!(
        tokens(&with(split(), FaultKind::InputDevice, at_token(99))),
        right(),
        "a token that is not made"
    );
}

#[test]
fn a_torn_tie_is_found_when_loaded_and_only_where_the_tie_is_split() {
    let apart = || manual(&[("model", "sim:0"), ("lm_head", "sim:1")]);
    let failure = open(&with(apart(), FaultKind::SplitTie, FaultPoint::default()))
        .err()
        .unwrap();
    assert_eq!((failure.class, failure.phase), (FailureClass::Internal, Phase::Load));
    let words = "lm_head on sim:1 is tied to model.embed_tokens on sim:0, but the two copies differ";
    assert!(failure.message.starts_with(words), "{}", failure.message);
    assert_eq!(failure.place.unwrap().name(), "lm_head");
    assert_eq!(
        tokens(&request(&tiny("qwen2-tied"), apart())),
        right(),
        "two sound copies"
    );
    let together = tokens(&with(single("sim:0"), FaultKind::SplitTie, FaultPoint::default()));
    assert_eq!(together, right());
}
