//! Checksums of files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};

/// The SHA-256 of a file's bytes, as 64 lower-case hexadecimal digits.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    const CHUNK_BYTES: usize = 1 << 18;
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => context.update(chunk.get(..read).unwrap_or_default()),
        }
    }
    let digest = context.finish();
    Ok(digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of FIPS 180-2, appendix B: a short message, and a million `a`, which is four chunks.
    #[test]
    fn sums_are_those_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let sum = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            sha256(&path).unwrap()
        };
        assert_eq!(
            sum(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sum(&[b'a'; 1_000_000]),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }
}
