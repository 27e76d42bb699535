//! When nothing must be said of timings, and why.

use placebench_core::compare::{
    Change, Comparison, FingerprintField, GateSpec, NoVerdictReason, Relation, SideName, TimingMetric, compare,
};
use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, Environment, GpuProcess, GpuTelemetry, TextVerdict};

use super::simulation::{attempt, looked_at_once, pair};
use super::timings::{around, changed, judged, row, side, tpot};

fn reason(comparison: &Comparison) -> &NoVerdictReason {
    assert_eq!(comparison.change, Some(Change::NoVerdict));
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
    let reason = tpot(comparison).reason.as_ref().unwrap();
    assert!(reason.sentence().len() > 20);
    reason
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

/// One attempt of ten is enough: it is not known how long somebody else computed.
#[test]
fn attempts_that_were_not_alone_are_no_basis_for_a_verdict() {
    let spec = looked_at_once(10);
    let (base, new) = (side(&around(1.0, 10)), side(&around(1.1, 10)));
    assert_ne!(judged(&base, &new, &spec).change, Some(Change::NoVerdict));
    let mut disturbed = new.clone();
    disturbed[3].foreign_processes = vec![GpuProcess {
        gpu: 0,
        pid: 42,
        name: Some("train.py".into()),
        memory_bytes: None,
        was_there_before: false,
    }];
    let comparison = judged(&base, &disturbed, &spec);
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
    assert_eq!(
        reason(&comparison).sentence(),
        "other programs computed on the GPU during 1 attempt of the new side (train.py (pid 42) on GPU 0): end them, or wait \
         for them, and measure again"
    );
    let mut beside = base.clone();
    beside[0].concurrent = 2;
    let comparison = judged(&beside, &new, &spec);
    assert_eq!(comparison.exit, ExitCode::NoVerdict);
    assert!(
        reason(&comparison)
            .sentence()
            .contains("1 attempt of the base side ran beside others (--jobs)")
    );
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
