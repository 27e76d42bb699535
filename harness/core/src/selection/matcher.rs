//! How a filter compares a name: as a whole, by a part, by a glob or by a regular expression.

use std::fmt;

use regex_lite::Regex;

/// A way to compare names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatcherKind {
    /// `=text`: the name is the text.
    Equal,
    /// `~text`: the text is somewhere in the name.
    Contains,
    /// `#glob`: the whole name fits. `*` stands for any text (`/` included), `?` for one character, `[a-c]` and `[!a-c]` for
    /// one of or none of some, `{a,b}` for one of several; a character that means something is taken literally as `[*]`.
    Glob,
    /// `/regex/`: some part of the name fits.
    Regex,
}

/// A matcher with its pattern.
#[derive(Debug, Clone)]
pub struct NameMatcher {
    kind: MatcherKind,
    text: String,
    /// The compiled pattern of globs and regular expressions.
    pattern: Option<Regex>,
}

impl PartialEq for NameMatcher {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.text) == (other.kind, &other.text)
    }
}

impl Eq for NameMatcher {}

impl NameMatcher {
    /// A matcher of that kind. In a regular expression, `\/` and `/` are the same.
    ///
    /// # Errors
    /// When the glob or regular expression is malformed: why, in a few words.
    pub fn new(kind: MatcherKind, text: &str) -> Result<Self, String> {
        let text = match kind {
            MatcherKind::Regex => without_escaped_slashes(text),
            MatcherKind::Equal | MatcherKind::Contains | MatcherKind::Glob => text.to_owned(),
        };
        let source = match kind {
            MatcherKind::Equal | MatcherKind::Contains => None,
            MatcherKind::Glob => Some(regex_of_glob(&text)?),
            MatcherKind::Regex => Some(text.clone()),
        };
        let pattern = source.map(|source| Regex::new(&source)).transpose();
        Ok(Self {
            kind,
            text,
            pattern: pattern.map_err(|error| error.to_string())?,
        })
    }

    /// Whether the name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match (&self.pattern, self.kind) {
            (Some(pattern), _) => pattern.is_match(name),
            (None, MatcherKind::Contains) => name.contains(&self.text),
            (None, _) => name == self.text,
        }
    }

    /// The text without the mark of its kind.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// As it is written in a filter, the mark of its kind always spelled out.
impl fmt::Display for NameMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            MatcherKind::Equal => '=',
            MatcherKind::Contains => '~',
            MatcherKind::Glob => '#',
            MatcherKind::Regex => return write!(f, "/{}/", with_escaped_slashes(&self.text)),
        };
        write!(f, "{mark}")?;
        let end = self.text.trim_end().len();
        let start = self.text.len() - self.text.trim_start().len();
        for (at, c) in self.text.char_indices() {
            match c {
                '\\' | '(' | ')' | ',' => write!(f, "\\{c}")?,
                // Blanks around a matcher are not part of it, unless they are written like this.
                c if c.is_control() || (c.is_whitespace() && (at < start || at >= end)) => {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Each backslash with the character after it, and everything else by itself.
fn units(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.chars();
        let first = chars.next()?;
        let second = if first == '\\' { chars.next() } else { None };
        let (unit, after) = rest.split_at(first.len_utf8() + second.map_or(0, char::len_utf8));
        rest = after;
        Some(unit)
    })
}

fn without_escaped_slashes(text: &str) -> String {
    units(text).map(|unit| if unit == "\\/" { "/" } else { unit }).collect()
}

fn with_escaped_slashes(text: &str) -> String {
    units(text).map(|unit| if unit == "/" { "\\/" } else { unit }).collect()
}

/// A regular expression for the whole name.
fn regex_of_glob(glob: &str) -> Result<String, String> {
    let mut regex = String::from("(?s)^");
    let mut chars = glob.chars().peekable();
    let mut open_braces = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                while chars.next_if_eq(&'*').is_some() {}
                regex.push_str(".*");
            }
            '?' => regex.push('.'),
            '[' => push_class(&mut chars, &mut regex)?,
            '{' => {
                open_braces += 1;
                regex.push_str("(?:");
            }
            '}' if open_braces > 0 => {
                open_braces -= 1;
                regex.push(')');
            }
            ',' if open_braces > 0 => regex.push('|'),
            c => push_literal(c, &mut regex),
        }
    }
    if open_braces > 0 {
        return Err("the glob's `{` is never closed".into());
    }
    regex.push('$');
    Ok(regex)
}

/// What stands between `[` and `]`.
fn push_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, regex: &mut String) -> Result<(), String> {
    regex.push('[');
    if chars.next_if(|c| matches!(c, '!' | '^')).is_some() {
        regex.push('^');
    }
    for (position, c) in chars.by_ref().enumerate() {
        // A bracket that comes first is one of the characters.
        if c == ']' && position > 0 {
            regex.push(']');
            return Ok(());
        }
        match c {
            '-' => regex.push('-'),
            c => push_literal(c, regex),
        }
    }
    Err("the glob's `[` is never closed".into())
}

fn push_literal(c: char, regex: &mut String) {
    if c.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(kind: MatcherKind, text: &str, name: &str) -> bool {
        NameMatcher::new(kind, text).unwrap().matches(name)
    }

    #[test]
    fn each_kind_compares_in_its_way() {
        assert!(fits(MatcherKind::Equal, "a/b", "a/b") && !fits(MatcherKind::Equal, "a", "a/b"));
        assert!(fits(MatcherKind::Contains, "/", "a/b") && !fits(MatcherKind::Contains, "c", "a/b"));
        assert!(fits(MatcherKind::Regex, "^a/", "a/b") && !fits(MatcherKind::Regex, "^b", "a/b"));
    }

    #[test]
    fn globs_fit_whole_names() {
        for (glob, name, expected) in [
            ("smoke/*", "smoke/a/b", true),
            ("smoke", "smoke/a", false),
            ("*auto", "smoke/p/auto", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("cuda:[0-1]", "cuda:1", true),
            ("cuda:[!0-1]", "cuda:1", false),
            ("{auto,manual}", "manual", true),
            ("{auto,manual}", "single", false),
            ("a.c", "abc", false),
            ("[*]", "*", true),
            ("[*]", "x", false),
            ("[]]", "]", true),
            ("x}", "x}", true),
            ("a,b", "a,b", true),
            ("auto[dtype=f32]", "auto[dtype=f32]", false),
            ("auto[[]dtype=f32]", "auto[dtype=f32]", true),
        ] {
            assert_eq!(fits(MatcherKind::Glob, glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for glob in ["[a", "{a", "[", "[!"] {
            assert!(NameMatcher::new(MatcherKind::Glob, glob).is_err(), "{glob}");
        }
        assert!(NameMatcher::new(MatcherKind::Regex, "(").is_err());
        assert!(NameMatcher::new(MatcherKind::Regex, "a\\").is_err());
    }

    proptest! {
        #[test]
        fn a_plain_text_as_a_glob_is_that_text(text in "[a-z0-9 ./:=_-]{0,12}", other in "[a-z0-9 ./:=_-]{0,12}") {
            prop_assert!(fits(MatcherKind::Glob, &text, &text));
            prop_assert_eq!(fits(MatcherKind::Glob, &text, &other), text == other);
        }

        #[test]
        fn no_pattern_panics(text in any::<String>(), name in any::<String>()) {
            for kind in [MatcherKind::Equal, MatcherKind::Contains, MatcherKind::Glob, MatcherKind::Regex] {
                if let Ok(matcher) = NameMatcher::new(kind, &text) {
                    let _: bool = matcher.matches(&name);
                }
            }
        }
    }
}
