//! From text to [`ScenarioFile`], with every problem of the grammar at once.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{DefaultsFile, ScenarioFile};
use super::problem::{Problem, nearest};

/// Reads a scenario file. What could be read is returned beside the problems, so that its content can be checked too.
#[must_use]
pub fn parse(text: &str) -> (ScenarioFile, Vec<Problem>) {
    parse_as(text)
}

/// Reads a suite's `defaults.toml`.
#[must_use]
pub fn parse_defaults(text: &str) -> (DefaultsFile, Vec<Problem>) {
    parse_as(text)
}

/// serde stops at its first error. So each error is noted, the entry it is about is taken out of the document, and what
/// is left is read again, until nothing is wrong with it.
pub(crate) fn parse_as<T: DeserializeOwned + Default>(text: &str) -> (T, Vec<Problem>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors.iter().map(problem_of).collect();
    if !problems.is_empty() {
        // What follows broken syntax would be complaints about the same mistake.
        return (T::default(), problems);
    }
    let span = document.span();
    let mut table = document.into_inner();
    let mut taken_out: Vec<String> = Vec::new();
    loop {
        let attempt = Spanned::new(span.clone(), table.clone());
        match T::deserialize(toml::de::Deserializer::from(attempt)) {
            Ok(value) => {
                problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
                return (value, problems);
            }
            Err(error) => {
                // A required key whose value was wrong is now missing: that was said already.
                let known = missing_key(&error).is_some_and(|key| taken_out.iter().any(|taken| taken == key));
                if !known {
                    problems.push(problem_of(&error));
                }
                match error.span().and_then(|place| prune(&mut table, &place)) {
                    Some(key) => taken_out.push(key),
                    None => return (T::default(), problems),
                }
            }
        }
    }
}

/// Takes out the innermost entry the span lies in, and returns its key.
fn prune(table: &mut DeTable<'_>, place: &Range<usize>) -> Option<String> {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        if inside(place, &key.span()) {
            found = Some(key.get_ref().to_string());
            break;
        }
        if inside(place, &value.span()) || value_holds(value, place) {
            if let Some(key) = prune_value(value, place) {
                return Some(key);
            }
            found = Some(key.get_ref().to_string());
            break;
        }
    }
    let key = found?;
    table.remove(key.as_str()).map(|_| key)
}

fn prune_value(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => prune(table, place),
        DeValue::Array(array) => array
            .iter_mut()
            .filter(|item| inside(place, &item.span()) || value_holds(item, place))
            .find_map(|item| prune_value(item, place)),
        _ => None,
    }
}

/// The key a "missing field" error names.
fn missing_key(error: &toml::de::Error) -> Option<&str> {
    error.message().strip_prefix("missing field `")?.split('`').next()
}

/// Tables written under several headers have only the span of one of them: look at what they hold.
fn value_holds(value: &Spanned<DeValue<'_>>, place: &Range<usize>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().any(|(key, value)| {
            inside(place, &key.span()) || inside(place, &value.span()) || value_holds(value, place)
        }),
        DeValue::Array(array) => array
            .iter()
            .any(|item| inside(place, &item.span()) || value_holds(item, place)),
        _ => false,
    }
}

fn inside(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn problem_of(error: &toml::de::Error) -> Problem {
    let message = error.message().trim().replace('\n', "; ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = if let (true, Some((wrong, known))) = (message.starts_with("unknown "), quoted.split_first()) {
        nearest(wrong, known.iter().copied()).map(|name| format!("did you mean `{name}`?"))
    } else {
        None
    };
    Problem {
        span: error.span(),
        message: message
            .replace("unknown field", "unknown key")
            .replace("missing field", "missing key"),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text)
            .1
            .iter()
            .map(|problem| {
                let (line, column) = problem.position(text).unwrap_or((0, 0));
                let hint = problem.hint.as_deref().unwrap_or("-");
                format!("{line}:{column} {} [{hint}]", problem.message)
            })
            .collect()
    }

    #[test]
    fn all_problems_are_reported_with_their_places() {
        let text = r#"schema_version = 1
discription = "x"
[model]
path = 3
dtyp = "f32"
[timeout]
load = "soon"
token = "0s"
[placement.auto]
device_map = "auto"
max_memory = { "sim:0" = "2 bananas" }
transfer = "pigeon"
[placement.b]
device_map = { "model.norm" = "gpu" }
[[prompt]]
name = "a"
txt = "b"
[[fault]]
kind = "stal"
"#;
        insta::assert_snapshot!(shown(text).join("\n"));
    }

    #[test]
    fn broken_syntax_is_reported_alone() {
        let lines = shown("schema_version = 1\n[model\npath = \"x\"\n");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("2:"), "{lines:?}");
    }

    #[test]
    fn a_good_file_has_no_problems() {
        let text = "schema_version = 1\n[model]\npath = \"m\"\n[placement.a]\ndevice_map = 0\n[[prompt]]\nname = \"p\"\ninput_ids = [1]\n";
        let (file, problems) = parse(text);
        assert_eq!(problems, []);
        assert_eq!(file.placement.map(|table| table.names().len()), Some(1));
    }

    #[test]
    fn a_wrong_top_level_type_does_not_hide_the_rest() {
        let lines = shown("model = 3\nengine = 4\nnonsense = 5\n");
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
}
