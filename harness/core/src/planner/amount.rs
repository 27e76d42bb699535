//! A quantity of bytes with the arithmetic of the reference planner.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: whole almost always, fractional where the reference computes in IEEE doubles.
///
/// Accelerate 1.4.0 counts a `bool` element as 1/8 byte and multiplies a probed budget by 0.9, so sizes and budgets may
/// become floats, and from there on every sum with them is a float. Whole numbers stay exact (128 bits, saturating).
/// Comparisons between the two kinds are exact. May be negative: a budget minus a reserve.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// An exact number of bytes.
    Whole(i128),
    /// A double; always finite when it was made by [`Amount::from_f64`] or arithmetic on such values below 10^308.
    Fractional(f64),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self::Whole(0);

    /// The amount of a finite float, `None` for infinities and NaN.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Fractional(value))
    }

    /// The nearest double.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Fractional(value) => value,
        }
    }

    /// Cut towards zero to a whole number.
    #[must_use]
    pub fn truncated(self) -> i128 {
        match self {
            Self::Whole(whole) => whole,
            Self::Fractional(value) => truncate(value),
        }
    }

    /// Rounded up to whole bytes, zero where negative: what has to be allocated.
    #[must_use]
    pub fn whole_bytes(self) -> u64 {
        let whole = match self {
            Self::Whole(whole) => whole,
            Self::Fractional(value) => truncate(value.ceil()),
        };
        u64::try_from(whole.max(0)).unwrap_or(u64::MAX)
    }

    /// The smaller of two; `self` where they are equal.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// The larger of two; `self` where they are equal.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// Product with a float factor, computed in doubles.
    #[must_use]
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self::Fractional(self.as_f64() * factor)
    }

    /// Product with a count of elements.
    #[must_use]
    pub(crate) fn times(self, count: u64) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(whole.saturating_mul(i128::from(count))),
            Self::Fractional(value) => Self::Fractional(count as f64 * value),
        }
    }

    /// Floor division by a count of devices; a count of zero divides by one.
    #[must_use]
    pub(crate) fn floor_div(self, count: usize) -> Self {
        let count = count.max(1);
        match self {
            Self::Whole(whole) => {
                let divisor = i128::try_from(count).unwrap_or(i128::MAX);
                Self::Whole(whole.div_euclid(divisor))
            }
            Self::Fractional(value) => {
                let divisor = count as f64;
                let quotient = (value - value.rem_euclid(divisor)) / divisor;
                Self::Fractional(quotient.round())
            }
        }
    }

    /// Quotient as a double, correctly rounded where `self` is whole; a count of zero divides by one.
    #[must_use]
    pub(crate) fn mean_over(self, count: usize) -> f64 {
        let count = count.max(1);
        match self {
            Self::Whole(whole) => divide_rounded(whole, i128::try_from(count).unwrap_or(i128::MAX)),
            Self::Fractional(value) => value / count as f64,
        }
    }
}

/// Quotient of two integers as the nearest double, without rounding the operands first.
fn divide_rounded(numerator: i128, denominator: i128) -> f64 {
    /// Below this both operands are exact doubles.
    const EXACT: i128 = 1 << 53;
    if numerator.unsigned_abs() < EXACT.unsigned_abs() && denominator < EXACT {
        return numerator as f64 / denominator as f64;
    }
    // 60 quotient bits are more than a double keeps; the lowest one stands for everything cut off.
    let magnitude = numerator.unsigned_abs();
    let divisor = denominator.unsigned_abs();
    let quotient_bits = (128 - magnitude.leading_zeros()).saturating_sub(128 - divisor.leading_zeros());
    let shift = 60_u32.saturating_sub(quotient_bits).min(magnitude.leading_zeros());
    let shifted = magnitude << shift;
    let quotient = (shifted / divisor) | u128::from(!shifted.is_multiple_of(divisor));
    let value = quotient as f64 / 2_f64.powi(i32::try_from(shift).unwrap_or(0));
    if numerator < 0 { -value } else { value }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and cutting the fraction off is the purpose"
)]
fn truncate(value: f64) -> i128 {
    value as i128
}

impl std::ops::Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.saturating_add(b)),
            _ => Self::Fractional(self.as_f64() + other.as_f64()),
        }
    }
}

impl std::ops::Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.saturating_sub(b)),
            _ => Self::Fractional(self.as_f64() - other.as_f64()),
        }
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |total, amount| total + amount)
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (*self, *other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Fractional(a), Self::Fractional(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Fractional(b)) => compare_exactly(a, b),
            (Self::Fractional(a), Self::Whole(b)) => compare_exactly(b, a).map(Ordering::reverse),
        }
    }
}

/// Compares without rounding the integer to a double.
fn compare_exactly(whole: i128, value: f64) -> Option<Ordering> {
    /// The first double beyond `i128`.
    const BEYOND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if value.is_nan() {
        return None;
    }
    if value >= BEYOND {
        return Some(Ordering::Less);
    }
    if value < -BEYOND {
        return Some(Ordering::Greater);
    }
    let fraction = value - value.trunc();
    match whole.cmp(&truncate(value)) {
        Ordering::Equal => 0.0.partial_cmp(&fraction),
        unequal => Some(unequal),
    }
}

impl From<u64> for Amount {
    fn from(bytes: u64) -> Self {
        Self::Whole(i128::from(bytes))
    }
}

impl From<i64> for Amount {
    fn from(bytes: i64) -> Self {
        Self::Whole(i128::from(bytes))
    }
}

/// Plain digits; fractions as a float.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{whole}"),
            Self::Fractional(value) => write!(f, "{value}"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Whole(whole) => match (u64::try_from(whole), i64::try_from(whole)) {
                (Ok(bytes), _) => serializer.serialize_u64(bytes),
                (_, Ok(bytes)) => serializer.serialize_i64(bytes),
                _ => serializer.serialize_f64(self.as_f64()),
            },
            Self::Fractional(value) => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Amount, E> {
                Ok(Amount::from(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Amount, E> {
                Ok(Amount::from(value))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Amount, E> {
                Amount::from_f64(value).ok_or_else(|| E::custom("not a finite number of bytes"))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_fractional_compare_exactly() {
        let big = (1_i128 << 53) + 1;
        assert!(Amount::Whole(big) > Amount::Fractional(9_007_199_254_740_992.0));
        assert_eq!(Amount::Whole(9900), Amount::Fractional(9900.0));
        assert!(Amount::Whole(-1) < Amount::Fractional(-0.5));
        assert!(Amount::Whole(0) > Amount::Fractional(-0.5));
        assert!(Amount::Whole(i128::MAX) < Amount::Fractional(1e300));
    }

    #[test]
    fn division_floors() {
        assert_eq!(Amount::Whole(11).floor_div(3), Amount::Whole(3));
        assert_eq!(Amount::Fractional(11.125).floor_div(3), Amount::Whole(3));
        assert_eq!(Amount::Fractional(12.0).floor_div(3), Amount::Whole(4));
    }

    #[test]
    fn means_round_once() {
        assert!((Amount::Whole(10).mean_over(4) - 2.5).abs() < f64::EPSILON);
        let huge = (1_i128 << 60) + 1;
        let third = Amount::Whole(huge * 3).mean_over(3);
        assert_eq!(Amount::Fractional(third), Amount::Whole(1 << 60));
    }

    #[test]
    fn json_keeps_the_kind() {
        for text in ["5", "-5", "1.125", "18446744073709551615"] {
            let amount: Amount = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }
    }
}
