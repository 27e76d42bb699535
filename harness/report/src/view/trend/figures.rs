//! A figure of a case, run by run.

use placebench_core::compare::Direction;
use placebench_core::statistics::{Interval, median_interval};
use placebench_core::trend::{FigurePoint, FigureSeries, Level, TrendChange};

use super::runs::{Runs, beside};
use super::{ChangeView, ChartData, FigureView, LevelView, PointView, percent, sparkline, value};
use crate::view::words::line;

/// Level for the interval of a median. Two that hold with it hold together with 95 %, and so does their quotient.
const CONFIDENCE: f64 = 0.975;

/// Runs of a level that its interval is made of, the newest: it takes time quadratic in them.
const MOST_RUNS: usize = 300;

/// A figure's runs in words.
pub(super) fn figure(named: &Runs<'_>, series: &FigureSeries) -> FigureView {
    let unit = &series.figure.unit;
    let runs: Vec<usize> = series.points.iter().map(|point| point.run).collect();
    let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
    let device = series
        .figure
        .device
        .as_deref()
        .map(|device| format!(" on {}", line(device)));
    let spreads: Vec<Option<Interval>> = series.levels.iter().map(|level| spread(series, level)).collect();
    let changes: Vec<ChangeView> = series
        .changes
        .iter()
        .enumerate()
        .map(|(index, change)| figure_change(named, series, (&runs, &spreads), (index, change)))
        .collect();
    let level = |(index, level): (usize, &Level)| LevelView {
        from: runs.get(level.first).map(|run| named.date(*run)).unwrap_or_default(),
        to: runs.get(level.last).map(|run| named.date(*run)).unwrap_or_default(),
        runs: level.last + 1 - level.first,
        median: value(unit, level.value),
        interval: (spreads.get(index).copied().flatten())
            .map(|spread| format!("{} – {}", value(unit, spread.low), value(unit, spread.high)))
            .unwrap_or_default(),
        change: index
            .checked_sub(1)
            .and_then(|before| series.changes.get(before)?.ratio)
            .map(percent)
            .unwrap_or_default(),
    };
    let point = |point: &FigurePoint| PointView {
        date: named.date(point.run),
        run_id: named.id(point.run),
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
    let day = |run: Option<&usize>| run.map(|run| named.date(*run)).unwrap_or_default();
    FigureView {
        case: line(&series.case),
        metric: format!("{}{}", line(&series.figure.metric), device.unwrap_or_default()),
        better: match series.figure.direction {
            Direction::Lower => "less is better",
            Direction::Higher => "more is better",
            Direction::Equal => "neither way is better",
        },
        machine: named.machine(series.machine),
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
            ratio: series.changes.last().and_then(|change| change.ratio),
            ranges: (series.points.iter())
                .map(|point| (point.attempts > 1).then_some((point.lowest, point.highest)))
                .collect(),
            spreads: spreads
                .iter()
                .map(|spread| spread.map(|spread| (spread.low, spread.high)))
                .collect(),
            hovers: (series.points.iter())
                .map(|point| {
                    format!(
                        "{}, {}: {}",
                        named.date(point.run),
                        named.id(point.run),
                        value(unit, point.value)
                    )
                })
                .collect(),
            values,
        },
        changes: changes.into_iter().rev().collect(),
    }
}

fn figure_change(
    named: &Runs<'_>,
    series: &FigureSeries,
    (runs, spreads): (&[usize], &[Option<Interval>]),
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
    let (date, between) = named.between(runs, change.at);
    let spread = |index: usize| spreads.get(index).copied().flatten();
    let interval = spread(index).zip(spread(index + 1)).filter(|_| change.ratio.is_some());
    let interval = interval.and_then(|(old, new)| {
        let (low, high) = (new.low / old.high, new.high / old.low);
        let is_ratio = [low, high].iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
        is_ratio.then(|| format!("{} and {}", percent(low), percent(high)))
    });
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
        interval: interval.unwrap_or_default(),
        date,
        between,
        beside: beside(&change.differences),
    }
}

/// Between what the median of a level lies; nothing for what is counted, and where the runs are too few to say.
fn spread(series: &FigureSeries, level: &Level) -> Option<Interval> {
    let points = series
        .points
        .get(level.first..=level.last)
        .filter(|points| points.len() > 2 && !series.is_counted)?;
    let newest = points.get(points.len().saturating_sub(MOST_RUNS)..)?;
    let values: Vec<f64> = newest.iter().map(|point| point.value).collect();
    median_interval(&values, CONFIDENCE)
}
