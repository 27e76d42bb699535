//! How much a machine's figures differ between two attempts at the same thing.

use serde::{Deserialize, Serialize};

use crate::judge::metrics;
use crate::record::{Attempt, CaseMetrics};
use crate::statistics::median;

/// The share of pairs whose difference the floor covers.
const QUANTILE: f64 = 0.95;

/// Pairs below which a quantile means nothing: the floor of fewer is their largest difference and likely too low.
pub const FEWEST_PAIRS: usize = 6;

/// The metrics that have a floor, and how each is read.
type Read = fn(&CaseMetrics) -> Option<f64>;
const METRICS: [(&str, Read); 4] = [
    ("load_s", |figures| figures.load_s),
    ("ttft_s", |figures| figures.ttft_s),
    ("tpot_s", |figures| figures.tpot_s),
    ("e2e_s", |figures| figures.e2e_s),
];

/// The noise floor of a machine: differences no larger than this mean nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// The case both sides ran.
    pub case: String,
    /// Pairs of attempts.
    pub pairs: usize,
    /// One entry for each metric that every pair has.
    pub metrics: Vec<MetricFloor>,
}

/// The noise floor of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricFloor {
    /// The metric.
    pub metric: String,
    /// The 95th percentile (nearest rank) of |ln(A / B)| over the pairs: 0.05 means about 5 %.
    pub floor: f64,
    /// The median of ln(A / B): far from 0 means that A and B were not treated alike.
    pub bias: f64,
    /// ln(A / B) of each pair, in order.
    pub log_ratios: Vec<f64>,
}

/// The noise floor from pairs of attempts at one case. A pair with an attempt that lacks a metric does not count for it.
#[must_use]
pub fn noise_floor(case: &str, pairs: &[(Attempt, Attempt)]) -> NoiseFloor {
    let figures: Vec<(CaseMetrics, CaseMetrics)> = pairs.iter().map(|(a, b)| (metrics(&[a]), metrics(&[b]))).collect();
    NoiseFloor {
        case: case.to_owned(),
        pairs: pairs.len(),
        metrics: METRICS
            .iter()
            .filter_map(|(name, read)| {
                let both = figures.iter().map(|(a, b)| (read(a), read(b)));
                floor_of(name, both.filter_map(|(a, b)| log_ratio(a?, b?)).collect())
            })
            .collect(),
    }
}

fn log_ratio(a: f64, b: f64) -> Option<f64> {
    let ratio = (a / b).ln();
    ratio.is_finite().then_some(ratio)
}

fn floor_of(name: &str, log_ratios: Vec<f64>) -> Option<MetricFloor> {
    let mut sizes: Vec<f64> = log_ratios.iter().map(|ratio| ratio.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    Some(MetricFloor {
        metric: name.to_owned(),
        floor: nearest_rank(&sizes, QUANTILE)?,
        bias: median(&log_ratios)?,
        log_ratios,
    })
}

/// The smallest value that at least that share of the sorted values does not exceed.
fn nearest_rank(sorted: &[f64], share: f64) -> Option<f64> {
    let below = sorted
        .iter()
        .enumerate()
        .find(|(index, _)| (index + 1) as f64 >= share * sorted.len() as f64);
    below.map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_covers_95_of_100_pairs_and_all_of_a_few() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(nearest_rank(&hundred, 0.95), Some(95.0));
        assert_eq!(nearest_rank(&[0.1, 0.2, 0.3], 0.95), Some(0.3));
        assert_eq!(nearest_rank(&[], 0.95), None);
    }

    #[test]
    fn direction_does_not_matter_for_the_floor_and_shows_in_the_bias() {
        let ratios = vec![-0.3, -0.1, -0.2];
        let floor = floor_of("ttft_s", ratios.clone()).unwrap();
        assert_eq!((floor.floor, floor.bias), (0.3, -0.2));
        assert_eq!(floor.log_ratios, ratios);
        assert_eq!(floor_of("ttft_s", vec![]), None);
    }

    #[test]
    fn what_is_no_ratio_is_left_out() {
        assert_eq!(log_ratio(1.0, 0.0), None);
        assert_eq!(log_ratio(0.0, 1.0), None);
        assert_eq!(log_ratio(2.0, 2.0), Some(0.0));
    }
}
