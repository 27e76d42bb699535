//! The search against culprits that are known, on maps of all kinds.

use proptest::prelude::*;

use super::*;
use crate::device::DeviceId;
use crate::placement::{Offload, Transfer};
use crate::units::Bytes;

fn device(index: usize) -> DeviceId {
    DeviceId::new(&format!("sim:{index}")).unwrap()
}

fn modules(layers: usize) -> Vec<String> {
    let layers = (0..layers).map(|layer| format!("model.layers.{layer}"));
    std::iter::once("model.embed_tokens".to_owned())
        .chain(layers)
        .chain(["model.norm".to_owned(), "lm_head".to_owned()])
        .collect()
}

fn placed(devices: &[usize]) -> Configuration {
    Configuration {
        devices: devices.iter().map(|index| device(*index)).collect(),
        transfer: Transfer::Direct,
        offload: Offload::Execute,
    }
}

fn space(failing: Configuration, passing: Configuration) -> Space {
    Space {
        modules: modules(failing.devices.len() - 3),
        weights_bytes: Vec::new(),
        capacities: Vec::new(),
        failing,
        passing,
        suspect: None,
    }
}

/// What is broken.
#[derive(Debug, Clone)]
enum Broken {
    /// The hop after that module, whatever the devices.
    Hop(usize),
    /// A link, used directly.
    DirectLink(usize, usize),
    /// A link, whichever way.
    Link(usize, usize),
    /// A module on a device.
    Module(usize, usize),
    /// A device.
    Device(usize),
    /// Two hops, only together.
    TwoHops(usize, usize),
}

impl Broken {
    fn fails(&self, configuration: &Configuration) -> bool {
        let places = &configuration.devices;
        let is_hop = |before: usize| before + 1 < places.len() && places[before] != places[before + 1];
        let link = |a: usize, b: usize| {
            places
                .windows(2)
                .any(|pair| pair[0] == device(a) && pair[1] == device(b))
        };
        match *self {
            Self::Hop(before) => is_hop(before),
            Self::DirectLink(a, b) => link(a, b) && configuration.transfer == Transfer::Direct,
            Self::Link(a, b) => link(a, b),
            Self::Module(module, on) => places[module] == device(on),
            Self::Device(on) => places.contains(&device(on)),
            Self::TwoHops(a, b) => is_hop(a) && is_hop(b),
        }
    }
}

/// Searches to the end; returns the last step and the number of probes.
fn run(space: &Space, limit: u32, result: impl Fn(&Configuration) -> ProbeResult) -> (Step, u32) {
    let mut history: Vec<Probed> = Vec::new();
    loop {
        let made = u32::try_from(history.len()).unwrap();
        match next_step(space, &history, limit - made) {
            Step::Probe(probe) => {
                assert!(!probe.tried.is_empty());
                assert!(
                    history.iter().all(|probed| probed.configuration != probe.configuration),
                    "tried twice: {probe:?}"
                );
                history.push(Probed {
                    result: result(&probe.configuration),
                    configuration: probe.configuration,
                });
            }
            step => return (step, made),
        }
    }
}

fn verdict(broken: &Broken) -> impl Fn(&Configuration) -> ProbeResult + '_ {
    |configuration| match broken.fails(configuration) {
        true => ProbeResult::Fails,
        false => ProbeResult::Passes,
    }
}

fn found(space: &Space, broken: &Broken) -> (Answer, u32) {
    match run(space, 60, verdict(broken)) {
        (Step::Found(answer), probes) => (*answer, probes),
        other => panic!("{broken:?}: {other:?}"),
    }
}

/// 27 modules in turn on three devices.
fn in_turn() -> Configuration {
    let devices: Vec<usize> = (0..27).map(|module| module % 3).collect();
    placed(&devices)
}

#[test]
fn every_hop_among_24_layers_on_three_devices_is_found_within_12_attempts() {
    let mut most = 0;
    for single in 0..3 {
        let space = space(in_turn(), placed(&[single; 27]));
        for hop in 0..26 {
            let (answer, probes) = found(&space, &Broken::Hop(hop));
            let Culprit::Hop { from_module, .. } = &answer.culprit else {
                panic!("{hop}: {answer:?}");
            };
            assert_eq!(*from_module, space.modules[hop]);
            assert!(answer.is_minimal());
            assert_eq!(
                answer.observed(|kind| *kind == ObservationKind::Exchanged),
                Some(ProbeResult::Fails),
                "whatever the devices"
            );
            most = most.max(probes + 2);
        }
    }
    assert!(most <= 12, "{most} attempts with the two that confirm");
}

#[test]
fn a_failure_that_names_its_place_saves_the_halving() {
    let mut space = space(in_turn(), placed(&[0; 27]));
    space.suspect = Some(Suspect::Hop(11));
    let (answer, probes) = found(&space, &Broken::Hop(11));
    assert!(matches!(answer.culprit, Culprit::Hop { .. }), "{answer:?}");
    assert!(probes <= 5, "{probes}");
    // A place that misleads costs one probe and no more.
    space.suspect = Some(Suspect::Hop(20));
    let (misled, more) = found(&space, &Broken::Hop(3));
    assert!(matches!(misled.culprit, Culprit::Hop { ref from_module, .. } if *from_module == space.modules[3]));
    assert!(more <= 11, "{more}");
}

#[test]
fn a_direct_link_is_told_from_its_modules_and_from_the_way_through_the_host() {
    let devices: Vec<usize> = (0..27).map(|module| module / 9).collect();
    let space = space(placed(&devices), placed(&[2; 27]));
    let (answer, _) = found(&space, &Broken::DirectLink(0, 1));
    assert_eq!(
        answer.culprit,
        Culprit::Link {
            from: device(0),
            to: device(1)
        }
    );
    assert!(answer.is_minimal());
    let observed = |kind: ObservationKind| answer.observed(|known| *known == kind);
    assert_eq!(
        observed(ObservationKind::Transfer(Transfer::Host)),
        Some(ProbeResult::Passes)
    );
    assert_eq!(observed(ObservationKind::Exchanged), Some(ProbeResult::Passes));
    assert_eq!(
        observed(ObservationKind::OtherLink { to: device(2) }),
        Some(ProbeResult::Passes)
    );
}

#[test]
fn modules_and_devices_are_told_apart() {
    let devices: Vec<usize> = (0..27).map(|module| module / 9).collect();
    let space = space(placed(&devices), placed(&[0; 27]));
    let (answer, _) = found(&space, &Broken::Module(13, 1));
    assert_eq!(
        answer.culprit,
        Culprit::Module {
            module: "model.layers.12".into(),
            device: device(1)
        }
    );
    let (answer, _) = found(&space, &Broken::Device(1));
    assert_eq!(answer.culprit, Culprit::Device { device: device(1) });
    assert!(answer.is_minimal());
}

#[test]
fn where_only_the_transfer_differs_it_is_the_culprit() {
    let devices: Vec<usize> = (0..27).map(|module| module / 9).collect();
    let failing = placed(&devices);
    let passing = Configuration {
        transfer: Transfer::Host,
        ..failing.clone()
    };
    let (answer, probes) = found(&space(failing, passing), &Broken::DirectLink(0, 1));
    assert_eq!(
        answer.culprit,
        Culprit::Transfer {
            transfer: Transfer::Direct
        }
    );
    assert_eq!(probes, 0, "the two that are known say it all");
}

#[test]
fn two_hops_that_fail_only_together_are_both_kept() {
    let space = space(in_turn(), placed(&[0; 27]));
    let broken = Broken::TwoHops(4, 17);
    let (step, _) = run(&space, 200, verdict(&broken));
    let Step::Found(answer) = step else { panic!("{step:?}") };
    assert!(matches!(answer.culprit, Culprit::Several { .. }), "{answer:?}");
    assert!(broken.fails(&answer.failing));
    assert!(answer.is_minimal(), "{answer:?}");
}

#[test]
fn what_cannot_fit_is_not_tried() {
    let mut space = space(in_turn(), placed(&[0; 27]));
    space.weights_bytes = vec![Bytes(10); 27];
    space.capacities = vec![(device(1), Bytes(100)), (device(2), Bytes(100))];
    let (_, _) = run(&space, 60, |configuration| {
        for full in [1, 2] {
            let used = configuration
                .devices
                .iter()
                .filter(|place| **place == device(full))
                .count();
            assert!(used <= 10, "{configuration:?}");
        }
        verdict(&Broken::Hop(8))(configuration)
    });
}

#[test]
fn the_end_of_the_attempts_is_no_answer_but_says_how_near_it_came() {
    let space = space(in_turn(), placed(&[0; 27]));
    let broken = Broken::Hop(11);
    let (step, probes) = run(&space, 3, verdict(&broken));
    let Step::Exhausted(pair) = step else {
        panic!("{step:?}")
    };
    assert_eq!(probes, 3);
    assert!(broken.fails(&pair.failing) && !broken.fails(&pair.passing));
    assert!(pair.failing.hops().len() < 26);
    // Attempts that run out once the culprit is known leave only what would be good to know.
    let (full, needed) = run(&space, 60, verdict(&broken));
    let (short, _) = run(&space, needed - 1, verdict(&broken));
    let (Step::Found(full), Step::Found(short)) = (full, short) else {
        panic!()
    };
    assert_eq!(full.culprit, short.culprit);
}

#[test]
fn equal_placements_have_no_difference() {
    let space = space(in_turn(), in_turn());
    assert_eq!(next_step(&space, &[], 10), Step::NoDifference);
}

/// A map of up to 16 modules on up to four devices, and something in it that is broken while one device alone is not.
fn case() -> impl Strategy<Value = (Vec<usize>, Broken)> {
    let map = prop::collection::vec(0..4_usize, 4..16)
        .prop_filter("a hop", |map| map.windows(2).any(|pair| pair[0] != pair[1]));
    map.prop_flat_map(|map| {
        let hops: Vec<usize> = (0..map.len() - 1).filter(|at| map[*at] != map[at + 1]).collect();
        let modules: Vec<usize> = (0..map.len()).collect();
        let (links, places) = (map.clone(), map.clone());
        let broken = prop_oneof![
            prop::sample::select(hops.clone()).prop_map(Broken::Hop),
            prop::sample::select(hops).prop_map(move |at| Broken::Link(links[at], links[at + 1])),
            prop::sample::select(modules).prop_map(move |at| Broken::Module(at, places[at])),
        ];
        (Just(map), broken)
    })
}

proptest! {
    #[test]
    fn any_single_culprit_is_found((map, broken) in case(), single in 0..5_usize) {
        // Device 4 is in no map: a passing placement that shares nothing with the failing one.
        let (failing, passing) = (placed(&map), placed(&vec![single; map.len()]));
        prop_assume!(!broken.fails(&passing));
        let space = space(failing, passing);
        let (answer, probes) = found(&space, &broken);
        prop_assert!(broken.fails(&answer.failing), "{answer:?}");
        prop_assert!(!broken.fails(&answer.passing), "{answer:?}");
        // Nothing in it can be left out: each single difference undone makes it pass.
        for difference in answer.failing.differences(&answer.passing) {
            let undone = answer.failing.taking(&[difference], &answer.passing);
            prop_assert!(!broken.fails(&undone), "{difference:?} of {answer:?}");
        }
        match &broken {
            Broken::Hop(at) => prop_assert!(
                matches!(&answer.culprit, Culprit::Hop { from_module, .. } if *from_module == space.modules[*at]), "{answer:?}"
            ),
            Broken::Link(a, b) => prop_assert!(
                answer.culprit == Culprit::Link { from: device(*a), to: device(*b) }, "{answer:?}"
            ),
            Broken::Module(module, on) => prop_assert!(
                answer.culprit == Culprit::Module { module: space.modules[*module].clone(), device: device(*on) }, "{answer:?}"
            ),
            _ => {}
        }
        prop_assert!(probes <= 24, "{probes}");
    }

    #[test]
    fn whatever_is_claimed_is_true(
        (map, broken) in case(),
        passing in prop::collection::vec(0..4_usize, 16),
        (by_host, direct, suspect) in (any::<bool>(), any::<bool>(), 0..20_usize),
    ) {
        // Any map may be the one that passes, travelling another way, and the failure may have been seen anywhere.
        let broken = match broken {
            Broken::Link(a, b) if direct => Broken::DirectLink(a, b),
            other => other,
        };
        let mut passing = placed(&passing[..map.len()]);
        if by_host {
            passing.transfer = Transfer::Host;
        }
        // Half of them fail themselves: rejecting them all would end a long test.
        if broken.fails(&passing) {
            return Ok(());
        }
        let mut space = space(placed(&map), passing);
        space.suspect = match suspect {
            at if at % 3 == 0 => Some(Suspect::Module(at)),
            at if at % 3 == 1 => Some(Suspect::Hop(at)),
            _ => None,
        };
        let (step, _) = run(&space, 300, verdict(&broken));
        let Step::Found(answer) = step else { panic!("{step:?}") };
        prop_assert!(broken.fails(&answer.failing) && !broken.fails(&answer.passing), "{answer:?}");
        if answer.is_minimal() {
            for difference in answer.failing.differences(&answer.passing) {
                let undone = answer.failing.taking(&[difference], &answer.passing);
                prop_assert!(!broken.fails(&undone), "{difference:?} of {answer:?}");
            }
        }
    }

    #[test]
    fn the_same_history_gives_the_same_step(results in prop::collection::vec(0..3_u8, 30), map in prop::collection::vec(0..3_usize, 4..12)) {
        // Any answers at all: the search ends, asks nothing twice, and replays.
        let space = space(placed(&map), placed(&vec![0; map.len()]));
        let mut history = Vec::new();
        for result in results {
            let step = next_step(&space, &history, 30);
            prop_assert_eq!(&step, &next_step(&space, &history, 30));
            let Step::Probe(probe) = step else { break };
            let result = [ProbeResult::Fails, ProbeResult::Passes, ProbeResult::Unresolved][usize::from(result)];
            let again = history.iter().any(|known: &Probed| known.configuration == probe.configuration);
            prop_assert!(!again, "tried twice: {:?}", probe);
            history.push(Probed { configuration: probe.configuration, result });
        }
    }
}
