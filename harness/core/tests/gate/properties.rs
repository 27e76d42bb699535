//! What the verdict on timings must not depend on, whatever was measured.

use placebench_core::compare::{Change, GateSpec, TimingMetric, compare, compare_as_part};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{Attempt, Environment};
use proptest::prelude::*;

use super::simulation::{attempt, looked_at_once, pair};
use super::timings::{calibrated, judged, side, tpot};

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
    fn what_a_case_is_called_while_others_are_missing_it_is_called_in_the_whole(
        (base, new) in sides(true), others in prop::collection::vec(sides(true), 0..4)
    ) {
        let environment = Environment::default();
        let all: Vec<(Vec<Attempt>, Vec<Attempt>)> = std::iter::once((base, new))
            .chain(others)
            .map(|(base, new)| (side(&base), side(&new)))
            .collect();
        let refs: Vec<(Vec<&Attempt>, Vec<&Attempt>)> =
            all.iter().map(|(base, new)| (base.iter().collect(), new.iter().collect())).collect();
        let pairs: Vec<_> = refs.iter().map(|(base, new)| pair(base, new, &environment, None)).collect();
        let whole = compare(&pairs, &one_question());
        let alone = compare_as_part(&pairs[..1], &one_question(), pairs.len());
        prop_assert_eq!(alone.family, whole.family);
        let (alone, whole) = (&alone.cases[0].timings[0], &whole.cases[0].timings[0]);
        prop_assert!(alone.p_slower >= whole.p_slower && alone.p_faster >= whole.p_faster);
        if alone.change != Change::Unclear {
            prop_assert_eq!(alone.change, whole.change);
        }
    }

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
            let noise = calibrated(margin, 0.0);
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
