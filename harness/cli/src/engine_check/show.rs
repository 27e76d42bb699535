//! What the checks came to, for people and for programs.

use serde_json::{Value, json};

use super::answer::Answer;
use super::battery::Checked;
use super::check::Check;
use crate::terminal::{block, counted, printable};

/// The page that says what an engine has to do.
const PAGE: &str = "harness/workers/README.md";
/// Version of the JSON document.
const DOCUMENT_VERSION: u32 = 1;

/// Characters of a line that the engine said.
const MOST_CHARS: usize = 600;

/// The line of a check that is over.
pub(crate) fn line(checked: &Checked) -> String {
    let name = checked.check.name;
    let (word, more) = match &checked.answer {
        Answer::Passed { seen } => ("ok", seen.clone()),
        Answer::Failed { seen, .. } => ("FAILED", Some(seen.clone())),
        Answer::NotApplicable { why } => ("n/a", Some(why.clone())),
        Answer::NotTried { after } => ("not tried", Some(format!("after {after}"))),
    };
    let more = more
        .map(|more| format!("  {}", printable(&shortened(&more, 120))))
        .unwrap_or_default();
    format!("{name:<20} {word:<9}{more}").trim_end().to_owned()
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What stands below the lines: each failure in full, and how many there are of each.
pub(crate) fn summary(done: &[Checked]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for Checked { check, answer } in done {
        let Answer::Failed { seen, said } = answer else {
            continue;
        };
        lines.push(format!("{}: {}", check.name, check.requires));
        lines.push(format!("  seen: {}", indented(seen)));
        if let Some(said) = said {
            lines.push(format!("  said: {}", indented(&shortened(said, MOST_CHARS))));
        }
        lines.push(format!("  help: {}", check.help));
        lines.push(format!("  page: {PAGE}#{}", check.section));
        lines.push(String::new());
    }
    let numbers = numbers(done);
    let mut parts = vec![format!("{} passed", numbers.passed)];
    for (number, word) in [
        (numbers.failed, "failed"),
        (numbers.not_applicable, "not applicable"),
        (numbers.not_tried, "not tried"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let all = u32::try_from(done.len()).unwrap_or(u32::MAX);
    lines.push(format!("{}: {}", counted(all, "check"), parts.join(", ")));
    lines
}

/// Text of the engine below a word; it commands no terminal.
fn indented(text: &str) -> String {
    block(text).replace('\n', "\n        ")
}

/// The catalogue, without an engine.
pub(crate) fn list(checks: &[&'static Check]) -> Vec<String> {
    checks
        .iter()
        .map(|check| format!("{:<20} {}", check.name, check.requires))
        .collect()
}

/// The catalogue as JSON.
pub(crate) fn list_document(checks: &[&'static Check]) -> Value {
    let rows = checks.iter().map(|check| about(check));
    json!({"engine_check": DOCUMENT_VERSION, "checks": rows.collect::<Vec<_>>()})
}

fn about(check: &Check) -> Value {
    json!({
        "name": check.name,
        "requires": check.requires,
        "page": format!("{PAGE}#{}", check.section),
    })
}

/// Everything as JSON.
pub(crate) fn document(program: &[String], done: &[Checked]) -> Value {
    let rows = done.iter().map(|Checked { check, answer }| {
        let mut row = about(check);
        let answer = serde_json::to_value(answer).unwrap_or_default();
        if let (Value::Object(row), Value::Object(answer)) = (&mut row, answer) {
            row.extend(answer);
            if row.get("result").and_then(Value::as_str) == Some("failed") {
                row.insert("help".into(), check.help.into());
            }
        }
        row
    });
    let rows: Vec<Value> = rows.collect();
    let numbers = numbers(done);
    json!({
        "engine_check": DOCUMENT_VERSION,
        "program": program,
        "passed": numbers.passed,
        "failed": numbers.failed,
        "not_applicable": numbers.not_applicable,
        "not_tried": numbers.not_tried,
        "checks": rows,
    })
}

/// How many checks came to what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) not_applicable: usize,
    pub(crate) not_tried: usize,
}

pub(crate) fn numbers(done: &[Checked]) -> Numbers {
    let mut numbers = Numbers::default();
    for checked in done {
        match checked.answer {
            Answer::Passed { .. } => numbers.passed += 1,
            Answer::Failed { .. } => numbers.failed += 1,
            Answer::NotApplicable { .. } => numbers.not_applicable += 1,
            Answer::NotTried { .. } => numbers.not_tried += 1,
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::CHECKS;
    use super::*;

    fn checked(name: &str, answer: Answer) -> Checked {
        Checked {
            check: CHECKS.iter().find(|check| check.name == name).unwrap(),
            answer,
        }
    }

    #[test]
    fn what_an_engine_says_commands_nothing() {
        let said = "a\x1b[31mb\n::error::c";
        let done = [checked(
            "run",
            Answer::failed_saying("it \x1b[2J broke", Some(said.into())),
        )];
        let text = format!("{}\n{}", line(&done[0]), summary(&done).join("\n"));
        assert!(!text.contains('\x1b') && !text.contains("\n::error"), "{text}");
        assert!(text.contains("\\u{1b}[31mb"), "{text}");
    }

    #[test]
    fn everything_is_counted_once() {
        let done = [
            checked("stdout", Answer::passed()),
            checked("hello", Answer::failed("no")),
            checked("run", Answer::NotTried { after: "hello" }),
            checked("dtype", Answer::not_applicable("one")),
        ];
        assert_eq!(
            summary(&done).last().unwrap(),
            "4 checks: 1 passed, 1 failed, 1 not applicable, 1 not tried"
        );
        let document = document(&["x".into()], &done);
        assert_eq!(
            (&document["failed"], &document["checks"][1]["seen"]),
            (&json!(1), &json!("no"))
        );
        assert_eq!(document["checks"][2]["after"], "hello");
        assert!(document["checks"][1]["help"].is_string() && document["checks"][0].get("help").is_none());
    }
}
