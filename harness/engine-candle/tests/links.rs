//! Links are tried before the first hop, and what does not arrive directly goes through the host.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use common::request::{fault, halves, manual, open, request, single};
use common::tiny;
use placebench_core::fault::{FaultKind, FaultPoint};
use placebench_core::outcome::Phase;
use placebench_core::placement::{DeviceMapRequest, Transfer};
use placebench_core::protocol::{EventKind, LinkFacts, MemoryKind, WorkerRequest};
use placebench_engine::Session;

/// What a prepared session says of its links, and the tokens it makes then.
fn prepared(asked: &WorkerRequest) -> (Option<Vec<LinkFacts>>, Vec<u32>) {
    let (mut session, mut context, sink) = open(asked).unwrap();
    context.phase(Phase::Prepare);
    session.prepare(&mut context).unwrap();
    let generation = session.generate(&mut context).unwrap();
    let links = sink.events().into_iter().find_map(|event| match event {
        EventKind::Links { links } => Some(links),
        _ => None,
    });
    (links, generation.output_ids)
}

fn asked(map: DeviceMapRequest) -> WorkerRequest {
    request(&tiny("qwen2-tied"), map)
}

fn broken(kind: FaultKind, phase: Option<Phase>) -> WorkerRequest {
    let mut asked = asked(halves("sim:0", "sim:1"));
    let at = FaultPoint {
        phase,
        hop: Some("model.layers.1 -> model.layers.2".into()),
        ..FaultPoint::default()
    };
    asked.faults = vec![fault(kind, at)];
    asked
}

fn ends(links: &[LinkFacts]) -> Vec<(&str, &str)> {
    links
        .iter()
        .map(|link| (link.from.as_str(), link.to.as_str()))
        .collect()
}

#[test]
fn each_ordered_pair_is_tried_once_and_stays_direct() {
    let there_and_back = manual(&[
        ("model", "sim:0"),
        ("lm_head", "sim:1"),
        ("model.layers.1", "sim:1"),
        ("model.layers.3", "sim:1"),
    ]);
    let (links, _) = prepared(&asked(there_and_back));
    let links = links.unwrap();
    assert_eq!(
        ends(&links),
        [("sim:0", "sim:1"), ("sim:1", "sim:0")],
        "five hops, two links"
    );
    for link in links {
        assert_eq!(
            (link.transfer, link.verified, link.reason),
            (Transfer::Direct, true, None)
        );
    }
}

#[test]
fn without_a_hop_there_is_nothing_to_try() {
    assert_eq!(prepared(&asked(single("sim:0"))).0, None);
}

#[test]
fn host_staging_that_was_asked_for_is_not_tried() {
    let mut asked = asked(halves("sim:0", "sim:1"));
    asked.placement.transfer = Transfer::Host;
    let links = prepared(&asked).0.unwrap();
    assert_eq!((links[0].transfer, links[0].verified), (Transfer::Host, false));
    assert_eq!(links[0].reason, None);
}

#[test]
fn a_link_that_delivers_something_else_is_staged_through_the_host() {
    let (_, right) = prepared(&asked(halves("sim:0", "sim:1")));
    for kind in [FaultKind::ZeroCopy, FaultKind::StaleCopy, FaultKind::CorruptCopy] {
        let (links, tokens) = prepared(&broken(kind, Some(Phase::Prepare)));
        let links = links.unwrap();
        assert_eq!(
            (links[0].transfer, links[0].verified),
            (Transfer::Host, true),
            "{kind:?}"
        );
        assert!(
            links[0].reason.as_deref().unwrap().contains("arrived wrong"),
            "{links:?}"
        );
        assert_eq!(tokens, right, "{kind:?}");
    }
}

/// So that the detectors of wrong text keep something to detect.
#[test]
fn a_fault_of_the_generation_is_not_seen_beforehand() {
    let (_, right) = prepared(&asked(halves("sim:0", "sim:1")));
    let (links, tokens) = prepared(&broken(FaultKind::CorruptCopy, None));
    assert_eq!(links.unwrap()[0].transfer, Transfer::Direct);
    assert_ne!(tokens, right);
}

#[test]
fn a_link_that_never_delivers_is_given_up() {
    let (_, right) = prepared(&asked(halves("sim:0", "sim:1")));
    let (links, tokens) = prepared(&broken(FaultKind::Stall, Some(Phase::Prepare)));
    let links = links.unwrap();
    assert_eq!(links[0].transfer, Transfer::Host);
    assert!(
        links[0].reason.as_deref().unwrap().contains("had not arrived"),
        "{links:?}"
    );
    assert_eq!(tokens, right);
}

/// The patterns are no larger than what the hops carry, so a budget that fits the model fits the check.
#[test]
fn the_check_does_not_raise_the_peak() {
    for map in [
        halves("sim:0", "sim:1"),
        manual(&[("model", "sim:0"), ("lm_head", "sim:1")]),
    ] {
        let peaks = |is_prepared: bool| -> Vec<u64> {
            let (mut session, mut context, _) = open(&asked(map.clone())).unwrap();
            if is_prepared {
                session.prepare(&mut context).unwrap();
            }
            session.generate(&mut context).unwrap();
            let figures = session.memory().into_iter();
            let peaks = figures.filter(|figure| figure.kind == MemoryKind::Peak);
            peaks.map(|figure| figure.bytes.0).collect()
        };
        assert_eq!(peaks(true), peaks(false));
    }
}

/// On a machine with GPUs: every ordered pair of them, and two logical devices on the first.
#[cfg(feature = "cuda")]
#[test]
fn every_pair_of_cards_delivers_one_way_or_the_other() {
    use placebench_core::device::{DeviceId, LogicalDevice};
    use placebench_engine::faults::HopEffect;
    use placebench_engine_candle::device::link::{Link, PeerAccess};
    use placebench_engine_candle::device::{Devices, gpus};
    use placebench_engine_candle::model::links::LINK_DEADLINE;

    let cards: Vec<DeviceId> = gpus().into_iter().map(|gpu| gpu.id).collect();
    let Some(first) = cards.first() else { return };
    let halves = ["half:0", "half:1"].map(|name| LogicalDevice {
        id: DeviceId::new(name).unwrap(),
        on: first.clone(),
        memory_bytes: None,
    });
    let devices = Devices::open(&halves, &cards).unwrap();
    let sizes = [1, 4096, 1 << 20];
    for from in devices.slots() {
        for to in devices.slots().filter(|to| *to != from) {
            let link = Link { from, to };
            let about = format!("{} to {}", devices.id(from), devices.id(to));
            let verify = |transfer| devices.verify(link, transfer, &sizes, LINK_DEADLINE, || HopEffect::None);
            assert_eq!(verify(Transfer::Host), Ok(()), "{about} through the host");
            match devices.enable_peer_access(link) {
                // Whether it then delivers is the machine's affair; that it is found out is ours.
                PeerAccess::Enabled => println!("{about}: {:?}", verify(Transfer::Direct)),
                PeerAccess::NotNeeded => assert_eq!(verify(Transfer::Direct), Ok(()), "{about}"),
                PeerAccess::Refused(reason) => println!("{about}: {reason}"),
            }
        }
    }
}
