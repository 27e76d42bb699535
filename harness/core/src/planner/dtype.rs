//! Bytes per element of a dtype, by its name.

use super::amount::Amount;

/// Removes the namespace that PyTorch prints in front of its dtypes.
fn plain(name: &str) -> &str {
    name.strip_prefix("torch.").unwrap_or(name)
}

/// Bytes of one element: the bit count in the dtype's name over 8 (Accelerate 1.4.0), so `bfloat16` is 2, `int4` 1/2;
/// `bool` is 1/8 and every 8-bit float 1.
///
/// Short names (`f16`, `bf16`, `u8`) mean the same. `None` for packed formats whose name tells no element size, such
/// as `q4_k`.
#[must_use]
pub fn bytes_per_element(name: &str) -> Option<Amount> {
    let name = plain(name).to_ascii_lowercase();
    if name == "bool" {
        return Some(Amount::Fractional(0.125));
    }
    if name.starts_with("float8_") || name.starts_with("f8_") {
        return Some(Amount::Whole(1));
    }
    let digits_at = name.find(|c: char| c.is_ascii_digit())?;
    let (family, bits) = name.split_at(digits_at);
    let is_known = matches!(
        family,
        "float" | "bfloat" | "complex" | "int" | "uint" | "fp" | "f" | "bf" | "i" | "u"
    );
    let bits: u32 = bits.parse().ok()?;
    if !is_known || bits == 0 || bits > 4096 {
        return None;
    }
    Some(if bits.is_multiple_of(8) {
        Amount::Whole(i128::from(bits / 8))
    } else {
        Amount::Fractional(f64::from(bits) / 8.0)
    })
}

/// True for integer and bool types, which loading never converts to another dtype (Accelerate 1.4.0).
#[must_use]
pub fn is_integral(name: &str) -> bool {
    let name = plain(name).to_ascii_lowercase();
    let short = |prefix: char| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    ["uint", "int", "bool"].iter().any(|prefix| name.starts_with(prefix)) || short('i') || short('u')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_sizes() {
        let cases = [
            ("float32", 4.0),
            ("torch.float16", 2.0),
            ("bfloat16", 2.0),
            ("BF16", 2.0),
            ("float64", 8.0),
            ("int64", 8.0),
            ("u8", 1.0),
            ("bool", 0.125),
            ("int4", 0.5),
            ("int2", 0.25),
            ("fp8", 1.0),
            ("float8_e4m3fn", 1.0),
            ("complex64", 8.0),
        ];
        for (name, bytes) in cases {
            assert_eq!(bytes_per_element(name), Amount::from_f64(bytes), "{name}");
        }
        for name in ["q4_k", "q8_0", "", "float", "int0", "32", "auto"] {
            assert_eq!(bytes_per_element(name), None, "{name}");
        }
    }

    #[test]
    fn integers_are_recognised() {
        for name in ["int8", "uint8", "bool", "torch.int64", "I64", "u8"] {
            assert!(is_integral(name), "{name}");
        }
        for name in ["float32", "bfloat16", "f16", "iq4_nl", "i"] {
            assert!(!is_integral(name), "{name}");
        }
    }
}
