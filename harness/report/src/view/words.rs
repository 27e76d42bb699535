//! Untrusted text made safe to look at, and the small phrases that several renderers share.

use super::marks::Marks;

/// What happens to line breaks and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// They stay: the text is shown in a block of its own.
    Keep,
    /// They become visible signs: the text is part of a line.
    Join,
}

/// Text with every character visible: controls become their pictures (`␛`), characters that reorder or hide text
/// become `⟨U+202E⟩`, and towers of combining marks are cut. At most `longest` characters, then how many more there are.
#[must_use]
pub fn visible(text: &str, lines: Lines, longest: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(longest * 4));
    let mut marks = Marks::default();
    for (position, c) in text.chars().enumerate() {
        shown.extend(marks.left_out_before(Some(c)));
        if position == longest {
            let rest = text.chars().count() - longest;
            shown.push_str(&format!(" … ({rest} more characters)"));
            return shown;
        }
        if marks.shows(c) {
            push_visible(&mut shown, c, lines);
        }
    }
    shown.extend(marks.left_out_before(None));
    shown
}

/// A name or message as one line of at most 160 characters.
#[must_use]
pub fn line(text: &str) -> String {
    visible(text, Lines::Join, 160)
}

/// A message as one line of at most 600 characters.
#[must_use]
pub fn message(text: &str) -> String {
    visible(text, Lines::Join, 600)
}

fn push_visible(shown: &mut String, c: char, lines: Lines) {
    match c {
        '\n' | '\t' if lines == Lines::Keep => shown.push(c),
        '\u{0}'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\u{7f}' => shown.push('\u{2421}'),
        _ if hides_or_reorders(c) => shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
        _ => shown.push(c),
    }
}

/// C1 controls, direction marks and overrides, invisible separators, tags, and what XML cannot hold.
#[must_use]
pub fn hides_or_reorders(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// `1 hop`, `2 hops`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {many}")
    }
}

/// The text with its first letter large.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.into_iter().chain([characters.as_str().to_owned()]).collect()
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A figure without needless zeros: `1`, `0.5`, `1.25`, `12.5`.
#[must_use]
pub fn number(value: f64) -> String {
    let decimals = if value.abs() >= 100.0 { 0 } else { 2 };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

/// How far a value is from another: `12 % above`, `3 % below`, `within 1 %`, `2.5 times`.
#[must_use]
pub fn relation(value: f64, reference: f64) -> Option<String> {
    if !(value.is_finite() && reference.is_finite()) || reference <= 0.0 || value <= 0.0 {
        return None;
    }
    let ratio = value / reference;
    Some(if ratio >= 2.0 {
        format!("{} times", number((ratio * 10.0).round() / 10.0))
    } else if (ratio - 1.0).abs() < 0.01 {
        "within 1 %".into()
    } else if ratio > 1.0 {
        format!("{:.0} % above", (ratio - 1.0) * 100.0)
    } else {
        format!("{:.0} % below", (1.0 - ratio) * 100.0)
    })
}

/// About two significant digits of a ratio: `1.3`, `0.35`, `0.040`, `12`.
#[must_use]
pub fn ratio(value: f64) -> String {
    let decimals = match value.abs() {
        m if m >= 9.95 => 0,
        m if m >= 0.995 || m == 0.0 => 1,
        m if m >= 0.099_5 => 2,
        m if m >= 0.000_95 => 3,
        _ => 6,
    };
    format!("{value:.decimals$}")
}

/// A rate: `12.5 tokens/s`.
#[must_use]
pub fn rate(tokens_per_s: f64) -> String {
    format!(
        "{} tokens/s",
        number(if tokens_per_s >= 10.0 {
            (tokens_per_s * 10.0).round() / 10.0
        } else {
            tokens_per_s
        })
    )
}

/// A command line as a shell reads it back; arguments are made visible first.
#[must_use]
pub fn shell(words: &[String]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| {
            let word = line(word);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}b\nc", Lines::Join, 99), "a␛[31m⟨U+202E⟩b␊c");
        assert_eq!(visible("a\n\tb\r", Lines::Keep, 99), "a\n\tb␍");
        assert_eq!(visible("abcdef", Lines::Keep, 4), "abcd … (2 more characters)");
        let tower = format!("a{}b{}", "\u{301}".repeat(1000), "\u{300}".repeat(5));
        assert_eq!(
            visible(&tower, Lines::Keep, 2000),
            "a\u{301}\u{301}\u{301}\u{301}⟨996 more marks⟩b\u{300}\u{300}\u{300}\u{300}⟨1 more marks⟩"
        );
        assert_eq!(visible("e\u{301}te\u{301}", Lines::Join, 99), "e\u{301}te\u{301}");
    }

    #[test]
    fn changes_read_as_words() {
        let words: Vec<Option<String>> = [1.12, 0.9, 1.001, 2.5, 0.0, f64::NAN]
            .iter()
            .map(|&v| relation(v, 1.0))
            .collect();
        let expected = [
            Some("12 % above"),
            Some("10 % below"),
            Some("within 1 %"),
            Some("2.5 times"),
            None,
            None,
        ];
        assert_eq!(words, expected.map(|word| word.map(str::to_owned)));
        assert_eq!(relation(1.0, 0.0), None);
    }

    #[test]
    fn numbers_have_no_needless_zeros() {
        assert_eq!(
            [1.0, 0.5, 1.25, 123.4, 100.0, 0.0].map(number),
            ["1", "0.5", "1.25", "123", "100", "0"]
        );
    }

    #[test]
    fn ratios_have_two_digits() {
        assert_eq!(
            [1.3, 0.97, 0.347, 12.4, 0.04, 0.0, 250.0].map(ratio),
            ["1.3", "0.97", "0.35", "12", "0.040", "0.0", "250"]
        );
    }

    #[test]
    fn commands_survive_a_shell() {
        assert_eq!(
            shell(&["run".into(), "my suite/a.toml".into(), "it's".into()]),
            r"run 'my suite/a.toml' 'it'\''s'"
        );
    }
}
