//! Scales with ticks people would choose, and the labels on them.

use placebench_core::units::Bytes;

/// Ratio between the largest and the smallest value from which on a scale is logarithmic: on a linear one the small
/// values would share a few pixels.
const LOGARITHMIC_FROM: f64 = 40.0;

/// A scale from values to positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Values with their labels, in rising order.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A scale of seconds that holds all values: from zero, or logarithmic where they are orders of magnitude apart.
    /// Nothing for no positive value.
    #[must_use]
    pub fn seconds(values: impl Iterator<Item = f64> + Clone, most_ticks: usize) -> Option<Self> {
        let positive = || values.clone().filter(|value| value.is_finite() && *value > 0.0);
        let high = positive().reduce(f64::max)?;
        let low = positive().reduce(f64::min)?;
        if high / low >= LOGARITHMIC_FROM {
            return Some(Self::decades(low, high));
        }
        Self::linear_seconds(high, most_ticks)
    }

    /// A scale of seconds from zero to `high`. Nothing where that is no positive number.
    #[must_use]
    pub fn linear_seconds(high: f64, most_ticks: usize) -> Option<Self> {
        if !(high.is_finite() && high > 0.0) {
            return None;
        }
        let step = step(high, most_ticks, &[1.0, 2.0, 2.5, 5.0, 10.0]);
        let (divisor, unit) = time_unit(high);
        Some(Self::linear(high, step, |value| time_label(value, divisor, unit)))
    }

    /// A scale of seconds from zero that ends a little above `high`, wherever its last tick is: for bands too low to spend a
    /// third of them on an empty step. Nothing where that is no positive number.
    #[must_use]
    pub fn seconds_up_to(high: f64, most_ticks: usize) -> Option<Self> {
        let mut axis = Self::linear_seconds(high, most_ticks)?;
        axis.ticks.retain(|(value, _)| *value <= high * 1.02);
        axis.high = high * 1.08;
        Some(axis)
    }

    /// A scale of bytes from zero. Nothing for no positive value.
    #[must_use]
    pub fn bytes(high: Bytes, most_ticks: usize) -> Option<Self> {
        if high.0 == 0 {
            return None;
        }
        let mut unit = 1.0;
        while high.as_f64() / unit >= 1024.0 {
            unit *= 1024.0;
        }
        let step = step(high.as_f64() / unit, most_ticks, &[1.0, 2.0, 5.0, 10.0]) * unit;
        // Fractions of a byte are no ticks.
        let step = step.max(1.0);
        let name = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a power of 1024 below 2^64"
        )]
        let name = name[((unit.log2() / 10.0).round() as usize).min(5)];
        Some(Self::linear(high.as_f64(), step, |value| {
            format!("{} {name}", crate::view::words::number(value / unit))
        }))
    }

    /// A scale that holds all values and need not begin at zero, so that a change of some percent can be seen. At least a
    /// tenth of the largest value long, so that noise does not look like one. Nothing for no finite value.
    #[must_use]
    pub fn between(values: &[f64], most_ticks: usize, label: impl Fn(f64) -> String) -> Option<Self> {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let largest = finite().map(f64::abs).reduce(f64::max)?;
        let (low, high) = (finite().reduce(f64::min)?, finite().reduce(f64::max)?);
        let missing = (0.1 * largest - (high / 2.0 - low / 2.0) * 2.0).max(0.0);
        let (low, high) = match largest {
            0.0 => (0.0, 1.0),
            _ => (low - missing / 2.0, high + missing / 2.0),
        };
        // Nothing is measured that needs the ends of what a float can hold.
        let span = high - low;
        if !span.is_finite() {
            return None;
        }
        let step = step(span, most_ticks, &[1.0, 2.0, 2.5, 5.0, 10.0]);
        let first = (low / step).ceil();
        let ticks = (0..50_u8)
            .map(|count| (first + f64::from(count)) * step)
            .take_while(|tick| *tick <= high)
            .map(|tick| (tick, label(tick)));
        Some(Self {
            low,
            high,
            logarithmic: false,
            ticks: ticks.collect(),
        })
    }

    /// A scale of positions from `first` to `last`, with ticks on round ones and on the first.
    #[must_use]
    pub fn positions(first: usize, last: usize, most_ticks: usize) -> Self {
        let span = last.saturating_sub(first).max(1);
        let step = step(span as f64, most_ticks, &[1.0, 2.0, 5.0, 10.0]).max(1.0);
        let (low, high) = (first as f64, last as f64);
        let rounds = (0..64_u8).map(|count| ((low / step).floor() + f64::from(count)) * step);
        let mut ticks: Vec<f64> = rounds.filter(|tick| (low..=high).contains(tick)).collect();
        if ticks.first().is_none_or(|tick| *tick > low) {
            ticks.insert(0, low);
        }
        Self {
            low,
            high: first.saturating_add(span) as f64,
            logarithmic: false,
            ticks: ticks.into_iter().map(|tick| (tick, format!("{tick}"))).collect(),
        }
    }

    /// The largest value of the scale.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.high
    }

    fn linear(high: f64, step: f64, label: impl Fn(f64) -> String) -> Self {
        let mut ticks = Vec::new();
        let mut count = 0.0;
        // One tick beyond the largest value closes the scale.
        while count * step < high + step * 0.999 && ticks.len() < 50 {
            let value: f64 = count * step;
            ticks.push((value, if count == 0.0 { "0".into() } else { label(value) }));
            count += 1.0;
        }
        let end = ticks.last().map_or(high, |(value, _)| value.max(high));
        Self {
            low: 0.0,
            high: end,
            logarithmic: false,
            ticks,
        }
    }

    fn decades(low: f64, high: f64) -> Self {
        let start = 10_f64.powf(low.log10().floor());
        let mut end = start;
        let mut ticks = Vec::new();
        loop {
            let (divisor, unit) = time_unit(end);
            ticks.push((end, time_label(end, divisor, unit)));
            if end >= high || ticks.len() > 20 {
                break;
            }
            end *= 10.0;
        }
        Self {
            low: start,
            high: end.max(high),
            logarithmic: true,
            ticks,
        }
    }

    /// Where a value lies, from 0 to 1.
    #[must_use]
    pub fn position(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Each step is ten times the one before.
    #[must_use]
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }
}

/// The smallest round step that needs at most `most` ticks.
fn step(high: f64, most: usize, round: &[f64]) -> f64 {
    let rough = high / most.max(1) as f64;
    let decade = 10_f64.powf(rough.log10().floor());
    round
        .iter()
        .map(|factor| factor * decade)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(decade * 10.0)
}

fn time_unit(high: f64) -> (f64, &'static str) {
    if high < 1e-6 {
        (1e-9, "ns")
    } else if high < 1e-3 {
        (1e-6, "µs")
    } else if high < 1.0 {
        (1e-3, "ms")
    } else {
        (1.0, "s")
    }
}

fn time_label(value: f64, divisor: f64, unit: &str) -> String {
    // Six decimals hide the dust of binary fractions.
    let shown = (value / divisor * 1e6).round() / 1e6;
    format!("{shown} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::seconds([0.041, 0.12].into_iter(), 5).unwrap();
        assert_eq!(labels(&axis), ["0", "25 ms", "50 ms", "75 ms", "100 ms", "125 ms"]);
        let axis = Axis::bytes(Bytes(3 << 20), 4).unwrap();
        assert_eq!(labels(&axis), ["0", "1 MiB", "2 MiB", "3 MiB"]);
        let axis = Axis::bytes(Bytes(700), 4).unwrap();
        assert_eq!(labels(&axis), ["0", "200 B", "400 B", "600 B", "800 B"]);
    }

    #[test]
    fn magnitudes_apart_are_logarithmic() {
        let axis = Axis::seconds([0.001, 1.0].into_iter(), 5).unwrap();
        assert_eq!(labels(&axis), ["1 ms", "10 ms", "100 ms", "1 s"]);
        assert!((axis.position(0.01) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(axis.position(0.0), 0.0);
    }

    #[test]
    fn a_scale_between_values_holds_them_all() {
        let axis = Axis::between(&[0.050, 0.051, 0.056], 4, |value| format!("{:.0}", value * 1e3)).unwrap();
        assert_eq!(labels(&axis), ["50", "52", "54", "56"]);
        assert!((axis.position(0.05), axis.position(0.056)) == (0.0, 1.0));
        let flat = Axis::between(&[2.0; 9], 4, |value| value.to_string()).unwrap();
        assert!((flat.position(2.0) - 0.5).abs() < 1e-9 && flat.ticks.len() >= 2);
        assert_eq!(Axis::between(&[f64::NAN], 4, |value| value.to_string()), None);
        assert_eq!(Axis::between(&[1e308, -1e308], 4, |value| value.to_string()), None);
    }

    #[test]
    fn a_scale_may_end_between_ticks() {
        let axis = Axis::seconds_up_to(0.021, 3).unwrap();
        assert_eq!(labels(&axis), ["0", "10 ms", "20 ms"]);
        assert!(axis.position(0.021) < 1.0 && axis.position(0.021) > 0.9);
        assert_eq!(Axis::seconds_up_to(0.0, 3), None);
        assert_eq!(Axis::seconds_up_to(f64::INFINITY, 3), None);
    }

    #[test]
    fn positions_have_round_ticks() {
        assert_eq!(labels(&Axis::positions(2, 24, 6)), ["2", "5", "10", "15", "20"]);
        assert_eq!(labels(&Axis::positions(2, 2, 6)), ["2"]);
        assert_eq!(
            labels(&Axis::positions(2, 4096, 5)),
            ["2", "1000", "2000", "3000", "4000"]
        );
        assert_eq!(Axis::positions(2, 2, 6).position(2.0), 0.0);
        assert!(Axis::positions(0, usize::MAX, 6).ticks.len() < 70);
    }

    #[test]
    fn odd_values_have_no_or_a_sane_axis() {
        assert_eq!(Axis::seconds([].into_iter(), 5), None);
        assert_eq!(Axis::seconds([0.0, f64::NAN].into_iter(), 5), None);
        assert_eq!(Axis::bytes(Bytes(0), 5), None);
        for value in [1e-12, 1e-7, 0.5, 1.0, 1e9, f64::MAX, f64::MIN_POSITIVE] {
            let axis = Axis::seconds([value].into_iter(), 5).unwrap();
            let position = axis.position(value);
            assert!(axis.ticks.len() <= 50 && position.is_finite(), "{value}: {position}");
        }
        assert!(Axis::bytes(Bytes(u64::MAX), 5).is_some());
        assert!(Axis::bytes(Bytes(1), 5).is_some());
    }
}
