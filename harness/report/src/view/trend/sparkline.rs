//! A series as a row of bars.

/// Signs of a sparkline, from the lowest.
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Most signs of a sparkline.
const MOST_SPARKS: usize = 24;

/// The least range a sparkline shows, as a share of its lowest value: noise of a percent is to look flat.
const LEAST_RANGE: f64 = 0.1;

/// The newest values as bars. Equal values, and values that differ by little, are low bars of one height.
#[must_use]
pub fn sparkline(values: &[f64]) -> String {
    let shown = values
        .get(values.len().saturating_sub(MOST_SPARKS)..)
        .unwrap_or_default();
    let finite = || shown.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    let range = (high - low).max(low.abs() * LEAST_RANGE);
    let bar = |value: &f64| {
        let share = if range > 0.0 { (value - low) / range } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let step = (share * 7.0).round() as usize;
        SPARKS[step.min(7)]
    };
    shown.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_show_steps_and_not_noise() {
        assert_eq!(sparkline(&[1.0, 1.0, 2.0]), "▁▁█");
        assert_eq!(sparkline(&[1.0, 1.005, 1.01]), "▁▁▂");
        assert_eq!(sparkline(&[0.0, 0.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[1.0; 99]).chars().count(), MOST_SPARKS);
        assert_eq!(sparkline(&[f64::NAN, 1.0, 1e308, -1e308]).chars().count(), 4);
    }
}
