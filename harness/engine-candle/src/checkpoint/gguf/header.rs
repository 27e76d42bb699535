//! A walk through the header of a GGUF file that allocates nothing it has not seen.
//!
//! The layout (all little-endian): magic, version, number of tensors, number of entries; each entry a key, a type and a
//! value; each tensor a name, its dimensions, its type and its offset. Strings and arrays are preceded by their length.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{ModelFilesError, truncated};
use crate::shown::shown;

pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// Bounds far above any model's header. Candle keeps 32 bytes for each element of an array, so these bound memory too.
const MOST_TENSORS: u64 = 1 << 20;
const MOST_ENTRIES: u64 = 1 << 16;
const MOST_ELEMENTS: u64 = 1 << 22;
const LONGEST_NAME: u64 = 1 << 12;
const LONGEST_TEXT: u64 = 1 << 26;
const LONGEST_HEADER: u64 = 1 << 28;
const MOST_DIMENSIONS: u32 = 4;
const DEEPEST_ARRAY: u32 = 3;

/// Walks through the header of the file at its start; returns the header's length.
pub(super) fn walk(path: &Path, file: &mut File, file_len: u64) -> Result<u64, ModelFilesError> {
    let mut walker = Walker {
        path,
        reader: BufReader::new(file),
        position: 0,
        file_len,
        elements: 0,
    };
    if walker.array::<4>()? != MAGIC {
        return Err(walker.malformed("it does not begin with the letters GGUF"));
    }
    let version = walker.u32()?;
    if !(2..=3).contains(&version) {
        return Err(walker.unsupported(format!("GGUF version {version}")));
    }
    let tensors = walker.count("tensors", MOST_TENSORS)?;
    let entries = walker.count("entries", MOST_ENTRIES)?;
    walker.entries(entries)?;
    walker.tensors(tensors)?;
    Ok(walker.position)
}

struct Walker<'a> {
    path: &'a Path,
    reader: BufReader<&'a mut File>,
    position: u64,
    file_len: u64,
    elements: u64,
}

impl Walker<'_> {
    fn entries(&mut self, count: u64) -> Result<(), ModelFilesError> {
        let mut keys = HashSet::new();
        for _ in 0..count {
            let key = self.name("a key")?;
            let kind = self.u32()?;
            if key == "general.alignment" {
                // candle takes it for the alignment of the data and divides by it.
                let alignment = if kind == 4 { self.u32()? } else { 0 };
                if alignment == 0 || alignment > 1 << 16 || !alignment.is_power_of_two() {
                    return Err(self.malformed("general.alignment is no power of two"));
                }
            } else {
                self.value(kind, 0)?;
            }
            if !keys.insert(key.clone()) {
                return Err(self.malformed(format!("the key `{}` is there twice", shown(&key))));
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<(), ModelFilesError> {
        match kind {
            9 => {
                let kind = self.u32()?;
                let count = self.count("array elements", MOST_ELEMENTS)?;
                self.elements += count;
                if self.elements > MOST_ELEMENTS || depth >= DEEPEST_ARRAY {
                    return Err(self.malformed("its arrays are larger than any model's"));
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
                None => Err(self.malformed(format!("a value has the unknown type {kind}"))),
            },
        }
    }

    fn tensors(&mut self, count: u64) -> Result<(), ModelFilesError> {
        let mut names = HashSet::new();
        for _ in 0..count {
            let name = self.name("a tensor's name")?;
            let dimensions = self.u32()?;
            if dimensions > MOST_DIMENSIONS {
                let reason = format!("tensor `{}` has {dimensions} dimensions", shown(&name));
                return Err(self.malformed(reason));
            }
            self.skip(u64::from(dimensions) * 8)?;
            let kind = self.u32()?;
            if !is_read(kind) {
                return Err(self.unsupported(format!(
                    "the format {} of tensor `{}` (those that are: {READ})",
                    format_name(kind),
                    shown(&name)
                )));
            }
            self.skip(8)?;
            if !names.insert(name.clone()) {
                return Err(self.malformed(format!("tensor `{}` is listed twice", shown(&name))));
            }
        }
        Ok(())
    }

    /// A length-prefixed text that is short enough to be kept.
    fn name(&mut self, what: &str) -> Result<String, ModelFilesError> {
        let length = self.count(&format!("bytes in {what}"), LONGEST_NAME)?;
        self.need(length)?;
        let mut bytes = Vec::new();
        self.reader
            .by_ref()
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(source))?;
        // As candle reads it: a key with a zero at its end is the same key.
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64, ModelFilesError> {
        let count = u64::from_le_bytes(self.array()?);
        if count > most {
            return Err(self.malformed(format!(
                "its header speaks of {count} {what}, more than any model's {most}"
            )));
        }
        Ok(count)
    }

    fn u32(&mut self) -> Result<u32, ModelFilesError> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelFilesError> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|source| self.unreadable(source))?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), ModelFilesError> {
        self.need(length)?;
        let mut rest = self.reader.by_ref().take(length);
        std::io::copy(&mut rest, &mut std::io::sink())
            .map(drop)
            .map_err(|source| self.unreadable(source))
    }

    /// Moves on by `length` bytes if the file has them.
    fn need(&mut self, length: u64) -> Result<(), ModelFilesError> {
        self.position += length;
        if self.position > self.file_len {
            return Err(truncated(self.path, self.position, self.file_len));
        }
        if self.position > LONGEST_HEADER {
            return Err(self.malformed(format!("its header has more than {LONGEST_HEADER} bytes")));
        }
        Ok(())
    }

    fn malformed(&self, reason: impl Into<String>) -> ModelFilesError {
        ModelFilesError::malformed(self.path, reason)
    }

    fn unsupported(&self, feature: String) -> ModelFilesError {
        ModelFilesError::Feature {
            path: self.path.to_owned(),
            feature,
        }
    }

    fn unreadable(&self, source: std::io::Error) -> ModelFilesError {
        ModelFilesError::Read {
            path: self.path.to_owned(),
            source,
        }
    }
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
