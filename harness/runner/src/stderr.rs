//! What a worker writes to its standard error: the beginning and the end are kept, whatever lies between is counted.

use std::collections::VecDeque;

/// Bytes kept of the beginning, and again of the end.
const KEPT_BYTES: usize = 16 * 1024;

/// A bounded copy of a stream.
#[derive(Debug, Default)]
pub(crate) struct StderrCapture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl StderrCapture {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        let to_head = chunk.len().min(KEPT_BYTES - self.head.len());
        self.head.extend_from_slice(&chunk[..to_head]);
        self.tail.extend(&chunk[to_head..]);
        let surplus = self.tail.len().saturating_sub(KEPT_BYTES);
        self.tail.drain(..surplus);
        self.left_out += surplus as u64;
    }

    /// The text, with a line that says how much is missing from its middle. Untrusted: escape it wherever it is shown.
    pub(crate) fn text(&self) -> String {
        let (front, back) = self.tail.as_slices();
        let tail = [front, back].concat();
        if self.left_out == 0 {
            // One stream again: a character may lie across the seam.
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        format!(
            "{}\n[{} bytes left out]\n{}",
            String::from_utf8_lossy(&self.head),
            self.left_out,
            String::from_utf8_lossy(&tail)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_as_it_is() {
        let mut capture = StderrCapture::default();
        let text = "ä".repeat(KEPT_BYTES / 2 + 10);
        for chunk in text.as_bytes().chunks(7) {
            capture.feed(chunk);
        }
        assert_eq!(capture.text(), text);
    }

    #[test]
    fn of_long_output_both_ends_are_kept() {
        let mut capture = StderrCapture::default();
        let mut total = 0;
        for number in 0..100_000 {
            let line = format!("line {number}\n");
            total += line.len();
            capture.feed(line.as_bytes());
        }
        let text = capture.text();
        assert!(text.starts_with("line 0\nline 1\n"));
        assert!(text.ends_with("line 99998\nline 99999\n"));
        assert!(text.contains(&format!("[{} bytes left out]", total - 2 * KEPT_BYTES)));
        assert!(text.len() < 2 * KEPT_BYTES + 100);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_matter() {
        let mut capture = StderrCapture::default();
        capture.feed(b"a\xff\xfeb");
        assert_eq!(capture.text(), "a\u{fffd}\u{fffd}b");
    }
}
