//! The tables, and how an older database becomes one of today.

/// `PRAGMA application_id`: what tells a history from a database of something else (`plbh`).
pub(crate) const APPLICATION_ID: i32 = 0x706c_6268;

/// The steps from an empty database to today's; the number of those that were taken is its `PRAGMA user_version`. A step that
/// was released is never changed: what is new is a step more.
pub(crate) const MIGRATIONS: &[&str] = &[VERSION_1];

/// What rebuilding drops, in an order that foreign keys allow. `pruned` is no result, and stays.
pub(crate) const DROP_RESULTS: &str = "
DROP VIEW IF EXISTS results;
DROP TABLE IF EXISTS case_metrics; DROP TABLE IF EXISTS metrics; DROP TABLE IF EXISTS attempts; DROP TABLE IF EXISTS verdicts;
DROP TABLE IF EXISTS cases; DROP TABLE IF EXISTS parts; DROP TABLE IF EXISTS metric_names; DROP TABLE IF EXISTS definitions;
DROP TABLE IF EXISTS machines; DROP TABLE IF EXISTS runs;
";

const VERSION_1: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Runs whose rows were taken out on purpose: looking through a folder does not bring them back.
CREATE TABLE IF NOT EXISTS pruned (run_id TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  started_at TEXT NOT NULL,
  started_ms INTEGER,               -- NULL where started_at is no time
  folder TEXT NOT NULL,
  tool TEXT NOT NULL, profile TEXT NOT NULL,
  record_version TEXT NOT NULL,
  seed TEXT NOT NULL,               -- an unsigned number, which SQLite has not
  arguments TEXT NOT NULL,          -- JSON
  exit TEXT NOT NULL, exit_code INTEGER NOT NULL, complete INTEGER NOT NULL,
  verdict_source TEXT NOT NULL,     -- file, or judged
  run_digest TEXT NOT NULL, verdict_digest TEXT NOT NULL,
  attempts_digest TEXT NOT NULL, attempts_bytes INTEGER NOT NULL
);
CREATE INDEX runs_by_time ON runs (started_ms, run_id);

-- The runs a merged one was made from.
CREATE TABLE parts (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  part TEXT NOT NULL,
  PRIMARY KEY (part, run)
) WITHOUT ROWID;
CREATE INDEX parts_by_run ON parts (run);

CREATE TABLE machines (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, host TEXT NOT NULL, words TEXT NOT NULL
);

-- Cases as expanded, each text once.
CREATE TABLE definitions (
  id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, work TEXT NOT NULL, spec TEXT NOT NULL
);

CREATE TABLE cases (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  definition INTEGER NOT NULL REFERENCES definitions (id),
  machine INTEGER NOT NULL REFERENCES machines (id),
  machine_seen INTEGER NOT NULL,    -- 0 where no worker came to say what it saw
  tool TEXT NOT NULL, kernel TEXT NOT NULL,
  drivers TEXT NOT NULL, versions TEXT NOT NULL -- JSON
);
CREATE INDEX cases_by_run ON cases (run);
CREATE INDEX cases_by_machine ON cases (machine);
CREATE INDEX cases_by_definition ON cases (definition);
CREATE INDEX cases_by_name ON cases (name, run);

CREATE TABLE verdicts (
  case_id INTEGER PRIMARY KEY REFERENCES cases (id) ON DELETE CASCADE,
  status TEXT NOT NULL, outcome TEXT NOT NULL, text TEXT NOT NULL,
  sentence TEXT NOT NULL,
  findings TEXT NOT NULL,           -- JSON
  decided_by_retry INTEGER NOT NULL
);

CREATE TABLE attempts (
  id INTEGER PRIMARY KEY,
  case_id INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  started_at TEXT NOT NULL,
  wall_s REAL,
  outcome TEXT NOT NULL,
  retry INTEGER NOT NULL,
  is_timed INTEGER NOT NULL         -- 0 for audits and what did not complete
);
CREATE INDEX attempts_by_case ON attempts (case_id, number);

CREATE TABLE metric_names (
  id INTEGER PRIMARY KEY,
  metric TEXT NOT NULL, device TEXT NOT NULL, -- empty for what is about no device
  unit TEXT NOT NULL, direction TEXT NOT NULL,
  is_counted INTEGER NOT NULL,
  UNIQUE (metric, device)
);

CREATE TABLE metrics (
  attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
  metric INTEGER NOT NULL REFERENCES metric_names (id),
  value REAL NOT NULL,
  PRIMARY KEY (attempt, metric)
) WITHOUT ROWID;

-- Over the attempts that decided, where the text is right: what trends are made from.
CREATE TABLE case_metrics (
  case_id INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  metric INTEGER NOT NULL REFERENCES metric_names (id),
  median REAL NOT NULL, lowest REAL NOT NULL, highest REAL NOT NULL,
  attempts INTEGER NOT NULL,
  PRIMARY KEY (metric, case_id)
) WITHOUT ROWID;
CREATE INDEX case_metrics_by_case ON case_metrics (case_id);

CREATE VIEW results AS
SELECT runs.run_id, runs.started_at, machines.key AS machine, cases.name AS case_name, attempts.number AS attempt,
  metric_names.metric, metric_names.device, metric_names.unit, metric_names.direction, metrics.value
FROM metrics
JOIN metric_names ON metric_names.id = metrics.metric
JOIN attempts ON attempts.id = metrics.attempt
JOIN cases ON cases.id = attempts.case_id
JOIN machines ON machines.id = cases.machine
JOIN runs ON runs.id = cases.run;
";
