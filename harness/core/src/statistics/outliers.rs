//! Values that stand apart.

use super::quantile;

/// Quartile distances beyond the quartiles from which a value is "far out": the outer fences of Tukey (Exploratory Data
/// Analysis, 1977), as criterion's severe outliers.
const FENCE: f64 = 3.0;

/// Fewer values have no quartiles to speak of.
const FEWEST: usize = 6;

/// Positions of the values beyond Tukey's outer fences. They are to be shown and kept: dropping what looks odd biases
/// whatever is tested afterwards, and medians bear them. None among fewer than six values, or where half of them are equal.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let (Some(low), Some(high)) = (quantile(values, 0.25), quantile(values, 0.75)) else {
        return Vec::new();
    };
    let reach = FENCE * (high - low);
    if values.len() < FEWEST || reach <= 0.0 {
        return Vec::new();
    }
    let far_out = |value: f64| value < low - reach || value > high + reach;
    let positions = values.iter().enumerate();
    positions
        .filter(|(_, value)| far_out(**value))
        .map(|(position, _)| position)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_out_is_named_and_the_rest_is_not() {
        assert_eq!(outliers(&[1.0, 1.1, 0.9, 1.05, 0.95, 3.0, 1.02]), [5]);
        assert_eq!(outliers(&[1.0, 1.1, 0.9, 1.05, 0.95, 1.2, 1.02]), Vec::<usize>::new());
        assert_eq!(outliers(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1]), Vec::<usize>::new());
        assert_eq!(outliers(&[1.0, 1.1, 9.0]), Vec::<usize>::new());
    }
}
