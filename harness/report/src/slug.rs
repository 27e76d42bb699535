//! File names and anchors from untrusted names.

use std::collections::HashSet;

/// Longest slug of one name; two of them, a separator and an ending stay far below the 255 bytes of file systems.
const LONGEST: usize = 60;

/// Lower-case ASCII letters, digits, `_` and single `-`: no separators, no dots, never empty, at most 60 bytes.
#[must_use]
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= LONGEST {
            break;
        }
    }
    let trimmed = slug.trim_end_matches('-');
    if trimmed.is_empty() {
        "unnamed".into()
    } else {
        trimmed.into()
    }
}

/// Hands out slugs, each only once: names that differ only in what a slug cannot hold get a number.
#[derive(Debug, Default)]
pub struct Slugs {
    taken: HashSet<String>,
}

impl Slugs {
    /// A slug for a prompt of a scenario that no earlier call has got.
    pub fn for_prompt(&mut self, scenario: &str, prompt: &str) -> String {
        let base = format!("{}--{}", slug(scenario), slug(prompt));
        let mut candidate = base.clone();
        let mut number = 2_u32;
        while !self.taken.insert(candidate.clone()) {
            candidate = format!("{base}-{number}");
            number += 1;
        }
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_plain() {
        for (name, expected) in [
            ("smoke/tiny", "smoke-tiny"),
            ("../../etc/passwd", "etc-passwd"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("C:\\nul", "c-nul"),
            ("a\0b\u{202e}c", "a-b-c"),
            ("日本語", "unnamed"),
            ("A -- B", "a-b"),
        ] {
            assert_eq!(slug(name), expected, "{name:?}");
        }
        assert!(slug(&"x".repeat(10_000)).len() <= LONGEST);
    }

    #[test]
    fn no_two_prompts_share_a_file() {
        let mut slugs = Slugs::default();
        let made = [("a/b", "p"), ("a-b", "p"), ("A B", "p"), ("a-b", "p-2"), ("a-b", "p")]
            .map(|(s, p)| slugs.for_prompt(s, p));
        assert_eq!(made, ["a-b--p", "a-b--p-2", "a-b--p-3", "a-b--p-2-2", "a-b--p-4"]);
    }
}
