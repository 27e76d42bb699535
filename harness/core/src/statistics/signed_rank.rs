//! Wilcoxon's signed-rank test, exact.

/// The probability of a signed-rank sum at least as large as that of `differences`, were each as likely to be the
/// negative of what it is: Wilcoxon's one-sided test that they tend to be above zero.
///
/// The null distribution is counted out for the ranks at hand, so ties (which get their mean rank) are exact too. A
/// difference of zero is ranked and counted as not above zero, the cautious reading. Differences that are not finite say
/// nothing: the answer is then 1. Takes time cubic in the number of differences: milliseconds for a hundred.
#[must_use]
pub fn signed_rank_greater(differences: &[f64]) -> f64 {
    if differences.iter().any(|difference| !difference.is_finite()) {
        return 1.0;
    }
    let ranks = doubled_ranks(differences);
    let total: usize = ranks.iter().sum();
    let signed = ranks.iter().zip(differences);
    let sum: usize = signed
        .filter(|(_, difference)| **difference > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    // The null distribution is symmetric, so whichever tail is shorter will do.
    let probability = if total - sum < sum {
        at_most(&ranks, total - sum)
    } else if sum == 0 {
        1.0
    } else {
        1.0 - at_most(&ranks, sum - 1)
    };
    probability.clamp(0.0, 1.0)
}

/// Twice the rank of each size among all sizes, from 1; equal sizes share the mean of theirs, which doubling makes whole.
fn doubled_ranks(differences: &[f64]) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = differences
        .iter()
        .map(|difference| difference.abs())
        .enumerate()
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0; differences.len()];
    let mut before = 0;
    for ties in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = 2 * before + ties.len() + 1;
        for (index, _) in ties {
            ranks[*index] = rank;
        }
        before += ties.len();
    }
    ranks
}

/// P(sum of ranks ≤ `limit`) where each rank is in the sum or not, with equal chance.
fn at_most(ranks: &[usize], limit: usize) -> f64 {
    let mut probability = vec![0.0; limit + 1];
    probability[0] = 1.0;
    for &rank in ranks {
        for sum in (0..=limit).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |without| probability[without]);
            probability[sum] = 0.5 * (probability[sum] + with);
        }
    }
    probability.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unanimous_pairs_have_the_smallest_probability_there_is() {
        for n in [1, 5, 6, 8, 10, 20] {
            let above: Vec<f64> = (1..=n).map(f64::from).collect();
            let below: Vec<f64> = above.iter().map(|difference| -difference).collect();
            assert_eq!(signed_rank_greater(&above), 0.5_f64.powi(n));
            assert_eq!(signed_rank_greater(&below), 1.0);
        }
    }

    #[test]
    fn nothing_and_zeros_and_what_is_no_number_say_nothing() {
        assert_eq!(signed_rank_greater(&[]), 1.0);
        assert_eq!(signed_rank_greater(&[0.0; 8]), 1.0);
        assert_eq!(signed_rank_greater(&[1.0, 2.0, f64::NAN, 3.0, 4.0, 5.0, 6.0]), 1.0);
        assert_eq!(signed_rank_greater(&[f64::INFINITY; 9]), 1.0);
    }

    proptest! {
        #[test]
        fn it_is_the_share_of_sign_patterns(grid in prop::collection::vec(-6_i32..6, 1..11)) {
            let differences: Vec<f64> = grid.iter().map(|&step| f64::from(step)).collect();
            let ranks = doubled_ranks(&differences);
            let chosen = |pattern: usize| -> usize {
                ranks.iter().enumerate().filter(|(bit, _)| pattern >> bit & 1 == 1).map(|(_, rank)| rank).sum()
            };
            let ours: usize =
                ranks.iter().zip(&differences).filter(|(_, difference)| **difference > 0.0).map(|(rank, _)| rank).sum();
            let patterns = 1_usize << ranks.len();
            let as_large = (0..patterns).filter(|&pattern| chosen(pattern) >= ours).count();
            let expected = as_large as f64 / patterns as f64;
            prop_assert!((signed_rank_greater(&differences) - expected).abs() < 1e-12);
        }
    }
}
