//! Sizes with their unit in the type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes. Serialised as a plain integer, so that fields carry the unit in their name (`peak_bytes`).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The number as a float, for ratios and plots.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        Self(values.fold(0, |total, value| total.saturating_add(value.0)))
    }
}

/// Binary units, three significant figures: `0 B`, `640 B`, `96.0 MiB`, `1.50 GiB`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.as_f64() / 1024.0;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            // 1023.5 would print as "1024 KiB".
            if value < 1023.5 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let decimals = if value >= 99.95 {
            0
        } else if value >= 9.995 {
            1
        } else {
            2
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// A duration in seconds as people read it, three significant digits everywhere: `30.0 ns`, `245 µs`, `41.3 ms`, `1.25 s`, and
/// from a minute on `2 min 5 s`. What would be rounded to a thousand of a unit is one of the next.
#[must_use]
pub fn human_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".into();
    }
    let magnitude = seconds.abs();
    if magnitude == 0.0 {
        return "0 s".into();
    }
    if magnitude >= 59.95 {
        let sign = if seconds < 0.0 { "-" } else { "" };
        let whole = magnitude.round();
        let minutes = (whole / 60.0).floor();
        return format!("{sign}{minutes:.0} min {:.0} s", whole - minutes * 60.0);
    }
    let (factor, unit) = match magnitude {
        m if m < 0.999_5e-6 => (1e9, "ns"),
        m if m < 0.999_5e-3 => (1e6, "µs"),
        m if m < 0.999_5 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    let decimals = match magnitude * factor {
        m if m < 9.995 => 2,
        m if m < 99.95 => 1,
        _ => 0,
    };
    format!("{:.decimals$} {unit}", seconds * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_naturally() {
        let shown: Vec<String> = [0, 640, 1024, 1_572_864, 100_663_296, 6_170_000_000, 1_048_200]
            .iter()
            .map(|&n| Bytes(n).to_string())
            .collect();
        assert_eq!(
            shown,
            [
                "0 B", "640 B", "1.00 KiB", "1.50 MiB", "96.0 MiB", "5.75 GiB", "1.00 MiB"
            ]
        );
    }

    #[test]
    fn durations_read_naturally() {
        let shown = [
            (0.0, "0 s"),
            (3e-8, "30.0 ns"),
            (4.2e-6, "4.20 µs"),
            (0.000_25, "250 µs"),
            (999.6e-6, "1.00 ms"),
            (0.003_1, "3.10 ms"),
            (0.041_3, "41.3 ms"),
            (0.25, "250 ms"),
            (0.999_7, "1.00 s"),
            (1.5, "1.50 s"),
            (12.34, "12.3 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min 0 s"),
            (119.7, "2 min 0 s"),
            (125.0, "2 min 5 s"),
            (-2e-6, "-2.00 µs"),
            (-61.0, "-1 min 1 s"),
            (f64::NAN, "unknown"),
            (f64::INFINITY, "unknown"),
        ];
        for (seconds, words) in shown {
            assert_eq!(human_seconds(seconds), words, "{seconds}");
        }
    }
}
