//! What is chosen, and what is refused.

use super::optimal::{OptimalAnswer, OptimalError, OptimalRequest, plan_optimal};
use super::predict::Objective;
use super::predict_rates::{DeviceRates, Link, LinkRates, Rates};
use super::shape_decoder::Decoder;
use super::shape_testing::{decoder, shape, slow_rates, workload};
use crate::units::Bytes;

type Name = String;

fn limited<const N: usize>(devices: [(&str, u64); N]) -> Vec<(Name, Option<Bytes>)> {
    devices
        .map(|(name, bytes)| (name.to_owned(), Some(Bytes(bytes))))
        .into()
}

fn rates() -> Rates<Name> {
    let rates = slow_rates();
    Rates {
        devices: Vec::new(),
        default_device: rates.default_device,
        links: Vec::new(),
        default_link: rates.default_link,
    }
}

fn plan(
    decoder: &Decoder,
    devices: &[(Name, Option<Bytes>)],
    rates: &Rates<Name>,
) -> Result<OptimalAnswer<Name>, OptimalError> {
    plan_optimal(&OptimalRequest {
        decoder,
        workload: &workload(),
        devices,
        rates,
        objective: Objective::Tpot,
    })
}

/// Devices in order of execution, one letter each.
fn shown(answer: &OptimalAnswer<Name>) -> String {
    answer
        .chosen
        .device_map
        .iter()
        .map(|(_, device)| device.as_str())
        .collect()
}

#[test]
fn one_device_is_enough_where_it_is() {
    let answer = plan(
        &decoder(3, false),
        &limited([("a", 20_000), ("b", 20_000)]),
        &Rates::default(),
    )
    .unwrap();
    assert_eq!(shown(&answer), "aaaaaa");
    assert_eq!(answer.single, Some(answer.chosen.clone()));
    let runner_up = answer.runner_up.unwrap();
    assert_eq!(runner_up.footprint.hops_per_token, 1);
    assert!(runner_up.prediction.tpot.time_s > answer.chosen.prediction.tpot.time_s);
}

#[test]
fn equal_devices_are_filled_evenly_in_their_order() {
    // Six layers, 21 KiB of weights and caches: three devices of which each could hold all but one end.
    let answer = plan(
        &decoder(6, false),
        &limited([("a", 14_000), ("b", 14_000), ("c", 14_000)]),
        &Rates::default(),
    );
    let answer = answer.unwrap();
    assert_eq!(shown(&answer), "aaaabbbbb");
    assert_eq!(answer.single, None);
    assert!(answer.chosen.footprint.fits());
}

#[test]
fn the_faster_device_is_used_and_the_slower_one_left_out() {
    let mut rates = rates();
    let fast = DeviceRates {
        memory_bytes_per_s: 1e8,
        flops_per_s: 1e8,
        ..rates.default_device
    };
    rates.devices.push(("b".into(), fast));
    let roomy = limited([("a", 30_000), ("b", 30_000), ("c", 30_000)]);
    assert_eq!(shown(&plan(&decoder(3, false), &roomy, &rates).unwrap()), "bbbbbb");
    // The head is the most to read, so the fast device takes the end and as many layers as it can hold.
    let tight = limited([("a", 30_000), ("b", 10_300), ("c", 30_000)]);
    assert_eq!(shown(&plan(&decoder(3, false), &tight, &rates).unwrap()), "aaabbb");
}

#[test]
fn links_decide_the_order() {
    let mut rates = rates();
    let fast = LinkRates {
        latency_s: 1e-6,
        bytes_per_s: 1e9,
    };
    for (from, to) in [("c", "a"), ("a", "b")] {
        rates.links.push(Link {
            from: from.into(),
            to: to.into(),
            rates: fast,
        });
    }
    let devices = limited([("a", 9_300), ("b", 9_300), ("c", 9_300)]);
    let answer = plan(&decoder(4, false), &devices, &rates).unwrap();
    assert_eq!(shown(&answer).chars().next(), Some('c'));
    assert_eq!(shown(&answer).chars().last(), Some('b'));
    assert_eq!(answer.chosen.prediction.tpot.hops.len(), 2);
}

#[test]
fn the_objective_decides() {
    let mut rates = rates();
    let reader = DeviceRates {
        memory_bytes_per_s: 1e8,
        flops_per_s: 1e6,
        ..rates.default_device
    };
    let calculator = DeviceRates {
        memory_bytes_per_s: 5e5,
        flops_per_s: 1e8,
        ..rates.default_device
    };
    rates.devices = vec![("r".into(), reader), ("c".into(), calculator)];
    let decoder = decoder(1, false);
    let chosen = |objective| {
        let answer = plan_optimal(&OptimalRequest {
            decoder: &decoder,
            workload: &super::footprint_workload::Workload::new(100, 10, 4),
            devices: &limited([("r", u64::MAX), ("c", u64::MAX)]),
            rates: &rates,
            objective,
        });
        shown(&answer.unwrap())
    };
    assert_eq!(chosen(Objective::Tpot), "rrrr");
    // Looking a hundred rows up in the embedding takes no arithmetic: one hop is less than reading them slowly.
    assert_eq!(chosen(Objective::Ttft), "rccc");
}

#[test]
fn a_tied_head_returns_where_a_second_copy_does_not_fit() {
    let devices = limited([("a", 8_000), ("b", 8_200)]);
    let tied = plan(&decoder(3, true), &devices, &Rates::default()).unwrap();
    assert_eq!(shown(&tied), "abbbba");
    assert!(tied.chosen.footprint.fits());
    assert_eq!(tied.chosen.footprint.devices[0].weights_bytes, Bytes(3200));
    assert_eq!(tied.chosen.footprint.hops_per_token, 2);
    assert!(matches!(
        plan(&decoder(3, false), &devices, &Rates::default()),
        Err(OptimalError::DoesNotFit(_))
    ));
    // With room for the copy, the hop is saved.
    let roomy = limited([("a", 11_000), ("b", 11_000)]);
    assert_eq!(
        plan(&decoder(3, true), &roomy, &Rates::default())
            .unwrap()
            .chosen
            .footprint
            .hops_per_token,
        1
    );
}

#[test]
fn what_does_not_fit_is_refused_with_what_is_missing() {
    let error = plan(
        &decoder(2, false),
        &limited([("a", 5_000), ("b", 4_000)]),
        &Rates::default(),
    )
    .unwrap_err();
    let OptimalError::DoesNotFit(shortfall) = &error else {
        panic!("{error}")
    };
    // The least is missing with the head alone on `b`, which lacks 640 bytes, and the rest on `a`.
    let rest = 3200 + 2 * 768 + 32 + 2 * 640 + 3840;
    assert_eq!(shortfall.missing_bytes, Bytes(rest - 5000 + 640));
    assert_eq!((shortfall.device.as_str(), shortfall.device_bytes), ("a", Bytes(rest)));
    assert_eq!(shortfall.largest_module, "model.layers.0");
    assert_eq!(shortfall.largest_module_bytes, Bytes(768 + 640 + 3840));
    let said = error.to_string();
    assert!(said.contains("`model.layers.0` alone needs 5.12 KiB"), "{said}");
    assert!(said.contains("at least 5.40 KiB are missing"), "{said}");
}

#[test]
fn host_memory_is_used_only_when_listed_with_rates() {
    let decoder = decoder(3, false);
    let devices = limited([("a", 9_300), ("cpu", 1_000_000)]);
    let refused = plan(&decoder, &devices, &Rates::default()).unwrap_err();
    assert_eq!(refused, OptimalError::HostWithoutRates { device: "cpu".into() });
    assert!(
        plan(&decoder, &devices[..1], &Rates::default()).is_err(),
        "nothing spills"
    );
    let mut rates = rates();
    let slow = DeviceRates {
        memory_bytes_per_s: 1e5,
        ..rates.default_device
    };
    rates.devices.push(("cpu".into(), slow));
    let answer = plan(&decoder, &devices, &rates).unwrap();
    // The head's weights are most of what a token reads, so they stay on the fast device.
    assert_eq!(answer.chosen.device_map.last().unwrap().1, "a");
    assert_eq!(answer.chosen.device_map.first().unwrap().1, "cpu");
    let alone = plan(&decoder, &devices[1..], &Rates::default()).unwrap();
    assert_eq!(
        shown(&alone),
        "cpu".repeat(6),
        "without a choice its speed does not matter"
    );
}

#[test]
fn wrong_requests_are_refused_by_name() {
    let decoder = decoder(1, false);
    let error = |devices: &[(Name, Option<Bytes>)]| plan(&decoder, devices, &Rates::default()).unwrap_err();
    assert_eq!(error(&[]), OptimalError::NoDevices);
    assert_eq!(
        error(&limited([("a", 1), ("a", 2)])),
        OptimalError::Twice { device: "a".into() }
    );
    assert_eq!(
        error(&limited([("disk", 1)])),
        OptimalError::Disk { device: "disk".into() }
    );
    let nothing = Decoder {
        shape: shape(1, false),
        modules: Vec::new(),
        tie: None,
    };
    assert_eq!(
        plan(&nothing, &limited([("a", 1)]), &Rates::default()).unwrap_err(),
        OptimalError::NoModules
    );
    let mut rates = rates();
    rates.default_link.bytes_per_s = 0.0;
    assert!(matches!(
        plan(&decoder, &limited([("a", 1)]), &rates),
        Err(OptimalError::Rates(_))
    ));
    let unlike: Vec<(Name, Option<Bytes>)> = (0..13)
        .map(|index| (format!("x{index}"), Some(Bytes(100_000 + index))))
        .collect();
    assert!(plan(&decoder, &unlike[..12], &Rates::default()).is_ok());
    let said = error(&unlike).to_string();
    assert!(
        said.starts_with("13 devices of 13 kinds and 4 modules are more"),
        "{said}"
    );
    let alike = |count| -> Vec<(Name, Option<Bytes>)> { (0..count).map(|index| (format!("x{index}"), None)).collect() };
    assert!(plan(&decoder, &alike(64), &Rates::default()).is_ok());
    assert!(matches!(error(&alike(65)), OptimalError::TooMany { devices: 65, .. }));
}

#[test]
fn huge_numbers_are_answered_or_refused() {
    let mut decoder = decoder(2, true);
    decoder.shape.hidden = u64::MAX;
    for module in &mut decoder.modules {
        module.weight_bytes = Bytes(u64::MAX);
        module.weight_elements = u64::MAX;
    }
    let devices = limited([("a", u64::MAX), ("b", 0)]);
    assert!(plan(&decoder, &devices, &Rates::default()).is_ok());
    assert!(matches!(
        plan(&decoder, &devices[1..], &Rates::default()),
        Err(OptimalError::DoesNotFit(_))
    ));
}
