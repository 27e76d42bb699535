//! Trends in words: every rounding and phrase of the page and of the terminal.

use placebench_core::compare::Direction;
use placebench_core::trend::{
    Difference, FigureSeries, StateChange, StateChangeKind, StatePoint, StateSeries, Trend, TrendChange,
};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::words::{count, fine_seconds, line, number};

/// Signs of a sparkline, from the lowest.
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Most signs of a sparkline.
const MOST_SPARKS: usize = 24;

/// The least range a sparkline shows, as a share of its lowest value: noise of a percent is to look flat.
const LEAST_RANGE: f64 = 0.1;

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
    /// The day of the first run after it.
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
    /// Day of the first run.
    pub from: String,
    /// Day of the last.
    pub to: String,
    /// How many runs.
    pub runs: usize,
    /// Median.
    pub median: String,
    /// Against the level before; empty of the first.
    pub change: String,
}

/// A run of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointView {
    /// Its day.
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
    /// Position of the first and of the last value of a level, and its median.
    pub levels: Vec<(usize, usize, f64)>,
    /// Position of the first value after a change, its words, and whether it is worse.
    pub changes: Vec<(usize, String, bool)>,
    /// Day of the first and of the last run.
    pub dates: (String, String),
}

impl TrendView {
    /// The words of a trend.
    #[must_use]
    pub fn new(trend: &Trend) -> Self {
        let all_states = trend.states.iter();
        let (loud, quiet): (Vec<&StateSeries>, Vec<&StateSeries>) = all_states.partition(|series| is_loud(series));
        let figures: Vec<FigureView> = trend.figures.iter().map(|series| figure(trend, series)).collect();
        let states: Vec<StateView> = loud.into_iter().map(|series| state(trend, series)).collect();
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

/// The day of a time as it is on record; whatever else stands there as it stands there.
fn date(trend: &Trend, run: usize) -> String {
    let started_at = trend.runs.get(run).map_or("", |run| run.started_at.as_str());
    let day = started_at.get(..10).unwrap_or_default();
    let is_day = day.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    match is_day && !day.is_empty() {
        true => day.to_owned(),
        false => super::words::visible(started_at, super::words::Lines::Join, 24),
    }
}

fn run_id(trend: &Trend, run: usize) -> String {
    line(trend.runs.get(run).map_or("", |run| run.run_id.as_str()))
}

fn machine(trend: &Trend, machine: usize) -> String {
    line(trend.machines.get(machine).map_or("", |machine| machine.key.as_str()))
}

/// A value in its unit.
#[must_use]
pub fn value(unit: &str, value: f64) -> String {
    // Whatever this is, it was not measured.
    if value.abs() >= 1e15 {
        return format!("{value:.2e} {}", line(unit));
    }
    match unit {
        "s" => fine_seconds(value),
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

fn beside(differences: &[Difference]) -> Vec<String> {
    if differences.is_empty() {
        return vec!["nothing else on record changed".into()];
    }
    let words = |difference: &Difference| match difference.what.as_str() {
        "definition" => "the case is defined otherwise".to_owned(),
        what => {
            let side = |text: &str| match text {
                "" => "unknown".to_owned(),
                text => line(text),
            };
            let from_to = format!("{} → {}", side(&difference.before), side(&difference.after));
            match what {
                // It calls itself by its name.
                "placebench" => from_to,
                what => format!("{}: {from_to}", line(what)),
            }
        }
    };
    differences.iter().map(words).collect()
}

/// The run of a change and the one before it.
fn between(trend: &Trend, runs: &[usize], at: usize) -> (String, String) {
    let run = |position: Option<usize>| position.and_then(|position| runs.get(position)).copied();
    let (before, after) = (run(at.checked_sub(1)), run(Some(at)));
    let id = |run: Option<usize>| run.map(|run| run_id(trend, run)).unwrap_or_default();
    let day = after.map(|run| date(trend, run)).unwrap_or_default();
    (day, format!("{} and {}", id(before), id(after)))
}

fn state(trend: &Trend, series: &StateSeries) -> StateView {
    let runs: Vec<usize> = series.points.iter().map(|point| point.run).collect();
    let change = |change: &StateChange| {
        let words = |position: Option<usize>| position.and_then(|at| series.points.get(at)).map(state_words);
        let (date, between) = between(trend, &runs, change.at);
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
            date,
            between,
            beside: beside(&change.differences),
        }
    };
    let last = series.points.last();
    let since = series.changes.last().map_or(0, |change| change.at);
    let first = runs.get(since).map(|run| date(trend, *run)).unwrap_or_default();
    let runs_since = series.points.len() - since.min(series.points.len());
    StateView {
        case: line(&series.case),
        machine: machine(trend, series.machine),
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

fn figure(trend: &Trend, series: &FigureSeries) -> FigureView {
    let unit = &series.figure.unit;
    let runs: Vec<usize> = series.points.iter().map(|point| point.run).collect();
    let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
    let device = series
        .figure
        .device
        .as_deref()
        .map(|device| format!(" on {}", line(device)));
    let changes: Vec<ChangeView> = series
        .changes
        .iter()
        .enumerate()
        .map(|(index, change)| figure_change(trend, series, &runs, (index, change)))
        .collect();
    let level = |(index, level): (usize, &placebench_core::trend::Level)| LevelView {
        from: runs.get(level.first).map(|run| date(trend, *run)).unwrap_or_default(),
        to: runs.get(level.last).map(|run| date(trend, *run)).unwrap_or_default(),
        runs: level.last + 1 - level.first,
        median: value(unit, level.value),
        change: index
            .checked_sub(1)
            .and_then(|before| series.changes.get(before)?.ratio)
            .map(percent)
            .unwrap_or_default(),
    };
    let point = |point: &placebench_core::trend::FigurePoint| PointView {
        date: date(trend, point.run),
        run_id: run_id(trend, point.run),
        value: value(unit, point.value),
        range: match point.attempts {
            0 | 1 => String::new(),
            _ => format!("{} – {}", value(unit, point.lowest), value(unit, point.highest)),
        },
        attempts: point.attempts,
    };
    let mark = |(change, words): (&TrendChange, &ChangeView)| {
        let short = change.ratio.map_or_else(|| words.size.clone(), percent);
        (change.at, short, change.worse == Some(true))
    };
    let day = |run: Option<&usize>| run.map(|run| date(trend, *run)).unwrap_or_default();
    FigureView {
        case: line(&series.case),
        metric: format!("{}{}", line(&series.figure.metric), device.unwrap_or_default()),
        better: match series.figure.direction {
            Direction::Lower => "less is better",
            Direction::Higher => "more is better",
            Direction::Equal => "neither way is better",
        },
        machine: machine(trend, series.machine),
        sense: changes.last().map_or("quiet", |change| change.sense),
        runs: series.points.len(),
        last: values.last().map(|last| value(unit, *last)).unwrap_or_default(),
        sparkline: sparkline(&values),
        levels: series.levels.iter().enumerate().map(level).collect(),
        points: series.points.iter().rev().map(point).collect(),
        chart: ChartData {
            unit: unit.clone(),
            levels: series
                .levels
                .iter()
                .map(|level| (level.first, level.last, level.value))
                .collect(),
            changes: series.changes.iter().zip(&changes).map(mark).collect(),
            dates: (day(runs.first()), day(runs.last())),
            values,
        },
        changes: changes.into_iter().rev().collect(),
    }
}

fn figure_change(
    trend: &Trend,
    series: &FigureSeries,
    runs: &[usize],
    (index, change): (usize, &TrendChange),
) -> ChangeView {
    let unit = &series.figure.unit;
    let level = |index: usize| {
        series
            .levels
            .get(index)
            .map(|level| value(unit, level.value))
            .unwrap_or_default()
    };
    let (date, between) = between(trend, runs, change.at);
    let from_to = format!("{} → {}", level(index), level(index + 1));
    ChangeView {
        sense: match change.worse {
            Some(true) => "worse",
            Some(false) => "better",
            None => "other",
        },
        size: match change.ratio {
            Some(ratio) => format!("{} ({from_to})", percent(ratio)),
            None => from_to,
        },
        date,
        between,
        beside: beside(&change.differences),
    }
}

/// The newest values as bars. Equal values, and values that differ by little, are low bars of one height.
#[must_use]
pub fn sparkline(values: &[f64]) -> String {
    let shown = values
        .get(values.len().saturating_sub(MOST_SPARKS)..)
        .unwrap_or_default();
    let finite = || shown.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    let range = (high - low).max(low.abs() * LEAST_RANGE);
    let bar = |value: &f64| {
        let share = if range > 0.0 { (value - low) / range } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let step = (share * 7.0).round() as usize;
        SPARKS[step.min(7)]
    };
    shown.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_show_steps_and_not_noise() {
        assert_eq!(sparkline(&[1.0, 1.0, 2.0]), "▁▁█");
        assert_eq!(sparkline(&[1.0, 1.005, 1.01]), "▁▁▂");
        assert_eq!(sparkline(&[0.0, 0.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[1.0; 99]).chars().count(), MOST_SPARKS);
        assert_eq!(sparkline(&[f64::NAN, 1.0, 1e308, -1e308]).chars().count(), 4);
    }

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
