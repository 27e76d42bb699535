//! The one script of our pages, and the hash by which its page allows it and nothing else.
//!
//! The page is whole without it: it only adds sorting, filtering, pointing and comparing, each where a
//! page has something to do it with.

use sha2::{Digest, Sha256};

/// Its parts, in the order in which they run.
const PARTS: [&str; 8] = [
    include_str!("../../../assets/script/dom.js"),
    include_str!("../../../assets/script/folds.js"),
    include_str!("../../../assets/script/theme.js"),
    include_str!("../../../assets/script/sort.js"),
    include_str!("../../../assets/script/filter.js"),
    include_str!("../../../assets/script/tips.js"),
    include_str!("../../../assets/script/devices.js"),
    include_str!("../../../assets/script/compare.js"),
];

/// The script as it stands in the page: without indentation and lines that are comments, and with no name of its own
/// outside of itself.
pub(super) fn script() -> String {
    let lines = PARTS.iter().flat_map(|part| part.lines()).map(str::trim);
    let code: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect();
    format!("\"use strict\";(()=>{{\n{}\n}})();", code.join("\n"))
}

/// What a content security policy calls a script by: `sha256-` and the Base64 of its digest.
pub(super) fn source_hash(script: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(script.as_bytes())))
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_u32, |group, at| {
            (group << 8) | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let sextet = (group >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[sextet])
            } else {
                '='
            });
        }
    }
    text
}

/// JSON that can stand in a script element whatever it holds: no tag, no comment and no end of the element can occur in it.
pub(super) fn json_in_page(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Outside of strings JSON has none of them.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    Ok(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// The example of the specification: <https://www.w3.org/TR/CSP3/#example-1de6e7d6>.
    #[test]
    fn a_script_is_called_by_its_digest() {
        assert_eq!(
            source_hash("alert('Hello, world.');"),
            "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
        );
    }

    #[test]
    fn the_script_is_small_and_evaluates_no_text() {
        let script = script();
        assert!(script.len() < 12_500, "{} bytes", script.len());
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "fetch(",
            "</",
            "<!--",
        ] {
            assert!(!script.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn nothing_in_data_ends_its_element() {
        let hostile = ["</script><!--<script>&\u{2028}", "plain"];
        let json = json_in_page(&hostile).unwrap();
        assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
        assert_eq!(serde_json::from_str::<[String; 2]>(&json).unwrap(), hostile);
    }
}
