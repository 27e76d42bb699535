//! The rows of a run.

use std::collections::HashMap;

use placebench_core::record::{Attempt, CaseSpec, CaseVerdict, Environment, RunVerdict};
use placebench_core::statistics::median;
use placebench_runner::store::{AttemptLines, is_interrupted};
use rusqlite::{Statement, params};

use super::case::{Definitions, Seen, json, name_of};
use super::{Digest, Import, VerdictSource};
use crate::error::HistoryError;
use crate::measure::{Metric, figures, is_timed};

/// Machines that no case was run on.
pub(crate) const DROP_UNUSED_MACHINES: &str =
    "DELETE FROM machines WHERE NOT EXISTS (SELECT 1 FROM cases WHERE cases.machine = machines.id)";

/// Writes a run that is not there. Returns how many attempts it has, and where its verdict came from.
pub(super) fn run(import: &Import<'_>) -> Result<(u64, VerdictSource), HistoryError> {
    let info = &import.head.info;
    let run = insert_run(import)?;
    for shard in &info.shards {
        import.execute(
            "INSERT OR IGNORE INTO parts (run, part) VALUES (?1, ?2)",
            params![run, shard.run_id],
        )?;
    }
    let mut definitions = Definitions::new(import);
    let mut cases = Vec::with_capacity(info.cases.len());
    for (position, case) in info.cases.iter().enumerate() {
        cases.push(CaseRow::insert(import, &mut definitions, run, position, case)?);
    }
    let (digest, attempts) = insert_attempts(import, &mut cases)?;
    let counts: Vec<u32> = cases.iter().map(|case| case.attempts).collect();
    let (verdict, source) = import.verdict(&counts)?;
    finish_run(import, run, &digest, &verdict, source)?;
    finish_cases(import, &cases, &verdict)?;
    Ok((attempts, source))
}

fn insert_run(import: &Import<'_>) -> Result<i64, HistoryError> {
    let info = &import.head.info;
    let started_ms = humantime::parse_rfc3339(&info.started_at)
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    let version = info.schema_version;
    import.execute(
        "INSERT INTO runs (run_id, started_at, started_ms, folder, tool, profile, record_version, seed, arguments, exit,
           exit_code, complete, verdict_source, run_digest, verdict_digest, attempts_digest, attempts_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '', 0, 0, '', '', '', '', 0)",
        params![
            info.run_id,
            info.started_at,
            started_ms,
            import.folder.to_string_lossy(),
            format!("{} {}", info.tool.name, info.tool.version),
            info.tool.profile,
            format!("{}.{}", version.major, version.minor),
            info.seed.to_string(),
            json(&info.arguments),
        ],
    )?;
    Ok(import.connection.last_insert_rowid())
}

/// What is known once everything was read.
fn finish_run(
    import: &Import<'_>,
    run: i64,
    attempts: &Digest,
    verdict: &RunVerdict,
    source: VerdictSource,
) -> Result<(), HistoryError> {
    let digests = import.with_attempts(attempts);
    import.execute(
        "UPDATE runs SET exit = ?2, exit_code = ?3, complete = ?4, verdict_source = ?5, run_digest = ?6, verdict_digest = ?7,
           attempts_digest = ?8, attempts_bytes = ?9 WHERE id = ?1",
        params![
            run,
            name_of(&verdict.exit),
            verdict.exit_code,
            verdict.complete,
            source.as_str(),
            digests.run,
            digests.verdict,
            digests.attempts,
            i64::try_from(digests.attempts_bytes).unwrap_or(i64::MAX),
        ],
    )
}

/// A case while its attempts are read.
struct CaseRow<'a> {
    row: i64,
    spec: &'a CaseSpec,
    environment: &'a Environment,
    tool: String,
    seen: Seen,
    attempts: u32,
}

impl<'a> CaseRow<'a> {
    fn insert(
        import: &'a Import<'_>,
        definitions: &mut Definitions<'_>,
        run: i64,
        position: usize,
        spec: &'a CaseSpec,
    ) -> Result<Self, HistoryError> {
        let info = &import.head.info;
        // A merged run was made on several machines.
        let mut shards = info.shards.iter();
        let shard = shards.find(|shard| shard.cases.contains(&spec.case));
        let (environment, tool) = shard.map_or((&info.environment, &info.tool), |shard| {
            (&shard.environment, &shard.tool)
        });
        let tool = format!("{} {} ({})", tool.name, tool.version, tool.profile);
        let definition = definitions.row_of(spec)?;
        // Its machine is known once its attempts were read.
        let machine = Seen::default().machine_row(import, environment)?;
        import.execute(
            "INSERT INTO cases (run, position, name, definition, machine, machine_seen, tool, kernel, drivers, versions)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, '[]', '[]')",
            params![
                run,
                i64::try_from(position).unwrap_or(i64::MAX),
                spec.case,
                definition,
                machine,
                tool,
                environment.kernel
            ],
        )?;
        Ok(Self {
            row: import.connection.last_insert_rowid(),
            spec,
            environment,
            tool,
            seen: Seen::default(),
            attempts: 0,
        })
    }
}

/// Reads the attempts line by line. Those of cases that `run.json` does not know are nobody's, as they are when a run is
/// judged.
fn insert_attempts(import: &Import<'_>, cases: &mut [CaseRow<'_>]) -> Result<(Digest, u64), HistoryError> {
    let positions: HashMap<&str, usize> = cases
        .iter()
        .enumerate()
        .map(|(position, case)| (case.spec.case.as_str(), position))
        .collect();
    let mut rows = AttemptRows::new(import)?;
    let mut lines = AttemptLines::open(import.folder)?;
    let mut digest = Digest::default();
    let mut count = 0;
    // Only an interrupted attempt gives way to one made later; few are.
    let mut interrupted: HashMap<(usize, u32), i64> = HashMap::new();
    while let Some(line) = lines.next_line()? {
        digest.write(line.bytes);
        let attempt = line.parse()?;
        let Some((position, case)) = positions
            .get(attempt.case.as_str())
            .and_then(|&position| Some((position, cases.get_mut(position)?)))
        else {
            continue;
        };
        let key = (position, attempt.attempt);
        if let Some(row) = interrupted.remove(&key) {
            import.execute("DELETE FROM attempts WHERE id = ?1", params![row])?;
            case.attempts = case.attempts.saturating_sub(1);
            count -= 1;
        }
        case.seen.add(&attempt);
        let row = rows.insert(case, &attempt)?;
        case.attempts = case.attempts.saturating_add(1);
        count += 1;
        if is_interrupted(&attempt) {
            interrupted.insert(key, row);
        }
    }
    Ok((digest, count))
}

/// The statements that are executed for every attempt and figure.
struct AttemptRows<'a> {
    import: &'a Import<'a>,
    attempt: Statement<'a>,
    metric: Statement<'a>,
    names: HashMap<(&'static str, String), i64>,
}

impl<'a> AttemptRows<'a> {
    fn new(import: &'a Import<'a>) -> Result<Self, HistoryError> {
        let prepare = |sql: &str| import.connection.prepare(sql).map_err(import.error);
        Ok(Self {
            import,
            attempt: prepare(
                "INSERT INTO attempts (case_id, number, started_at, wall_s, outcome, retry, is_timed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            metric: prepare("INSERT OR REPLACE INTO metrics (attempt, metric, value) VALUES (?1, ?2, ?3)")?,
            names: HashMap::new(),
        })
    }

    fn insert(&mut self, case: &CaseRow<'_>, attempt: &Attempt) -> Result<i64, HistoryError> {
        let row = self
            .attempt
            .insert(params![
                case.row,
                attempt.attempt,
                attempt.started_at,
                attempt.wall_s,
                attempt.outcome.kind().as_str(),
                case.spec.retry_of(attempt.attempt),
                is_timed(attempt),
            ])
            .map_err(self.import.error)?;
        for (metric, device, value) in figures(attempt) {
            let name = self.name_row(metric, device)?;
            self.metric
                .execute(params![row, name, value])
                .map_err(self.import.error)?;
        }
        Ok(row)
    }

    fn name_row(&mut self, metric: Metric, device: String) -> Result<i64, HistoryError> {
        let key = (metric.name, device);
        if let Some(row) = self.names.get(&key) {
            return Ok(*row);
        }
        self.import.execute(
            "INSERT OR IGNORE INTO metric_names (metric, device, unit, direction, is_counted) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![metric.name, key.1, metric.unit, name_of(&metric.direction), metric.is_counted],
        )?;
        let row = self
            .import
            .connection
            .query_row(
                "SELECT id FROM metric_names WHERE metric = ?1 AND device = ?2",
                params![metric.name, key.1],
                |row| row.get(0),
            )
            .map_err(self.import.error)?;
        self.names.insert(key, row);
        Ok(row)
    }
}

/// Machines, verdicts, and the figures over all attempts that decided.
fn finish_cases(import: &Import<'_>, cases: &[CaseRow<'_>], verdict: &RunVerdict) -> Result<(), HistoryError> {
    let verdicts: HashMap<&str, &CaseVerdict> = verdict
        .cases
        .iter()
        .map(|judged| (judged.case.as_str(), judged))
        .collect();
    for case in cases {
        let machine = case.seen.machine_row(import, case.environment)?;
        import.execute(
            "UPDATE cases SET machine = ?2, machine_seen = ?3, tool = ?4, drivers = ?5, versions = ?6 WHERE id = ?1",
            params![
                case.row,
                machine,
                case.seen.is_seen(),
                case.tool,
                json(&case.seen.drivers()),
                json(&case.seen.versions()),
            ],
        )?;
        let Some(judged) = verdicts.get(case.spec.case.as_str()) else {
            continue;
        };
        import.execute(
            "INSERT INTO verdicts (case_id, status, outcome, text, sentence, findings, decided_by_retry)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                case.row,
                judged.status.as_str(),
                judged.outcome.as_str(),
                judged.text.as_str(),
                judged.sentence,
                json(&judged.findings),
                judged.decided_by_retry,
            ],
        )?;
        // A timing whose text is wrong is no speed, in no table and no plot.
        if judged.text.timing_is_valid() && case.spec.audit.is_none() {
            insert_case_metrics(import, case.row, judged.decided_by_retry)?;
        }
    }
    // The machine a case was given before its own was known may be nobody's.
    import.execute(DROP_UNUSED_MACHINES, [])
}

/// Medians of the figures of attempts, one case in memory at a time.
fn insert_case_metrics(import: &Import<'_>, case: i64, retry: u32) -> Result<(), HistoryError> {
    let mut values: HashMap<i64, Vec<f64>> = HashMap::new();
    let mut select = import
        .connection
        .prepare(
            "SELECT metrics.metric, metrics.value FROM attempts JOIN metrics ON metrics.attempt = attempts.id
             WHERE attempts.case_id = ?1 AND attempts.retry = ?2 AND attempts.is_timed",
        )
        .map_err(import.error)?;
    let mut rows = select.query(params![case, retry]).map_err(import.error)?;
    while let Some(row) = rows.next().map_err(import.error)? {
        let read = || -> rusqlite::Result<(i64, f64)> { Ok((row.get(0)?, row.get(1)?)) };
        let (metric, value) = read().map_err(import.error)?;
        values.entry(metric).or_default().push(value);
    }
    for (metric, values) in values {
        let Some(middle) = median(&values) else {
            continue;
        };
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        import.execute(
            "INSERT INTO case_metrics (case_id, metric, median, lowest, highest, attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                case,
                metric,
                middle,
                lowest,
                highest,
                i64::try_from(values.len()).unwrap_or(i64::MAX)
            ],
        )?;
    }
    Ok(())
}
