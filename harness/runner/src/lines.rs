//! A stream of bytes as lines of bounded length.

/// What came out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its newline.
    Whole(Vec<u8>),
    /// A line longer than allowed; its rest is skipped.
    TooLong,
    /// The stream ended in the middle of a line.
    Half(Vec<u8>),
}

impl Line {
    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) | Self::Half(bytes) => bytes.len(),
            Self::TooLong => 0,
        }
    }
}

/// Cuts chunks into lines. Never holds more than one line of the allowed length.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    limit: usize,
    pending: Vec<u8>,
    skipping: bool,
}

impl LineSplitter {
    /// Lines may have `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            pending: Vec::new(),
            skipping: false,
        }
    }

    /// Takes the next bytes and hands over the lines they complete.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut line: impl FnMut(Line)) {
        while !chunk.is_empty() {
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if !self.skipping {
                if self.pending.len() + part.len() > self.limit {
                    self.pending = Vec::new();
                    self.skipping = true;
                    line(Line::TooLong);
                } else {
                    self.pending.extend_from_slice(part);
                }
            }
            let Some(end) = end else { return };
            if !std::mem::take(&mut self.skipping) {
                line(Line::Whole(std::mem::take(&mut self.pending)));
            }
            chunk = &chunk[end + 1..];
        }
    }

    /// The stream has ended.
    pub(crate) fn finish(self) -> Option<Line> {
        (!self.pending.is_empty()).then_some(Line::Half(self.pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(limit: usize, chunks: &[&str]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut splitter = LineSplitter::new(limit);
        for chunk in chunks {
            splitter.feed(chunk.as_bytes(), |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn lines_are_put_together_across_chunks() {
        assert_eq!(
            split(10, &["a", "b\nc", "\n\nd\n"]),
            [whole("ab"), whole("c"), whole(""), whole("d")]
        );
    }

    #[test]
    fn a_half_line_is_told_from_a_whole_one() {
        assert_eq!(split(10, &["a\nb"]), [whole("a"), Line::Half("b".into())]);
    }

    #[test]
    fn the_bound_is_exact_and_the_rest_is_skipped() {
        assert_eq!(
            split(3, &["abc\nabcd\nab", "c\n"]),
            [whole("abc"), Line::TooLong, whole("abc")]
        );
        assert_eq!(split(3, &["ab", "cd", "efg", "\nx\n"]), [Line::TooLong, whole("x")]);
    }
}
