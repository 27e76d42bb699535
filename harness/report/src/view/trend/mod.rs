//! Trends in words: every rounding and phrase of the page and of the terminal.

mod figures;
mod runs;
mod sparkline;
mod states;

use placebench_core::trend::{StateSeries, Trend};
use placebench_core::units::{Bytes, human_seconds};
use serde::Serialize;

use super::words::{count, line, number};
use runs::Runs;
pub use sparkline::sparkline;

/// A trend, ready to be laid out. Nothing in it needs more than the escaping of a format.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrendView {
    /// What there is to know, in a line.
    pub headline: String,
    /// `good`, `bad` or `open`.
    pub tone: &'static str,
    /// How much was looked at.
    pub summary: String,
    /// How changes are found.
    pub method: String,
    /// The machines that have a series.
    pub machines: Vec<MachineView>,
    /// States that changed, or are not what they should be.
    pub states: Vec<StateView>,
    /// How many cases are as they always were.
    pub quiet_states: usize,
    /// Figures, those that got worse most first.
    pub figures: Vec<FigureView>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineView {
    /// Its key.
    pub key: String,
    /// Its parts.
    pub words: String,
}

/// The state of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateView {
    /// The case.
    pub case: String,
    /// Key of the machine.
    pub machine: String,
    /// `failed`, `passed` and so on: its status now.
    pub status: &'static str,
    /// What it is now, and since when.
    pub now: String,
    /// Its changes, the newest first.
    pub changes: Vec<ChangeView>,
}

/// A change of a state or a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// `worse`, `better` or `other`.
    pub sense: &'static str,
    /// By how much, or from what to what.
    pub size: String,
    /// Between what its size lies, with 95 %; empty where that is not known, or counted.
    pub interval: String,
    /// When the first run after it was begun.
    pub date: String,
    /// The two runs it lies between.
    pub between: String,
    /// What else changed between them; says so where nothing is known.
    pub beside: Vec<String>,
}

/// A figure of a case on a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureView {
    /// The case.
    pub case: String,
    /// The figure with its device.
    pub metric: String,
    /// Which way is better.
    pub better: &'static str,
    /// Key of the machine.
    pub machine: String,
    /// Of the newest change: `worse`, `better`, `other`, or `quiet` where there is none.
    pub sense: &'static str,
    /// How many runs have it.
    pub runs: usize,
    /// The newest value.
    pub last: String,
    /// The newest values as a row of bars.
    pub sparkline: String,
    /// Its changes, the newest first.
    pub changes: Vec<ChangeView>,
    /// What lies between them, from the oldest.
    pub levels: Vec<LevelView>,
    /// The runs from the newest.
    pub points: Vec<PointView>,
    /// What is drawn.
    #[serde(skip)]
    pub chart: ChartData,
}

/// The runs between two changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelView {
    /// When the first run was begun.
    pub from: String,
    /// When the last was.
    pub to: String,
    /// How many runs.
    pub runs: usize,
    /// Median.
    pub median: String,
    /// Between what the median lies; empty where that is not known, or counted.
    pub interval: String,
    /// Against the level before; empty of the first.
    pub change: String,
}

/// A run of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointView {
    /// When it was begun.
    pub date: String,
    /// Its name.
    pub run_id: String,
    /// Median of its attempts.
    pub value: String,
    /// Least and largest of them; empty of a single one.
    pub range: String,
    /// How many.
    pub attempts: u32,
}

/// What a chart of a series needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChartData {
    /// `s`, `bytes`, …
    pub unit: String,
    /// Values in order.
    pub values: Vec<f64>,
    /// The newest change as new / old.
    pub ratio: Option<f64>,
    /// By value: the least and the largest of its attempts, where it has several.
    pub ranges: Vec<Option<(f64, f64)>>,
    /// By value: what is said of it.
    pub hovers: Vec<String>,
    /// By level: between what its median lies.
    pub spreads: Vec<Option<(f64, f64)>>,
    /// Position of the first and of the last value of a level, and its median.
    pub levels: Vec<(usize, usize, f64)>,
    /// Position of the first value after a change, its words, and whether it is worse.
    pub changes: Vec<(usize, String, bool)>,
    /// When the first and the last run were begun.
    pub dates: (String, String),
}

impl TrendView {
    /// The words of a trend.
    #[must_use]
    pub fn new(trend: &Trend) -> Self {
        let runs = Runs::new(trend);
        let all_states = trend.states.iter();
        let (loud, quiet): (Vec<&StateSeries>, Vec<&StateSeries>) = all_states.partition(|series| is_loud(series));
        let figures: Vec<FigureView> = trend
            .figures
            .iter()
            .map(|series| figures::figure(&runs, series))
            .collect();
        let states: Vec<StateView> = loud.into_iter().map(|series| states::state(&runs, series)).collect();
        let (headline, tone) = headline(&figures, &states);
        let used = |index: usize| {
            trend.figures.iter().any(|series| series.machine == index)
                || trend.states.iter().any(|series| series.machine == index)
        };
        let machines = trend.machines.iter().enumerate().filter(|(index, _)| used(*index));
        let machines: Vec<MachineView> = machines
            .map(|(_, machine)| MachineView {
                key: line(&machine.key),
                words: line(&machine.words),
            })
            .collect();
        let method = &trend.method;
        Self {
            headline,
            tone,
            summary: format!(
                "{} of {} on {}.",
                count(figures.len(), "series", "series"),
                count(trend.runs.len(), "run", "runs"),
                count(machines.len(), "machine", "machines"),
            ),
            method: format!(
                "A change is where the level of at least {} runs differs from the one before by {} % or more and chance makes \
                 such a cut at most {} times in a hundred (robust CUSUM, {} permutations). A point is the median of a run's \
                 attempts; figures that are counted change with every other value. Machines are never mixed.",
                method.shortest_level,
                number(method.min_change * 100.0),
                number(method.alpha * 100.0),
                method.permutations,
            ),
            machines,
            states,
            quiet_states: quiet.len(),
            figures,
        }
    }
}

fn headline(figures: &[FigureView], states: &[StateView]) -> (String, &'static str) {
    let broken = states.iter().filter(|state| is_bad(state.status)).count();
    let sense = |sense: &str| figures.iter().filter(|figure| figure.sense == sense).count();
    let (worse, better) = (sense("worse"), sense("better"));
    let mut parts = Vec::new();
    if broken > 0 {
        parts.push(format!("{} not as expected", count(broken, "case", "cases")));
    }
    if worse > 0 {
        parts.push(format!("{} got worse", count(worse, "figure", "figures")));
    }
    if better > 0 {
        parts.push(format!("{} got better", count(better, "figure", "figures")));
    }
    match (parts.is_empty(), figures.is_empty() && states.is_empty()) {
        (true, true) => ("Nothing to see yet".into(), "open"),
        (true, false) => ("Nothing got worse".into(), "good"),
        _ => (parts.join(", "), if broken + worse > 0 { "bad" } else { "good" }),
    }
}

fn is_bad(status: &str) -> bool {
    matches!(status, "failed" | "setup")
}

fn is_loud(series: &StateSeries) -> bool {
    let now = series.points.last().map_or("", |point| point.status.as_str());
    !series.changes.is_empty() || is_bad(now)
}

/// A value in its unit.
#[must_use]
pub fn value(unit: &str, value: f64) -> String {
    // Whatever this is, it was not measured.
    if value.abs() >= 1e15 {
        return format!("{value:.2e} {}", line(unit));
    }
    match unit {
        "s" => human_seconds(value),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        "bytes" if value >= 0.0 && value.fract() == 0.0 => Bytes(value as u64).to_string(),
        "1" => number(value),
        other => format!("{} {}", number(value), line(other)),
    }
}

fn percent(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 3.0 => format!("× {}", number(ratio)),
        ratio => format!("{:+.1} %", (ratio - 1.0) * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_unit() {
        assert_eq!(value("s", 0.0551), "55.1 ms");
        assert_eq!(value("bytes", 2304.0), Bytes(2304).to_string());
        assert_eq!(value("1", 1.5), "1.5");
        assert_eq!(value("tokens/s", 18.25), "18.25 tokens/s");
        assert_eq!(
            (percent(1.1), percent(0.8), percent(12.0)),
            ("+10.0 %".into(), "-20.0 %".into(), "× 12".into())
        );
    }
}
