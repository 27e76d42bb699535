//! The header of a snapshot file: YAML, as we write it and as `cargo insta` writes it anew.
//!
//! Only what these two write is read: one key a line with a plain, quoted or block scalar. Anything else counts as not said.

use super::SnapshotOrigin;

/// Keys that insta knows and keeps.
const SOURCE: &str = "source";
const DESCRIPTION: &str = "description";
const EXPRESSION: &str = "expression";
const INFO: &str = "info";
/// Ours, for the person who reviews: which run proposed this. `cargo insta` drops it when it accepts, and so do we.
const RUN: &str = "run";

/// What a header says. Untrusted: escape it wherever it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The scenario's file.
    pub source: Option<String>,
    /// The model, in words.
    pub description: Option<String>,
    /// The case.
    pub case: Option<String>,
    /// The run that proposed it; only of pending snapshots.
    pub run: Option<String>,
    /// What else is known of the text, in our own notation.
    pub(super) info: Option<String>,
}

/// The lines between the two `---`.
pub(super) fn render(origin: &SnapshotOrigin<'_>, info: Option<&str>) -> String {
    let mut header = String::new();
    let mut push = |key: &str, value: &str| header.push_str(&format!("{key}: {}\n", quoted(value)));
    push(SOURCE, origin.source);
    push(DESCRIPTION, &format!("model {}", origin.model));
    push(EXPRESSION, origin.case);
    if let Some(info) = info {
        push(INFO, info);
    }
    push(RUN, origin.run);
    header
}

/// Reads the lines between the two `---`.
pub(super) fn parse(header: &str) -> SnapshotHeader {
    let mut said = SnapshotHeader::default();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = match value.trim() {
            "|" | "|-" | "|+" => {
                let mut block: Vec<&str> = Vec::new();
                while let Some(inner) = lines.next_if(|line| line.starts_with("  ") || line.is_empty()) {
                    block.push(inner.strip_prefix("  ").unwrap_or_default());
                }
                Some(block.join("\n"))
            }
            value => scalar(value),
        };
        match key {
            SOURCE => said.source = value,
            DESCRIPTION => said.description = value,
            EXPRESSION => said.case = value,
            INFO => said.info = value,
            RUN => said.run = value,
            _ => {}
        }
    }
    said
}

/// A file without what is only for the review.
pub(super) fn for_keeping(file: &str) -> String {
    let Some((header, body)) = file.split_once("\n---\n") else {
        return file.to_owned();
    };
    let is_kept = |line: &&str| line.split_once(':').is_none_or(|(key, _)| key != RUN);
    let header: Vec<&str> = header.split('\n').filter(is_kept).collect();
    format!("{}\n---\n{body}", header.join("\n"))
}

/// Characters that act on a terminal or on the reading direction instead of being seen.
pub(super) fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// A double-quoted YAML string on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || is_unseen(c) => quoted.push_str(&match u32::from(c) {
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A scalar on one line; `None` where it is none.
fn scalar(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('"') {
        return unescaped(inner.strip_suffix('"')?);
    }
    if let Some(inner) = text.strip_prefix('\'') {
        return Some(inner.strip_suffix('\'')?.replace("''", "'"));
    }
    (!text.is_empty() && text != "~").then(|| text.to_owned())
}

/// The inside of a double-quoted scalar: the escapes of YAML 1.2 section 5.7 that stand for one character each.
fn unescaped(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next()? {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            'x' => of_code(&mut rest, 2)?,
            'u' => of_code(&mut rest, 4)?,
            'U' => of_code(&mut rest, 8)?,
            c @ ('"' | '\\' | '/' | ' ') => c,
            _ => return None,
        });
    }
    Some(text)
}

fn of_code(rest: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let code: String = rest.take(digits).collect();
    let is_whole = code.len() == digits && code.bytes().all(|b| b.is_ascii_hexdigit());
    is_whole.then(|| char::from_u32(u32::from_str_radix(&code, 16).ok()?))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin<'a>(text: &'a str) -> SnapshotOrigin<'a> {
        SnapshotOrigin {
            source: text,
            case: text,
            model: "m",
            run: text,
        }
    }

    #[test]
    fn every_notation_of_insta_is_read() {
        let said = parse(
            "source: crates/x.rs\ndescription: |-\n  two\n  lines\nexpression: 'it''s'\ninfo: \"a\\tb\\u001b\\x41\\U0001f600\"\nrun: ~\nassertion_line: 3\nnested:\n  source: not this\n",
        );
        assert_eq!(said.source.as_deref(), Some("crates/x.rs"));
        assert_eq!(said.description.as_deref(), Some("two\nlines"));
        assert_eq!(said.case.as_deref(), Some("it's"));
        assert_eq!(said.info.as_deref(), Some("a\tb\u{1b}A\u{1f600}"));
        assert_eq!(said.run, None);
    }

    #[test]
    fn what_is_malformed_counts_as_not_said() {
        for bad in [
            "\"open",
            "'open",
            "\"\\q\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "",
            "~",
        ] {
            assert_eq!(scalar(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_the_header_loses_the_run() {
        let file = "---\nsource: x\nrun: \"r\"\n---\nrun: stays\n";
        assert_eq!(for_keeping(file), "---\nsource: x\n---\nrun: stays\n");
        assert_eq!(for_keeping("no header"), "no header");
    }

    proptest! {
        #[test]
        fn any_value_survives(text in "(\\PC|[\n\r\t\u{1b}\\\\\"':]){0,40}") {
            let header = render(&origin(&text), Some(&text));
            prop_assert!(header.lines().count() == 5 && !header.contains(is_unseen));
            let said = parse(&header);
            for value in [&said.source, &said.case, &said.run, &said.info] {
                prop_assert_eq!(value.as_deref(), Some(text.as_str()));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "([a-z]{1,6}: ?)?(\\PC|[\n\\\\\"'|]){0,40}") {
            let said = parse(&text);
            prop_assert!(said.source.is_none_or(|source| source.len() <= text.len()));
        }
    }
}
