//! An audit of the placed decoder: healthy placements agree bit for bit, and each fault is found where it struck.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::collections::BTreeSet;

use common::request::{Sink, fault, halves, id, logical, manual, request, single, strategy};
use common::tiny;
use placebench_core::audit::{AuditStep, Became, Cell, Comparison, End, Side, Stage, Trail, compare};
use placebench_core::device::DeviceId;
use placebench_core::fault::{FaultKind, FaultPoint};
use placebench_core::outcome::{Place, WorkerFailure};
use placebench_core::placement::{DeviceMapRequest, Offload, Transfer};
use placebench_core::protocol::{DeviceFacts, Dtype, EventKind, WorkerRequest};
use placebench_core::units::Bytes;
use placebench_engine::breadcrumb::BreadcrumbWriter;
use placebench_engine::faults::FaultPlan;
use placebench_engine::{Context, Engine, Session};
use placebench_engine_candle::engine::{CandleEngine, engines};
use placebench_engine_candle::session::CandleSession;

/// Eight tokens of the tied model, or of `model`.
fn asked(map: DeviceMapRequest) -> WorkerRequest {
    WorkerRequest {
        audit: true,
        devices: logical(&[None, None, None]),
        ..request(&tiny("qwen2-tied"), map)
    }
}

struct Audited {
    steps: Vec<AuditStep>,
    events: usize,
    devices: Vec<DeviceFacts>,
    output_ids: Vec<u32>,
    failure: Option<WorkerFailure>,
}

fn audit(asked: &WorkerRequest) -> Audited {
    let sink = Sink::default();
    let faults = FaultPlan::new(asked.faults.clone());
    let context = Context::new(Box::new(sink.clone()), BreadcrumbWriter::unread(), faults);
    let mut context = if asked.audit { context.audited() } else { context };
    let mut session = CandleSession::open(asked, &mut context).unwrap();
    session.prepare(&mut context).unwrap();
    let result = session.generate(&mut context);
    context.tell_audit();
    let mut made = Audited {
        output_ids: result.as_ref().map(|made| made.output_ids.clone()).unwrap_or_default(),
        failure: result.err(),
        steps: Vec::new(),
        events: 0,
        devices: session.devices(),
    };
    for event in sink.events() {
        if let EventKind::Audited(step) = event {
            made.events += 1;
            step.append_to(&mut made.steps);
        }
    }
    made
}

fn trail<'a>(name: &'a str, audited: &'a Audited) -> Trail<'a> {
    Trail {
        name,
        steps: &audited.steps,
        devices: &audited.devices,
        is_quantised: false,
    }
}

fn compared(ours: &Audited, theirs: &Audited) -> Comparison {
    compare(&trail("ours", ours), Some(&trail("single", theirs)))
}

/// The comparison of a placement with the whole model on one device.
fn against_single(ours: &WorkerRequest) -> Comparison {
    let mut alone = asked(single("sim:0"));
    alone.model.clone_from(&ours.model);
    alone.dtype = ours.dtype;
    compared(&audit(ours), &audit(&alone))
}

fn assert_agrees(comparison: &Comparison, what: &str) {
    assert_eq!(comparison.parting, None, "{what}: {}", comparison.sentence());
    assert_eq!((comparison.end, &comparison.drift), (End::Complete, &None), "{what}");
    assert_eq!((comparison.modules.len(), comparison.steps_compared), (7, 8), "{what}");
    let all_same = comparison
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .all(|cell| *cell == Cell::Same);
    assert!(all_same, "{what}");
}

fn struck(kind: FaultKind, at: FaultPoint) -> WorkerRequest {
    let mut asked = asked(halves("sim:0", "sim:1"));
    asked.faults = vec![fault(kind, at)];
    asked
}

const HOP: &str = "model.layers.1 -> model.layers.2";

fn at_hop(token: u32) -> FaultPoint {
    FaultPoint {
        hop: Some(HOP.into()),
        token: Some(token),
        ..FaultPoint::default()
    }
}

fn thirds() -> DeviceMapRequest {
    manual(&[
        ("model.embed_tokens", "sim:0"),
        ("model.layers.0", "sim:0"),
        ("model.layers.1-2", "sim:1"),
        ("model.layers.3", "sim:2"),
        ("model.norm", "sim:2"),
        ("lm_head", "sim:0"),
    ])
}

#[test]
fn healthy_placements_agree_bit_for_bit_however_activations_travel() {
    for (what, map) in [("two devices", halves("sim:0", "sim:1")), ("three devices", thirds())] {
        for transfer in [Transfer::Direct, Transfer::Host] {
            for dtype in [None, Some(Dtype::F16), Some(Dtype::Bf16)] {
                let mut ours = asked(map.clone());
                ours.placement.transfer = transfer;
                ours.dtype = dtype;
                assert_agrees(&against_single(&ours), &format!("{what}, {transfer:?}, {dtype:?}"));
            }
        }
    }
}

#[test]
fn planned_and_streamed_placements_agree_too() {
    // Too little on the first devices for the whole model, so that the planner has to use them all.
    for (what, budgets) in [
        ("auto on two", &[420_u64, 1024][..]),
        ("auto on three", &[420, 160, 1024]),
    ] {
        let mut auto = asked(strategy("auto"));
        let named = budgets.iter().enumerate();
        let named = named.map(|(index, kib)| (id(&format!("sim:{index}")), Bytes(kib << 10)));
        auto.placement.max_memory = Some(named.collect());
        let comparison = against_single(&auto);
        assert_agrees(&comparison, what);
        let devices: BTreeSet<&DeviceId> = comparison.modules.iter().map(|(_, device)| device).collect();
        assert_eq!(devices.len(), budgets.len(), "{what}");
    }
    let mut streamed = asked(manual(&[
        ("model.embed_tokens", "sim:0"),
        ("model.layers.0-1", "sim:0"),
        ("model.layers.2-3", "cpu"),
        ("model.norm", "sim:0"),
        ("lm_head", "sim:0"),
    ]));
    streamed.placement.offload = Offload::Stream;
    assert_agrees(&against_single(&streamed), "streamed");
}

#[test]
fn a_wrong_copy_is_found_at_its_hop_and_token() {
    for (kind, token) in [
        (FaultKind::ZeroCopy, 0),
        (FaultKind::ZeroCopy, 3),
        (FaultKind::StaleCopy, 0),
        (FaultKind::StaleCopy, 1),
        (FaultKind::StaleCopy, 4),
        (FaultKind::CorruptCopy, 0),
        (FaultKind::CorruptCopy, 5),
    ] {
        let comparison = against_single(&struck(kind, at_hop(token)));
        let parting = comparison.parting.clone().unwrap();
        let Place::Hop(hop) = &parting.place else {
            panic!("{}", comparison.sentence());
        };
        assert_eq!((hop.name().as_str(), parting.token), (HOP, token), "{kind:?}");
        assert_eq!((hop.from_device.as_str(), hop.to_device.as_str()), ("sim:0", "sim:1"));
        assert_eq!(parting.stage, Stage::Moving);
        match (kind, token, &parting.became) {
            // Before the first copy there was nothing; the stale memory then holds zeros.
            (FaultKind::ZeroCopy, _, Became::Zeros) | (FaultKind::StaleCopy, 0, Became::Zeros) => {}
            (FaultKind::StaleCopy, _, Became::Stale { token: before, at }) => {
                assert_eq!((*before, at.as_str()), (token - 1, HOP));
            }
            (FaultKind::CorruptCopy, _, Became::PartlyWrong { values, of, first: 0 }) => {
                assert_eq!(values * 8, *of, "every eighth value");
            }
            (_, _, became) => panic!("{kind:?} at {token}: {became:?}"),
        }
        assert!(comparison.is_blamed());
        // What came before the fault agrees, and the steps before it.
        let before = comparison.rows.iter().take_while(|row| row.token < token);
        assert!(
            before.flat_map(|row| &row.cells).all(|cell| *cell == Cell::Same),
            "{kind:?}"
        );
        let cells = &comparison.rows[token as usize].cells;
        assert_eq!(cells[..3], [Cell::Same; 3], "{kind:?}: before the hop");
        assert_eq!(cells[3], Cell::Other, "{kind:?}: behind the hop");
    }
}

#[test]
fn a_module_that_makes_nan_is_named_though_the_attempt_fails() {
    let at = FaultPoint {
        module: Some("model.layers.2".into()),
        token: Some(2),
        ..FaultPoint::default()
    };
    let ours = struck(FaultKind::Nan, at);
    let made = audit(&ours);
    assert!(made.failure.is_some());
    let comparison = compared(&made, &audit(&asked(single("sim:0"))));
    let parting = comparison.parting.clone().unwrap();
    let place = Place::Module {
        module: "model.layers.2".into(),
        device: id("sim:1"),
    };
    assert_eq!(
        (parting.token, parting.place, parting.stage),
        (2, place, Stage::Computing)
    );
    assert!(matches!(parting.became, Became::NotFinite { values, of } if values == of && of > 0));
    assert_eq!(
        comparison.sentence(),
        "parts from single at decode token 2, module model.layers.2 (sim:1): its input is finite, its output is NaN or \
         infinite in 64 of 64 values"
    );
}

/// A torn one never gets here: loading finds it (`tests/faults.rs`).
#[test]
fn a_tie_that_is_held_on_two_devices_agrees() {
    let ours = asked(manual(&[("model", "sim:0"), ("lm_head", "sim:1")]));
    assert_agrees(&against_single(&ours), "the same tie, twice");
}

#[test]
fn a_mistake_of_the_reference_is_not_blamed_on_the_others() {
    let broken = audit(&struck(FaultKind::ZeroCopy, at_hop(1)));
    let comparison = compared(&audit(&asked(single("sim:0"))), &broken);
    assert!(
        comparison.parting.is_some() && !comparison.is_blamed(),
        "{}",
        comparison.sentence()
    );
    let alone = compare(&trail("broken", &broken), None);
    assert!(alone.is_blamed(), "its own hop says so without any other trail");
}

#[test]
fn a_step_is_told_before_each_hop_and_at_its_end() {
    let two = audit(&asked(halves("sim:0", "sim:1")));
    assert_eq!((two.steps.len(), two.events), (8, 2 * 8));
    let sides = |side: Side| two.steps[3].entries.iter().filter(|entry| entry.side == side).count();
    assert_eq!(
        (sides(Side::Output), sides(Side::Sent), sides(Side::Arrived)),
        (7, 1, 1)
    );
    let devices: Vec<&DeviceId> = two.steps[3].entries.iter().map(|entry| &entry.device).collect();
    assert_eq!(devices.first().map(|id| id.as_str()), Some("sim:0"));
    assert_eq!(devices.last().map(|id| id.as_str()), Some("sim:1"));
    assert_eq!(two.steps[0].input_tokens, 5);
    assert_eq!(two.steps[1].input_tokens, 1);
}

#[test]
fn without_an_audit_nothing_is_noted_and_the_text_is_the_same() {
    let mut plain = asked(halves("sim:0", "sim:1"));
    plain.audit = false;
    let made = audit(&plain);
    assert!(made.steps.is_empty());
    assert_eq!(made.output_ids.len(), 8);
    assert_eq!(made.output_ids, audit(&asked(halves("sim:0", "sim:1"))).output_ids);
}

#[test]
fn the_placed_decoder_can_be_audited_and_the_reference_engine_cannot() {
    assert!(CandleEngine.supports_audit());
    let able: Vec<&str> = engines()
        .iter()
        .filter(|engine| engine.supports_audit())
        .map(|engine| engine.name())
        .collect();
    assert_eq!(able, ["candle"]);
}
