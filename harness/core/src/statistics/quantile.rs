//! Medians and quantiles.

/// The median; `None` of nothing. Of an even number of values the mean of the two in the middle. What is not finite is
/// left out.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile at `share` (0 to 1), by linear interpolation between order statistics: Hyndman and Fan's type 7, the
/// default of numpy and R. What is not finite is left out; `None` of nothing and of a share outside its range.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&share) {
        return None;
    }
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = share * last as f64;
    // Both are within 0..=last: `position` is.
    let (below, above) = (at(&sorted, position.floor())?, at(&sorted, position.ceil())?);
    let part = position.fract();
    // The mean of the two in the middle is exact and the same from both sides; interpolation is neither.
    Some(if part == 0.5 {
        f64::midpoint(below, above)
    } else {
        below + (above - below) * part
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to the length of a slice"
)]
fn at(sorted: &[f64], position: f64) -> Option<f64> {
    sorted.get(position as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_what_is_no_number() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, f64::NAN, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], [0, 0.25, 0.5, 0.9, 1])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let of = |share| quantile(&values, share).unwrap();
        assert_eq!([of(0.0), of(0.25), of(0.5), of(1.0)], [1.0, 1.75, 3.5, 9.0]);
        assert!((of(0.9) - 6.9).abs() < 1e-12);
        assert_eq!(quantile(&values, 1.1), None);
        assert_eq!(quantile(&values, f64::NAN), None);
    }
}
