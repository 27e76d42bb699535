//! Scales of lengths: from zero to the largest value there is, with the round values on the way.
//!
//! Unlike an [`Axis`] it has no room beyond its largest value: a bar as long as the picture is as long as the picture.

use placebench_core::units::Bytes;

use super::Frame;
use super::axis::Axis;
use super::scene::{Scene, Style};

/// A scale from zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Extent {
    /// The largest value.
    pub(super) end: f64,
    ticks: Vec<(f64, String)>,
}

impl Extent {
    /// A scale of bytes, its ticks powers of two of a binary unit apart: memory comes in such sizes. Nothing for no byte.
    pub(super) fn bytes(end: Bytes, most_ticks: usize) -> Option<Self> {
        if end.0 == 0 {
            return None;
        }
        let mut step: u64 = 1;
        while end.0 / step > most_ticks.max(1) as u64 {
            step *= 2;
        }
        let ticks = (0..=end.0 / step).map(|count| {
            let bytes = Bytes(count * step);
            let words = match count {
                0 => "0".to_owned(),
                _ => plain(bytes),
            };
            (bytes.as_f64(), words)
        });
        Some(Self {
            end: end.as_f64(),
            ticks: ticks.collect(),
        })
    }

    /// A scale of seconds. Nothing for no positive value.
    pub(super) fn seconds(end: f64, most_ticks: usize) -> Option<Self> {
        // One value gives a scale from zero.
        let axis = Axis::seconds(std::iter::once(end), most_ticks)?;
        let ticks = axis.ticks.into_iter().filter(|(value, _)| *value <= end);
        Some(Self {
            end,
            ticks: ticks.collect(),
        })
    }

    /// Where a value is within a frame; what is larger than the largest ends with it.
    pub(super) fn x(&self, frame: Frame, value: f64) -> f64 {
        frame.x + (value / self.end).clamp(0.0, 1.0) * frame.width
    }

    /// Ticks with their labels; a label that would touch its neighbour is left out. Returns the bottom.
    pub(super) fn below(&self, scene: &mut Scene, frame: Frame) -> f64 {
        let mut free_from = f64::MIN;
        for (value, words) in &self.ticks {
            let width = Style::NOTE.width(words) * 1.1;
            let at = self.x(frame, *value);
            let centre = at.max(frame.x + width / 2.0).min(frame.right() - width / 2.0);
            if centre - width / 2.0 >= free_from {
                scene.text((centre, frame.y + 12.0), words, Style::NOTE.middle(), width * 1.2);
                free_from = centre + width / 2.0 + 8.0;
            }
        }
        frame.y + 18.0
    }
}

/// `16 MiB`, `1.5 GiB`: a tick has no digits that say nothing.
fn plain(bytes: Bytes) -> String {
    let words = bytes.to_string();
    match words.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(extent: &Extent) -> Vec<&str> {
        extent.ticks.iter().map(|(_, words)| words.as_str()).collect()
    }

    #[test]
    fn ticks_of_memory_are_binary_and_end_with_what_there_is() {
        let extent = Extent::bytes(Bytes(16 << 20), 6).unwrap();
        assert_eq!(labels(&extent), ["0", "4 MiB", "8 MiB", "12 MiB", "16 MiB"]);
        let extent = Extent::bytes(Bytes((139 << 30) + 5), 6).unwrap();
        assert_eq!(labels(&extent), ["0", "32 GiB", "64 GiB", "96 GiB", "128 GiB"]);
        let extent = Extent::bytes(Bytes(1000), 3).unwrap();
        assert_eq!(labels(&extent), ["0", "256 B", "512 B", "768 B"]);
        assert_eq!(labels(&Extent::bytes(Bytes(1), 3).unwrap()), ["0", "1 B"]);
        assert!(Extent::bytes(Bytes(0), 3).is_none());
        assert!(Extent::bytes(Bytes(u64::MAX), 6).is_some_and(|extent| extent.ticks.len() <= 7));
    }

    #[test]
    fn ticks_of_time_are_round_and_within() {
        let extent = Extent::seconds(0.0034, 4).unwrap();
        assert_eq!(labels(&extent), ["0", "1 ms", "2 ms", "3 ms"]);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Extent::seconds(odd, 4), None, "{odd}");
        }
        for odd in [f64::MIN_POSITIVE, f64::MAX, 1e-9] {
            let frame = Frame {
                x: 10.0,
                y: 0.0,
                width: 100.0,
            };
            let extent = Extent::seconds(odd, 4).unwrap();
            assert_eq!((extent.x(frame, 0.0), extent.x(frame, odd)), (10.0, 110.0));
        }
    }
}
