//! Words of a server, for messages: bounded and escaped.

/// Characters of an answer that are quoted.
const MOST: usize = 300;

/// The beginning of what a server sent, on one line.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(MOST * 4)).unwrap_or_default());
    let text = text.trim();
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let shown: String = text.chars().take(MOST).collect();
    let more = if text.chars().nth(MOST).is_some() || bytes.len() > MOST * 4 {
        "…"
    } else {
        ""
    };
    format!("`{}{more}`", escaped(&shown))
}

/// The text on one line, with nothing in it that a terminal would obey. Quotation marks stay as they are.
pub(crate) fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '"' | '\'' => plain.push(c),
            _ => plain.extend(c.escape_debug()),
        }
    }
    plain
}

/// `1 token`, `2 tokens`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_quoted_on_one_short_line() {
        assert_eq!(quoted(b" \n"), "nothing");
        assert_eq!(quoted(b"a\n\x1b[31m\"b\"\xff"), "`a\\n\\u{1b}[31m\"b\"\u{fffd}`");
        let long = quoted("ä".repeat(5000).as_bytes());
        assert!(long.chars().count() < MOST + 5 && long.ends_with("…`"), "{long}");
    }
}
