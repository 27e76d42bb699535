//! The verdict on timings.

use placebench_core::compare::{
    Arrangement, CasePair, Change, Comparison, GateSpec, Relation, SideName, ThresholdSource, TimingMetric, TimingRow,
    TimingWarning, compare,
};
use placebench_core::doctor::noise::{MetricFloor, NoiseFloor};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{Attempt, Environment};

use super::simulation::{attempt, looked_at_once, pair};

/// A side whose time per token is `tpot_ms` in each attempt in turn, and which is quiet otherwise.
pub(super) fn side(tpot_ms: &[f64]) -> Vec<Attempt> {
    let attempts = tpot_ms.iter().enumerate();
    attempts
        .map(|(number, ms)| {
            let wobble = 1.0 + 1e-4 * (number % 3) as f64;
            attempt(number, 2.0 * wobble, 0.2 * wobble, ms / 1e3)
        })
        .collect()
}

/// `pairs` attempts around 20 ms that scatter by about 1 %, times `factor`.
pub(super) fn around(factor: f64, pairs: usize) -> Vec<f64> {
    let scatter = [0.0, 0.9, -0.7, 0.4, -1.1, 0.2, 1.0, -0.3, -0.9, 0.6];
    (0..pairs)
        .map(|number| 20.0 * factor * (1.0 + 0.01 * scatter[number % 10]))
        .collect()
}

pub(super) fn judged(base: &[Attempt], new: &[Attempt], spec: &GateSpec) -> Comparison {
    changed(base, new, spec, |_| ())
}

/// After a change of what is asked.
pub(super) fn changed(
    base: &[Attempt],
    new: &[Attempt],
    spec: &GateSpec,
    change: impl FnOnce(&mut CasePair<'_>),
) -> Comparison {
    let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
    let environment = Environment::default();
    let mut asked = pair(&base, &new, &environment, None);
    change(&mut asked);
    compare(&[asked], spec)
}

pub(super) fn row(comparison: &Comparison, metric: TimingMetric) -> &TimingRow {
    comparison.cases[0]
        .timings
        .iter()
        .find(|row| row.metric == metric)
        .unwrap()
}

pub(super) fn tpot(comparison: &Comparison) -> &TimingRow {
    row(comparison, TimingMetric::TpotS)
}

/// What a calibration said of the time per token.
pub(super) fn calibrated(floor: f64, bias: f64) -> NoiseFloor {
    NoiseFloor {
        case: "suite/prompt/auto".into(),
        pairs: 20,
        metrics: vec![MetricFloor {
            metric: "tpot_s".into(),
            floor,
            bias,
            log_ratios: vec![],
        }],
    }
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
    let (base, new) = (
        side(&around(1.0, 10)),
        side(&around(1.015, 10).iter().rev().copied().collect::<Vec<f64>>()),
    );
    let judge = |noise: Option<&NoiseFloor>, new: &[Attempt]| {
        let (a, b): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
        compare(&[pair(&a, &b, &Environment::default(), noise)], &looked_at_once(10))
    };
    assert_eq!(tpot(&judge(None, &new)).change, Change::Unclear);
    let wide = judge(Some(&calibrated(0.05, 0.001)), &new);
    assert_eq!(tpot(&wide).change, Change::Same);
    assert_eq!(tpot(&wide).margin.source, ThresholdSource::Calibrated);
    assert_eq!(tpot(&wide).floor.source, ThresholdSource::MinEffect);
    let slow = side(&around(1.1, 10));
    assert_eq!(
        tpot(&judge(Some(&calibrated(0.05, 0.001)), &slow)).change,
        Change::Slower
    );
    let biased = judge(Some(&calibrated(0.2, -0.12)), &slow);
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
    // Nor is it the same where the machine's noise would have room for it: the interval speaks against that.
    let noise = calibrated(0.2, 0.0);
    all[0].noise = Some(&noise);
    assert_eq!(compare(&all, &spec).cases[0].change, Some(Change::Unclear));
}

#[test]
fn certain_means_certain_to_be_beyond_the_floor() {
    let small: Vec<f64> = around(1.012, 10);
    let comparison = judged(&side(&around(1.0, 10)), &side(&small), &looked_at_once(10));
    // All pairs are worse, so against no change at all p would be 2^-10.
    assert!(tpot(&comparison).pairs.iter().all(|pair| pair.new > pair.base));
    assert_eq!(
        (tpot(&comparison).p_slower, tpot(&comparison).p_faster),
        (Some(1.0), Some(1.0))
    );
}

#[test]
fn attempts_without_a_counterpart_are_left_out_and_counted() {
    let (base, new) = (side(&around(1.0, 12)), side(&around(1.1, 10)));
    let comparison = judged(&base, &new, &looked_at_once(10));
    assert_eq!(tpot(&comparison).change, Change::Slower);
    assert_eq!(tpot(&comparison).warnings, [TimingWarning::Unpaired { attempts: 2 }]);
}

#[test]
fn separate_sessions_are_judged_by_a_wider_floor_and_fail_for_their_timings_only_when_asked_to() {
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
    // Whoever asks for it is told.
    let asked_for = GateSpec {
        separate_timings_gate: true,
        ..separate.clone()
    };
    for (factor, exit) in [
        (1.1, ExitCode::Slower),
        (1.04, ExitCode::Passed),
        (0.9, ExitCode::Passed),
    ] {
        let gated = judged(&base, &side(&around(factor, 10)), &asked_for);
        assert_eq!(gated.exit, exit, "{factor}");
    }
    let gated = judged(&side(&around(1.0, 3)), &side(&around(1.0, 3)), &asked_for);
    assert_eq!(gated.exit, ExitCode::NoVerdict);
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

#[test]
fn a_machine_too_noisy_to_tell_calls_nothing_the_same() {
    // Between half and twice the base's time: what a machine does that is shared with others.
    let wild = [0.5, 1.9, 0.6, 1.7, 0.7, 1.5, 0.8, 1.3, 0.9, 1.2, 0.55, 1.8];
    let base = side(
        &[20.0; 12]
            .iter()
            .zip(0..)
            .map(|(ms, step)| ms + 0.01 * f64::from(step))
            .collect::<Vec<f64>>(),
    );
    let new = side(&wild.map(|factor| 20.0 * factor));
    let environment = Environment::default();
    let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
    let noise = calibrated(1.6, 0.0);
    let wide = compare(&[pair(&base, &new, &environment, Some(&noise))], &looked_at_once(12));
    assert_eq!(tpot(&wide).change, Change::Unclear, "{wide:#?}");
    assert_eq!(tpot(&wide).margin.log_ratio, 0.25);
}
