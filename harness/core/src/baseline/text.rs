//! A baseline as text that version control shows well: a line for each part of a case, always in the same order.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Baseline;

/// Writes a baseline.
pub(super) fn write(baseline: &Baseline) -> String {
    let mut text = String::from("{\n");
    for (name, value) in [
        ("schema_version", json(&baseline.schema_version)),
        ("key", json(&baseline.key)),
        ("timings", json(&baseline.timings)),
    ] {
        text.push_str(&format!("\"{name}\":{value},\n"));
    }
    let sources: Vec<String> = baseline.sources.iter().map(json).collect();
    text.push_str(&format!("\"sources\":[\n{}\n],\n\"cases\":{{\n", sources.join(",\n")));
    let cases: Vec<String> = baseline
        .cases
        .iter()
        .map(|(name, case)| format!("{}:{{\n{}\n}}", json(name), parts(case)))
        .collect();
    text.push_str(&cases.join(",\n"));
    text.push_str("\n}\n}\n");
    text
}

/// Parts of a case that are short enough to share a line.
const TOGETHER: [&str; 4] = ["scenario", "source", "asked", "text"];

/// A line for each part.
fn parts<T: Serialize>(case: &T) -> String {
    let object: Map<String, Value> = match serde_json::to_value(case) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let part = |(name, value): (&String, &Value)| format!("{}:{}", json(name), json(value));
    let (head, rest): (Vec<_>, Vec<_>) = object.iter().partition(|(name, _)| TOGETHER.contains(&name.as_str()));
    let head: Vec<String> = head.into_iter().map(part).collect();
    let mut lines = vec![head.join(",")];
    lines.extend(rest.into_iter().map(part));
    lines.join(",\n")
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // Keys are strings and numbers are finite, so that there is nothing JSON has no word for.
    serde_json::to_string(value).unwrap_or_default()
}
