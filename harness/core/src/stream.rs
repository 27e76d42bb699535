//! Format 4: the lines that `run --message-format ndjson` prints, one [`StreamEvent`] each.
//!
//! A reader skips types of lines and keys that it does not know: both are added without a new version. The schema is
//! generated from the types, so that it cannot say anything else.

use std::borrow::Cow;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use crate::exit_code::ExitCode;
use crate::outcome::Outcome;
use crate::protocol::WorkerEvent;
use crate::record::{CaseVerdict, RunVerdict, Tool};

/// Version of the stream, in its first line. A reader refuses one that it does not know.
///
/// History: 1 (first).
pub const STREAM_VERSION: u32 = 1;

/// A line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum StreamEvent<'a> {
    /// The first line.
    RunStarted {
        /// [`STREAM_VERSION`] of the writer.
        format_version: u32,
        /// The run.
        run_id: Cow<'a, str>,
        /// The writer.
        tool: Cow<'a, Tool>,
        /// How many cases there are.
        cases: usize,
    },
    /// A process is about to be started.
    AttemptStarted {
        /// The case.
        case: Cow<'a, str>,
        /// Number of the attempt within the case, from 0.
        attempt: u32,
    },
    /// The attempt waits for a GPU that another run uses. Printed once, when it has waited for a second.
    AttemptWaiting {
        /// The case.
        case: Cow<'a, str>,
        /// UUID of the card.
        gpu: Cow<'a, str>,
        /// The process of the other run; absent where it is not known.
        pid: Option<u32>,
    },
    /// Something happened in the process, in the words of the worker protocol.
    Worker {
        /// The case.
        case: Cow<'a, str>,
        /// What.
        event: Cow<'a, WorkerEvent>,
    },
    /// An attempt is over and on record. Attempts that are skipped have this line only.
    AttemptFinished {
        /// The case.
        case: Cow<'a, str>,
        /// Number of the attempt within the case, from 0.
        attempt: u32,
        /// What happened.
        outcome: Cow<'a, Outcome>,
        /// Seconds from spawn to the end of the process.
        wall_s: f64,
    },
    /// With `--against`: a process of the other program is about to be started.
    BaseAttemptStarted {
        /// The case.
        case: Cow<'a, str>,
        /// Number of the attempt within the case, from 0: that of the run's own attempt it is compared with.
        attempt: u32,
    },
    /// With `--against`: an attempt of the other program is over and on record.
    BaseAttemptFinished {
        /// The case.
        case: Cow<'a, str>,
        /// Number of the attempt within the case, from 0.
        attempt: u32,
        /// What happened.
        outcome: Cow<'a, Outcome>,
        /// Seconds from spawn to the end of the process.
        wall_s: f64,
    },
    /// A case failed and is about to be tried again.
    CaseRetried {
        /// The case.
        case: Cow<'a, str>,
        /// Number of the retry, from 1.
        retry: u32,
        /// The judgement on the try before.
        verdict: Cow<'a, CaseVerdict>,
    },
    /// A case is over, and so is every case that it is compared with.
    CaseFinished {
        /// The judgement. What is held against a baseline or another program is judged when the run is over, and stands in
        /// `verdict.json`.
        verdict: Cow<'a, CaseVerdict>,
    },
    /// The last line. A stream without it is that of a run that did not end by itself.
    RunFinished {
        /// The run.
        run_id: Cow<'a, str>,
        /// False where the run was interrupted before all cases were done.
        complete: bool,
        /// What the process exits with.
        exit: ExitCode,
        /// Its number.
        exit_code: u8,
        /// Folder of the run.
        folder: Cow<'a, str>,
    },
}

/// The JSON Schema of a line (draft 2020-12).
#[must_use]
pub fn events_schema() -> serde_json::Value {
    schema::<StreamEvent<'static>>("placebench event stream: one line")
}

/// The JSON Schema of `verdict.json` (draft 2020-12).
#[must_use]
pub fn verdict_schema() -> serde_json::Value {
    schema::<RunVerdict>("placebench verdict.json")
}

/// Of what is written, not of what is read: a key with a default is always there.
fn schema<T: JsonSchema>(title: &str) -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    let mut schema = schema.to_value();
    unlink(&mut schema);
    schema
}

/// Descriptions are those of the types, whose links to other types lead nowhere outside of their documentation.
fn unlink(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(entries) => entries.iter_mut().for_each(|(key, value)| match value {
            serde_json::Value::String(text) if key == "description" => *text = without_links(text),
            value => unlink(value),
        }),
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(unlink),
        _ => {}
    }
}

/// ``[`Type`](path::Type)`` and ``[`Type`]`` as `` `Type` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((name, after)) = link.split_once("`]") else {
            plain.push_str("[`");
            rest = link;
            continue;
        };
        plain.push_str(&format!("`{name}`"));
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_first_line() {
        let line = serde_json::to_string(&StreamEvent::RunStarted {
            format_version: STREAM_VERSION,
            run_id: "r".into(),
            tool: Cow::Owned(Tool {
                name: "placebench".into(),
                version: "0.1.0".into(),
                profile: "release".into(),
            }),
            cases: 2,
        });
        insta::assert_snapshot!(line.unwrap(), @r#"{"type":"run-started","format_version":1,"run_id":"r","tool":{"name":"placebench","version":"0.1.0","profile":"release"},"cases":2}"#);
    }

    #[test]
    fn descriptions_have_no_links_of_the_source() {
        let plain = without_links("a [`B`](c::B), [`D::e`] (f) [g] [`h");
        assert_eq!(plain, "a `B`, `D::e` (f) [g] [`h");
        for schema in [events_schema(), verdict_schema()] {
            assert!(!schema.to_string().contains("[`"));
        }
    }

    #[test]
    fn the_schemas_know_every_line_and_every_part_of_a_verdict() {
        let events = events_schema();
        let lines = events["oneOf"].as_array().unwrap();
        let names: Vec<&str> = lines
            .iter()
            .map(|line| line["properties"]["type"]["const"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "run-started",
                "attempt-started",
                "attempt-waiting",
                "worker",
                "attempt-finished",
                "base-attempt-started",
                "base-attempt-finished",
                "case-retried",
                "case-finished",
                "run-finished"
            ]
        );
        let verdict = verdict_schema();
        for part in ["CaseVerdict", "GateVerdict", "Comparison", "TimingRow", "CounterRow"] {
            assert!(verdict["$defs"].get(part).is_some(), "{part}");
        }
        let required = verdict["required"].as_array().unwrap();
        assert!(required.contains(&"exit_code".into()) && !required.contains(&"gate".into()));
    }
}
