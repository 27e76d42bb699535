//! Several questions at once.

/// Holm's step-down adjustment (Holm 1979): adjusted p-values, in the order given, that may each be held against the same
/// level, while the chance of any false rejection among them stays below it. It assumes nothing about how they depend on
/// each other. A question that could not be asked belongs into the family as 1; what is not a number counts as 1.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values
        .iter()
        .map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) })
        .enumerate()
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (step, (index, p)) in order.iter().enumerate() {
        largest = largest.max(((p_values.len() - step) as f64 * p).min(1.0));
        adjusted[*index] = largest;
    }
    adjusted
}

/// Pairs below which a one-sided test of signs or signed ranks cannot reach `alpha` for the smallest of `family` p-values,
/// whatever was measured: n pairs that all agree have p = 2^-n.
#[must_use]
pub fn fewest_pairs(family: usize, alpha: f64) -> u32 {
    let mut pairs = 0;
    let mut smallest = family.max(1) as f64;
    // An alpha that is no probability above zero is never reached; 1074 halvings end at zero.
    while smallest > alpha.max(f64::MIN_POSITIVE) {
        smallest /= 2.0;
        pairs += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_is_multiplied_by_all_the_next_by_all_but_one() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        for (ours, theirs) in adjusted.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[f64::NAN, 0.01]), [1.0, 0.02]);
    }

    #[test]
    fn pairs_that_could_never_convince() {
        assert_eq!(fewest_pairs(1, 0.05), 5);
        assert_eq!(fewest_pairs(3, 0.05), 6);
        assert_eq!(fewest_pairs(3, 0.025), 7);
        assert_eq!(fewest_pairs(60, 0.025), 12);
        assert_eq!(fewest_pairs(0, 1.0), 0);
        assert!(fewest_pairs(1, 0.0) > 1000);
        assert!(fewest_pairs(1, f64::NAN) > 1000);
    }

    proptest! {
        #[test]
        fn adjusting_keeps_the_order_and_only_raises(p_values in prop::collection::vec(0.0..1.0_f64, 0..12)) {
            let adjusted = holm(&p_values);
            for (i, p) in p_values.iter().enumerate() {
                prop_assert!(adjusted[i] >= *p && adjusted[i] <= 1.0);
                for (j, other) in p_values.iter().enumerate() {
                    prop_assert!(p > other || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
