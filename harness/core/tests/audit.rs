//! Two trails beside each other: what counts as a difference, and on whom it is blamed.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use placebench_core::audit::{
    AuditEntry, AuditStep, Became, Cell, Changed, Comparison, Digest, End, Side, Stage, TensorPrint, Trail, Whose,
    compare,
};
use placebench_core::device::DeviceId;
use placebench_core::outcome::Place;
use placebench_core::protocol::DeviceFacts;

const WIDTH: usize = 64;

fn print(values: &[f32]) -> TensorPrint {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = [(values.len() / WIDTH) as u64, WIDTH as u64];
    TensorPrint::of("f32", &shape, &bytes, |x| f32::from_le_bytes(x.try_into().unwrap()))
}

/// What module `module` makes at a token: any numbers that belong to the two.
fn made(module: usize, token: u32) -> Vec<f32> {
    let phase = module as f32 * 1.7 + token as f32 * 0.9;
    (0..WIDTH).map(|i| ((i * i) as f32 * 0.13 + phase).sin()).collect()
}

fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn entry(at: &str, side: Side, device: &str, values: &[f32]) -> AuditEntry {
    AuditEntry {
        at: at.into(),
        side,
        device: id(device),
        changed: None,
        print: print(values),
    }
}

/// Changes a tensor where it comes about: given token, place, side and values.
type Spoil = Box<dyn Fn(u32, &str, Side, &mut Vec<f32>)>;

/// Four modules, the last two behind a hop from `a` to `b`, three steps. `spoil` changes tensors where they come about;
/// what follows a module does not depend on it here, so that a test says exactly what differs.
struct Run {
    on: [&'static str; 2],
    hardware: [(&'static str, &'static str); 2],
    steps: u32,
    spoil: Spoil,
}

impl Run {
    fn healthy() -> Self {
        Self {
            on: ["sim:0", "sim:1"],
            hardware: [("cpu", "host"), ("cpu", "host")],
            steps: 3,
            spoil: Box::new(|_, _, _, _| {}),
        }
    }

    fn spoilt(spoil: impl Fn(u32, &str, Side, &mut Vec<f32>) + 'static) -> Self {
        Self {
            spoil: Box::new(spoil),
            ..Self::healthy()
        }
    }

    fn steps(&self) -> Vec<AuditStep> {
        (0..self.steps).map(|token| self.step(token)).collect()
    }

    fn step(&self, token: u32) -> AuditStep {
        let mut entries = Vec::new();
        let mut add = |at: &str, side: Side, device: &str, mut values: Vec<f32>| {
            (self.spoil)(token, at, side, &mut values);
            entries.push(entry(at, side, device, &values));
        };
        let [a, b] = self.on;
        add("m0", Side::Output, a, made(0, token));
        add("m1", Side::Output, a, made(1, token));
        if a != b {
            add("m1 -> m2", Side::Sent, a, made(1, token));
            add("m1 -> m2", Side::Arrived, b, made(1, token));
        }
        add("m2", Side::Output, b, made(2, token));
        add("m3", Side::Output, b, made(3, token));
        AuditStep {
            generation: 0,
            token,
            input: Digest::of_tokens(&[token]),
            input_tokens: 1,
            entries,
        }
    }

    fn devices(&self) -> Vec<DeviceFacts> {
        let logical = self.on.iter().zip(&self.hardware).map(|(device, (on, _))| DeviceFacts {
            id: id(device),
            on: id(on),
            name: "a slice".into(),
            memory_bytes: None,
            architecture: None,
        });
        let physical = self.hardware.iter().map(|(on, name)| DeviceFacts {
            id: id(on),
            on: id(on),
            name: (*name).into(),
            memory_bytes: None,
            architecture: None,
        });
        logical.chain(physical).collect()
    }
}

fn compared_steps(ours: &Run, our_steps: &[AuditStep], theirs: &Run, their_steps: &[AuditStep]) -> Comparison {
    let (our_devices, their_devices) = (ours.devices(), theirs.devices());
    let trail = |name, steps, devices| Trail {
        name,
        steps,
        devices,
        is_quantised: false,
    };
    compare(
        &trail("auto", our_steps, &our_devices),
        Some(&trail("single", their_steps, &their_devices)),
    )
}

fn compared(ours: &Run, theirs: &Run) -> Comparison {
    compared_steps(ours, &ours.steps(), theirs, &theirs.steps())
}

fn single() -> Run {
    Run {
        on: ["sim:0", "sim:0"],
        ..Run::healthy()
    }
}

/// Multiplies what one module makes at one token.
fn times(module: &'static str, token: u32, factor: f32) -> impl Fn(u32, &str, Side, &mut Vec<f32>) {
    move |at_token, at, side, values| {
        if (at_token, at, side) == (token, module, Side::Output) {
            values.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

#[test]
fn the_same_bits_agree() {
    let comparison = compared(&Run::healthy(), &single());
    assert_eq!((comparison.parting.as_ref(), comparison.end), (None, End::Complete));
    assert_eq!(
        (comparison.steps_compared, comparison.hops, comparison.modules.len()),
        (3, 3, 4)
    );
    assert_eq!(
        comparison.sentence(),
        "agrees with single bit for bit at all 4 modules × 3 steps"
    );
}

#[test]
fn on_one_kind_of_hardware_every_bit_counts() {
    let slightly = Run::spoilt(times("m2", 1, 1.000_01));
    let comparison = compared(&slightly, &single());
    let parting = comparison.parting.clone().unwrap();
    assert!(parting.is_small && comparison.is_blamed());
    assert_eq!((parting.token, parting.place.name().as_str()), (1, "m2"));
    assert!(
        comparison.hint().unwrap().contains("rounding"),
        "{:?}",
        comparison.hint()
    );
    let cells: Vec<&[Cell]> = comparison.rows.iter().map(|row| row.cells.as_slice()).collect();
    let same = [Cell::Same; 4];
    assert_eq!(
        cells,
        [&same[..], &[Cell::Same, Cell::Same, Cell::Other, Cell::Same], &same]
    );
}

#[test]
fn between_kinds_of_hardware_rounding_does_not_count_and_more_does() {
    let on_gpu = |factor: f32| Run {
        hardware: [("cpu", "host"), ("cuda:0", "NVIDIA H200")],
        ..Run::spoilt(times("m2", 1, factor))
    };
    let near = compared(&on_gpu(1.000_1), &single());
    assert_eq!(near.parting, None);
    let drift = near.drift.clone().unwrap();
    assert_eq!((drift.token, drift.module.as_str()), (1, "m2"));
    assert!((drift.relative - 1e-4).abs() < 1e-5);
    assert_eq!(near.rows[1].cells[2], Cell::Near);
    insta::assert_snapshot!(near.sentence(), @"agrees with single within rounding (relative difference at most 1.00e-4, at m2 of decode token 1) at all 4 modules × 3 steps");
    let far = compared(&on_gpu(1.5), &single());
    let parting = far.parting.clone().unwrap();
    assert!(far.is_blamed() && !parting.is_small);
    assert!(matches!(parting.became, Became::Scaled { factor } if (factor - 1.5).abs() < 1e-6));
    insta::assert_snapshot!(far.sentence(), @"parts from single at decode token 1, module m2 (sim:1): its input agrees, its output is scaled by 1.50; relative difference 0.5000, single has l2 5.95");
    // The same model of card in both: again every bit counts.
    let mut same_card = single();
    same_card.hardware = [("cuda:0", "NVIDIA H200"); 2];
    let mut split_card = on_gpu(1.000_1);
    split_card.hardware = [("cuda:1", "NVIDIA H200"); 2];
    assert!(compared(&split_card, &same_card).is_blamed());
    same_card.hardware = [("cuda:0", "NVIDIA A100"); 2];
    assert!(!compared(&split_card, &same_card).is_blamed());
}

#[test]
fn a_hop_needs_no_other_trail() {
    let zeroed = Run::spoilt(|token, _, side, values| {
        if (token, side) == (2, Side::Arrived) {
            values.fill(0.0);
        }
    });
    for comparison in [
        compared(&zeroed, &single()),
        compare(
            &Trail {
                name: "auto",
                steps: &zeroed.steps(),
                devices: &[],
                is_quantised: false,
            },
            None,
        ),
    ] {
        let parting = comparison.parting.clone().unwrap();
        assert_eq!(
            (parting.token, parting.stage, &parting.became),
            (2, Stage::Moving, &Became::Zeros)
        );
        assert!(matches!(parting.place, Place::Hop(_)) && comparison.is_blamed());
    }
    // Blamed on whose hop it is, whichever is looked at.
    let other_way = compared(&single(), &zeroed);
    assert_eq!(
        other_way.parting.as_ref().map(|parting| parting.whose),
        Some(Whose::Theirs)
    );
    assert!(!other_way.is_blamed());
    insta::assert_snapshot!(other_way.sentence(), @"cannot agree with single, which goes wrong itself at decode token 2, hop m1 -> m2 (sim:0 -> sim:1): what arrived is all zeros; it was sent with l2 5.42");
}

#[test]
fn the_first_mistake_is_the_one_that_is_named() {
    let twice = Run::spoilt(|token, at, side, values| {
        let nan = (token, at, side) == (1, "m3", Side::Output);
        let stale = (token, side) == (2, Side::Arrived);
        if nan {
            values[5] = f32::NAN;
        } else if stale {
            *values = made(1, 1);
        }
    });
    let comparison = compared(&twice, &single());
    let parting = comparison.parting.unwrap();
    assert_eq!((parting.token, parting.place.name().as_str()), (1, "m3"));
    assert_eq!(parting.became, Became::NotFinite { values: 1, of: 64 });
    let later = Run::spoilt(|token, _, side, values| {
        if (token, side) == (2, Side::Arrived) {
            *values = made(1, 1);
        }
    });
    let stale = Became::Stale {
        token: 1,
        at: "m1 -> m2".into(),
    };
    assert_eq!(compared(&later, &single()).parting.unwrap().became, stale);
}

#[test]
fn what_changes_between_computing_and_sending_is_told_apart() {
    let overwritten = Run::spoilt(|token, at, side, values| {
        if token == 1 && at.contains("->") && side != Side::Output {
            values[3] += 1.0;
        }
    });
    let comparison = compared(&overwritten, &single());
    let parting = comparison.parting.clone().unwrap();
    assert_eq!((parting.token, parting.stage), (1, Stage::Resting));
    assert_eq!(parting.place.name(), "m1");
    assert!(
        comparison.sentence().contains("changed before it was sent"),
        "{}",
        comparison.sentence()
    );
}

#[test]
fn how_much_of_a_hop_differs_is_what_was_counted() {
    let spoilt = Run::spoilt(|_, _, side, values| {
        if side == Side::Arrived {
            values[9] += 1.0;
        }
    });
    let mut steps = spoilt.steps();
    for entry in steps.iter_mut().flat_map(|step| &mut step.entries) {
        if entry.side == Side::Arrived {
            entry.changed = Some(Changed { elements: 1, first: 9 });
        }
    }
    let single = single();
    let comparison = compared_steps(&spoilt, &steps, &single, &single.steps());
    insta::assert_snapshot!(comparison.sentence(), @"parts from single at prefill token 0, hop m1 -> m2 (sim:0 -> sim:1): what arrived differs in 1 of 64 values, the first at position 9; it was sent with l2 5.98");
}

#[test]
fn steps_with_other_tokens_are_not_compared() {
    let (ours, theirs) = (Run::healthy(), single());
    let mut steps = ours.steps();
    steps[1].input = Digest::of_tokens(&[77]);
    steps[1].entries[0].print = print(&made(9, 9));
    let comparison = compared_steps(&ours, &steps, &theirs, &theirs.steps());
    assert_eq!(
        (comparison.parting.as_ref(), comparison.end),
        (None, End::InputsDiffer { token: 1 })
    );
    assert_eq!(comparison.steps_compared, 1);
    assert!(
        comparison.rows[1..]
            .iter()
            .flat_map(|row| &row.cells)
            .all(|cell| *cell == Cell::Alone)
    );
}

#[test]
fn a_trail_that_breaks_off_is_compared_as_far_as_it_goes() {
    let (ours, theirs) = (Run::healthy(), single());
    let mut steps = ours.steps();
    steps.truncate(2);
    steps[1].entries.truncate(3);
    let comparison = compared_steps(&ours, &steps, &theirs, &theirs.steps());
    assert_eq!(
        (comparison.parting.as_ref(), comparison.end),
        (None, End::OursEnds { token: 1 })
    );
    assert_eq!(
        comparison.rows[1].cells,
        [Cell::Same, Cell::Same, Cell::Absent, Cell::Absent]
    );
    let other_way = compared_steps(&theirs, &theirs.steps(), &ours, &steps);
    assert_eq!(other_way.end, End::TheirsEnds { token: 1 });
    assert_eq!(
        other_way.rows[1].cells,
        [Cell::Same, Cell::Same, Cell::Alone, Cell::Alone]
    );
    let whole_steps = compared_steps(&ours, &steps[..1], &theirs, &theirs.steps());
    assert_eq!(whole_steps.end, End::OursEnds { token: 1 });
    let mut first_stage = steps[..1].to_vec();
    first_stage[0].entries.truncate(2);
    let in_the_first = compared_steps(&ours, &first_stage, &theirs, &theirs.steps());
    assert_eq!(
        (in_the_first.end, in_the_first.steps_compared),
        (End::OursEnds { token: 0 }, 0)
    );
    assert_eq!(
        compared_steps(&ours, &[], &theirs, &theirs.steps()).end,
        End::OursEnds { token: 0 }
    );
}

#[test]
fn trails_are_read_back_as_they_were_written() {
    for step in Run::healthy().steps() {
        let line = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<AuditStep>(&line).unwrap(), step);
    }
}
