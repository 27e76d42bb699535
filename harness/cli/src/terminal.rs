//! Everything that reaches the terminal goes through here.
//!
//! Text of a model, of a scenario or of a file name may hold escape sequences, hide or reorder what stands beside it, or
//! look like a command to the CI system that reads the log. [`printable`], [`block`] and [`json`] take its power away.

use std::io::Write as _;

use console::Style;
use placebench_report::view::words::hides_or_reorders;
use serde_json::Value;

/// Untrusted text inside a line: line breaks, control characters and what hides or reorders text shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut shown, c));
    without_commands(shown)
}

/// Untrusted text of several lines: line breaks and tabs stay.
pub(crate) fn block(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            _ => push_visible(&mut shown, c),
        }
    }
    let lines: Vec<String> = shown
        .split('\n')
        .map(|line| without_commands(line.to_owned()))
        .collect();
    lines.join("\n")
}

fn push_visible(shown: &mut String, c: char) {
    if c.is_control() || hides_or_reorders(c) {
        shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
    } else {
        shown.push(c);
    }
}

/// A line that no CI system takes for a command. GitHub's runner reads `::name::` at the start of a line and `##[name]`
/// anywhere in it, Azure's `##vso[name]` (actions/runner, `ActionCommand.cs`).
fn without_commands(line: String) -> String {
    let line = line.replace("##[", "##\\[").replace("##vso[", "##vso\\[");
    match line.trim_start().starts_with("::") {
        true => line.replacen("::", "\\::", 1),
        false => line,
    }
}

/// JSON on one line, the same value for every reader, in which nothing but plain characters is written as itself.
pub(crate) fn json(value: &Value) -> String {
    plain_json(&value.to_string())
}

/// The same over several lines.
pub(crate) fn pretty_json(value: &Value) -> String {
    plain_json(&format!("{value:#}"))
}

/// Such characters stand in strings only, where an escape means the same.
pub(crate) fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n') || hides_or_reorders(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            plain.push(c);
        }
    }
    plain.replace("##[", "#\\u0023[").replace("##vso[", "#\\u0023vso[")
}

/// How wide a line of standard output may be: what `COLUMNS` says, else what the terminal says, else anything, for a file has
/// no width.
pub(crate) fn columns() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let asked = || {
        console::Term::stdout()
            .size_checked()
            .map(|(_, columns)| usize::from(columns))
    };
    told.or_else(asked).filter(|columns| *columns > 0)
}

/// What characters of ours may be written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Any.
    Unicode,
    /// ASCII alone: others are said in other words, or as escapes.
    Ascii,
}

/// What the locale can show: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set says it, as in the C library.
pub(crate) fn charset() -> Charset {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(set)
        .unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    match locale.contains("utf-8") || locale.contains("utf8") {
        true => Charset::Unicode,
        false => Charset::Ascii,
    }
}

impl Charset {
    /// The text in this charset.
    pub(crate) fn write(self, text: &str) -> String {
        if self == Self::Unicode {
            return text.to_owned();
        }
        let mut plain = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                _ if c.is_ascii() => plain.push(c),
                '×' => plain.push('x'),
                'µ' => plain.push('u'),
                '–' => plain.push('-'),
                '→' => plain.push_str("->"),
                '…' => plain.push_str(self.ellipsis()),
                _ => plain.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            }
        }
        plain
    }

    /// What stands for what was left out.
    pub(crate) fn ellipsis(self) -> &'static str {
        match self {
            Self::Unicode => "…",
            Self::Ascii => "...",
        }
    }
}

/// A page of ours: no line of it is a command to a CI system. Its style, which is ours, stays as it is.
pub(crate) fn page(html: &str) -> String {
    let (style, text) = html.split_once("</style>").unwrap_or(("", html));
    let end = if style.is_empty() { "" } else { "</style>" };
    let text = text.replace("##[", "&#35;#[").replace("##vso[", "&#35;#vso[");
    let line = |line: &str| match line.trim_start().starts_with("::") {
        true => line.replacen("::", "&#58;:", 1),
        false => line.to_owned(),
    };
    let lines: Vec<String> = text.split('\n').map(line).collect();
    format!("{style}{end}{}", lines.join("\n"))
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
        block(message)
    ));
}

/// `  help: …` on standard error.
pub(crate) fn hint(message: &str) {
    err(&format!(
        "  {} {}",
        Style::new().for_stderr().cyan().apply_to("help:"),
        block(message)
    ));
}

/// `warning: …` on standard error.
pub(crate) fn warning(message: &str) {
    err(&format!(
        "{} {}",
        Style::new().for_stderr().yellow().bold().apply_to("warning:"),
        block(message)
    ));
}

/// `note: …` on standard error.
pub(crate) fn note(message: &str) {
    err(&format!(
        "{} {}",
        Style::new().for_stderr().bold().apply_to("note:"),
        block(message)
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
        assert_eq!(
            block("a\x1b[31mb\r\n\u{202e}c\u{9b}1m"),
            "a\\u{1b}[31mb\\u{d}\n\\u{202e}c\\u{9b}1m"
        );
        assert_eq!(
            printable("a\n\tb\u{200b}\u{e0041}"),
            "a\\u{a}\\u{9}b\\u{200b}\\u{e0041}"
        );
        assert_eq!(printable("plain é 日本"), "plain é 日本");
    }

    #[test]
    fn no_line_is_a_command() {
        assert_eq!(block("a\n ::error::b\nc::d"), "a\n \\::error::b\nc::d");
        assert_eq!(printable("::set-output name=x::y"), "\\::set-output name=x::y");
        assert_eq!(printable("x ##[error]y ##vso[z]"), "x ##\\[error]y ##vso\\[z]");
    }

    #[test]
    fn plain_ascii_says_the_same() {
        let text = "1.12 × [1.08, 1.17], 245 µs – a → b … 配";
        assert_eq!(
            Charset::Ascii.write(text),
            "1.12 x [1.08, 1.17], 245 us - a -> b ... \\u{914d}"
        );
        assert_eq!(Charset::Unicode.write(text), text);
    }

    #[test]
    fn a_page_says_the_same_and_commands_nothing() {
        let shown = page("<style>\n::marker{}</style><p>##[error]a\n ::set-env b::c ##vso[d]</p>");
        assert_eq!(
            shown,
            "<style>\n::marker{}</style><p>&#35;#[error]a\n &#58;:set-env b::c &#35;#vso[d]</p>"
        );
        assert_eq!(page("a"), "a");
    }

    #[test]
    fn json_means_the_same_and_is_plain() {
        let value = serde_json::json!({"a": "\u{9b}\u{202e}\u{e0041}##[error]é\n", "b": [1, "x"]});
        for text in [json(&value), pretty_json(&value)] {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            assert!(
                !text.contains("##[") && !text.contains(['\u{9b}', '\u{202e}', '\u{e0041}']),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_shown_is_plain(text in "[\\x00-\\x{9f}:#\\[\\n \\u{200b}-\\u{202f}a]{0,40}") {
            let is_plain = |c: char| !c.is_control() && !hides_or_reorders(c);
            proptest::prop_assert!(printable(&text).chars().all(is_plain));
            let block = block(&text);
            proptest::prop_assert!(block.chars().all(|c| c == '\n' || c == '\t' || is_plain(c)));
            for line in block.split('\n') {
                proptest::prop_assert!(!line.trim_start().starts_with("::") && !line.contains("##["));
            }
        }
    }
}
