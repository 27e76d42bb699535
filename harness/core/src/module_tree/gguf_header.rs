//! A walk through the header of a GGUF file that allocates nothing it has not seen.
//!
//! The layout (all little-endian): magic, version, number of tensors, number of entries; each entry a key, a type and a
//! value; each tensor a name, its dimensions, its type and its offset. Strings and arrays are preceded by their length.

use std::collections::HashSet;
use std::io::Read;

use thiserror::Error;

use crate::shown::shown;
use crate::units::Bytes;

/// The first bytes of every GGUF file.
pub const GGUF_MAGIC: [u8; 4] = *b"GGUF";

/// Bounds far above any model's header. Candle keeps 32 bytes for each element of an array, so these bound memory too.
const MOST_TENSORS: u64 = 1 << 20;
const MOST_ENTRIES: u64 = 1 << 16;
const MOST_ELEMENTS: u64 = 1 << 22;
const LONGEST_NAME: u64 = 1 << 12;
const LONGEST_TEXT: u64 = 1 << 26;
const LONGEST_HEADER: u64 = 1 << 28;
const MOST_DIMENSIONS: u32 = 4;
const DEEPEST_ARRAY: u32 = 3;

/// Why a file has no GGUF header that can be read. Names of the file are escaped.
#[derive(Debug, Error)]
pub enum GgufHeaderError {
    /// The file ends before its header does.
    #[error("truncated: expected at least {} bytes, found {} bytes", expected.0, found.0)]
    Truncated {
        /// What its header asks for so far.
        expected: Bytes,
        /// What it has.
        found: Bytes,
    },
    /// It contradicts the format, or itself.
    #[error("malformed: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A version or a format of tensors that is not read.
    #[error("{feature} is not supported")]
    Unsupported {
        /// Which.
        feature: String,
    },
    /// The system does not let it be read.
    #[error("cannot be read")]
    Read(#[from] std::io::Error),
}

/// Walks through the header at the start of a file of `file_len` bytes; returns the header's length in bytes. `file` is read in
/// small pieces, so it should be buffered.
///
/// # Errors
/// When it is no header, or one that asks for more than the file or any model has.
pub fn gguf_header_length(file: impl Read, file_len: u64) -> Result<u64, GgufHeaderError> {
    let mut walker = Walker {
        reader: file,
        position: 0,
        file_len,
        elements: 0,
    };
    if walker.array::<4>()? != GGUF_MAGIC {
        return Err(malformed("it does not begin with the letters GGUF"));
    }
    let version = walker.u32()?;
    if !(2..=3).contains(&version) {
        return Err(unsupported(format!("GGUF version {version}")));
    }
    let tensors = walker.count("tensors", MOST_TENSORS)?;
    let entries = walker.count("entries", MOST_ENTRIES)?;
    walker.entries(entries)?;
    walker.tensors(tensors)?;
    Ok(walker.position)
}

fn malformed(reason: impl Into<String>) -> GgufHeaderError {
    GgufHeaderError::Malformed { reason: reason.into() }
}

fn unsupported(feature: String) -> GgufHeaderError {
    GgufHeaderError::Unsupported { feature }
}

struct Walker<R> {
    reader: R,
    position: u64,
    file_len: u64,
    elements: u64,
}

impl<R: Read> Walker<R> {
    fn entries(&mut self, count: u64) -> Result<(), GgufHeaderError> {
        let mut keys = HashSet::new();
        for _ in 0..count {
            let key = self.name("a key")?;
            let kind = self.u32()?;
            if key == "general.alignment" {
                // candle takes it for the alignment of the data and divides by it.
                let alignment = if kind == 4 { self.u32()? } else { 0 };
                if alignment == 0 || alignment > 1 << 16 || !alignment.is_power_of_two() {
                    return Err(malformed("general.alignment is no power of two"));
                }
            } else {
                self.value(kind, 0)?;
            }
            if !keys.insert(key.clone()) {
                return Err(malformed(format!("the key `{}` is there twice", shown(&key))));
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<(), GgufHeaderError> {
        match kind {
            9 => {
                let kind = self.u32()?;
                let count = self.count("array elements", MOST_ELEMENTS)?;
                self.elements += count;
                if self.elements > MOST_ELEMENTS || depth >= DEEPEST_ARRAY {
                    return Err(malformed("its arrays are larger than any model's"));
                }
                match fixed_size(kind) {
                    Some(size) => self.skip(count * size),
                    None => (0..count).try_for_each(|_| self.value(kind, depth + 1)),
                }
            }
            8 => {
                let length = self.count("bytes of text", LONGEST_TEXT)?;
                self.skip(length)
            }
            kind => match fixed_size(kind) {
                Some(size) => self.skip(size),
                None => Err(malformed(format!("a value has the unknown type {kind}"))),
            },
        }
    }

    fn tensors(&mut self, count: u64) -> Result<(), GgufHeaderError> {
        let mut names = HashSet::new();
        for _ in 0..count {
            let name = self.name("a tensor's name")?;
            let dimensions = self.u32()?;
            if dimensions > MOST_DIMENSIONS {
                let reason = format!("tensor `{}` has {dimensions} dimensions", shown(&name));
                return Err(malformed(reason));
            }
            self.skip(u64::from(dimensions) * 8)?;
            let kind = self.u32()?;
            if !is_read(kind) {
                return Err(unsupported(format!(
                    "the format {} of tensor `{}` (those that are: {READ})",
                    format_name(kind),
                    shown(&name)
                )));
            }
            self.skip(8)?;
            if !names.insert(name.clone()) {
                return Err(malformed(format!("tensor `{}` is listed twice", shown(&name))));
            }
        }
        Ok(())
    }

    /// A length-prefixed text that is short enough to be kept.
    fn name(&mut self, what: &str) -> Result<String, GgufHeaderError> {
        let length = self.count(&format!("bytes in {what}"), LONGEST_NAME)?;
        self.need(length)?;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes)?;
        whole(read as u64, length)?;
        // As candle reads it: a key with a zero at its end is the same key.
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64, GgufHeaderError> {
        let count = u64::from_le_bytes(self.array()?);
        if count > most {
            return Err(malformed(format!(
                "its header speaks of {count} {what}, more than any model's {most}"
            )));
        }
        Ok(count)
    }

    fn u32(&mut self) -> Result<u32, GgufHeaderError> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufHeaderError> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), GgufHeaderError> {
        self.need(length)?;
        let mut rest = self.reader.by_ref().take(length);
        let skipped = std::io::copy(&mut rest, &mut std::io::sink())?;
        whole(skipped, length)
    }

    /// Moves on by `length` bytes if the file has them.
    fn need(&mut self, length: u64) -> Result<(), GgufHeaderError> {
        self.position += length;
        if self.position > self.file_len {
            return Err(GgufHeaderError::Truncated {
                expected: Bytes(self.position),
                found: Bytes(self.file_len),
            });
        }
        if self.position > LONGEST_HEADER {
            return Err(malformed(format!("its header has more than {LONGEST_HEADER} bytes")));
        }
        Ok(())
    }
}

/// A file that has become shorter since its length was asked for ends sooner.
fn whole(read: u64, length: u64) -> Result<(), GgufHeaderError> {
    if read == length {
        return Ok(());
    }
    Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
}

/// Bytes of a value of a type that has a fixed size.
fn fixed_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The formats of [`is_read`], for messages.
const READ: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K";

/// The tensor formats candle computes with, by their number in ggml.h.
fn is_read(kind: u32) -> bool {
    matches!(kind, 0..=3 | 6..=15 | 30)
}

fn format_name(kind: u32) -> String {
    let name = match kind {
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        other => return format!("number {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Vec<u8> {
        [&(value.len() as u64).to_le_bytes(), value.as_bytes()].concat()
    }

    /// A header with these entries (key, type, value) and these tensors (name, type) of one dimension.
    fn header(entries: &[(&str, u32, Vec<u8>)], tensors: &[(&str, u32)]) -> Vec<u8> {
        let mut bytes = [GGUF_MAGIC.as_slice(), &3_u32.to_le_bytes()].concat();
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend((entries.len() as u64).to_le_bytes());
        for (key, kind, value) in entries {
            bytes.extend([text(key).as_slice(), &kind.to_le_bytes(), value].concat());
        }
        for (name, kind) in tensors {
            bytes.extend([text(name).as_slice(), &1_u32.to_le_bytes(), &8_u64.to_le_bytes()].concat());
            bytes.extend([kind.to_le_bytes().as_slice(), &0_u64.to_le_bytes()].concat());
        }
        bytes
    }

    fn array(kind: u32, count: u64, content: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes(), count.to_le_bytes().as_slice(), content].concat()
    }

    fn sample() -> Vec<u8> {
        header(
            &[
                ("general.architecture", 8, text("llama")),
                ("general.alignment", 4, 32_u32.to_le_bytes().to_vec()),
                ("tokens", 9, array(8, 2, &[text("a"), text("bc")].concat())),
                ("types", 9, array(5, 3, &[0; 12])),
            ],
            &[("token_embd.weight", 0), ("output.weight", 8)],
        )
    }

    fn wrong(bytes: &[u8]) -> String {
        gguf_header_length(bytes, bytes.len() as u64).unwrap_err().to_string()
    }

    #[test]
    fn the_length_is_that_of_the_header_whatever_follows() {
        let bytes = sample();
        let length = bytes.len() as u64;
        assert_eq!(gguf_header_length(bytes.as_slice(), length).unwrap(), length);
        let file = [bytes.as_slice(), &[0; 100]].concat();
        assert_eq!(gguf_header_length(file.as_slice(), file.len() as u64).unwrap(), length);
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let error = gguf_header_length(&bytes[..length], length as u64).unwrap_err();
            assert!(
                matches!(error, GgufHeaderError::Truncated { .. }),
                "cut at {length}: {error}"
            );
            // The file has shrunk since its length was asked for.
            let error = gguf_header_length(&bytes[..length], bytes.len() as u64);
            assert!(matches!(error, Err(GgufHeaderError::Read(_))), "cut at {length}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        let entry = |kind, value: &[u8]| wrong(&header(&[("key", kind, value.to_vec())], &[]));
        assert!(wrong(b"GGML").contains("letters GGUF"));
        assert!(entry(13, &[0; 8]).contains("the unknown type 13"));
        assert!(entry(8, &u64::MAX.to_le_bytes()).contains("18446744073709551615 bytes of text"));
        assert!(entry(9, &array(4, 1 << 23, &[])).contains("8388608 array elements"));
        let nested = |inner: Vec<u8>| array(9, 1, &inner);
        let deep = nested(nested(nested(array(4, 0, &[]))));
        assert!(entry(9, &deep).contains("larger than any model's"));
        let twice = [("key", 0, vec![1]), ("key\0", 0, vec![1])];
        assert!(wrong(&header(&twice, &[])).contains("`key` is there twice"));
        assert!(wrong(&header(&[], &[("t", 0), ("t", 0)])).contains("`t` is listed twice"));
        assert!(wrong(&header(&[], &[("t\u{1b}", 16)])).contains("IQ2_XXS of tensor `t\\u{1b}`"));
        for alignment in [0_u32, 3, 1 << 17] {
            let entries = [("general.alignment", 4, alignment.to_le_bytes().to_vec())];
            assert!(wrong(&header(&entries, &[])).contains("no power of two"), "{alignment}");
        }
    }
}
