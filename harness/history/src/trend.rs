//! From rows to histories; changes in them are found by `placebench-core`.
//!
//! Runs that are parts of a merged run that is here as well are left out: their attempts are in that one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use placebench_core::exit_code::ExitCode;
use placebench_core::record::CaseSpec;
use placebench_core::selection::Filterset;
use placebench_core::trend::{
    Facts, Figure, FigureHistory, FigurePoint, Trend, TrendMachine, TrendRun, TrendSpec, trend,
};
use rusqlite::{Row, params_from_iter};
use serde_json::Value;

use crate::database::History;
use crate::error::{HistoryError, refused};
use crate::list::named;
use crate::states;

/// What is asked.
#[derive(Debug, Clone)]
pub struct TrendQuery {
    /// Only these cases, each by its newest definition.
    pub filterset: Option<Filterset>,
    /// Names of the figures.
    pub metrics: Vec<String>,
    /// Only the machine with this key, or whose key alone begins so.
    pub machine: Option<String>,
    /// Most points of a series, counted from the newest.
    pub last: usize,
    /// When a change counts.
    pub spec: TrendSpec,
}

/// Case, figure, device, and machine.
type SeriesKey = (usize, String, String, usize);

/// Points with what they were made with.
type PointsByRun = BTreeMap<usize, (FigurePoint, usize)>;

/// Runs that count: not those whose attempts are also in a merged one.
pub(crate) const COUNTED_RUNS: &str = "NOT EXISTS (SELECT 1 FROM parts JOIN runs AS whole ON whole.id = parts.run
  WHERE parts.part = runs.run_id AND whole.id != runs.id)";

impl History {
    /// What has become of figures and states.
    ///
    /// # Errors
    /// When the database cannot be read, or knows no such machine.
    pub fn trend(&self, query: &TrendQuery) -> Result<Trend, HistoryError> {
        let error = refused(&self.options.path, self.options.wait, "to be read");
        let reading = || -> rusqlite::Result<Reader> {
            let mut reader = Reader::new(self, query)?;
            reader.read_cases(self)?;
            Ok(reader)
        };
        let mut reader = reading().map_err(&error)?;
        if let Some(asked) = &query.machine {
            reader.keep_machine(asked)?;
        }
        let figures = reader.figures(self, query).map_err(&error)?;
        let states = states::states(&reader, query.last);
        let (machines, runs, facts) = (reader.machines(), reader.runs, reader.facts);
        Ok(trend((machines, runs, &facts), figures, states, &query.spec))
    }
}

/// A case in a run.
pub(crate) struct CaseInRun {
    pub(crate) name: usize,
    pub(crate) run: usize,
    pub(crate) machine: i64,
    pub(crate) machine_seen: bool,
    pub(crate) facts: usize,
    pub(crate) state: Option<[String; 3]>,
}

/// What was read, with short numbers for long texts.
pub(crate) struct Reader {
    selected: Option<BTreeSet<String>>,
    pub(crate) names: Vec<String>,
    pub(crate) runs: Vec<TrendRun>,
    pub(crate) facts: Vec<Facts>,
    /// Row, machine, and the digest of its host; in the order of positions.
    machines: Vec<(i64, TrendMachine, String)>,
    /// The only one that was asked for.
    only: Option<i64>,
    /// By row, in the order of their runs.
    pub(crate) cases: BTreeMap<(usize, i64), CaseInRun>,
}

impl Reader {
    fn new(history: &History, query: &TrendQuery) -> rusqlite::Result<Self> {
        let mut select = history
            .connection
            .prepare("SELECT id, key, words, host FROM machines ORDER BY key")?;
        let machines = select.query_map([], |row| {
            let machine = TrendMachine {
                key: row.get(1)?,
                words: row.get(2)?,
            };
            Ok((row.get(0)?, machine, row.get(3)?))
        })?;
        Ok(Self {
            selected: match &query.filterset {
                Some(filterset) => Some(selected(history, filterset)?),
                None => None,
            },
            names: Vec::new(),
            runs: Vec::new(),
            facts: Vec::new(),
            machines: machines.collect::<rusqlite::Result<Vec<_>>>()?,
            only: None,
            cases: BTreeMap::new(),
        })
    }

    fn read_cases(&mut self, history: &History) -> rusqlite::Result<()> {
        let mut select = history.connection.prepare(&format!(
            "SELECT cases.id, cases.name, runs.id, runs.run_id, runs.started_at, runs.exit, cases.machine, cases.machine_seen,
               cases.tool, cases.kernel, cases.drivers, cases.versions, definitions.work,
               verdicts.status, verdicts.outcome, verdicts.text
             FROM runs JOIN cases ON cases.run = runs.id JOIN definitions ON definitions.id = cases.definition
             LEFT JOIN verdicts ON verdicts.case_id = cases.id
             WHERE {COUNTED_RUNS}
             ORDER BY runs.started_ms, runs.run_id, cases.position"
        ))?;
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut facts: HashMap<String, usize> = HashMap::new();
        let mut newest_run: Option<i64> = None;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            if self.selected.as_ref().is_some_and(|selected| !selected.contains(&name)) {
                continue;
            }
            let run: i64 = row.get(2)?;
            if newest_run != Some(run) {
                newest_run = Some(run);
                self.runs.push(TrendRun {
                    run_id: row.get(3)?,
                    started_at: row.get(4)?,
                    exit: named(row.get(5)?).unwrap_or(ExitCode::NoVerdict),
                });
            }
            let name = number_of(&mut names, &name, &mut self.names, || name.clone());
            let made_with = facts_of(row)?;
            let text = format!("{made_with:?}");
            let facts = number_of(&mut facts, &text, &mut self.facts, || made_with);
            let case = CaseInRun {
                name,
                run: self.runs.len() - 1,
                machine: row.get(6)?,
                machine_seen: row.get(7)?,
                facts,
                state: match row.get::<_, Option<String>>(13)? {
                    Some(status) => Some([status, row.get(14)?, row.get(15)?]),
                    None => None,
                },
            };
            self.cases.insert((case.run, row.get(0)?), case);
        }
        Ok(())
    }

    fn keep_machine(&mut self, asked: &str) -> Result<(), HistoryError> {
        let key = |(_, machine, _): &(i64, TrendMachine, String)| machine.key.clone();
        let keys: Vec<String> = self.machines.iter().map(key).collect();
        let begins: Vec<&String> = keys.iter().filter(|key| key.starts_with(asked)).collect();
        let found = match (keys.iter().find(|key| *key == asked), begins.as_slice()) {
            (Some(key), _) => key.clone(),
            (None, [key]) => (*key).clone(),
            _ => {
                return Err(HistoryError::UnknownMachine {
                    asked: asked.to_owned(),
                    known: keys,
                });
            }
        };
        let mut machines = self.machines.iter();
        self.only = machines
            .find(|(_, machine, _)| machine.key == found)
            .map(|(row, _, _)| *row);
        Ok(())
    }

    /// The number of a machine, where it is asked for.
    pub(crate) fn machine_position(&self, row: i64) -> Option<usize> {
        self.only.is_none_or(|only| only == row).then_some(())?;
        self.machines.iter().position(|(machine, _, _)| *machine == row)
    }

    pub(crate) fn host_of(&self, row: i64) -> Option<&str> {
        let machine = self.machines.iter().find(|(machine, _, _)| *machine == row);
        machine.map(|(_, _, host)| host.as_str())
    }

    fn machines(&self) -> Vec<TrendMachine> {
        self.machines.iter().map(|(_, machine, _)| machine.clone()).collect()
    }

    fn figures(&self, history: &History, query: &TrendQuery) -> rusqlite::Result<Vec<FigureHistory>> {
        let marks = vec!["?"; query.metrics.len()].join(", ");
        let mut select = history.connection.prepare(&format!(
            "SELECT case_metrics.case_id, metric_names.metric, metric_names.device, metric_names.unit, metric_names.direction,
               metric_names.is_counted, median, lowest, highest, attempts
             FROM case_metrics JOIN metric_names ON metric_names.id = case_metrics.metric
             WHERE metric_names.metric IN ({marks})"
        ))?;
        let case_of: HashMap<i64, (usize, &CaseInRun)> = self
            .cases
            .iter()
            .map(|((run, row), case)| (*row, (*run, case)))
            .collect();
        let mut found: BTreeMap<SeriesKey, (FigureHistory, PointsByRun)> = BTreeMap::new();
        let mut rows = select.query(params_from_iter(&query.metrics))?;
        while let Some(row) = rows.next()? {
            let Some((run, case)) = case_of.get(&row.get::<_, i64>(0)?) else {
                continue;
            };
            let Some(machine) = self.machine_position(case.machine) else {
                continue;
            };
            let (metric, device): (String, String) = (row.get(1)?, row.get(2)?);
            let point = FigurePoint {
                run: *run,
                value: row.get(6)?,
                lowest: row.get(7)?,
                highest: row.get(8)?,
                attempts: row.get(9)?,
            };
            let key = (case.name, metric, device, machine);
            let entry = match found.entry(key) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let history = self.figure_history(entry.key(), row)?;
                    entry.insert((history, PointsByRun::new()))
                }
            };
            entry.1.insert(*run, (point, case.facts));
        }
        Ok(found
            .into_values()
            .map(|(history, points)| filled(history, points, query.last))
            .collect())
    }

    fn figure_history(
        &self,
        (name, metric, device, machine): &SeriesKey,
        row: &Row<'_>,
    ) -> rusqlite::Result<FigureHistory> {
        Ok(FigureHistory {
            case: self.names.get(*name).cloned().unwrap_or_default(),
            figure: Figure {
                metric: metric.clone(),
                device: Some(device.clone()).filter(|device| !device.is_empty()),
                unit: row.get(3)?,
                direction: named(row.get(4)?).unwrap_or(placebench_core::compare::Direction::Equal),
            },
            is_counted: row.get(5)?,
            machine: *machine,
            points: Vec::new(),
            facts: Vec::new(),
        })
    }
}

fn filled(history: FigureHistory, points: PointsByRun, last: usize) -> FigureHistory {
    let left_out = points.len().saturating_sub(last);
    let (points, facts) = points.into_values().skip(left_out).unzip();
    FigureHistory {
        points,
        facts,
        ..history
    }
}

/// The position of a value in a list, to which it is added where it is new.
fn number_of<T>(known: &mut HashMap<String, usize>, key: &str, list: &mut Vec<T>, value: impl FnOnce() -> T) -> usize {
    if let Some(number) = known.get(key) {
        return *number;
    }
    list.push(value());
    known.insert(key.to_owned(), list.len() - 1);
    list.len() - 1
}

fn facts_of(row: &Row<'_>) -> rusqlite::Result<Facts> {
    let list = |index: usize| -> rusqlite::Result<Vec<String>> {
        Ok(serde_json::from_str(&row.get::<_, String>(index)?).unwrap_or_default())
    };
    Ok(Facts {
        tool: row.get(8)?,
        kernel: row.get(9)?,
        drivers: list(10)?,
        versions: list(11)?,
        definition: row.get(12)?,
    })
}

/// Names of the cases whose newest definition a filter selects. A definition that cannot be read any more is not selected.
fn selected(history: &History, filterset: &Filterset) -> rusqlite::Result<BTreeSet<String>> {
    let mut newest: HashMap<String, i64> = HashMap::new();
    let mut select = history.connection.prepare(
        "SELECT cases.name, cases.definition FROM runs JOIN cases ON cases.run = runs.id ORDER BY runs.started_ms, runs.run_id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        newest.insert(row.get(0)?, row.get(1)?);
    }
    let mut names_of: HashMap<i64, Vec<String>> = HashMap::new();
    for (name, definition) in newest {
        names_of.entry(definition).or_default().push(name);
    }
    let mut names = BTreeSet::new();
    let mut select = history.connection.prepare("SELECT id, spec FROM definitions")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Some(of) = names_of.remove(&row.get(0)?) else {
            continue;
        };
        let spec: Option<CaseSpec> = serde_json::from_str::<Value>(&row.get::<_, String>(1)?)
            .and_then(serde_json::from_value)
            .ok();
        if spec.is_some_and(|spec| filterset.selects(&spec)) {
            names.extend(of);
        }
    }
    Ok(names)
}
