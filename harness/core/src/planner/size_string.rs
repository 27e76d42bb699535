//! Size strings such as `10GiB`, read as Accelerate 1.4.0 reads them.

use thiserror::Error;

use super::amount::Amount;

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeError {
    /// No number, no known unit, or something after the unit.
    #[error("`{text}` is no size: write a number and a unit, such as `5.5GB` or `10GiB`")]
    Invalid {
        /// The text as given.
        text: String,
    },
    /// Less than nothing.
    #[error("`{text}` is negative")]
    Negative {
        /// The text as given.
        text: String,
    },
    /// Infinite, or beyond what 128 bits hold.
    #[error("`{text}` is too large for a size")]
    TooLarge {
        /// The text as given.
        text: String,
    },
}

/// Units in the order in which they are tried: ending in upper case, bytes, whether a final `b` means bits.
const UNITS: [(&str, f64, bool); 6] = [
    ("GIB", 1_073_741_824.0, false),
    ("MIB", 1_048_576.0, false),
    ("KIB", 1024.0, false),
    ("GB", 1e9, true),
    ("MB", 1e6, true),
    ("KB", 1e3, true),
];

/// Parses a number followed by a unit; the result is in bytes, cut to a whole number.
///
/// The rules are Accelerate 1.4.0's. Units: `GiB MiB KiB` (powers of two) and `GB MB KB` (powers of ten), in any case,
/// but a decimal unit that ends in a lower-case `b` counts *bits*: `10Gb` and `10gb` are 1.25e9 bytes. The number is
/// whatever Python's `float` reads: `1e3`, `.5`, `5.`, `1_000`, blanks around it, digits of any script. A bare
/// number has no unit and is refused.
///
/// # Errors
/// When the text is no size, is negative, or does not fit in 128 bits.
pub fn parse_size(text: &str) -> Result<Amount, SizeError> {
    let invalid = || SizeError::Invalid { text: text.to_owned() };
    let upper = text.to_uppercase();
    let (unit, factor, may_be_bits) = UNITS
        .into_iter()
        .find(|(unit, ..)| upper.ends_with(unit))
        .ok_or_else(invalid)?;
    let number: String = without_last_chars(text, unit.len());
    let value = parse_python_float(&number).ok_or_else(invalid)? * factor;
    if value.is_nan() {
        return Err(invalid());
    }
    if value.abs() >= 2_f64.powi(126) {
        return Err(SizeError::TooLarge { text: text.to_owned() });
    }
    let mut bytes = Amount::Fractional(value).truncated();
    if may_be_bits && text.ends_with('b') {
        bytes = bytes.div_euclid(8);
    }
    if bytes < 0 {
        return Err(SizeError::Negative { text: text.to_owned() });
    }
    Ok(Amount::Whole(bytes))
}

fn without_last_chars(text: &str, count: usize) -> String {
    let kept = text.chars().count().saturating_sub(count);
    text.chars().take(kept).collect()
}

/// Reads what Python's `float()` reads.
fn parse_python_float(text: &str) -> Option<f64> {
    let trimmed = text.trim();
    let mut plain = String::with_capacity(trimmed.len());
    let mut previous_is_digit = false;
    let mut chars = trimmed.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '_' {
            // An underscore is allowed between two digits and nowhere else.
            let next_is_digit = chars.peek().is_some_and(|&next| decimal_digit(next).is_some());
            if !previous_is_digit || !next_is_digit {
                return None;
            }
            previous_is_digit = false;
            continue;
        }
        let digit = decimal_digit(c);
        previous_is_digit = digit.is_some();
        plain.push(digit.unwrap_or(c));
    }
    // Rust accepts the same grammar: sign, `inf`, `infinity`, `nan` in any case, and decimal numbers.
    plain.parse().ok()
}

/// Code points of the digit zero in every script that has decimal digits (Unicode category Nd).
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620,
    0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The ASCII digit of the same value, for a decimal digit of any script.
fn decimal_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = ZEROS.iter().rev().find(|&&zero| zero <= code)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<i128> {
        parse_size(text).ok().map(Amount::truncated)
    }

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("1KB", 1000),
            ("1kb", 125),
            ("1Kb", 125),
            ("1kB", 1000),
            ("1kib", 1024),
            ("1KIb", 1024),
            (" 10 GB", 10_000_000_000),
            ("1e3KB", 1_000_000),
            (".5MB", 500_000),
            ("5.MB", 5_000_000),
            ("+1KB", 1000),
            ("1_000KB", 1_000_000),
            ("\u{ff11}\u{ff10}GB", 10_000_000_000),
            ("\u{663}KiB", 3072),
            ("-0GB", 0),
            ("-0.0001KB", 0),
            ("0.1KiB", 102),
            ("1e12GB", 1_000_000_000_000_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "0",
            "1024",
            "10B",
            "10TB",
            "GB",
            "abcGB",
            "1KB ",
            "1__0KB",
            "_1KB",
            "1_KB",
            "1_.0KB",
            "1e_3KB",
            "nanMB",
            "1,5GB",
            "0x10KB",
            "1 0KB",
            "\u{b2}GB",
            "infGB",
            "-infinityGB",
            "1e300GB",
            "-1GB",
            "-5Gb",
            "--1KB",
            "K",
            "é",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
