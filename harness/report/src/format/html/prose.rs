//! Sentences whose words between backticks are what people type: a page sets those as code.

use minijinja::{HtmlEscape, Value};
use std::fmt::Write as _;

/// The sentence as HTML: everything is escaped, and what stands between two backticks is code. The filter `code` of templates.
pub(super) fn code(text: &str) -> Value {
    let mut html = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, quoted, after)) = first_quoted(rest) {
        // Nothing is lost where it cannot be written: a String takes everything.
        let _ = write!(html, "{}<code>{}</code>", HtmlEscape(before), HtmlEscape(quoted));
        rest = after;
    }
    let _ = write!(html, "{}", HtmlEscape(rest));
    Value::from_safe_string(html)
}

/// The first words between backticks, with what stands before and after them.
fn first_quoted(text: &str) -> Option<(&str, &str, &str)> {
    let (before, opened) = text.split_once('`')?;
    let (quoted, after) = opened.split_once('`')?;
    (!quoted.trim().is_empty()).then_some((before, quoted, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let value = code(text);
        assert!(value.is_safe());
        value.to_string()
    }

    #[test]
    fn what_is_typed_is_code() {
        assert_eq!(html("run `a b` or `c`"), "run <code>a b</code> or <code>c</code>");
        assert_eq!(html(""), "");
    }

    #[test]
    fn lone_backticks_stay() {
        assert_eq!(html("it`s"), "it`s");
        assert_eq!(html("`a` and `"), "<code>a</code> and `");
        assert_eq!(html("``"), "``");
    }

    #[test]
    fn text_of_strangers_is_escaped_inside_and_outside() {
        let shown = html("<b> `</code><script>` & \"'");
        assert!(shown.starts_with("&lt;b&gt; <code>&lt;"), "{shown}");
        assert_eq!(shown.matches('<').count(), 2, "{shown}");
        assert!(shown.ends_with("&amp; &quot;&#x27;"), "{shown}");
    }
}
