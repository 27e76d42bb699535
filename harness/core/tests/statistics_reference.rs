//! The statistics against SciPy: `data/statistics/make_reference.py` says how its answers were made.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use placebench_core::statistics::{holm, median, median_interval, quantile, signed_rank_greater};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    samples: Vec<Sample>,
    holm: (Vec<f64>, Vec<f64>),
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    values: Vec<f64>,
    median: f64,
    quartiles: (f64, f64),
    signed_rank_greater: f64,
    bootstrap_percentile_95: (f64, f64),
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("data/statistics/scipy_reference.json")).unwrap()
}

fn is_near(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours}, but SciPy says {theirs}"
    );
}

#[test]
fn medians_quartiles_and_signed_ranks_are_those_of_scipy() {
    let samples = reference().samples;
    assert_eq!(samples.len(), 13);
    for sample in samples {
        let name = &sample.name;
        is_near(median(&sample.values).unwrap(), sample.median, 1e-15, name);
        is_near(quantile(&sample.values, 0.25).unwrap(), sample.quartiles.0, 1e-15, name);
        is_near(quantile(&sample.values, 0.75).unwrap(), sample.quartiles.1, 1e-15, name);
        is_near(
            signed_rank_greater(&sample.values),
            sample.signed_rank_greater,
            1e-12,
            name,
        );
    }
}

#[test]
fn the_counted_bootstrap_is_what_many_resamples_come_near() {
    for sample in reference().samples {
        let name = &sample.name;
        let ours = |confidence| median_interval(&sample.values, confidence).unwrap();
        let (low, high) = sample.bootstrap_percentile_95;
        // The bootstrap median is discrete, and 400,000 resamples leave the tail at 2.5 % uncertain by 0.025 %: SciPy's end is
        // an atom within five times that, or between two of them.
        let (wide, narrow) = (ours(0.9525), ours(0.9475));
        let rounding = 1e-12;
        let low_is_there = (wide.low - rounding..=narrow.low + rounding).contains(&low);
        let high_is_there = (narrow.high - rounding..=wide.high + rounding).contains(&high);
        assert!(
            low_is_there && high_is_there,
            "{name}: {:?} and {low} to {high}",
            ours(0.95)
        );
        // Atoms are close together: the two are within a small part of the interval.
        let reach = 0.08 * (high - low);
        is_near(ours(0.95).low, low, reach, name);
        is_near(ours(0.95).high, high, reach, name);
    }
}

#[test]
fn holms_adjustment_is_the_definition() {
    let (p_values, adjusted) = reference().holm;
    for (ours, theirs) in holm(&p_values).into_iter().zip(adjusted) {
        is_near(ours, theirs, 1e-15, "Holm");
    }
}
