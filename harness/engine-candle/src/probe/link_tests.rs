use placebench_core::doctor::probe::Arrived;
use placebench_core::fault::{Fault, FaultPoint};

use super::*;

fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn slice(name: &str) -> LogicalDevice {
    LogicalDevice {
        id: id(name),
        on: DeviceId::cpu(),
        memory_bytes: None,
    }
}

/// What the probe of a link says about each path.
fn probe(from: &str, to: &str, faults: Vec<Fault>) -> Vec<(Transfer, Vec<CopyFigures>, Option<LinkRates>)> {
    let faults = FaultPlan::new(faults);
    let logical = [slice("sim:0"), slice("sim:1")];
    let probe = LinkProbe::open(&logical, &id(from), &id(to), &faults, true).unwrap();
    let mut said = Vec::new();
    let mut hear = |event| {
        if let ProbeEvent::Path {
            transfer,
            copies,
            rates,
        } = event
        {
            said.push((transfer, copies, rates));
        }
    };
    let mut reporter = Reporter(&mut hear);
    for transfer in [Transfer::Direct, Transfer::Host] {
        probe.path(transfer, &mut reporter).unwrap();
    }
    said
}

fn fault(kind: FaultKind, hop: &str, token: Option<u32>) -> Fault {
    let at = FaultPoint {
        hop: Some(hop.into()),
        token,
        ..FaultPoint::default()
    };
    Fault {
        delay_s: Some(0.01),
        ..Fault::new(kind, at)
    }
}

#[test]
fn sound_links_deliver_and_have_rates() {
    for (from, to) in [("cpu", "cpu"), ("cpu", "sim:0"), ("sim:1", "sim:0")] {
        for (transfer, copies, rates) in probe(from, to, Vec::new()) {
            assert_eq!(copies.len(), 3);
            for copy in &copies {
                assert_eq!((copy.wrong_bytes, copy.arrived), (Bytes(0), None), "{transfer:?}");
                assert!(copy.median_s.is_some_and(|median| median > 0.0));
            }
            assert!(rates.is_some_and(|rates| rates.bytes_per_s > 0.0 && rates.latency_s >= 0.0));
        }
    }
}

#[test]
fn wrong_copies_are_seen_on_the_path_and_link_they_happen_on() {
    for (kind, token, arrived) in [
        (FaultKind::ZeroCopy, None, Arrived::Zeros),
        (FaultKind::StaleCopy, Some(1), Arrived::Stale),
        (FaultKind::CorruptCopy, None, Arrived::Zeros),
    ] {
        let said = probe("sim:0", "sim:1", vec![fault(kind, "sim:0->sim:1", token)]);
        for (transfer, copies, rates) in said {
            let direct = transfer == Transfer::Direct;
            assert_eq!(
                rates.is_none(),
                direct,
                "{kind:?} {transfer:?}: speeds of wrong copies are not told"
            );
            for copy in copies {
                assert_eq!(copy.wrong_bytes > Bytes(0), direct, "{kind:?} {transfer:?}");
                assert_eq!(copy.arrived, direct.then_some(arrived), "{kind:?}");
            }
        }
        let back = probe("sim:1", "sim:0", vec![fault(kind, "sim:0->sim:1", token)]);
        assert!(
            back.iter()
                .all(|(_, copies, _)| copies.iter().all(|copy| copy.wrong_bytes == Bytes(0)))
        );
    }
}

#[test]
fn the_way_through_the_host_can_be_the_broken_one() {
    let said = probe(
        "sim:0",
        "sim:1",
        vec![fault(FaultKind::ZeroCopy, "sim:0 -> host -> sim:1", None)],
    );
    let wrong: Vec<bool> = said
        .iter()
        .map(|(_, copies, _)| copies[0].wrong_bytes > Bytes(0))
        .collect();
    assert_eq!(wrong, [false, true]);
}

#[test]
fn a_slow_link_shows_in_its_latency() {
    let said = probe(
        "sim:0",
        "sim:1",
        vec![fault(FaultKind::SlowLink, "sim:0 -> sim:1", None)],
    );
    let latency_s: Vec<f64> = said.iter().map(|(_, _, rates)| rates.unwrap().latency_s).collect();
    assert!(latency_s[0] >= 0.009, "{latency_s:?}");
}

#[test]
fn rates_come_from_differences() {
    let copy = |bytes, median_s| CopyFigures {
        bytes: Bytes(bytes),
        compared: 3,
        wrong_bytes: Bytes(0),
        first_wrong_byte: None,
        arrived: None,
        median_s,
    };
    let times = |times: [Option<f64>; 3]| {
        let [small, middle, large] = times;
        rates(&[copy(1_000, small), copy(1_000_000, middle), copy(3_000_000, large)])
    };
    // 2 MB take 2 ms: 1 GB/s; 1 kB takes 1 µs of the 11.
    let found = times([Some(11e-6), Some(1.01e-3), Some(3.01e-3)]).unwrap();
    assert!((found.bytes_per_s - 1e9).abs() < 1.0, "{found:?}");
    assert!((found.latency_s - 10e-6).abs() < 1e-12, "{found:?}");
    let noisy = times([Some(1e-5), Some(4e-3), Some(3e-3)]).unwrap();
    assert_eq!((noisy.bytes_per_s, noisy.latency_s), (1e9, 1e-5));
    assert_eq!(times([None, Some(1.0), Some(2.0)]), None);
}
