//! The hard gates: every counter has a change that it catches, and noise that it does not mind.

use placebench_core::compare::{
    Change, Comparison, Counter, CounterChange, CounterRow, GateSpec, NoVerdictReason, SideName, compare,
};
use placebench_core::device::DeviceId;
use placebench_core::exit_code::ExitCode;
use placebench_core::protocol::{Generation, MemoryFigure, MemoryKind, PlannedPlacement, RealisedModule, TokenLogit};
use placebench_core::record::{AgreementRule, Attempt, Environment};
use placebench_core::units::Bytes;

use super::simulation::{attempt, looked_at_once, pair};

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn memory(name: &str, kind: MemoryKind, bytes: u64) -> MemoryFigure {
    MemoryFigure {
        device: device(name),
        kind,
        bytes: Bytes(bytes),
        allowed_bytes: None,
    }
}

/// Ten attempts at the same case, on two devices, with times that scatter a little.
fn side() -> Vec<Attempt> {
    (0..10)
        .map(|number| {
            let wobble = 1.0 + 1e-3 * (number % 4) as f64;
            let mut attempt = attempt(number, 2.0 * wobble, 0.2 * wobble, 0.02 * wobble);
            let places = [
                ("model.embed_tokens", "sim:0"),
                ("model.layers.0", "sim:0"),
                ("model.layers.1", "sim:1"),
            ];
            attempt.planned = Some(PlannedPlacement {
                device_map: places.map(|(module, on)| (module.to_owned(), device(on))).to_vec(),
                budgets: vec![],
                weights_bytes: vec![],
                warnings: vec![],
                forecast: None,
            });
            let realised = places.map(|(module, on)| RealisedModule {
                module: module.to_owned(),
                device: device(on),
                bytes: Bytes(1000),
                rank: None,
            });
            attempt.realised = Some(realised.to_vec());
            attempt.memory = vec![
                memory("sim:0", MemoryKind::Weights, 2000),
                memory("sim:1", MemoryKind::Weights, 1000),
                memory("sim:0", MemoryKind::Peak, 50_000),
                memory("sim:1", MemoryKind::Peak, 40_000),
            ];
            let generation = &mut attempt.generations[0];
            generation.streamed_bytes = vec![0, 0, 0];
            generation.top5 = vec![vec![]; 3];
            attempt
        })
        .collect()
}

/// The comparison of that side with itself after a change of every attempt.
fn after(change: impl Fn(&mut Attempt)) -> Comparison {
    let mut new = side();
    new.iter_mut().for_each(change);
    judged(&side(), &new, &looked_at_once(10))
}

fn generations(change: impl Fn(&mut Generation)) -> Comparison {
    after(|attempt| attempt.generations.iter_mut().for_each(&change))
}

fn judged(base: &[Attempt], new: &[Attempt], spec: &GateSpec) -> Comparison {
    let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
    compare(&[pair(&base, &new, &Environment::default(), None)], spec)
}

/// The only row that is not the same.
fn only_change(comparison: &Comparison) -> &CounterRow {
    let rows = comparison.cases[0].counters.iter();
    let changed: Vec<&CounterRow> = rows.filter(|row| row.change != CounterChange::Same).collect();
    assert_eq!(changed.len(), 1, "{changed:#?}");
    changed[0]
}

/// It failed the gate, and no speed was told of it.
fn assert_fails(comparison: &Comparison, counter: Counter, change: CounterChange) {
    let row = only_change(comparison);
    assert_eq!((row.counter, row.change), (counter, change));
    assert!(row.detail.is_some());
    assert_eq!(
        (comparison.exit, comparison.change),
        (ExitCode::CaseFailed, Some(Change::NoVerdict))
    );
    let mut timings = comparison.cases[0].timings.iter();
    assert!(timings.all(|row| row.reason == Some(NoVerdictReason::OtherWork)));
}

#[test]
fn the_same_counts_pass_and_every_counter_is_there() {
    let comparison = after(|_| ());
    assert_eq!(
        (comparison.exit, comparison.change),
        (ExitCode::Passed, Some(Change::Same))
    );
    let rows: Vec<String> = comparison.cases[0]
        .counters
        .iter()
        .map(|row| format!("{} {}", row.counter.as_str(), row.of))
        .collect();
    assert_eq!(
        rows,
        [
            "plan ",
            "realised ",
            "hops prefill",
            "hops decode",
            "transfer_bytes prefill",
            "transfer_bytes decode",
            "streamed_bytes prefill",
            "streamed_bytes decode",
            "weights_bytes sim:0",
            "weights_bytes sim:1",
            "peak_bytes sim:0",
            "peak_bytes sim:1",
            "token_ids ",
        ]
    );
    let text = serde_json::to_string(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
}

#[test]
fn another_map_fails() {
    let comparison = after(|attempt| attempt.planned.as_mut().unwrap().device_map[1].1 = device("sim:1"));
    assert_fails(&comparison, Counter::Plan, CounterChange::Differs);
    let detail = only_change(&comparison).detail.as_deref().unwrap();
    assert_eq!(detail, "model.layers.0: sim:1 instead of sim:0");
    let comparison = after(|attempt| {
        attempt
            .realised
            .as_mut()
            .unwrap()
            .iter_mut()
            .for_each(|module| module.device = device("cpu"));
    });
    assert_fails(&comparison, Counter::Realised, CounterChange::Differs);
    let detail = only_change(&comparison).detail.as_deref().unwrap();
    assert_eq!(detail, "model.embed_tokens: cpu instead of sim:0 (and 2 more)");
    // The order in which a planner lists modules is no difference.
    let comparison = after(|attempt| attempt.planned.as_mut().unwrap().device_map.reverse());
    assert_eq!(comparison.exit, ExitCode::Passed);
}

#[test]
fn more_hops_and_bytes_fail() {
    let comparison = generations(|generation| generation.hops[2] = 2);
    assert_fails(&comparison, Counter::Hops, CounterChange::Worse);
    let row = only_change(&comparison);
    assert_eq!((row.of.as_str(), row.base, row.new), ("decode", Some(2), Some(3)));
    let comparison = generations(|generation| generation.transfer_bytes[0] += 1);
    assert_fails(&comparison, Counter::TransferBytes, CounterChange::Worse);
    let comparison = generations(|generation| generation.streamed_bytes = vec![0, 5, 5]);
    assert_fails(&comparison, Counter::StreamedBytes, CounterChange::Worse);
}

#[test]
fn fewer_bytes_are_better_unless_they_vanish() {
    let comparison = generations(|generation| generation.transfer_bytes[0] = 50);
    assert_eq!(only_change(&comparison).change, CounterChange::Better);
    assert_eq!(
        (comparison.exit, comparison.change),
        (ExitCode::Passed, Some(Change::Same))
    );
    let comparison = generations(|generation| generation.transfer_bytes = vec![0, 32, 32]);
    assert!(matches!(
        only_change(&comparison).reason,
        Some(NoVerdictReason::Implausible { .. })
    ));
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
}

#[test]
fn weights_are_exact_and_peaks_have_a_tolerance() {
    let set = |index: usize, bytes: u64| after(move |attempt| attempt.memory[index].bytes = Bytes(bytes));
    assert_fails(&set(0, 2001), Counter::WeightsBytes, CounterChange::Differs);
    assert_fails(&set(0, 1999), Counter::WeightsBytes, CounterChange::Differs);
    assert_eq!(set(2, 50_400).exit, ExitCode::Passed);
    assert_fails(&set(2, 51_000), Counter::PeakBytes, CounterChange::Worse);
    assert_eq!(only_change(&set(3, 30_000)).change, CounterChange::Better);
    // A device more is not a figure less.
    let comparison = after(|attempt| attempt.memory.push(memory("cpu", MemoryKind::Weights, 10)));
    assert_eq!(
        only_change(&comparison).reason,
        Some(NoVerdictReason::Missing { side: SideName::Base })
    );
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
}

#[test]
fn a_count_that_vanished_is_no_verdict_and_one_that_never_was_is_no_row() {
    let comparison = after(|attempt| attempt.planned = None);
    assert_eq!(
        only_change(&comparison).reason,
        Some(NoVerdictReason::Missing { side: SideName::New })
    );
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
    let without = || -> Vec<Attempt> {
        let mut attempts = side();
        attempts.iter_mut().for_each(|attempt| attempt.planned = None);
        attempts
    };
    let comparison = judged(&without(), &without(), &looked_at_once(10));
    assert_eq!(comparison.exit, ExitCode::Passed);
    assert!(
        comparison.cases[0]
            .counters
            .iter()
            .all(|row| row.counter != Counter::Plan)
    );
    let comparison = after(|attempt| attempt.generations.clear());
    let tokens = comparison.cases[0]
        .counters
        .iter()
        .find(|row| row.counter == Counter::TokenIds)
        .unwrap();
    assert_eq!(tokens.reason, Some(NoVerdictReason::Missing { side: SideName::New }));
}

#[test]
fn a_count_that_varies_within_a_side_is_no_verdict() {
    let mut new = side();
    new[6].generations[0].hops[1] = 3;
    let comparison = judged(&side(), &new, &looked_at_once(10));
    let row = only_change(&comparison);
    assert!(
        matches!(&row.reason, Some(NoVerdictReason::Varies { side: SideName::New, detail }) if detail.contains("step 1"))
    );
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
}

#[test]
fn tokens_must_agree_up_to_a_near_tie() {
    let comparison = generations(|generation| generation.output_ids[1] = 9);
    assert_fails(&comparison, Counter::TokenIds, CounterChange::Differs);
    // One generation of ten is enough: a race shows as a rate.
    let mut new = side();
    new[9].generations[0].output_ids[2] = 9;
    assert_fails(
        &judged(&side(), &new, &looked_at_once(10)),
        Counter::TokenIds,
        CounterChange::Differs,
    );

    let logit = |id, logit| TokenLogit { id, logit };
    let tied = |picks: [u32; 3]| -> Vec<Attempt> {
        let mut attempts = side();
        for attempt in &mut attempts {
            let generation = &mut attempt.generations[0];
            generation.output_ids = picks.to_vec();
            generation.top5[1] = vec![logit(4, 3.00), logit(9, 2.99)];
        }
        attempts
    };
    let near = |rule| {
        let mut spec = looked_at_once(10);
        spec.tokens.rule = rule;
        judged(&tied([3, 4, 5]), &tied([3, 9, 7]), &spec)
    };
    assert_eq!(near(AgreementRule::NearTie).exit, ExitCode::Passed);
    assert_fails(&near(AgreementRule::Exact), Counter::TokenIds, CounterChange::Differs);
}

#[test]
fn a_text_that_ends_sooner_after_a_near_tie_is_counted_as_far_as_both_go() {
    let logit = |id, logit| TokenLogit { id, logit };
    let side = |picks: &[u32]| -> Vec<Attempt> {
        let mut attempts = side();
        for attempt in &mut attempts {
            let generation = &mut attempt.generations[0];
            generation.top5[1] = vec![logit(4, 3.00), logit(9, 2.99)];
            generation.output_ids = picks.to_vec();
            for counts in [&mut generation.transfer_bytes, &mut generation.streamed_bytes] {
                counts.truncate(picks.len());
            }
            generation.hops.truncate(picks.len());
            generation.token_stamps_s.truncate(picks.len());
        }
        attempts
    };
    let comparison = judged(&side(&[3, 4, 5]), &side(&[3, 9]), &looked_at_once(10));
    let mut counters = comparison.cases[0].counters.iter();
    assert!(
        counters.all(|row| row.change == CounterChange::Same),
        "{:#?}",
        comparison.cases[0].counters
    );
    // Other lengths have other times.
    let mut timings = comparison.cases[0].timings.iter();
    assert!(timings.all(|row| matches!(row.reason, Some(NoVerdictReason::OtherTokenCounts { .. }))));
}

#[test]
fn counters_alone_can_gate() {
    let spec = GateSpec {
        metrics: vec![],
        ..GateSpec::versions()
    };
    let (base, mut new) = (side(), side());
    let comparison = judged(&base[..1], &new[..1], &spec);
    assert_eq!((comparison.exit, comparison.change), (ExitCode::Passed, None));
    new[0].memory[0].bytes = Bytes(1);
    assert_eq!(judged(&base[..1], &new[..1], &spec).exit, ExitCode::CaseFailed);
}
