//! Figures that stay on one line: the space between a number and its unit does not break, in a page and in a picture's title.
//!
//! Only in sentences of ours: text of models is shown as it is, and what is copied from a terminal or from Markdown keeps
//! plain spaces.

/// What a number may be followed by.
const UNITS: [&str; 16] = [
    "s", "ms", "µs", "ns", "min", "B", "KiB", "MiB", "GiB", "TiB", "PiB", "%", "×", "tokens/s", "times", "pairs",
];

/// The space that does not break.
pub const NO_BREAK: char = '\u{a0}';

/// The text with its figures unbroken: the filter `figures` of templates.
#[must_use]
pub fn unbroken(text: &str) -> String {
    let mut words = text.split(' ').peekable();
    let mut joined = String::with_capacity(text.len() + 8);
    while let Some(word) = words.next() {
        joined.push_str(word);
        let Some(next) = words.peek() else { break };
        let is_number = word.ends_with(|c: char| c.is_ascii_digit());
        let unit = next.trim_end_matches([',', '.', ';', ':', ')', ']']);
        joined.push(if is_number && UNITS.contains(&unit) {
            NO_BREAK
        } else {
            ' '
        });
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_units() {
        let shown = |text: &str| unbroken(text).replace(NO_BREAK, "~");
        assert_eq!(
            shown("for 2.01 s (timeout.token allows 2.00 s); 3 tokens, 12 % (8 to 17 %), 1 min 5 s"),
            "for 2.01~s (timeout.token allows 2.00~s); 3 tokens, 12~% (8 to 17~%), 1~min 5~s"
        );
        assert_eq!(shown("  layer3 s  5"), "  layer3~s  5");
        assert_eq!(shown(""), "");
        assert_eq!(shown("s 5 apples"), "s 5 apples");
    }
}
