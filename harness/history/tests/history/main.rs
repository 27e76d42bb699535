//! Histories of runs on disk, whole and damaged, imported once, twice, and at the same time.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside of test functions unwrap")]
#![expect(
    clippy::expect_used,
    reason = "helpers of tests outside of test functions say what they expect"
)]

#[path = "../common/mod.rs"]
mod common;

mod hostile;
mod import;
mod prune;
mod rebuild;
mod trend;

use std::path::{Path, PathBuf};
use std::time::Duration;

use placebench_history::{History, Options};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

/// A folder of runs with a database in it.
struct Reports {
    dir: TempDir,
}

impl Reports {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn options(&self) -> Options {
        Options {
            path: self.path().join("history.sqlite"),
            wait: Duration::from_millis(100),
        }
    }

    fn history(&self) -> History {
        History::open_or_create(self.options()).unwrap()
    }

    /// So many runs, a day apart, of the same cases; the level of each is said by its number.
    fn runs(&self, count: u64, cases: &[&str], tpot_s: impl Fn(u64) -> f64) -> Vec<PathBuf> {
        let cases: Vec<_> = cases.iter().map(|name| common::case(name)).collect();
        let run = |number: u64| {
            let (run_id, started_at) = common::day(number);
            let info = common::info(&run_id, &started_at, cases.clone());
            common::write(self.path(), &info, &common::attempts(&cases, tpot_s(number)))
        };
        (0..count).map(run).collect()
    }

    fn import_all(&self) {
        let mut history = self.history();
        for folder in placebench_history::runs_below(self.path()).unwrap() {
            history.import(&folder, false, &common::judge_again).unwrap();
        }
    }

    /// Everything in the database but its row numbers, in an order of its own.
    fn dump(&self) -> Vec<String> {
        let connection = Connection::open(self.options().path).unwrap();
        let mut lines = Vec::new();
        for query in [
            "SELECT run_id, started_at, started_ms, folder, tool, profile, record_version, seed, arguments, exit, exit_code, complete,
               verdict_source, run_digest, verdict_digest, attempts_digest, attempts_bytes FROM runs",
            "SELECT run_id, part FROM parts JOIN runs ON runs.id = run",
            "SELECT key, host, words FROM machines",
            "SELECT digest, work, spec FROM definitions",
            "SELECT run_id, position, name, digest, key, machine_seen, cases.tool, kernel, drivers, versions FROM cases
               JOIN runs ON runs.id = run JOIN machines ON machines.id = machine JOIN definitions ON definitions.id = definition",
            "SELECT run_id, name, status, outcome, text, sentence, findings, decided_by_retry FROM verdicts
               JOIN cases ON cases.id = case_id JOIN runs ON runs.id = run",
            "SELECT run_id, name, number, attempts.started_at, wall_s, outcome, retry, is_timed FROM attempts
               JOIN cases ON cases.id = case_id JOIN runs ON runs.id = run",
            "SELECT * FROM results",
            "SELECT run_id, name, metric_names.metric, device, is_counted, median, lowest, highest, attempts FROM case_metrics
               JOIN cases ON cases.id = case_id JOIN runs ON runs.id = run
               JOIN metric_names ON metric_names.id = case_metrics.metric",
            "SELECT run_id FROM pruned",
        ] {
            let mut select = connection.prepare(query).unwrap();
            let columns = select.column_count();
            let rows = select.query_map([], |row| {
                let values: Vec<Value> = (0..columns).map(|index| row.get(index)).collect::<Result<_, _>>()?;
                Ok(format!("{values:?}"))
            });
            lines.extend(rows.unwrap().map(Result::unwrap));
        }
        lines.sort();
        lines
    }

    fn count(&self, table: &str) -> i64 {
        let connection = Connection::open(self.options().path).unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}
