//! The effect within a pair.

/// Steps to the unit that a log ratio is rounded to: 2^40, about 10^-12, far below what any clock resolves. Ratios that
/// are equal but for the rounding of divisions and logarithms then tie, so that scaling both sides by a constant cannot
/// change a rank, and sums of two are exact.
const STEPS: f64 = (1_u64 << 40) as f64;

/// ln(new / base), rounded to 2^-40: 0.05 means about 5 % more, and swapping the sides gives exactly the negative.
/// `None` unless both are finite and above zero.
#[must_use]
pub fn log_ratio(base: f64, new: f64) -> Option<f64> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    if !usable(base) || !usable(new) {
        return None;
    }
    // A difference of logarithms, not the logarithm of a quotient: that one is not exactly antisymmetric.
    Some(((new.ln() - base.ln()) * STEPS).round() / STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_figure_has_no_ratio() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(log_ratio(bad, 1.0), None, "{bad}");
            assert_eq!(log_ratio(1.0, bad), None, "{bad}");
        }
        assert_eq!(log_ratio(2.0, 2.0), Some(0.0));
        assert!((log_ratio(1.0, 1.05).unwrap() - 0.048_790_164_169).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn swapping_negates_and_scaling_changes_nothing(base in 1e-9..1e9_f64, new in 1e-9..1e9_f64, scale in 1e-6..1e6_f64) {
            let ratio = log_ratio(base, new).unwrap();
            prop_assert_eq!(log_ratio(new, base).unwrap(), -ratio);
            prop_assert!((log_ratio(base * scale, new * scale).unwrap() - ratio).abs() <= 1.0 / STEPS);
        }
    }
}
