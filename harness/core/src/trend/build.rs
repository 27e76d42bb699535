//! From histories to a trend.

use super::record::{
    Facts, Figure, FigurePoint, FigureSeries, Level, StateChange, StateChangeKind, StatePoint, StateSeries,
    TREND_VERSION, Trend, TrendChange, TrendMachine, TrendMethod, TrendRun,
};
use crate::compare::Direction;
use crate::record::CaseStatus;
use crate::statistics::{ChangePoint, ChangePointSpec, change_points, median, steps};

/// When a change counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TrendSpec {
    /// For figures that are measured.
    pub changes: ChangePointSpec,
}

/// A figure of a case on a machine, run by run.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureHistory {
    /// The case.
    pub case: String,
    /// The figure.
    pub figure: Figure,
    /// Whether it is counted and not measured.
    pub is_counted: bool,
    /// The machine, by position.
    pub machine: usize,
    /// From the oldest run.
    pub points: Vec<FigurePoint>,
    /// What each was made with, in the same order, by position among the facts.
    pub facts: Vec<usize>,
}

/// The states of a case on a machine, run by run.
#[derive(Debug, Clone, PartialEq)]
pub struct StateHistory {
    /// The case.
    pub case: String,
    /// The machine, by position.
    pub machine: usize,
    /// From the oldest run.
    pub points: Vec<StatePoint>,
    /// What each was made with, in the same order, by position among the facts.
    pub facts: Vec<usize>,
}

/// Finds the changes. Positions that lead nowhere are no error: what they would tell is left out.
#[must_use]
pub fn trend(
    (machines, runs, facts): (Vec<TrendMachine>, Vec<TrendRun>, &[Facts]),
    figures: Vec<FigureHistory>,
    states: Vec<StateHistory>,
    spec: &TrendSpec,
) -> Trend {
    let mut figures: Vec<FigureSeries> = figures
        .into_iter()
        .map(|history| figure_series(history, facts, spec))
        .collect();
    let mut states: Vec<StateSeries> = states.into_iter().map(|history| state_series(history, facts)).collect();
    figures.sort_by(|a, b| {
        let by_harm = harm(b).total_cmp(&harm(a));
        by_harm.then_with(|| {
            (&a.case, &a.figure.metric, &a.figure.device, a.machine).cmp(&(
                &b.case,
                &b.figure.metric,
                &b.figure.device,
                b.machine,
            ))
        })
    });
    states.sort_by(|a, b| (urgency(a), &a.case, a.machine).cmp(&(urgency(b), &b.case, b.machine)));
    let ChangePointSpec {
        alpha,
        min_change,
        shortest,
        permutations,
        seed,
    } = spec.changes;
    Trend {
        schema_version: TREND_VERSION,
        method: TrendMethod {
            name: "robust_cusum_permutation".into(),
            alpha,
            min_change,
            shortest_level: shortest,
            permutations,
            seed,
        },
        machines,
        runs,
        states,
        figures,
    }
}

fn figure_series(history: FigureHistory, facts: &[Facts], spec: &TrendSpec) -> FigureSeries {
    let values: Vec<f64> = history.points.iter().map(|point| point.value).collect();
    let found = match history.is_counted {
        true => steps(&values),
        false => change_points(&values, &spec.changes),
    };
    let change = |change: &ChangePoint| TrendChange {
        at: change.at,
        ratio: Some(change.after / change.before).filter(|ratio| ratio.is_finite() && *ratio > 0.0),
        worse: match history.figure.direction {
            Direction::Lower => Some(change.after > change.before),
            Direction::Higher => Some(change.after < change.before),
            Direction::Equal => None,
        },
        p: change.p,
        differences: between(&history.facts, change.at, facts),
    };
    FigureSeries {
        changes: found.iter().map(change).collect(),
        levels: levels(&values, &found),
        case: history.case,
        figure: history.figure,
        is_counted: history.is_counted,
        machine: history.machine,
        points: history.points,
    }
}

fn levels(values: &[f64], changes: &[ChangePoint]) -> Vec<Level> {
    let starts = std::iter::once(0).chain(changes.iter().map(|change| change.at));
    let ends = changes
        .iter()
        .map(|change| change.at)
        .chain(std::iter::once(values.len()));
    let level = |(first, end): (usize, usize)| {
        let value = values.get(first..end).and_then(median)?;
        Some(Level {
            first,
            last: end - 1,
            value,
        })
    };
    starts.zip(ends).filter_map(level).collect()
}

fn state_series(history: StateHistory, facts: &[Facts]) -> StateSeries {
    let pairs = history.points.windows(2).enumerate();
    let changes = pairs
        .filter_map(|(before, pair)| {
            let kind = kind_of(&pair[0], &pair[1])?;
            Some(StateChange {
                at: before + 1,
                kind,
                differences: between(&history.facts, before + 1, facts),
            })
        })
        .collect();
    StateSeries {
        case: history.case,
        machine: history.machine,
        points: history.points,
        changes,
    }
}

fn kind_of(before: &StatePoint, after: &StatePoint) -> Option<StateChangeKind> {
    let same = (before.status, before.outcome, before.text) == (after.status, after.outcome, after.text);
    match (is_good(before.status), is_good(after.status)) {
        _ if same => None,
        (true, false) => Some(StateChangeKind::Broke),
        (false, true) => Some(StateChangeKind::Fixed),
        _ => Some(StateChangeKind::Other),
    }
}

/// Whether a case is as expected, or waits for a person to say so.
fn is_good(status: CaseStatus) -> bool {
    matches!(status, CaseStatus::Passed | CaseStatus::Flaky | CaseStatus::Pending)
}

/// What differs between the runs of the point at a position and the one before it.
fn between(of_points: &[usize], at: usize, facts: &[Facts]) -> Vec<super::Difference> {
    let fact = |position: Option<usize>| facts.get(*of_points.get(position?)?);
    match (fact(at.checked_sub(1)), fact(Some(at))) {
        (Some(before), Some(after)) => before.differences(after),
        _ => Vec::new(),
    }
}

/// How much worse the newest level is than the one before: a factor as its logarithm. Below 0 where it is better.
fn harm(series: &FigureSeries) -> f64 {
    let Some(change) = series.changes.last() else {
        return 0.0;
    };
    let size = change.ratio.map_or(f64::MAX, |ratio| ratio.ln().abs());
    match change.worse {
        Some(true) => size,
        Some(false) => -size,
        // It is to be looked at, but behind what is worse for certain.
        None => f64::MIN_POSITIVE,
    }
}

/// Broken since a known run, always broken, changed, quiet.
fn urgency(series: &StateSeries) -> u8 {
    let is_broken = series.points.last().is_some_and(|point| !is_good(point.status));
    match (is_broken, series.changes.is_empty()) {
        (true, false) => 0,
        (true, true) => 1,
        (false, false) => 2,
        (false, true) => 3,
    }
}
