//! The fingerprint of a tensor: a digest of its bytes, figures of its values, and a few of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// How many values are kept of the last row; of one that is no longer than twice this, all.
pub const SAMPLES: u64 = 16;

/// A 64-bit digest of exact bytes: XXH3 (Collet), whose answers are the same on every machine and in every release.
/// Written as 16 hexadecimal digits, because not every reader of JSON keeps 64-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub u64);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(bytes))
    }

    /// The digest of token numbers.
    #[must_use]
    pub fn of_tokens(ids: &[u32]) -> Self {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Self::of(&bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_digest = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(&text, 16).ok();
        number
            .filter(|_| is_digest)
            .map(Self)
            .ok_or_else(|| format!("`{}` is no digest: expected 16 hexadecimal digits", text.escape_debug()))
    }
}

/// What is kept of a tensor. Rows are along its last dimension; figures leave out values that are not finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TensorPrint {
    /// Type of the elements: `f32`, `f16`, `bf16`.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Of all elements, row by row, little-endian.
    pub digest: Digest,
    /// The same of the last row: what a later step may find again.
    pub last_row: Digest,
    /// Rows with the same bytes as the last, itself included.
    pub equal_rows: u64,
    /// Smallest value; 0 where none is finite.
    pub min: f64,
    /// Largest value; 0 where none is finite.
    pub max: f64,
    /// Mean value; 0 where none is finite.
    pub mean: f64,
    /// Root of the sum of squares.
    pub l2: f64,
    /// Values that are 0.
    pub zeros: u64,
    /// Values that are infinite or not a number.
    pub non_finite: u64,
    /// [`SAMPLES`] values of the last row (or all, of a short one), spread over it; `null` where they are not finite.
    pub sample: Vec<Option<f32>>,
}

impl TensorPrint {
    /// The print of a tensor from its elements, row by row, in little-endian bytes; `value` reads one element.
    #[must_use]
    pub fn of(dtype: &str, shape: &[u64], bytes: &[u8], value: impl Fn(&[u8]) -> f32) -> Self {
        let count: u64 = shape.iter().product();
        let width = shape.last().copied().unwrap_or(1);
        let element_bytes = (bytes.len() as u64).checked_div(count).unwrap_or(1).max(1);
        let size = |elements: u64| usize::try_from(elements * element_bytes).unwrap_or(usize::MAX).max(1);
        let rows = bytes.chunks(size(width));
        let last = rows.clone().next_back().unwrap_or_default();
        let mut print = Self {
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            digest: Digest::of(bytes),
            last_row: Digest::of(last),
            equal_rows: rows.filter(|row| *row == last).count() as u64,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            l2: 0.0,
            zeros: 0,
            non_finite: 0,
            sample: Vec::new(),
        };
        let (mut sum, mut squares, mut finite) = (0.0_f64, 0.0_f64, 0_u64);
        for element in bytes.chunks_exact(size(1)) {
            let x = f64::from(value(element));
            if !x.is_finite() {
                print.non_finite += 1;
                continue;
            }
            finite += 1;
            sum += x;
            squares += x * x;
            print.min = print.min.min(x);
            print.max = print.max.max(x);
            print.zeros += u64::from(x == 0.0);
        }
        if finite == 0 {
            (print.min, print.max) = (0.0, 0.0);
        } else {
            print.mean = sum / finite as f64;
            print.l2 = squares.sqrt();
        }
        let sampled = sample_positions(width).into_iter().filter_map(|at| {
            let start = usize::try_from(at * element_bytes).ok()?;
            last.get(start..start + size(1)).map(&value)
        });
        print.sample = sampled.map(|x| x.is_finite().then_some(x)).collect();
        print
    }

    /// Elements.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Rows along the last dimension.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.count()
            .checked_div(self.shape.last().copied().unwrap_or(1))
            .unwrap_or(0)
    }

    /// The largest magnitude.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.max.abs().max(self.min.abs())
    }
}

/// Where the sampled values of a row lie: all of a short one, else in steps of the golden section, which spread evenly and
/// keep no step with the strides in which memory goes wrong.
fn sample_positions(width: u64) -> Vec<u64> {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    if width <= 2 * SAMPLES {
        return (0..width).collect();
    }
    let position = |index: u64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of a width is a position in it"
        )]
        let at = ((index as f64 * GOLDEN).fract() * width as f64) as u64;
        at.min(width - 1)
    };
    (0..SAMPLES).map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn f32_of(element: &[u8]) -> f32 {
        f32::from_le_bytes(element.try_into().unwrap())
    }

    fn print(shape: &[u64], values: &[f32]) -> TensorPrint {
        TensorPrint::of("f32", shape, &bytes(values), f32_of)
    }

    #[test]
    fn figures_are_those_of_the_values() {
        let made = print(&[2, 3], &[3.0, -4.0, 0.0, 0.0, f32::NAN, 12.0]);
        assert_eq!((made.min, made.max, made.mean, made.l2), (-4.0, 12.0, 2.2, 13.0));
        assert_eq!((made.zeros, made.non_finite, made.rows()), (2, 1, 2));
        assert_eq!(made.sample, [Some(0.0), None, Some(12.0)]);
        assert_eq!(made.equal_rows, 1);
        assert_eq!(made.last_row, print(&[1, 3], &[0.0, f32::NAN, 12.0]).digest);
        assert_eq!(print(&[3, 1], &[5.0, 7.0, 5.0]).equal_rows, 2);
    }

    #[test]
    fn nothing_and_only_nan_have_figures_too() {
        let none = print(&[0, 4], &[]);
        assert_eq!((none.count(), none.rows(), none.sample.len()), (0, 0, 0));
        let nan = print(&[1, 2], &[f32::NAN, f32::INFINITY]);
        assert_eq!((nan.min, nan.max, nan.l2, nan.non_finite), (0.0, 0.0, 0.0, 2));
        let text = serde_json::to_string(&nan).unwrap();
        assert_eq!(serde_json::from_str::<TensorPrint>(&text).unwrap(), nan);
    }

    #[test]
    fn the_digest_is_the_published_one() {
        // The value the reference implementation gives for no bytes and seed 0.
        assert_eq!(Digest::of(b"").to_string(), "2d06800538d394c2");
        assert!(serde_json::from_str::<Digest>("\"2d06800538d394c2\"").is_ok());
        for wrong in ["\"2d06\"", "\"zz06800538d394c2\"", "\"+d06800538d394c2\"", "7"] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn samples_spread_over_the_row_and_keep_no_step() {
        for width in [33, 64, 576, 4096, 151_936] {
            let mut at = sample_positions(width);
            at.sort_unstable();
            at.dedup();
            assert_eq!(at.len() as u64, SAMPLES, "{width}");
            let gaps = at.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.max() <= Some(width / 5), "{width}: {at:?}");
            let eighth = at.iter().filter(|at| *at % 8 == 0).count();
            assert!(eighth <= 6, "{width}: {at:?}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_bit_changes_the_digest_and_nothing_else_does(
            values in proptest::collection::vec(-1e3_f32..1e3, 1..200),
            at in any::<proptest::sample::Index>(),
            bit in 0..32_u32,
        ) {
            let shape = [1, values.len() as u64];
            let right = print(&shape, &values);
            prop_assert_eq!(&print(&shape, &values), &right);
            let mut other = values.clone();
            let index = at.index(values.len());
            other[index] = f32::from_bits(values[index].to_bits() ^ (1 << bit));
            prop_assert_ne!(print(&shape, &other).digest, right.digest);
        }

        #[test]
        fn prints_survive_json(values in proptest::collection::vec(any::<f32>(), 1..64)) {
            let made = print(&[1, values.len() as u64], &values);
            let text = serde_json::to_string(&made).unwrap();
            prop_assert_eq!(serde_json::from_str::<TensorPrint>(&text).unwrap(), made);
        }
    }
}
