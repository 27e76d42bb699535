//! The verdict on timings: what it must not depend on, and when there must be none.

use placebench_core::compare::{
    Arrangement, CasePair, Change, Comparison, FingerprintField, GateSpec, NoVerdictReason, Relation, SideName,
    ThresholdSource, TimingMetric, TimingRow, TimingWarning, compare,
};
use placebench_core::doctor::noise::{MetricFloor, NoiseFloor};
use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, Environment, GpuTelemetry, TextVerdict};
use proptest::prelude::*;

use super::simulation::{attempt, looked_at_once, pair};

/// A side whose time per token is `tpot_ms` in each attempt in turn, and which is quiet otherwise.
fn side(tpot_ms: &[f64]) -> Vec<Attempt> {
    let attempts = tpot_ms.iter().enumerate();
    attempts
        .map(|(number, ms)| {
            let wobble = 1.0 + 1e-4 * (number % 3) as f64;
            attempt(number, 2.0 * wobble, 0.2 * wobble, ms / 1e3)
        })
        .collect()
}

/// `pairs` attempts around 20 ms that scatter by about 1 %, times `factor`.
fn around(factor: f64, pairs: usize) -> Vec<f64> {
    let scatter = [0.0, 0.9, -0.7, 0.4, -1.1, 0.2, 1.0, -0.3, -0.9, 0.6];
    (0..pairs)
        .map(|number| 20.0 * factor * (1.0 + 0.01 * scatter[number % 10]))
        .collect()
}

fn judged(base: &[Attempt], new: &[Attempt], spec: &GateSpec) -> Comparison {
    changed(base, new, spec, |_| ())
}

/// After a change of what is asked.
fn changed(base: &[Attempt], new: &[Attempt], spec: &GateSpec, change: impl FnOnce(&mut CasePair<'_>)) -> Comparison {
    let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
    let environment = Environment::default();
    let mut asked = pair(&base, &new, &environment, None);
    change(&mut asked);
    compare(&[asked], spec)
}

fn row(comparison: &Comparison, metric: TimingMetric) -> &TimingRow {
    comparison.cases[0]
        .timings
        .iter()
        .find(|row| row.metric == metric)
        .unwrap()
}

fn tpot(comparison: &Comparison) -> &TimingRow {
    row(comparison, TimingMetric::TpotS)
}

fn reason(comparison: &Comparison) -> &NoVerdictReason {
    assert_eq!(comparison.change, Some(Change::NoVerdict));
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
    let reason = tpot(comparison).reason.as_ref().unwrap();
    assert!(reason.sentence().len() > 20);
    reason
}

#[test]
fn a_change_is_called_what_it_is() {
    let base = side(&around(1.0, 10));
    for (factor, change, exit) in [
        (1.0, Change::Same, ExitCode::Passed),
        (1.005, Change::Same, ExitCode::Passed),
        (1.10, Change::Slower, ExitCode::Slower),
        (0.90, Change::Faster, ExitCode::Passed),
    ] {
        // The other side's scatter is not the same.
        let mut times = around(factor, 10);
        times.rotate_left(3);
        let comparison = judged(&base, &side(&times), &looked_at_once(10));
        assert_eq!(
            (tpot(&comparison).change, comparison.change),
            (change, Some(change)),
            "{factor}: {comparison:#?}"
        );
        assert_eq!(comparison.exit, exit);
        let interval = tpot(&comparison).ratio_interval.unwrap();
        assert!(
            interval.low <= factor && factor <= interval.high,
            "{factor}: {interval:?}"
        );
    }
}

#[test]
fn the_record_reads_back_as_it_was_written() {
    let comparison = judged(&side(&around(1.0, 10)), &side(&around(1.1, 10)), &looked_at_once(10));
    let text = serde_json::to_string(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    let row = serde_json::to_value(tpot(&comparison)).unwrap();
    assert_eq!(row["metric"], "tpot_s");
    assert_eq!(row["unit"], "s");
    assert_eq!(row["direction"], "lower");
    assert_eq!(row["change"], "slower");
    assert_eq!(row["margin"]["source"], "min_effect");
}

#[test]
fn of_a_rate_more_is_better() {
    let spec = GateSpec {
        metrics: vec![TimingMetric::OutputTokensPerS, TimingMetric::TpotS],
        ..looked_at_once(10)
    };
    // Nearly all of the time is spent on decoding here.
    let quick = |ms: &[f64]| -> Vec<Attempt> {
        ms.iter()
            .enumerate()
            .map(|(number, ms)| attempt(number, 2.0, 1e-6, ms / 1e3))
            .collect()
    };
    let comparison = judged(&quick(&around(1.0, 10)), &quick(&around(1.1, 10)), &spec);
    let rate = row(&comparison, TimingMetric::OutputTokensPerS);
    assert_eq!(rate.change, Change::Slower);
    assert!(rate.ratio.unwrap() < 0.95);
    let interval = rate.ratio_interval.unwrap();
    assert!(interval.low <= interval.high && interval.high < 0.95, "{interval:?}");
    assert_eq!(tpot(&comparison).change, Change::Slower);
}

#[test]
fn one_wild_pair_is_named_and_kept() {
    let mut times = around(1.0, 10);
    times[4] *= 1.6;
    let comparison = judged(&side(&around(1.0, 10)), &side(&times), &looked_at_once(10));
    let row = tpot(&comparison);
    assert_eq!(row.pairs.len(), 10);
    assert_ne!(row.change, Change::Slower);
    // Nine ratios are exactly equal here, so they have no spread to stand apart from; with one, it shows.
    let mut times: Vec<f64> = around(1.0, 10).iter().rev().copied().collect();
    times[4] *= 1.6;
    let comparison = judged(&side(&around(1.0, 10)), &side(&times), &looked_at_once(10));
    assert_eq!(
        tpot(&comparison).warnings,
        [TimingWarning::Outliers { attempts: vec![4] }]
    );
    times.swap(0, 4);
    let comparison = judged(&side(&around(1.0, 10)), &side(&times), &looked_at_once(10));
    assert!(
        tpot(&comparison)
            .warnings
            .contains(&TimingWarning::FirstStandsApart { side: SideName::New })
    );
}

#[test]
fn calibrated_noise_widens_the_margin_and_its_bias_the_floor() {
    let noise = |floor, bias| NoiseFloor {
        case: "suite/prompt/auto".into(),
        pairs: 20,
        metrics: vec![MetricFloor {
            metric: "tpot_s".into(),
            floor,
            bias,
            log_ratios: vec![],
        }],
    };
    let (base, new) = (
        side(&around(1.0, 10)),
        side(&around(1.015, 10).iter().rev().copied().collect::<Vec<f64>>()),
    );
    let judge = |noise: Option<&NoiseFloor>, new: &[Attempt]| {
        let (a, b): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
        compare(&[pair(&a, &b, &Environment::default(), noise)], &looked_at_once(10))
    };
    assert_eq!(tpot(&judge(None, &new)).change, Change::Unclear);
    let wide = judge(Some(&noise(0.05, 0.001)), &new);
    assert_eq!(tpot(&wide).change, Change::Same);
    assert_eq!(tpot(&wide).margin.source, ThresholdSource::Calibrated);
    assert_eq!(tpot(&wide).floor.source, ThresholdSource::MinEffect);
    let slow = side(&around(1.1, 10));
    assert_eq!(tpot(&judge(Some(&noise(0.05, 0.001)), &slow)).change, Change::Slower);
    let biased = judge(Some(&noise(0.2, -0.12)), &slow);
    assert_eq!(tpot(&biased).floor.source, ThresholdSource::Calibrated);
    assert_eq!(tpot(&biased).change, Change::Same);
}

#[test]
fn unclear_asks_for_more_pairs_up_to_the_cap() {
    let noisy = |pairs| -> Vec<f64> {
        around(1.0, pairs)
            .iter()
            .enumerate()
            .map(|(i, ms)| ms * if i % 2 == 0 { 1.06 } else { 0.96 })
            .collect()
    };
    let judge = |pairs| judged(&side(&around(1.0, pairs)), &side(&noisy(pairs)), &GateSpec::versions());
    let first = judge(10);
    assert_eq!(first.change, Some(Change::Unclear));
    assert_eq!(
        (first.cases[0].pairs_wanted, first.exit),
        (Some(20), ExitCode::NoVerdict)
    );
    let last = judge(20);
    assert_eq!((last.change, last.cases[0].pairs_wanted), (Some(Change::Unclear), None));
}

#[test]
fn many_questions_are_one_family() {
    // Six pairs of seven convince alone, but not as one of many questions.
    let mut new = around(1.05, 8);
    new[3] = 20.0;
    let (base, new) = (side(&around(1.0, 8)), side(&new));
    let quiet = (side(&around(1.0, 8)), side(&around(1.0, 8)));
    let environment = Environment::default();
    fn refer(attempts: &[Attempt]) -> Vec<&Attempt> {
        attempts.iter().collect()
    }
    let (base, new, calm, calmer) = (refer(&base), refer(&new), refer(&quiet.0), refer(&quiet.1));
    let spec = GateSpec {
        metrics: vec![TimingMetric::TpotS],
        ..looked_at_once(8)
    };
    let alone = compare(&[pair(&base, &new, &environment, None)], &spec);
    assert_eq!(alone.change, Some(Change::Slower), "{alone:#?}");
    let mut all = vec![pair(&base, &new, &environment, None)];
    all.extend((0..9).map(|_| pair(&calm, &calmer, &environment, None)));
    let among = compare(&all, &spec);
    assert_eq!(among.family, 10);
    assert_eq!(among.cases[0].change, Some(Change::Unclear), "{:#?}", among.cases[0]);
    assert!(among.cases[0].timings[0].p_slower > alone.cases[0].timings[0].p_slower);
}

#[test]
fn too_few_pairs_say_so_before_anything_is_concluded() {
    for pairs in [0, 1, 5] {
        let comparison = judged(
            &side(&around(1.0, pairs)),
            &side(&around(1.3, pairs)),
            &looked_at_once(6),
        );
        match reason(&comparison) {
            NoVerdictReason::TooFewPairs { pairs: found, needed } => assert_eq!((*found as usize, *needed), (pairs, 6)),
            NoVerdictReason::Missing { side: SideName::Base } => assert_eq!(pairs, 0),
            other => panic!("{other:?}"),
        }
    }
    let six = judged(&side(&around(1.0, 6)), &side(&around(1.3, 6)), &looked_at_once(6));
    assert_eq!(six.change, Some(Change::Slower));
    // With a second look to come, six pairs cannot convince of one in three: 3 × 2^-6 is above 0.025.
    let comparison = judged(&side(&around(1.0, 6)), &side(&around(1.3, 6)), &GateSpec::versions());
    assert_eq!(
        *reason(&comparison),
        NoVerdictReason::TooFewPairs { pairs: 6, needed: 7 }
    );
}

#[test]
fn figures_that_cannot_be_are_no_verdict() {
    for bad in [0.0, -20.0, f64::NAN, f64::INFINITY] {
        for which in [SideName::Base, SideName::New] {
            let mut broken = around(1.0, 10);
            broken[2] = bad;
            let (broken, good) = (side(&broken), side(&around(1.0, 10)));
            let comparison = match which {
                SideName::Base => judged(&broken, &good, &looked_at_once(10)),
                SideName::New => judged(&good, &broken, &looked_at_once(10)),
            };
            match reason(&comparison) {
                NoVerdictReason::Unusable { side, attempt, .. } => assert_eq!((*side, *attempt), (which, 2)),
                // A median of what is not finite is nothing.
                NoVerdictReason::Missing { side } => assert_eq!((*side, bad.is_finite()), (which, false)),
                other => panic!("{bad}: {other:?}"),
            }
            // The other timings are judged all the same, and the hole is not hidden by them.
            assert_eq!(row(&comparison, TimingMetric::LoadS).change, Change::Same);
        }
    }
}

#[test]
fn missing_collapsed_and_implausible_figures_are_no_verdict() {
    let good = side(&around(1.0, 10));
    let spec = looked_at_once(10);
    let mut missing = side(&around(1.0, 10));
    missing[7].generations[0].token_stamps_s.truncate(1);
    assert_eq!(
        *reason(&judged(&good, &missing, &spec)),
        NoVerdictReason::Missing { side: SideName::New }
    );
    assert_eq!(
        *reason(&judged(&missing, &missing, &spec)),
        NoVerdictReason::MissingOnBoth
    );
    assert_eq!(
        *reason(&judged(&good, &[], &spec)),
        NoVerdictReason::Missing { side: SideName::New }
    );
    let frozen: Vec<Attempt> = (0..10).map(|number| attempt(number, 2.0, 0.2, 0.02)).collect();
    assert_eq!(
        *reason(&judged(&good, &frozen, &spec)),
        NoVerdictReason::Collapsed { side: SideName::New }
    );
    assert_eq!(
        *reason(&judged(&frozen, &good, &spec)),
        NoVerdictReason::Collapsed { side: SideName::Base }
    );
    for factor in [0.03, 0.45, 2.2, 40.0] {
        let comparison = judged(&good, &side(&around(factor, 10)), &spec);
        assert!(
            matches!(reason(&comparison), NoVerdictReason::Implausible { .. }),
            "{factor}"
        );
    }
    assert_eq!(
        judged(&good, &side(&around(1.9, 10)), &spec).change,
        Some(Change::Slower)
    );
    assert_eq!(compare(&[], &spec).exit, ExitCode::NoVerdict);
}

#[test]
fn what_did_not_complete_is_not_judged_by_the_rest() {
    let good = side(&around(1.0, 12));
    let mut broken = side(&around(1.0, 12));
    broken[1].outcome = Outcome::Skipped {
        reason: "its device was lost".into(),
        hint: None,
    };
    let comparison = judged(&good, &broken, &looked_at_once(10));
    assert!(matches!(
        reason(&comparison),
        NoVerdictReason::NotCompleted {
            side: SideName::New,
            attempts: 1,
            ..
        }
    ));
}

#[test]
fn attempts_without_a_counterpart_are_left_out_and_counted() {
    let (base, new) = (side(&around(1.0, 12)), side(&around(1.1, 10)));
    let comparison = judged(&base, &new, &looked_at_once(10));
    assert_eq!(tpot(&comparison).change, Change::Slower);
    assert_eq!(tpot(&comparison).warnings, [TimingWarning::Unpaired { attempts: 2 }]);
}

#[test]
fn wrong_texts_other_lengths_and_hot_cards_have_no_speed() {
    let (base, new) = (side(&around(1.0, 10)), side(&around(0.8, 10)));
    let spec = looked_at_once(10);
    let comparison = changed(&base, &new, &spec, |asked| asked.new.text = TextVerdict::Garbage);
    assert!(matches!(
        reason(&comparison),
        NoVerdictReason::TextInvalid {
            side: SideName::New,
            ..
        }
    ));
    let near = changed(&base, &new, &spec, |asked| asked.new.text = TextVerdict::NearTie);
    assert_eq!(near.change, Some(Change::Faster));

    let mut longer = side(&around(0.8, 10));
    for attempt in &mut longer {
        attempt.generations[0].output_ids.push(6);
    }
    let placements = GateSpec {
        relation: Relation::Placements,
        ..looked_at_once(10)
    };
    let comparison = judged(&base, &longer, &placements);
    assert!(matches!(reason(&comparison), NoVerdictReason::OtherTokenCounts { .. }));

    let with_card = |throttled: &str| -> Vec<Attempt> {
        let mut attempts = side(&around(0.8, 10));
        for attempt in &mut attempts {
            attempt.gpus = vec![GpuTelemetry {
                throttle_reasons: vec![throttled.to_owned()],
                ..GpuTelemetry::default()
            }];
        }
        attempts
    };
    let comparison = judged(&with_card("power cap"), &with_card("too hot (hardware)"), &spec);
    assert!(matches!(
        reason(&comparison),
        NoVerdictReason::Throttled {
            side: SideName::New,
            ..
        }
    ));
    let comparison = judged(&with_card("power cap"), &with_card("power cap"), &spec);
    assert_eq!(comparison.exit, ExitCode::Passed);
}

#[test]
fn another_machine_is_no_verdict_unless_it_is_what_is_tested() {
    let (base, new) = (side(&around(1.0, 10)), side(&around(1.1, 10)));
    let judge = |spec: &GateSpec| {
        let (a, b): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
        let (here, there) = (
            Environment::default(),
            Environment {
                kernel: "6.9.0".into(),
                ..Environment::default()
            },
        );
        let mut asked = pair(&a, &b, &here, None);
        asked.new.environment = &there;
        compare(&[asked], spec)
    };
    let comparison = judge(&looked_at_once(10));
    assert!(matches!(reason(&comparison), NoVerdictReason::OtherMachine { differences } if differences.len() == 1));
    let expected = GateSpec {
        expected_differences: vec![FingerprintField::Kernel],
        ..looked_at_once(10)
    };
    assert_eq!(judge(&expected).change, Some(Change::Slower));
    let mut debug = side(&around(1.1, 10));
    debug[0].profile = Some("debug".into());
    assert!(matches!(
        reason(&judged(&base, &debug, &expected)),
        NoVerdictReason::OtherMachine { .. }
    ));
}

#[test]
fn separate_sessions_are_judged_by_a_wider_floor_and_never_fail_for_their_timings() {
    let separate = GateSpec {
        arrangement: Arrangement::Separate,
        ..looked_at_once(10)
    };
    let base = side(&around(1.0, 10));
    let slower = judged(&base, &side(&around(1.1, 10)), &separate);
    assert_eq!((slower.change, slower.exit), (Some(Change::Slower), ExitCode::Passed));
    let within = judged(&base, &side(&around(1.04, 10)), &separate);
    assert_eq!((within.change, within.exit), (Some(Change::Same), ExitCode::Passed));
    assert_eq!(tpot(&within).floor.source, ThresholdSource::SeparateSessions);
    let few = judged(&side(&around(1.0, 3)), &side(&around(1.0, 3)), &separate);
    assert_eq!((few.change, few.exit), (Some(Change::NoVerdict), ExitCode::Passed));
    // Between placements nothing is left that could gate.
    let nothing = GateSpec {
        relation: Relation::Placements,
        ..separate
    };
    assert_eq!(
        judged(&base, &side(&around(1.0, 10)), &nothing).exit,
        ExitCode::NoVerdict
    );
}

fn mirrored(change: Change) -> Change {
    match change {
        Change::Faster => Change::Slower,
        Change::Slower => Change::Faster,
        Change::Same | Change::Unclear | Change::NoVerdict => change,
    }
}

prop_compose! {
    /// Two sides with an effect between -15 and 15 % and noise up to 5 %; if they may tie, some of it on a grid.
    fn sides(may_tie: bool)(
        pairs in 6..16_usize, effect in 0.85..1.15_f64, noise in 0.0..0.05_f64, on_grid in any::<bool>(),
    )(
        base in prop::collection::vec(-1.0..1.0_f64, pairs),
        new in prop::collection::vec(-1.0..1.0_f64, pairs),
        effect in Just(effect), noise in Just(noise), on_grid in Just(on_grid),
    ) -> (Vec<f64>, Vec<f64>) {
        let at = |step: f64| 20.0 * (1.0 + noise * if on_grid && may_tie { (3.0 * step).round() / 3.0 } else { step });
        (base.into_iter().map(at).collect(), new.into_iter().map(|step| effect * at(step)).collect())
    }
}

/// One question, so that pairs from six on are enough.
fn one_question() -> GateSpec {
    GateSpec {
        metrics: vec![TimingMetric::TpotS],
        ..looked_at_once(6)
    }
}

proptest! {
    #[test]
    fn swapping_the_sides_mirrors_the_verdict((base, new) in sides(true)) {
        let (base, new) = (side(&base), side(&new));
        let there = judged(&base, &new, &one_question());
        let back = judged(&new, &base, &one_question());
        prop_assert_eq!(tpot(&back).change, mirrored(tpot(&there).change));
        prop_assert_eq!(tpot(&back).p_slower, tpot(&there).p_faster);
        prop_assert_eq!(tpot(&back).pairs_slower, tpot(&there).pairs_faster);
    }

    #[test]
    fn scaling_both_sides_changes_nothing((base, new) in sides(false), scale in 1e-3..1e3_f64) {
        let scaled = |times: &[f64], scale: f64| -> Vec<Attempt> {
            times.iter().enumerate().map(|(number, ms)| attempt(number, 2.0, 0.2 * scale, ms * scale / 1e3)).collect()
        };
        let before = judged(&scaled(&base, 1.0), &scaled(&new, 1.0), &one_question());
        let after = judged(&scaled(&base, scale), &scaled(&new, scale), &one_question());
        prop_assert_eq!(tpot(&after).change, tpot(&before).change);
        prop_assert_eq!(tpot(&after).p_slower, tpot(&before).p_slower);
    }

    #[test]
    fn identical_pairs_never_make_the_same_slower((base, new) in sides(true), more in 1..12_usize, margin in 0.0..0.1_f64) {
        let judge = |base: &[f64], new: &[f64]| {
            let noise = NoiseFloor {
                case: "suite/prompt/auto".into(),
                pairs: 20,
                metrics: vec![MetricFloor { metric: "tpot_s".into(), floor: margin, bias: 0.0, log_ratios: vec![] }],
            };
            let (base, new) = (side(base), side(new));
            let (a, b): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
            tpot(&compare(&[pair(&a, &b, &Environment::default(), Some(&noise))], &one_question())).change
        };
        if judge(&base, &new) == Change::Same {
            let with = |times: &[f64]| -> Vec<f64> { times.iter().copied().chain((0..more).map(|i| 20.0 + i as f64)).collect() };
            let after = judge(&with(&base), &with(&new));
            prop_assert!(!matches!(after, Change::Slower | Change::Faster), "{after:?}");
        }
    }

    #[test]
    fn nothing_that_is_measured_makes_it_panic_or_pass_a_hole(
        base in prop::collection::vec(prop::num::f64::ANY, 0..14), new in prop::collection::vec(prop::num::f64::ANY, 0..14)
    ) {
        let comparison = judged(&side(&base), &side(&new), &one_question());
        let is_usable = |times: &[f64]| times.iter().all(|ms| (ms / 1e3).is_finite() && ms / 1e3 > 0.0);
        let pairs = base.len().min(new.len());
        if pairs < 6 || !is_usable(&base[..pairs]) || !is_usable(&new[..pairs]) {
            prop_assert_eq!(comparison.exit, ExitCode::NoVerdict);
        }
        prop_assert!(serde_json::to_string(&comparison).is_ok());
    }
}
