//! Text of a file that someone else wrote, made fit for a message.

/// At most 80 characters, control characters escaped: names in a malformed file can be anything.
#[must_use]
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            '"' | '\'' => short.push(character),
            other => short.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn control_characters_and_length_are_tamed() {
        assert_eq!(shown("\"a\"\u{1b}[31mb\n"), "\"a\"\\u{1b}[31mb\\n");
        assert_eq!(shown(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }
}
