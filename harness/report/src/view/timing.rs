//! Raw points of a case's latencies, or why there are none.

use placebench_core::protocol::Generation;

/// What may be drawn of a case's timings.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// Raw points, in seconds, in the order they were measured.
    Valid {
        /// Time to first token, one a generation.
        ttft_s: Vec<f64>,
        /// Gaps between tokens of all generations, one after the other.
        gaps_s: Vec<f64>,
    },
    /// The text was wrong, so that no timing is a speed: the reason.
    Invalid(String),
    /// Nothing was measured: the reason.
    Missing(String),
}

impl Timing {
    /// The raw points of some generations. Stamps that are no numbers or run backwards are left out.
    pub fn of<'a>(generations: impl Iterator<Item = &'a Generation>, why_missing: &str) -> Self {
        let mut ttft_s = Vec::new();
        let mut gaps_s = Vec::new();
        for generation in generations {
            let stamps = &generation.token_stamps_s;
            ttft_s.extend(stamps.first().copied().filter(|value| plausible(*value)));
            gaps_s.extend(
                stamps
                    .windows(2)
                    .map(|pair| pair[1] - pair[0])
                    .filter(|value| plausible(*value)),
            );
        }
        if ttft_s.is_empty() {
            Self::Missing(why_missing.to_owned())
        } else {
            Self::Valid { ttft_s, gaps_s }
        }
    }
}

fn plausible(seconds: f64) -> bool {
    seconds.is_finite() && seconds >= 0.0
}

/// The middle of some values; the mean of the two middle ones where their number is even.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[f64::NAN, 1.0]), Some(1.0));
    }
}
