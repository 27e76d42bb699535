//! Names of cases as names of files. They come from scenario files, so they may be anything.

/// Longest slug, well below the 255 bytes file systems allow, with room for suffixes.
const MAX_BYTES: usize = 100;

/// A file name for a case, scenario or prompt: lower-case letters, digits, `.`, `-`, `_`; `/` becomes `__`.
///
/// Two names never share a slug: a name that cannot be written that way without loss gets a hash of itself appended,
/// and so does one that looks as if it had. The result is never empty, hidden, or a way out of its folder.
#[must_use]
pub fn slug(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '.' | '-' | '_' => c,
            'A'..='Z' => c.to_ascii_lowercase(),
            '/' => '/',
            _ => '-',
        })
        .collect::<String>()
        .replace('/', "__");
    if is_lossless(name) {
        return plain;
    }
    // ASCII only by now, so any byte is a character.
    let start = plain.trim_start_matches(['.', '-', '_']);
    let start = &start[..start.len().min(MAX_BYTES - 17)];
    let hash = fnv1a(name.as_bytes());
    if start.is_empty() {
        format!("{hash:016x}")
    } else {
        // In front of any dot, which ends what Windows reads of a device's name.
        format!(
            "{}-{hash:016x}",
            start.replacen('.', "-", usize::from(is_device_of_windows(start)))
        )
    }
}

fn is_lossless(name: &str) -> bool {
    let tidy_part = |part: &str| {
        let first = part.bytes().next();
        let last = part.bytes().next_back();
        first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && last != Some(b'_')
    };
    let slashes = name.matches('/').count();
    name.len() + slashes <= MAX_BYTES
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'/'))
        && !name.contains("__")
        && name.split('/').all(tidy_part)
        && !looks_hashed(name)
        && !is_device_of_windows(name)
}

/// Names that are no files there, with any ending: snapshots are in repositories that are checked out there too.
fn is_device_of_windows(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let numbered = |kind: &str| {
        let number = stem.strip_prefix(kind);
        number.is_some_and(|number| number.len() == 1 && number != "0" && number.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

/// Ends like a slug that lost something.
fn looks_hashed(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(hash) = bytes.len().checked_sub(16).map(|at| &bytes[at..]) else {
        return false;
    };
    hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && matches!(bytes.iter().rev().nth(16), None | Some(b'-'))
}

/// FNV-1a, 64 bits: the standard's hash may change from release to release, and file names must not.
/// Parameters: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(slug("smoke/tiny/story/auto"), "smoke__tiny__story__auto");
        assert_eq!(slug("story"), "story");
        assert_eq!(slug("qwen2.5-3b_x"), "qwen2.5-3b_x");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn hostile_names_stay_in_their_folder() {
        for name in [
            "",
            ".",
            "..",
            "../../etc/passwd",
            "/abs",
            "a//b",
            ".hidden",
            "con\u{0}",
            "a\\b",
            "…",
            "x\n",
            "con",
            "nul.txt",
            "COM1",
            "C:\\x",
        ] {
            let slug = slug(name);
            assert!(!is_device_of_windows(&slug), "{name:?} became {slug:?}");
            assert!(!slug.is_empty() && !slug.starts_with('.'), "{name:?} became {slug:?}");
            assert!(!slug.contains(['/', '\\', '\0', '\n']), "{name:?} became {slug:?}");
        }
        assert!(slug(&"long/".repeat(1000)).len() <= MAX_BYTES);
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let names = [
            "a/b",
            "a__b",
            "a_/b",
            "a/_b",
            "A/b",
            "a b",
            "a-b",
            "a?b",
            "a/b/",
            "/a/b",
            // What another name would turn into.
            "a-b-86f2b1a8f5a3c6d1",
            &slug("a b").clone(),
            &slug("A/b").clone(),
        ];
        let mut slugs: Vec<String> = names.iter().map(|name| slug(name)).collect();
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), names.len());
    }

    proptest! {
        #[test]
        fn no_two_names_share_a_slug(a in "[a-bA-B_/. -]{0,6}", b in "[a-bA-B_/. -]{0,6}") {
            prop_assert_eq!(a == b, slug(&a) == slug(&b));
        }
    }
}
