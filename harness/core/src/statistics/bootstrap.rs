//! The bootstrap of a median, counted out instead of drawn.
//!
//! A bootstrap draws samples of the same size with replacement and looks at how their medians spread. For a median that
//! spread has a closed form (Maritz and Jarrett 1978; Efron 1982, section 10): it is the limit that ten thousand or a
//! million random resamples only come near. It is cheaper than drawing, needs no seed, and is exactly antisymmetric.
//!
//! The interval is the percentile interval. BCa, often the better choice, is none here: its acceleration is estimated by the
//! jackknife, which is inconsistent for a median (Efron 1979: leaving one value out of an even number moves the median to
//! one of two places only). It would need resamples and a seed again, and holds the true median no more often:
//! `tests/data/statistics/README.md` has the measured coverage of both.

use serde::{Deserialize, Serialize};

/// An interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of the negated values.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            low: -self.high,
            high: -self.low,
        }
    }
}

/// The percentile bootstrap interval of the median: the bootstrap medians between the quantiles at (1 − confidence) / 2
/// and its complement. `None` of nothing, of values that are not finite, and of a confidence outside 0 to 1. Takes time
/// and memory quadratic in the number of values.
#[must_use]
pub fn median_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let usable = !values.is_empty() && values.iter().all(|value| value.is_finite());
    if !usable || !(0.0..1.0).contains(&confidence) {
        return None;
    }
    let medians = median_distribution(values);
    let tail = (1.0 - confidence) / 2.0;
    // From both ends inwards, so that negated values give the negated interval.
    Some(Interval {
        low: first_beyond(medians.iter(), tail)?,
        high: first_beyond(medians.iter().rev(), tail)?,
    })
}

/// The value at which the summed probability reaches `tail`.
fn first_beyond<'a>(mut medians: impl Iterator<Item = &'a (f64, f64)>, tail: f64) -> Option<f64> {
    // Sums of up to n² terms: what is within their rounding of the tail has reached it.
    const ROUNDING: f64 = 1e-12;
    let mut sum = 0.0;
    let found = medians.find(|(_, probability)| {
        sum += probability;
        sum >= tail - ROUNDING
    });
    found.map(|(value, _)| *value)
}

/// Every value the median of a resample can take, in order, with its probability.
fn median_distribution(values: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n % 2 == 1 { odd(&sorted) } else { even(&sorted) }
}

/// The median of a resample is at most the i-th value where more than half of the draws are.
fn odd(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len();
    let at_most: Vec<f64> = (0..=n).map(|i| tail(n, share(i, n), n / 2 + 1)).collect();
    let steps = at_most.windows(2).map(|pair| pair[1] - pair[0]);
    sorted.iter().copied().zip(steps).collect()
}

/// The median of a resample is the mean of its two middle values, the i-th and the j-th of the sample: where half of the
/// draws are at most the i-th and one of them is it, and the other half at least the j-th and one of them is it. The two
/// are the same value where neither side of it has half of the draws.
fn even(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len();
    let half = n / 2;
    // P(all of `half` draws are among the lowest i, and not all among the lowest i − 1), both halves with the root of the
    // number of ways to choose who is in which: as logarithms, since those ways overflow.
    let ways: f64 = (1..=half).map(|k| ((half + k) as f64 / k as f64).ln()).sum();
    let extreme = |i: usize| -> f64 {
        let (here, before) = (share(i + 1, n), share(i, n));
        let whole = (0.5 * ways + half as f64 * here.ln()).exp();
        whole * (1.0 - (before / here).powf(half as f64))
    };
    let extremes: Vec<f64> = (0..n).map(extreme).collect();
    let mut medians = Vec::with_capacity(n * (n + 1) / 2);
    for (i, &low) in sorted.iter().enumerate() {
        let (below, above) = (share(i, n), share(n - 1 - i, n));
        let halves = (ways + half as f64 * (below.ln() + above.ln())).exp();
        medians.push((low, 1.0 - tail(n, below, half) - tail(n, above, half) + halves));
        for (j, &high) in sorted.iter().enumerate().skip(i + 1) {
            medians.push((f64::midpoint(low, high), extremes[i] * extremes[n - 1 - j]));
        }
    }
    medians.sort_by(|a, b| a.0.total_cmp(&b.0));
    medians
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

/// P(at least `least` of `n` draws), each with that probability.
fn tail(n: usize, probability: f64, least: usize) -> f64 {
    if probability <= 0.0 {
        return if least == 0 { 1.0 } else { 0.0 };
    }
    if probability >= 1.0 {
        return 1.0;
    }
    let (yes, no) = (probability.ln(), (-probability).ln_1p());
    let mut ways = 0.0;
    let mut sum = 0.0;
    for k in 0..=n {
        if k > 0 {
            ways += ((n - k + 1) as f64 / k as f64).ln();
        }
        if k >= least {
            sum += (ways + k as f64 * yes + (n - k) as f64 * no).exp();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All n^n resamples, one after the other.
    fn enumerated(values: &[f64]) -> Vec<(f64, f64)> {
        let n = values.len();
        let total = n.pow(u32::try_from(n).unwrap());
        let mut medians: Vec<f64> = (0..total)
            .map(|mut code| {
                let drawn: Vec<f64> = (0..n)
                    .map(|_| {
                        let value = values[code % n];
                        code /= n;
                        value
                    })
                    .collect();
                crate::statistics::median(&drawn).unwrap()
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let equal = medians.chunk_by(|a, b| a == b);
        equal
            .map(|equal| (equal[0], equal.len() as f64 / total as f64))
            .collect()
    }

    fn at_most(medians: &[(f64, f64)], value: f64) -> f64 {
        let below = medians.iter().take_while(|(median, _)| *median <= value);
        below.map(|(_, probability)| probability).sum()
    }

    #[test]
    fn counting_agrees_with_trying_every_resample() {
        for values in [
            vec![2.0],
            vec![1.0, 4.0],
            vec![-1.0, 0.5, 7.0],
            vec![3.0, 1.0, 10.0, 5.5],
            vec![1.0, 2.0, 4.0, 8.0, 16.0],
            vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
            vec![1.0, 1.0, 1.0, 2.0, 2.0, 9.0],
            vec![-3.0, -3.0, 0.0, 0.0, 0.0, 1.0, 2.0],
        ] {
            let (counted, tried) = (median_distribution(&values), enumerated(&values));
            for (value, _) in &tried {
                let (ours, theirs) = (at_most(&counted, *value), at_most(&tried, *value));
                assert!(
                    (ours - theirs).abs() < 1e-9,
                    "{values:?} at {value}: {ours} and {theirs}"
                );
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_at_any_size() {
        for n in [1, 2, 9, 10, 60, 201, 400] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let sum: f64 = median_distribution(&values).iter().map(|(_, p)| p).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{n}: {sum}");
        }
    }

    #[test]
    fn what_cannot_be_resampled_has_no_interval() {
        assert_eq!(median_interval(&[], 0.95), None);
        assert_eq!(median_interval(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(median_interval(&[1.0, 2.0], 1.0), None);
        assert_eq!(median_interval(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(median_interval(&[3.0], 0.95), Some(Interval { low: 3.0, high: 3.0 }));
    }

    proptest! {
        #[test]
        fn negated_values_give_the_negated_interval(
            values in prop::collection::vec(-1.0..1.0_f64, 1..24), confidence in 0.5..0.99_f64
        ) {
            let negated: Vec<f64> = values.iter().map(|value| -value).collect();
            let interval = median_interval(&values, confidence).unwrap();
            prop_assert_eq!(median_interval(&negated, confidence).unwrap(), interval.mirrored());
            prop_assert!(interval.low <= interval.high);
        }
    }
}
