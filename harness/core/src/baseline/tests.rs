//! What is saved and read back is compared as what it was made of.

use proptest::prelude::*;

use super::*;
use crate::compare::counters::{self, CounterChange};
use crate::compare::{Counter, GateSpec, TimingMetric};
use crate::judge::testing::{attempt, case, generation, with_logits};
use crate::outcome::{Outcome, OutcomeKind, Phase};
use crate::placement::Concurrency;
use crate::protocol::{Generation, MemoryFigure, MemoryKind};
use crate::record::{Attempt, CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, PhaseSpan, TextVerdict};
use crate::units::Bytes;

fn judged(status: CaseStatus) -> CaseVerdict {
    CaseVerdict {
        case: "s/p/split".into(),
        status,
        outcome: OutcomeKind::Completed,
        sentence: String::new(),
        text: TextVerdict::Exact,
        findings: Vec::new(),
        expected_findings: Vec::new(),
        metrics: CaseMetrics::default(),
        attempts: 1,
        decided_by_retry: 0,
        earlier_tries: Vec::new(),
        divergences: Vec::new(),
        notes: Vec::new(),
    }
}

fn timed(number: u32, load_s: f64, generations: Vec<Generation>) -> Attempt {
    let mut memory = attempt().memory;
    memory.push(MemoryFigure {
        kind: MemoryKind::Weights,
        ..memory[0].clone()
    });
    Attempt {
        memory,
        attempt: number,
        phases: vec![PhaseSpan {
            phase: Phase::Load,
            start_s: 0.0,
            end_s: Some(load_s),
        }],
        generations,
        ..attempt()
    }
}

/// A case of as many attempts.
fn spec(attempts: usize) -> CaseSpec {
    let mut spec = case();
    spec.measure.repetitions = u32::try_from(attempts).unwrap();
    spec
}

fn save(attempts: &[Attempt]) -> Result<BaselineCase, Unsaved> {
    let refs: Vec<&Attempt> = attempts.iter().collect();
    BaselineCase::new(
        &spec(attempts.len()),
        &judged(CaseStatus::Passed),
        &refs,
        Vec::new(),
        true,
    )
}

/// Through the file and back.
fn read_back(case: BaselineCase) -> Baseline {
    let mut baseline = Baseline::new("cpu-8c", true);
    let name = "s/p/split".to_owned();
    let source = Source::default();
    baseline.update(vec![CaseUpdate { name, source, case }], &|_, _| false);
    let text = baseline.text();
    let read = Baseline::read(&text, "cpu-8c").unwrap();
    assert_eq!(read, baseline);
    assert_eq!(read.text(), text, "the same bytes again");
    read
}

fn restored(case: &BaselineCase, new: &[Attempt]) -> Vec<Attempt> {
    let new: Vec<&Attempt> = new.iter().collect();
    case.attempts("s/p/split", &Source::default(), &new)
}

fn changes(base: &[Attempt], new: &[Attempt]) -> Vec<(Counter, CounterChange)> {
    let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
    let rows = counters::compare(&base, &new, &GateSpec::versions());
    rows.into_iter().map(|row| (row.counter, row.change)).collect()
}

const METRICS: [TimingMetric; 5] = [
    TimingMetric::LoadS,
    TimingMetric::TtftS,
    TimingMetric::TpotS,
    TimingMetric::E2eS,
    TimingMetric::OutputTokensPerS,
];

proptest! {
    #[test]
    fn figures_survive(
        gaps in prop::collection::vec(prop::collection::vec(prop::collection::vec(1e-6_f64..2.0, 3..=3), 1..4), 1..5),
        loads in prop::collection::vec(1e-4_f64..100.0, 5),
        companion in prop::option::of(1e-3_f64..9.0),
        hops in prop::collection::vec(0_u32..3, 3),
    ) {
        let generation = |gaps: &Vec<f64>| {
            let mut now = 0.0;
            let stamps = gaps.iter().map(|gap| { now += gap; now }).collect();
            Generation {
                token_stamps_s: stamps,
                hops: hops.clone(),
                transfer_bytes: hops.iter().map(|hops| u64::from(*hops) * 128).collect(),
                companions: companion.iter().map(|end| Generation {
                    token_stamps_s: vec![*end],
                    ..generation(&[9])
                }).collect(),
                ..generation(&[1, 2, 3])
            }
        };
        let attempts: Vec<Attempt> = gaps.iter().zip(&loads).enumerate()
            .map(|(number, (gaps, load))| timed(u32::try_from(number).unwrap(), *load, gaps.iter().map(generation).collect()))
            .collect();
        let baseline = read_back(save(&attempts).unwrap());
        let again = restored(&baseline.cases["s/p/split"], &attempts);
        prop_assert_eq!(again.len(), attempts.len());
        for (was, is) in attempts.iter().zip(&again) {
            prop_assert_eq!(was.attempt, is.attempt);
            for metric in METRICS {
                let (was, is) = (metric.of(was), metric.of(is));
                prop_assert_eq!(was.is_some(), is.is_some());
                if let (Some(was), Some(is)) = (was, is) {
                    // The time per token is what is left between two of five digits.
                    let digits = attempts.iter().flat_map(|attempt| &attempt.generations);
                    let last = digits.filter_map(|generation| generation.token_stamps_s.last()).fold(was, |a, b| a.max(*b));
                    prop_assert!((was - is).abs() <= 2e-4 * last, "{}: {was} {is}", metric.as_str());
                }
            }
        }
        let all_same = |rows: Vec<(Counter, CounterChange)>| rows.iter().all(|(_, change)| *change == CounterChange::Same);
        prop_assert_eq!(changes(&again, &attempts).len(), changes(&attempts, &attempts).len());
        prop_assert!(all_same(changes(&again, &attempts)));
    }
}

#[test]
fn a_near_tie_stays_one_and_nothing_else_becomes_one() {
    let top: &[(u32, f32)] = &[(1, 5.0), (7, 4.98), (8, 4.0)];
    let base = timed(0, 1.0, vec![with_logits(&[1, 2], &[top, &[(2, 9.0), (3, 1.0)]])]);
    let baseline = read_back(save(std::slice::from_ref(&base)).unwrap());
    let tokens = |ids: &[u32], steps: &[&[(u32, f32)]]| {
        let new = [timed(0, 1.0, vec![with_logits(ids, steps)])];
        let again = restored(&baseline.cases["s/p/split"], &new);
        let change = changes(&again, &new)
            .into_iter()
            .find(|(counter, _)| *counter == Counter::TokenIds);
        change.unwrap().1
    };
    assert_eq!(tokens(&[1, 2], &[top, &[(2, 9.0), (3, 1.0)]]), CounterChange::Same);
    assert_eq!(
        tokens(&[7, 4], &[&[(7, 5.0), (1, 4.99)], &[(4, 1.0)]]),
        CounterChange::Same,
        "a near-tie"
    );
    assert_eq!(
        tokens(&[8, 4], &[&[(8, 5.0), (1, 4.99)], &[(4, 1.0)]]),
        CounterChange::Differs,
        "then it was none"
    );
    assert_eq!(tokens(&[1, 3], &[top, &[(3, 5.0), (2, 4.99)]]), CounterChange::Differs);
}

#[test]
fn another_prompt_of_the_same_length_is_another() {
    let attempts = [timed(0, 1.0, vec![generation(&[1, 2])])];
    let baseline = read_back(save(&attempts).unwrap());
    let mut new = attempts.clone();
    new[0].generations[0].input_ids.reverse();
    new[0].generations[0].input_ids.push(4);
    let again = restored(&baseline.cases["s/p/split"], &new);
    assert!(changes(&again, &new).contains(&(Counter::TokenIds, CounterChange::Differs)));
}

#[test]
fn a_text_without_tokens_is_saved_as_text_with_what_was_counted() {
    let served = |text: &str| Generation {
        input_ids: Vec::new(),
        output_ids: Vec::new(),
        input_tokens: Some(5),
        output_tokens: Some(9),
        token_stamps_s: vec![2.0, 3.0, 4.0],
        text: text.into(),
        ..generation(&[])
    };
    let attempts = [timed(0, 1.0, vec![served("Once")])];
    let baseline = read_back(save(&attempts).unwrap());
    let case = &baseline.cases["s/p/split"];
    let again = restored(case, &attempts);
    assert!(changes(&again, &attempts).contains(&(Counter::TokenIds, CounterChange::Same)));
    let made = &again[0].generations[0];
    assert_eq!(
        (made.input_count(), made.output_count(), made.has_ids()),
        (Some(5), 9, false)
    );
    assert_eq!(crate::judge::tpot(made), Some(0.25), "nine tokens in two seconds");
    let other = [timed(0, 1.0, vec![served("Twice")])];
    assert!(changes(&restored(case, &other), &other).contains(&(Counter::TokenIds, CounterChange::Differs)));
    let mut longer = attempts.clone();
    longer[0].generations[0].input_tokens = Some(6);
    assert!(changes(&restored(case, &longer), &longer).contains(&(Counter::TokenIds, CounterChange::Differs)));
}

#[test]
fn what_cannot_be_relied_on_is_not_saved() {
    let good = || {
        vec![
            timed(0, 1.0, vec![generation(&[1])]),
            timed(1, 1.0, vec![generation(&[1])]),
        ]
    };
    assert!(save(&good()).is_ok());
    let why = |attempts: Vec<Attempt>| match save(&attempts) {
        Err(Unsaved::Unfit(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut other_text = good();
    other_text[1].generations = vec![generation(&[2])];
    assert!(why(other_text).contains("token_ids"));
    let mut other_hops = good();
    other_hops[0].generations[0].hops = vec![1];
    other_hops[1].generations[0].hops = vec![2];
    assert!(why(other_hops).contains("hops"));
    let mut none = good();
    none[1].generations.clear();
    none[0].generations.clear();
    assert!(why(none).contains("without a generation"));
    let mut crashed = good();
    crashed[1].outcome = Outcome::Skipped {
        reason: "x".into(),
        hint: None,
    };
    assert!(why(crashed).contains("without a generation"));
    let attempts = good();
    let refs: Vec<&Attempt> = attempts.iter().collect();
    let with = |spec: &CaseSpec, status| BaselineCase::new(spec, &judged(status), &refs, Vec::new(), true);
    for status in [CaseStatus::Failed, CaseStatus::Flaky, CaseStatus::Pending] {
        assert!(matches!(with(&spec(2), status), Err(Unsaved::Unfit(_))));
    }
    assert!(
        matches!(with(&spec(3), CaseStatus::Passed), Err(Unsaved::Unfit(_))),
        "one is missing"
    );
    assert!(matches!(
        with(&spec(2), CaseStatus::Skipped),
        Err(Unsaved::NoFigures(_))
    ));
    let mut crashes = spec(2);
    crashes.expect.outcome = OutcomeKind::Crashed;
    assert!(matches!(with(&crashes, CaseStatus::Passed), Err(Unsaved::NoFigures(_))));
}

#[test]
fn peaks_that_another_machine_counts_otherwise_are_left_out_on_both_sides() {
    assert_eq!(machine_counters(&case()), []);
    let mut in_flight = case();
    in_flight.request.concurrency = Concurrency::InFlight(2);
    let mut foreign = case();
    foreign.engine = "transformers".into();
    for spec in [&in_flight, &foreign] {
        let left_out = machine_counters(spec);
        assert_eq!(left_out, [Counter::PeakBytes]);
        let attempt = timed(0, 1.0, vec![generation(&[1])]);
        let mut other = attempt.clone();
        let peaks = other.memory.iter_mut().filter(|figure| figure.kind == MemoryKind::Peak);
        peaks.for_each(|figure| figure.bytes = Bytes(figure.bytes.0 * 3));
        assert_ne!(attempt, other, "there are peaks");
        let saved = BaselineCase::new(spec, &judged(CaseStatus::Passed), &[&attempt], left_out, false).unwrap();
        assert!(saved.peak_bytes.is_empty() && !saved.weights_bytes.is_empty() && saved.attempts.is_empty());
        let new = saved.comparable(&[&other]);
        let rows = changes(&restored(&saved, &new), &new);
        assert!(
            rows.iter()
                .all(|(counter, change)| *counter != Counter::PeakBytes && *change == CounterChange::Same)
        );
        assert!(rows.iter().any(|(counter, _)| *counter == Counter::WeightsBytes));
    }
}

#[test]
fn an_update_says_what_became_of_each_case() {
    let case_of = |ids: &[u32]| save(&[timed(0, 1.0, vec![generation(ids)])]).unwrap();
    let source = |run: &str| Source {
        run_id: run.to_owned(),
        ..Source::default()
    };
    let update = |name: &str, ids: &[u32], run: &str| CaseUpdate {
        name: name.to_owned(),
        source: source(run),
        case: BaselineCase {
            attempts: Vec::new(),
            ..case_of(ids)
        },
    };
    let mut baseline = Baseline::new(ANY_MACHINE, false);
    let first = baseline.update(vec![update("b", &[1], "one"), update("a", &[1], "one")], &|_, _| false);
    assert_eq!(first.added, ["b", "a"]);
    let second = baseline.update(vec![update("b", &[1], "two"), update("c", &[1], "two")], &|_, _| false);
    assert_eq!(
        (second.unchanged.as_slice(), second.added.as_slice()),
        (["b".to_owned()].as_slice(), ["c".to_owned()].as_slice())
    );
    assert_eq!(second.kept, ["a"]);
    let runs =
        |baseline: &Baseline| -> Vec<String> { baseline.sources.iter().map(|source| source.run_id.clone()).collect() };
    assert_eq!(runs(&baseline), ["one", "two"]);
    let third = baseline.update(vec![update("b", &[2], "three")], &|name, _| name == "a");
    assert_eq!(
        (third.renewed, third.removed, third.kept),
        (vec!["b".to_owned()], vec!["a".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(
        runs(&baseline),
        ["three", "two"],
        "runs that nothing comes from are gone"
    );
    assert_eq!(Baseline::read(&baseline.text(), ANY_MACHINE).unwrap(), baseline);
}
