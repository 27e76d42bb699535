//! How a case ended, run by run.

use placebench_core::trend::{StateChange, StateChangeKind, StatePoint, StateSeries};

use super::runs::{Runs, beside};
use super::{ChangeView, StateView};
use crate::view::words::{count, line};

/// A case's states in words.
pub(super) fn state(named: &Runs<'_>, series: &StateSeries) -> StateView {
    let runs: Vec<usize> = series.points.iter().map(|point| point.run).collect();
    let change = |change: &StateChange| {
        let words = |position: Option<usize>| position.and_then(|at| series.points.get(at)).map(state_words);
        let (date, between) = named.between(&runs, change.at);
        ChangeView {
            sense: match change.kind {
                StateChangeKind::Broke => "worse",
                StateChangeKind::Fixed => "better",
                StateChangeKind::Other => "other",
            },
            size: format!(
                "{} → {}",
                words(change.at.checked_sub(1)).unwrap_or_default(),
                words(Some(change.at)).unwrap_or_default()
            ),
            interval: String::new(),
            date,
            between,
            beside: beside(&change.differences),
        }
    };
    let last = series.points.last();
    let since = series.changes.last().map_or(0, |change| change.at);
    let first = runs.get(since).map(|run| named.date(*run)).unwrap_or_default();
    let runs_since = series.points.len() - since.min(series.points.len());
    StateView {
        case: line(&series.case),
        machine: named.machine(series.machine),
        status: last.map_or("skipped", |point| point.status.as_str()),
        now: format!(
            "{} since {first}, {}",
            last.map(state_words).unwrap_or_default(),
            count(runs_since, "run", "runs")
        ),
        changes: series.changes.iter().rev().map(change).collect(),
    }
}

/// `passed`, `failed (stalled)`, `failed (text diverged)`.
fn state_words(point: &StatePoint) -> String {
    let status = point.status.as_str();
    let outcome = point.outcome.as_str();
    match (outcome, point.text.as_str()) {
        ("completed", "exact" | "unchecked") => status.to_owned(),
        ("completed", text) => format!("{status} (text {})", text.replace('_', " ")),
        (outcome, _) => format!("{status} ({})", outcome.replace('_', " ")),
    }
}
