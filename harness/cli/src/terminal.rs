//! Everything that reaches the terminal goes through here.
//!
//! Text of a model, of a scenario or of a file name may hold escape sequences; [`printable`] takes their power away.

use std::io::Write as _;

use console::Style;

/// The text with every control character (but newline and tab) and every invisible direction mark shown as an escape.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let changes_direction =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n' && c != '\t') || changes_direction {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// One line of standard output. A reader that has gone (`placebench list | head`) is no reason to fail.
pub(crate) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// One line of standard error.
pub(crate) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// `error: …` on standard error.
pub(crate) fn error(message: &str) {
    err(&format!(
        "{} {}",
        Style::new().for_stderr().red().bold().apply_to("error:"),
        printable(message)
    ));
}

/// `  help: …` on standard error.
pub(crate) fn hint(message: &str) {
    err(&format!(
        "  {} {}",
        Style::new().for_stderr().cyan().apply_to("help:"),
        printable(message)
    ));
}

/// `warning: …` on standard error.
pub(crate) fn warning(message: &str) {
    err(&format!(
        "{} {}",
        Style::new().for_stderr().yellow().bold().apply_to("warning:"),
        printable(message)
    ));
}

/// `1 case`, `3 cases`.
pub(crate) fn counted<N: std::fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// An error with the errors that caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors already quote their cause.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(printable("a\x1b[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\u{d}\n\\u{202e}c");
        assert_eq!(printable("plain é 日本"), "plain é 日本");
    }
}
