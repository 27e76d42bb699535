use super::*;
use proptest::prelude::*;

fn found(values: &[f64]) -> Vec<usize> {
    let changes = change_points(values, &ChangePointSpec::default());
    changes.iter().map(|change| change.at).collect()
}

const NONE: [usize; 0] = [];

/// Values around levels, each a little different from the others.
fn levels(levels: &[(usize, f64)]) -> Vec<f64> {
    let spread = [0.3, -0.7, 0.9, -0.2, 0.0, 0.6, -0.9, -0.4, 0.7, 0.1, -0.6];
    let all = levels
        .iter()
        .flat_map(|&(count, level)| std::iter::repeat_n(level, count));
    all.enumerate()
        .map(|(index, level)| level * (1.0 + 0.01 * spread[index % spread.len()]))
        .collect()
}

#[test]
fn steps_are_found_where_they_are() {
    assert_eq!(found(&levels(&[(12, 1.0), (12, 1.1)])), [12]);
    assert_eq!(found(&levels(&[(20, 1.0), (4, 1.1)])), [20]);
    assert_eq!(found(&levels(&[(12, 1.0), (12, 1.1), (12, 1.0)])), [12, 24]);
    assert_eq!(
        found(&levels(&[(12, 1.0), (12, 1.2), (12, 0.9), (12, 1.5)])),
        [12, 24, 36]
    );
    let change = change_points(&levels(&[(12, 2.0), (12, 2.2)]), &ChangePointSpec::default())[0];
    assert!(
        (change.log_ratio - 1.1_f64.ln()).abs() < 0.01 && change.p <= 0.01,
        "{change:?}"
    );
    assert!((change.before - 2.0).abs() < 0.03 && (change.after - 2.2).abs() < 0.03);
}

#[test]
fn what_is_no_step_is_not_found() {
    assert_eq!(found(&[]), NONE);
    assert_eq!(found(&[1.0, 1.0, 1.0, 2.0, 2.0]), NONE, "too few");
    assert_eq!(found(&[1.0; 200]), NONE, "always the same");
    assert_eq!(found(&levels(&[(40, 1.0)])), NONE, "noise alone");
    assert_eq!(found(&levels(&[(30, 1.0), (30, 1.02)])), NONE, "too small to matter");
    let mut odd = levels(&[(40, 1.0)]);
    (odd[10], odd[11], odd[30]) = (9.0, 8.0, 0.1);
    assert_eq!(found(&odd), NONE, "odd runs");
    let mut ties = vec![1.0; 30];
    (ties[3], ties[4], ties[20]) = (1.1, 1.2, 0.9);
    assert_eq!(found(&ties), NONE, "mostly the same");
}

#[test]
fn ties_do_not_hide_a_step() {
    let mut values = vec![1.0; 15];
    values.extend([1.25; 15]);
    assert_eq!(found(&values), [15]);
}

#[test]
fn what_is_no_figure_is_passed_over_and_keeps_its_place() {
    let mut values = levels(&[(12, 1.0), (12, 1.2)]);
    values.insert(3, f64::NAN);
    values.insert(20, 0.0);
    values.insert(0, f64::INFINITY);
    assert_eq!(found(&values), [14]);
    assert_eq!(found(&[1e308; 20]), NONE);
}

#[test]
fn a_spec_that_asks_for_nothing_finds_nothing_and_does_not_panic() {
    let values = levels(&[(12, 1.0), (12, 1.2)]);
    for spec in [
        ChangePointSpec {
            alpha: 0.0,
            ..ChangePointSpec::default()
        },
        ChangePointSpec {
            min_change: 1e9,
            ..ChangePointSpec::default()
        },
        ChangePointSpec {
            shortest: usize::MAX / 2,
            ..ChangePointSpec::default()
        },
        ChangePointSpec {
            permutations: 0,
            ..ChangePointSpec::default()
        },
    ] {
        assert!(change_points(&values, &spec).is_empty(), "{spec:?}");
    }
    let one = ChangePointSpec {
        shortest: 0,
        ..ChangePointSpec::default()
    };
    assert_eq!(change_points(&values, &one).len(), 1);
}

#[test]
fn counted_figures_change_with_every_other_value() {
    let at = |values: &[f64]| steps(values).iter().map(|step| step.at).collect::<Vec<_>>();
    assert_eq!(at(&[2.0, 2.0, 3.0, 3.0, 2.0]), [2, 4]);
    assert_eq!(at(&[2.0; 9]), NONE);
    assert_eq!(at(&[0.0, 1.0]), [1]);
    assert_eq!(at(&[]), NONE);
}

#[test]
fn deviations_are_those_from_the_median() {
    let sums = deviations([3.0, 1.0, 2.0, 10.0].iter());
    assert_eq!(sums, [0.0, 2.0, 2.0, 10.0]);
}

#[test]
fn ranks_share_ties() {
    assert_eq!(ranks(&[5.0, 1.0, 5.0, 9.0]), [0.0, -1.5, 0.0, 1.5]);
}

proptest! {
    #[test]
    fn levels_stay_long_enough_and_the_unit_does_not_matter(
        values in prop::collection::vec(0.5..2.0_f64, 0..60), scale in 1e-3..1e3_f64
    ) {
        let spec = ChangePointSpec { alpha: 0.2, ..ChangePointSpec::default() };
        let changes = change_points(&values, &spec);
        let mut edges = vec![0];
        edges.extend(changes.iter().map(|change| change.at));
        edges.push(values.len());
        prop_assert!(changes.is_empty() || edges.windows(2).all(|pair| pair[1] >= pair[0] + spec.shortest), "{:?}", edges);
        prop_assert!(changes.iter().all(|change| change.log_ratio.abs() >= 1.03_f64.ln() && change.p <= 0.2));
        let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
        let places = |changes: &[ChangePoint]| changes.iter().map(|change| change.at).collect::<Vec<_>>();
        // Scaling may round two different values to the same one only far below what this draws.
        prop_assert_eq!(places(&change_points(&scaled, &spec)), places(&changes));
    }
}
