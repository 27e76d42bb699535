use placebench_core::fault::FaultPoint;

use super::*;

fn plan(kind: FaultKind, at: FaultPoint) -> FaultPlan {
    FaultPlan::new(vec![Fault::new(kind, at)])
}

fn hop(token: u32, name: &str) -> Moment<'_> {
    Moment {
        phase: if token == 0 { Phase::Prefill } else { Phase::Decode },
        token: Some(token),
        module: None,
        hop: Some(name),
        link: None,
        device: None,
    }
}

fn module(token: u32, name: &str) -> Moment<'_> {
    Moment {
        module: Some(name),
        hop: None,
        ..hop(token, "")
    }
}

fn loading(name: &str) -> Moment<'_> {
    Moment {
        phase: Phase::Load,
        token: None,
        ..module(0, name)
    }
}

#[test]
fn every_condition_must_hold() {
    let at = FaultPoint {
        hop: Some("a->b".into()),
        token: Some(2),
        ..FaultPoint::default()
    };
    let plan = plan(FaultKind::ZeroCopy, at);
    assert_eq!(plan.at_hop(hop(1, "a -> b")), HopEffect::None);
    assert_eq!(plan.at_hop(hop(2, "b -> c")), HopEffect::None);
    assert!(plan.struck().is_empty(), "it has not struck yet");
    assert_eq!(plan.at_hop(hop(2, "a -> b")), HopEffect::Zero);
    assert_eq!(plan.struck(), [0]);
}

#[test]
fn without_conditions_the_first_chance_is_taken() {
    let nan = plan(FaultKind::Nan, FaultPoint::default());
    assert_eq!(
        nan.at_module(loading("model.norm")),
        ModuleEffect::None,
        "not while loading"
    );
    assert_eq!(nan.at_module(module(0, "model.norm")), ModuleEffect::Nan);
    assert_eq!(nan.at_hop(hop(0, "a -> b")), HopEffect::None);
}

#[test]
fn a_slow_link_can_deliver_wrong_data_too_and_each_fault_knows_of_itself() {
    let mut slow = Fault::new(FaultKind::SlowLink, FaultPoint::default());
    slow.delay_s = Some(0.001);
    let zero = Fault::new(FaultKind::ZeroCopy, FaultPoint::default());
    let late = FaultPoint {
        token: Some(9),
        ..FaultPoint::default()
    };
    let stale = Fault::new(FaultKind::StaleCopy, late);
    let plan = FaultPlan::new(vec![stale, zero, slow]);
    assert_eq!(plan.at_hop(hop(0, "a -> b")), HopEffect::Zero);
    assert_eq!(plan.struck(), [1, 2]);
}

#[test]
fn a_link_is_named_by_its_devices_and_its_way() {
    let over = |link: &'static str| Moment {
        link: Some(link),
        ..hop(0, "a -> b")
    };
    let at = FaultPoint {
        link: Some("sim:0->sim:1".into()),
        ..FaultPoint::default()
    };
    let plan = plan(FaultKind::ZeroCopy, at);
    assert_eq!(plan.at_hop(over("sim:0 -> sim:1")), HopEffect::Zero);
    for other in ["sim:1 -> sim:0", "sim:0 -> host -> sim:1"] {
        assert_eq!(plan.at_hop(over(other)), HopEffect::None, "{other}");
    }
    assert_eq!(plan.at_hop(hop(0, "a -> b")), HopEffect::None, "a hop without a way");
}

#[test]
fn a_device_spoils_the_modules_that_run_there_and_no_others() {
    let (broken, sound) = (DeviceId::new("sim:1").unwrap(), DeviceId::cpu());
    let at = FaultPoint {
        device: Some(broken.clone()),
        ..FaultPoint::default()
    };
    let plan = plan(FaultKind::Nan, at);
    let on = |device| Moment {
        device: Some(device),
        ..module(0, "model.norm")
    };
    assert_eq!(plan.at_module(on(&broken)), ModuleEffect::Nan);
    assert_eq!(plan.at_module(on(&sound)), ModuleEffect::None);
}

#[test]
fn a_fault_that_names_a_generation_strikes_in_that_one_only() {
    let at = FaultPoint {
        generation: Some(1),
        ..FaultPoint::default()
    };
    let plan = plan(FaultKind::ZeroCopy, at);
    let strikes = |plan: &FaultPlan| plan.at_hop(hop(0, "a -> b")) == HopEffect::Zero;
    assert!(!strikes(&plan), "nothing is generated yet");
    for (generation, expected) in [(0, false), (1, true), (2, false)] {
        plan.begin_generation(generation);
        assert_eq!(strikes(&plan), expected, "{generation}");
    }
}

#[test]
fn memory_runs_out_above_the_byte_count_only() {
    let at = FaultPoint {
        bytes: Some(Bytes(100)),
        ..FaultPoint::default()
    };
    let plan = plan(FaultKind::OutOfMemory, at);
    assert_eq!(plan.at_allocation(loading("a"), Bytes(100)), None);
    assert_eq!(plan.at_allocation(loading("a"), Bytes(101)), Some(Bytes(100)));
}

#[test]
fn memory_runs_out_at_a_module_a_phase_and_a_token() {
    let first = plan(FaultKind::OutOfMemory, FaultPoint::default());
    assert_eq!(first.at_allocation(loading("a"), Bytes(8)), Some(Bytes(7)));
    let at = FaultPoint {
        module: Some("b".into()),
        phase: Some(Phase::Decode),
        token: Some(3),
        ..FaultPoint::default()
    };
    let narrow = plan(FaultKind::OutOfMemory, at);
    for elsewhere in [loading("b"), module(3, "a"), module(2, "b")] {
        assert_eq!(narrow.at_allocation(elsewhere, Bytes(8)), None, "{elsewhere:?}");
    }
    assert!(narrow.at_allocation(module(3, "b"), Bytes(8)).is_some());
}

#[test]
fn garbage_goes_on_from_its_token_and_an_input_is_left_behind_at_its_own() {
    let at = FaultPoint {
        token: Some(2),
        ..FaultPoint::default()
    };
    let garbage = plan(FaultKind::Garbage, at.clone());
    let effects = [1, 2, 3].map(|token| garbage.at_token(module(token, "lm_head")));
    assert_eq!(effects, [TokenEffect::None, TokenEffect::Garbage, TokenEffect::Garbage]);
    let input = plan(FaultKind::InputDevice, at);
    assert_eq!(
        [1, 2, 3].map(|token| input.at_input(hop(token, ""))),
        [false, true, false]
    );
}

#[test]
fn modules_are_displaced_as_asked_and_only_then_has_the_fault_struck() {
    let names: Vec<String> = ["e", "0", "1", "2", "n", "h"].map(str::to_owned).into();
    let displaced = |kind, module: Option<&str>, homes: &str| {
        let at = FaultPoint {
            module: module.map(str::to_owned),
            ..FaultPoint::default()
        };
        let plan = plan(kind, at);
        let mut homes: Vec<char> = homes.chars().collect();
        plan.displace(&names, &mut homes, &'c');
        (homes.iter().collect::<String>(), plan.struck().len())
    };
    assert_eq!(displaced(FaultKind::IgnoredSplit, None, "aaabbb"), ("aaaaaa".into(), 1));
    assert_eq!(
        displaced(FaultKind::IgnoredSplit, Some("n"), "aaabbb"),
        ("aaabab".into(), 1)
    );
    assert_eq!(displaced(FaultKind::IgnoredSplit, None, "aaaaaa"), ("aaaaaa".into(), 0));
    assert_eq!(displaced(FaultKind::Spill, None, "aaabbb"), ("aaacbb".into(), 1));
    assert_eq!(displaced(FaultKind::Spill, Some("0"), "aaabbb"), ("acabbb".into(), 1));
    assert_eq!(displaced(FaultKind::Nan, None, "aaabbb"), ("aaabbb".into(), 0));
}

#[test]
fn a_place_that_does_not_exist_is_named_with_the_nearest() {
    let at = |hop: Option<&str>, module: Option<&str>| FaultPoint {
        hop: hop.map(str::to_owned),
        module: module.map(str::to_owned),
        ..FaultPoint::default()
    };
    let check = |at, hops: &[&str]| {
        let modules = ["model.layers.0", "model.layers.1"];
        plan(FaultKind::Stall, at).check_places(&modules, hops)
    };
    let hops = ["model.layers.0 -> model.layers.1"];
    assert_eq!(check(at(Some("model.layers.0->model.layers.1"), None), &hops), Ok(()));
    assert_eq!(check(at(None, Some("model.layers.1")), &hops), Ok(()));
    let error = check(at(None, Some("model.layer.1")), &hops).unwrap_err();
    assert!(
        error.contains("`model.layer.1`") && error.contains("`model.layers.1`"),
        "{error}"
    );
    let error = check(at(Some("model.layers.1 -> model.layers.2"), None), &hops).unwrap_err();
    assert!(error.contains(hops[0]), "{error}");
    let error = check(at(Some("model.layers.1 -> model.layers.2"), None), &[]).unwrap_err();
    assert!(error.contains("all modules are on one device"), "{error}");
}

#[test]
fn no_fault_does_nothing() {
    let plan = FaultPlan::default();
    assert_eq!(plan.at_hop(hop(0, "a -> b")), HopEffect::None);
    assert_eq!(plan.at_token(hop(0, "a -> b")), TokenEffect::None);
    assert_eq!(plan.at_allocation(loading("a"), Bytes(u64::MAX)), None);
    assert_eq!(plan.at_end_of_generation(), None);
    assert!(!plan.at_input(hop(0, "")) && !plan.strikes(FaultKind::SplitTie));
    plan.at_phase(Phase::Load);
    assert!(plan.struck().is_empty());
}

#[test]
fn a_slow_step_takes_a_share_longer_where_it_is_meant_to() {
    use std::time::Duration;
    let slow = |factor, phase| Fault {
        factor,
        ..Fault::new(
            FaultKind::SlowStep,
            FaultPoint {
                phase,
                ..FaultPoint::default()
            },
        )
    };
    let more = |fault, token| {
        let plan = FaultPlan::new(vec![fault]);
        let moment = Moment {
            phase: Phase::Decode,
            token,
            module: None,
            hop: None,
            link: None,
            device: None,
        };
        let more = plan.at_end_of_step(moment, Duration::from_millis(100));
        (more.as_millis(), plan.struck().len())
    };
    assert_eq!(more(slow(Some(1.25), None), Some(1)), (25, 1));
    assert_eq!(more(slow(None, Some(Phase::Decode)), Some(1)), (100, 1));
    let mut delayed = slow(None, None);
    delayed.delay_s = Some(0.03);
    assert_eq!(more(delayed, Some(1)), (30, 1));
    assert_eq!(more(slow(Some(1.25), Some(Phase::Prefill)), Some(1)), (0, 0));
    assert_eq!(more(slow(Some(1.25), None), None), (0, 0), "not in a generation");
    assert_eq!(
        more(Fault::new(FaultKind::Garbage, FaultPoint::default()), Some(1)),
        (0, 0)
    );
}
