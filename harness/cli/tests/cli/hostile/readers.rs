//! Readers of every format a run is written in, as strict as those the formats are made for.

use std::collections::BTreeSet;

use placebench_report::view::words::hides_or_reorders;
use quick_xml::events::Event;

/// Nothing acts on a terminal, hides or reorders.
pub(crate) fn assert_plain_text(what: &str, text: &str) {
    for c in text.chars() {
        let is_plain = c == '\n' || c == '\t' || !(c.is_control() || hides_or_reorders(c));
        assert!(is_plain, "{what} holds {c:?}: {text:?}");
    }
}

/// The same, and no line is a command to a CI system.
pub(crate) fn assert_plain_lines(what: &str, text: &str) {
    assert_plain_text(what, text);
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("::"), "{what} has a command: {line:?}");
        assert!(
            !line.contains("##[") && !line.contains("##vso["),
            "{what} has a command: {line:?}"
        );
    }
}

/// A name of a file that means the same everywhere.
pub(crate) fn assert_plain_name(name: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    for part in name.split('/') {
        let is_plain = !part.starts_with('.') && part.chars().all(plain) && part.len() < 255;
        assert!(is_plain && !part.eq_ignore_ascii_case("con"), "{name:?}");
    }
}

/// No cell is a formula, whether commas or semicolons part them.
pub(crate) fn assert_no_formulas(text: &str) {
    let mut rows = 0;
    for record in csv::Reader::from_reader(text.as_bytes()).records() {
        let record = record.unwrap();
        assert_eq!(record.len(), placebench_report::format::csv::COLUMNS.len());
        for cell in record.iter().flat_map(|cell| cell.split(';')) {
            let seen = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '"');
            let is_number = seen.parse::<f64>().is_ok();
            assert!(
                is_number || !seen.starts_with(['=', '+', '-', '@', '＝']),
                "a formula: {cell:?}"
            );
        }
        assert_plain_text("a row of the table", &record.iter().collect::<Vec<_>>().join(" | "));
        rows += 1;
    }
    assert!(rows > 0);
}

/// Well-formed, and every character is one that XML 1.0 can hold.
pub(crate) fn assert_xml(text: &str) {
    for c in text.chars() {
        let holds = matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(holds, "XML cannot hold {c:?}");
    }
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let (mut cases, known) = (0, ["testsuites", "testsuite", "testcase", "properties", "property"]);
    let results = ["failure", "error", "skipped", "system-err", "system-out"];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
                assert!(
                    known.contains(&name.as_str()) || results.contains(&name.as_str()),
                    "a stranger: {name}"
                );
                cases += usize::from(name == "testcase");
                for attribute in tag.attributes() {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap();
                    // Pictures, sentences and line breaks inside messages are fine; what acts is not.
                    assert_plain_text("an attribute", &value.replace('\r', ""));
                }
            }
            Event::Text(text) => {
                let text = text.decode().unwrap();
                assert_plain_text("a text", &text);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(cases > 0);
}

/// Every line is one command that annotates, with properties that annotations have: nothing in them is a command of its own.
pub(crate) fn assert_commands(text: &str) {
    assert_plain_text("commands", text);
    for line in text.lines() {
        let (info, data) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap();
        let (name, properties) = info.split_once(' ').unwrap();
        assert!(["error", "warning", "notice"].contains(&name), "{line:?}");
        let keys: Vec<&str> = properties
            .split(',')
            .map(|pair| pair.split('=').next().unwrap())
            .collect();
        assert!(
            keys == ["title"] || keys == ["title", "file", "line", "endLine"],
            "{line:?}"
        );
        // What looks encoded was encoded here.
        for text in [properties, data] {
            for (at, _) in text.match_indices('%') {
                let code = text.get(at + 1..at + 3);
                assert!(matches!(code, Some("25" | "0A" | "0D" | "3A" | "2C")), "{line:?}");
            }
        }
        assert!(!line.contains("##[") && !line.contains("##vso["), "{line:?}");
    }
}

/// The summary of a step: Markdown in which only folded parts are HTML.
pub(crate) fn assert_step_summary(text: &str) {
    let (mut open, mut plain) = (0, String::new());
    for (number, line) in text.lines().enumerate() {
        if let Some(inner) = line.strip_prefix("<details><summary>") {
            let inner = inner.strip_suffix("</summary>").unwrap().replace("<!-- -->", "");
            assert!(!inner.contains(['<', '>']), "{line}");
            open += 1;
        } else if line == "</details>" {
            open -= 1;
        } else {
            let line = if number == 0 {
                line.strip_prefix("## ").unwrap()
            } else {
                line
            };
            plain.push_str(line);
            plain.push('\n');
        }
        assert!((0..=1).contains(&open), "{line}");
    }
    assert_eq!(open, 0);
    assert_markdown(&plain);
}

/// Names of figures: visible, and none leaves a code span of a table.
pub(crate) fn assert_figures(text: &str, are_in_code: bool) {
    assert_plain_text("figures", text);
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let names: Vec<&str> = match &value {
        serde_json::Value::Array(entries) => entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect(),
        entries => entries.as_object().unwrap().keys().map(String::as_str).collect(),
    };
    assert!(!names.is_empty());
    for name in names {
        assert_plain_text("a name", name);
        let leaves_its_cell = are_in_code && name.contains(['`', '|']);
        assert!(!name.contains(['\n', '\t']) && !leaves_its_cell, "{name:?}");
    }
}

/// Tables whose rows have as many cells as their heads, and no markup but what keeps signs apart. A block of code holds a
/// single line, which does not end it.
pub(crate) fn assert_markdown(text: &str) {
    let mut outside = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let (code, end) = (lines.next(), lines.next());
            assert!(
                code.is_some_and(|code| !code.starts_with("```")) && end == Some("```"),
                "{text}"
            );
        } else {
            outside.push_str(line);
            outside.push('\n');
        }
    }
    let text = outside.replace("<!-- -->", "");
    assert!(!text.contains('<') && !text.contains('>'), "markup: {text}");
    let bars = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
    let mut head = None;
    let mut rows = 0;
    for line in text.lines() {
        if line.starts_with('|') {
            assert_eq!(bars(line), *head.get_or_insert(bars(line)), "{line}");
            rows += 1;
        } else {
            head = None;
        }
    }
    assert!(rows > 2);
    for line in text.replace("\\\\", "").replace("\\]", "").lines() {
        assert!(!line.starts_with('#') && !line.contains("]("), "{line}");
    }
}

/// Every tag and every attribute of a page is one that the same page has without strangers, nothing listens to events,
/// and links stay on the page.
pub(crate) fn assert_same_markup(page: &str, benign: &str) {
    let (found, known) = (markup(page), markup(benign));
    let names = |tags: &[Tag]| -> BTreeSet<String> {
        let of = |tag: &Tag| {
            let attributes = tag.attributes.iter().map(|(name, _)| format!("{} {name}", tag.name));
            attributes.chain([tag.name.clone()]).collect::<Vec<_>>()
        };
        tags.iter().flat_map(of).collect()
    };
    let (found_names, known_names) = (names(&found), names(&known));
    // Charts press labels together that would not fit, as long ones do not.
    let is_ours = |name: &&String| ["text textlength", "text lengthadjust"].contains(&name.as_str());
    let strangers: Vec<&String> = found_names
        .difference(&known_names)
        .filter(|name| !is_ours(name))
        .collect();
    assert!(strangers.is_empty(), "not in the page without strangers: {strangers:?}");
    assert!(found.len() > 100, "the page was read");
    for tag in &found {
        assert!(
            !["iframe", "object", "embed", "base", "form"].contains(&tag.name.as_str()),
            "{tag:?}"
        );
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on"), "{tag:?}");
            if ["href", "src", "xlink:href", "action"].contains(&name.as_str()) {
                let is_name = value.chars().all(|c| c.is_ascii_alphanumeric() || "#-_./".contains(c));
                assert!(is_name && !value.starts_with('/') && !value.contains(".."), "{tag:?}");
            }
        }
    }
    assert_eq!(program(page, &found), program(benign, &known));
    assert_plain_text("the page", page);
}

/// The one script of a page, which is ours to the letter whoever wrote in the page. A report has an element of data before
/// it, which no browser runs, and nothing in that can end it.
fn program<'a>(page: &'a str, tags: &[Tag]) -> &'a str {
    let scripts: Vec<&Tag> = tags.iter().filter(|tag| tag.name == "script").collect();
    let (program, data) = scripts.split_last().unwrap();
    assert!(program.attributes.is_empty(), "{program:?}");
    let mut rest = page;
    if let [data] = data {
        let kind = ("type".to_owned(), "application/json".to_owned());
        assert!(data.attributes.contains(&kind), "{data:?}");
        let (text, after) = page
            .split_once("id=\"data\">")
            .unwrap()
            .1
            .split_once("</script>")
            .unwrap();
        assert!(!text.contains(['<', '>', '&']) && serde_json::from_str::<serde_json::Value>(text).is_ok());
        rest = after;
    } else {
        assert!(data.is_empty(), "{data:?}");
    }
    let (_, program) = rest.split_once("<script>").unwrap();
    program.split_once("</script>").unwrap().0
}

#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

/// The tags of a page as the tokenizer of the HTML standard finds them (13.2.5), as far as text can reach: data, tags,
/// attributes with and without quotes, comments, and elements whose content is text.
fn markup(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
        } else if rest.starts_with(['!', '?']) {
            rest = rest.split_once('>').map_or("", |(_, after)| after);
        } else {
            let closing = rest.starts_with('/');
            let name_at = usize::from(closing);
            if !rest[name_at..].starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let (tag, after) = read_tag(&rest[name_at..]);
            rest = after;
            if !closing {
                if ["style", "title", "script", "textarea"].contains(&tag.name.as_str()) {
                    let lower = rest.to_ascii_lowercase();
                    let end = lower.find(&format!("</{}", tag.name)).unwrap_or(rest.len());
                    rest = &rest[end..];
                }
                tags.push(tag);
            }
        }
    }
    tags
}

fn read_tag(text: &str) -> (Tag, &str) {
    let ends = |c: char| c.is_ascii_whitespace() || c == '/' || c == '>';
    let end = text.find(ends).unwrap_or(text.len());
    let mut tag = Tag {
        name: text[..end].to_ascii_lowercase(),
        attributes: Vec::new(),
    };
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (tag, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, after);
        }
        let end = rest
            .char_indices()
            .find(|(at, c)| ends(*c) || (*c == '=' && *at > 0))
            .map_or(rest.len(), |(at, _)| at);
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                _ => after.split_at(
                    after
                        .find(|c: char| c.is_ascii_whitespace() || c == '>')
                        .unwrap_or(after.len()),
                ),
            };
        }
        tag.attributes.push((name, value.to_owned()));
    }
}

#[test]
fn the_reader_of_pages_finds_what_was_smuggled_in() {
    let names = |page: &str| -> Vec<String> { markup(page).into_iter().map(|tag| tag.name).collect() };
    assert_eq!(names("a<p class=\"x>y\">b</p><!-- <i> --><br/>1 < 2"), ["p", "br"]);
    assert_eq!(names("<title><b></title><svg/onload=alert(1)>"), ["title", "svg"]);
    let tags = markup("<a href='#x' onclick=f() b>");
    let attributes: Vec<(&str, &str)> = tags[0]
        .attributes
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(attributes, [("href", "#x"), ("onclick", "f()"), ("b", "")]);
}
