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

/// A duration in seconds as people read it: `41 ms`, `1.25 s`, `2 min 5 s`.
#[must_use]
pub fn human_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".into();
    }
    let magnitude = seconds.abs();
    if magnitude < 1e-6 {
        format!("{:.0} ns", seconds * 1e9)
    } else if magnitude < 1e-3 {
        format!("{:.3} ms", seconds * 1e3)
    } else if magnitude < 0.1 {
        format!("{:.1} ms", seconds * 1e3)
    } else if magnitude < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else if magnitude < 60.0 {
        format!("{seconds:.2} s")
    } else {
        let minutes = (seconds / 60.0).floor();
        format!("{minutes:.0} min {:.0} s", seconds - minutes * 60.0)
    }
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
        let shown: Vec<String> = [0.0, 0.000_25, 0.0413, 0.25, 1.5, 125.0, f64::NAN]
            .iter()
            .map(|&s| human_seconds(s))
            .collect();
        assert_eq!(
            shown,
            [
                "0 ns",
                "0.250 ms",
                "41.3 ms",
                "250 ms",
                "1.50 s",
                "2 min 5 s",
                "unknown"
            ]
        );
    }
}
