//! The runs there are.

use placebench_core::exit_code::ExitCode;
use rusqlite::params;
use serde::Serialize;
use serde_json::Value;

use crate::database::History;
use crate::error::HistoryError;

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those with a case of such a name: `*` is any text, `?` any character, `[abc]` one of some.
    pub case_glob: Option<String>,
    /// Only those that started at this time or later, in milliseconds since 1970. Runs whose start is no time are left out.
    pub since_ms: Option<i64>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedRun {
    /// Its name.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Where it was imported from.
    pub folder: String,
    /// The program that made it.
    pub tool: String,
    /// Keys of the machines it was made on.
    pub machines: Vec<String>,
    /// How it ended.
    pub exit: Option<ExitCode>,
    /// Whether all its attempts were made.
    pub is_complete: bool,
    /// Whether its verdict was made again, because there was none of its own.
    pub is_judged_again: bool,
    /// The merged run it is a part of, where that was imported too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// Cases.
    pub cases: u64,
    /// Those that failed or could not be set up.
    pub failed: u64,
    /// Attempts.
    pub attempts: u64,
}

const SELECT: &str = "
SELECT run_id, started_at, folder, tool || ' (' || profile || ')', exit, complete, verdict_source = 'judged',
  (SELECT group_concat(key, ' ') FROM (SELECT DISTINCT machines.key AS key FROM cases JOIN machines ON machines.id = cases.machine
     WHERE cases.run = runs.id ORDER BY machines.key)),
  (SELECT whole.run_id FROM parts JOIN runs AS whole ON whole.id = parts.run
     WHERE parts.part = runs.run_id AND whole.id != runs.id LIMIT 1),
  (SELECT count(*) FROM cases WHERE cases.run = runs.id),
  (SELECT count(*) FROM cases JOIN verdicts ON verdicts.case_id = cases.id
     WHERE cases.run = runs.id AND verdicts.status IN ('failed', 'setup')),
  (SELECT count(*) FROM cases JOIN attempts ON attempts.case_id = cases.id WHERE cases.run = runs.id)
FROM runs
WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM cases WHERE cases.run = runs.id AND cases.name GLOB ?1))
  AND (?2 IS NULL OR started_ms >= ?2)
ORDER BY started_ms, run_id";

impl History {
    /// The runs, from the oldest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<ListedRun>, HistoryError> {
        let error = self.refused("to be read");
        let mut select = self.connection.prepare(SELECT).map_err(&error)?;
        let rows = select
            .query_map(params![filter.case_glob, filter.since_ms], |row| {
                let count =
                    |index: usize| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0));
                let machines: Option<String> = row.get(7)?;
                Ok(ListedRun {
                    run_id: row.get(0)?,
                    started_at: row.get(1)?,
                    folder: row.get(2)?,
                    tool: row.get(3)?,
                    exit: named(row.get(4)?),
                    is_complete: row.get(5)?,
                    is_judged_again: row.get(6)?,
                    machines: machines
                        .unwrap_or_default()
                        .split(' ')
                        .filter(|key| !key.is_empty())
                        .map(str::to_owned)
                        .collect(),
                    part_of: row.get(8)?,
                    cases: count(9)?,
                    failed: count(10)?,
                    attempts: count(11)?,
                })
            })
            .map_err(&error)?;
        rows.collect::<rusqlite::Result<Vec<ListedRun>>>().map_err(&error)
    }
}

/// A value by its name in records.
pub(crate) fn named<T: serde::de::DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(Value::String(name)).ok()
}
