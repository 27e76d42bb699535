//! What a case is, and what its attempts saw of their machine.

use std::collections::{BTreeSet, HashMap};

use placebench_core::compare::Fingerprint;
use placebench_core::record::{Attempt, CaseSpec, Environment};
use placebench_core::trend::machine;
use rusqlite::params;
use serde_json::Value;

use super::{Import, digest};
use crate::error::HistoryError;

/// A value as JSON. What cannot be put into JSON (which no record holds) is null.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// The name of a value that is one word in records.
pub(super) fn name_of<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Definitions that were met on the way: suites repeat them run by run.
pub(super) struct Definitions<'a> {
    import: &'a Import<'a>,
    rows: HashMap<String, i64>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(import: &'a Import<'a>) -> Self {
        Self {
            import,
            rows: HashMap::new(),
        }
    }

    pub(super) fn row_of(&mut self, spec: &CaseSpec) -> Result<i64, HistoryError> {
        let text = json(spec);
        let digest = digest(text.as_bytes());
        if let Some(row) = self.rows.get(&digest) {
            return Ok(*row);
        }
        self.import.execute(
            "INSERT OR IGNORE INTO definitions (digest, work, spec) VALUES (?1, ?2, ?3)",
            params![digest, work(spec), text],
        )?;
        let row = self
            .import
            .connection
            .query_row("SELECT id FROM definitions WHERE digest = ?1", [&digest], |row| {
                row.get(0)
            })
            .map_err(self.import.error)?;
        self.rows.insert(digest, row);
        Ok(row)
    }
}

/// Digest of what a case makes a machine do. Where a file lies, what it is called, deadlines and expectations are no part of it.
/// Nulls and empty lists are left out, so that a field that a later version adds changes nothing for cases without it.
fn work(spec: &CaseSpec) -> String {
    let parts = [
        Value::from(spec.engine.clone()),
        Value::from(spec.model.label()),
        plain_json(&spec.dtype),
        plain_json(&spec.devices),
        plain_json(&spec.request),
        plain_json(&spec.input),
        plain_json(&spec.companion_inputs),
        plain_json(&spec.generation),
        plain_json(&spec.measure),
        plain_json(&spec.faults),
        plain_json(&spec.env),
        plain_json(&spec.audit),
    ];
    digest(json(&parts).as_bytes())
}

fn plain_json<T: serde::Serialize>(value: &T) -> Value {
    plain(serde_json::to_value(value).unwrap_or(Value::Null))
}

fn plain(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        other => other,
    }
}

/// What the attempts of a case saw, put together one by one.
#[derive(Debug, Default)]
pub(super) struct Seen {
    profiles: BTreeSet<String>,
    gpus: BTreeSet<String>,
    drivers: BTreeSet<String>,
    versions: BTreeSet<String>,
}

impl Seen {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        let fingerprint = Fingerprint::new(&Environment::default(), &[attempt]);
        self.profiles.extend(fingerprint.profiles);
        self.gpus.extend(fingerprint.gpus);
        self.drivers.extend(fingerprint.drivers);
        self.versions.extend(attempt.versions.iter().cloned());
    }

    /// Whether a worker came to say what it is.
    pub(super) fn is_seen(&self) -> bool {
        !self.profiles.is_empty()
    }

    pub(super) fn drivers(&self) -> Vec<&String> {
        self.drivers.iter().collect()
    }

    pub(super) fn versions(&self) -> Vec<&String> {
        self.versions.iter().collect()
    }

    /// The row of the machine, made where it is new.
    pub(super) fn machine_row(&self, import: &Import<'_>, environment: &Environment) -> Result<i64, HistoryError> {
        let of = |set: &BTreeSet<String>| set.iter().cloned().collect();
        let found = machine(&Fingerprint {
            environment: environment.clone(),
            profiles: of(&self.profiles),
            gpus: of(&self.gpus),
            drivers: of(&self.drivers),
        });
        let key = &found.machine.key;
        import.execute(
            "INSERT OR IGNORE INTO machines (key, host, words) VALUES (?1, ?2, ?3)",
            params![key, found.host, found.machine.words],
        )?;
        let row = import
            .connection
            .query_row("SELECT id FROM machines WHERE key = ?1", [key], |row| row.get(0));
        row.map_err(import.error)
    }
}
