//! `harness/report/FORMATS.md` says what the types say.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeSet;

use placebench_core::record::{CaseMetrics, RunRecord};
use placebench_core::stream::StreamEvent;
use placebench_report::format::csv::COLUMNS;
use serde_json::Value;

use crate::env::{TestEnv, of};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../report/FORMATS.md");
    std::fs::read_to_string(path).unwrap()
}

/// The part of the page under a heading, up to the next of the same rank or above.
fn section(heading: &str) -> String {
    let page = page();
    let marks = heading.chars().take_while(|c| *c == '#').count();
    let (_, rest) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let ends = |line: &&str| {
        let rank = line.chars().take_while(|c| *c == '#').count();
        (1..=marks).contains(&rank) && line.chars().nth(rank) == Some(' ')
    };
    rest.lines()
        .take_while(|line| !ends(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What stands between backticks.
fn names(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the first cells of the tables.
fn rows(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| names(row.split('|').nth(1).unwrap_or_default()))
        .collect()
}

fn assert_all<'a>(what: &str, known: &BTreeSet<String>, wanted: impl IntoIterator<Item = &'a str>) {
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "{what}: the page does not name {missing:?}");
}

fn schema(of: &str) -> Value {
    serde_json::from_str(&TestEnv::new().run(&["schema", of]).stdout).unwrap()
}

fn keys(schema: &Value) -> Vec<String> {
    let keys = schema["properties"].as_object().unwrap().keys();
    keys.cloned().collect()
}

#[test]
fn every_key_of_a_verdict_is_explained() {
    let schema = schema("--verdict");
    let section = section("### `verdict.json`");
    let rows = rows(&section);
    assert_all("verdict.json", &rows, keys(&schema).iter().map(String::as_str));
    let of = |name: &str| keys(&schema["$defs"][name]);
    assert_all("a case", &rows, of("CaseVerdict").iter().map(String::as_str));
    let all = names(&section);
    for part in ["CaseMetrics", "GateVerdict", "Finding"] {
        assert_all(part, &all, of(part).iter().map(String::as_str));
    }
    for words in ["CaseStatus", "TextVerdict"] {
        let variants = schema["$defs"][words]["oneOf"].as_array().unwrap();
        let variants = variants.iter().map(|variant| variant["const"].as_str().unwrap());
        assert_all(words, &all, variants);
    }
    // And nothing is explained that is not there.
    let known: BTreeSet<String> = ["CaseVerdict", "CaseMetrics"]
        .into_iter()
        .flat_map(of)
        .chain(keys(&schema))
        .collect();
    let strangers: Vec<&String> = rows.difference(&known).collect();
    assert!(strangers.is_empty(), "the page explains {strangers:?}");
}

#[test]
fn every_key_of_the_raw_files_is_explained() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.auto]\ndevice_map = \"auto\"\nmax_memory = { \"sim:0\" = \"600KiB\", \"sim:1\" = \"1MiB\" }\n",
    );
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/auto").findings, []);
    let read = |name: &str| std::fs::read_to_string(env.latest().join(name)).unwrap();
    let run: Value = serde_json::from_str(&read("run.json")).unwrap();
    let rows_of_run = rows(&section("### `run.json`"));
    assert_all(
        "run.json",
        &rows_of_run,
        run.as_object().unwrap().keys().map(String::as_str),
    );
    let attempts = read("attempts.jsonl");
    let rows_of_attempts = rows(&section("### `attempts.jsonl`"));
    for line in attempts.lines() {
        let attempt: Value = serde_json::from_str(line).unwrap();
        let keys = attempt.as_object().unwrap().keys().map(String::as_str);
        assert_all("attempts.jsonl", &rows_of_attempts, keys);
    }
}

#[test]
fn every_column_of_the_table_is_named_in_order() {
    let section = section("### `results.csv`");
    let paragraph = section
        .split("\n\n")
        .find(|text| text.starts_with("`case`, `scenario`"))
        .unwrap();
    let named: Vec<&str> = paragraph.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, COLUMNS);
}

#[test]
fn every_line_of_the_stream_is_shown_and_explained() {
    let section = section("## The event stream");
    let block = section
        .split("```ndjson events\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let figures = serde_json::to_string(&CaseMetrics::default()).unwrap();
    let mut shown = BTreeSet::new();
    for line in block.lines() {
        let value: Value = serde_json::from_str(&line.replace("METRICS", &figures)).unwrap();
        let event: StreamEvent<'_> =
            serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(serde_json::to_value(&event).unwrap(), value, "{line}");
        shown.insert(value["type"].as_str().unwrap().to_owned());
    }
    let rows = rows(&section);
    let names = names(&section);
    for line in schema("--events")["oneOf"].as_array().unwrap() {
        let kind = line["properties"]["type"]["const"].as_str().unwrap();
        assert!(
            shown.contains(kind) && rows.contains(kind),
            "{kind} is not shown, or not explained"
        );
        assert_all(
            kind,
            &names,
            keys(line).iter().map(String::as_str).filter(|key| *key != "type"),
        );
    }
}

#[test]
fn every_format_of_a_report_is_in_the_page() {
    let help = TestEnv::new().run(&["report", "--help"]).stdout;
    let formats: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert!(formats.len() >= 9, "{help}");
    let page = page();
    for format in formats {
        let is_named = format == "html" || page.contains(&format!("--format {format}"));
        assert!(is_named, "the page does not name --format {format}");
    }
}

/// The measures that the page lists are those that are written.
#[test]
fn every_measure_is_in_the_page() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../report/tests/data/sample-run");
    let read = |name: &str| std::fs::read_to_string(format!("{sample}/{name}")).unwrap();
    let lines = read("attempts.jsonl");
    let record = RunRecord {
        info: serde_json::from_str(&read("run.json")).unwrap(),
        attempts: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        verdict: serde_json::from_str(&read("verdict.json")).unwrap(),
    };
    let text = placebench_report::format::bencher::render(&record).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let measures: BTreeSet<&str> = all
        .as_object()
        .unwrap()
        .values()
        .flat_map(|measures| measures.as_object().unwrap().keys().map(String::as_str))
        .collect();
    let names = names(&section("## Bencher"));
    assert!(measures.len() > 8);
    assert_all("Bencher", &names, measures);
}
