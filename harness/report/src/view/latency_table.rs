//! Latencies in numbers: how they are spread over the generations of a case, and gap by gap.

use std::collections::BTreeSet;

use placebench_core::judge::tpot;
use placebench_core::protocol::Generation;
use placebench_core::statistics::{median, quantile};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::case::CaseView;
use super::gaps::{Series, TokenGap};
use super::timing::plausible;

/// Fewer values have no 90th percentile: it would be their largest.
pub const FEWEST_FOR_P90: usize = 10;

/// Fewer values have no 99th percentile.
pub const FEWEST_FOR_P99: usize = 100;

/// Tokens that the table of gaps has whatever their gaps are.
const FIRST_TOKENS: usize = 64;

/// Later tokens that it has for their gaps.
const LONGEST_GAPS: usize = 10;

/// A quantity with its spread, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpreadRow {
    /// What was measured.
    pub name: &'static str,
    /// How often.
    pub n: usize,
    /// Least, p50, p90, p99, largest, mean, coefficient of variation; a dash where there are too few values.
    pub words: [String; 7],
}

/// The spread of all that is measured of a case's generations; empty where none is a speed.
pub(super) fn spread(generations: &[&Generation]) -> Vec<SpreadRow> {
    let each = |value: &dyn Fn(&Generation) -> Option<f64>| -> Vec<f64> {
        let values = generations.iter().filter_map(|generation| value(generation));
        values.filter(|seconds| plausible(*seconds)).collect()
    };
    let gaps = generations
        .iter()
        .flat_map(|generation| generation.token_stamps_s.windows(2));
    let gaps: Vec<f64> = gaps
        .map(|pair| pair[1] - pair[0])
        .filter(|gap| plausible(*gap))
        .collect();
    // What came several tokens at a time has gaps between arrivals.
    let in_pieces = generations.iter().any(|generation| generation.came_in_pieces());
    let between = if in_pieces {
        "gap between arrivals"
    } else {
        "gap between tokens"
    };
    let quantities = [
        (
            "time to first token",
            each(&|made| made.token_stamps_s.first().copied()),
        ),
        (between, gaps),
        ("TPOT of a generation", each(&tpot)),
        ("end to end", each(&|made| made.token_stamps_s.last().copied())),
    ];
    quantities
        .into_iter()
        .filter_map(|(name, values)| row(name, &values))
        .collect()
}

fn row(name: &'static str, values: &[f64]) -> Option<SpreadRow> {
    let seconds = |value: Option<f64>| value.map_or_else(|| "–".into(), human_seconds);
    let percentile = |share: f64, fewest: usize| seconds(quantile(values, share).filter(|_| values.len() >= fewest));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    median(values)?;
    Some(SpreadRow {
        name,
        n: values.len(),
        words: [
            seconds(values.iter().copied().reduce(f64::min)),
            percentile(0.5, 1),
            percentile(0.9, FEWEST_FOR_P90),
            percentile(0.99, FEWEST_FOR_P99),
            seconds(values.iter().copied().reduce(f64::max)),
            seconds(Some(mean)),
            variation(values, mean).unwrap_or_else(|| "–".into()),
        ],
    })
}

/// Standard deviation of the sample (n − 1) over its mean.
fn variation(values: &[f64], mean: f64) -> Option<String> {
    let degrees = values.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let share = (squares / degrees as f64).sqrt() / mean;
    share.is_finite().then(|| format!("{:.1} %", share * 100.0))
}

/// Gaps token by token, a column for each placement that has any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapTable {
    /// Placements with their unit: `single, ms`.
    pub columns: Vec<String>,
    /// The tokens that are shown.
    pub rows: Vec<GapRow>,
    /// What is not shown; empty where all is.
    pub rest: String,
}

/// The gap before a token under each placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapRow {
    /// Position of the token, from 1.
    pub token: usize,
    /// What it says under the first placement that has gaps.
    pub text: String,
    /// For each column median, least and largest, or nothing.
    pub cells: Vec<String>,
}

/// The table of a prompt's placements; absent where none has gaps.
pub(super) fn gaps(cases: &[CaseView]) -> Option<GapTable> {
    let measured: Vec<(&str, &Series)> = cases
        .iter()
        .filter_map(|case| Some((case.placement.as_str(), case.latency.gaps.series()?)))
        .filter(|(_, series)| !series.tokens.is_empty() || halted(series).next().is_some())
        .collect();
    let (_, first) = measured.first()?;
    let (tokens, left_out) = chosen(&measured);
    let units: Vec<(f64, &str)> = measured.iter().map(|(_, series)| unit_of(series)).collect();
    let columns = measured
        .iter()
        .zip(&units)
        .map(|((name, _), (_, unit))| format!("{name}, {unit}"));
    let row = |token: &usize| GapRow {
        token: *token,
        text: token
            .checked_sub(1)
            .and_then(|index| first.texts.get(index))
            .cloned()
            .unwrap_or_default(),
        cells: measured
            .iter()
            .zip(&units)
            .map(|((_, series), (factor, _))| cell(series, *token, *factor))
            .collect(),
    };
    Some(GapTable {
        columns: columns.collect(),
        rows: tokens.iter().map(row).collect(),
        rest: match left_out {
            0 => String::new(),
            left_out => format!(
                "The first {FIRST_TOKENS} tokens and the {LONGEST_GAPS} longest gaps behind them; {left_out} more are in \
                 attempts.jsonl."
            ),
        },
    })
}

/// The first tokens and those of the longest gaps behind them, each measured by its placement's median; then how many more
/// there are.
fn chosen(measured: &[(&str, &Series)]) -> (BTreeSet<usize>, usize) {
    let mut all: BTreeSet<usize> = BTreeSet::new();
    let mut later: Vec<(f64, usize)> = Vec::new();
    for (_, series) in measured {
        let middle = series.median_s.filter(|middle| *middle > 0.0).unwrap_or(1.0);
        let finished = series.tokens.iter().map(|gap| (gap.token, gap.most_s));
        for (token, seconds) in finished.chain(halted(series)) {
            all.insert(token);
            if token > FIRST_TOKENS {
                later.push((seconds / middle, token));
            }
        }
    }
    later.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut tokens: BTreeSet<usize> = all.iter().copied().filter(|token| *token <= FIRST_TOKENS).collect();
    let first = tokens.len();
    for (_, token) in later {
        if tokens.len() == first + LONGEST_GAPS {
            break;
        }
        tokens.insert(token);
    }
    let left_out = all.len() - tokens.len();
    (tokens, left_out)
}

fn cell(series: &Series, token: usize, factor: f64) -> String {
    let words = |seconds: f64| three_digits(seconds * factor);
    match find(&series.tokens, token) {
        Some(gap) if gap.n == 1 => words(gap.median_s),
        Some(gap) => format!("{} ({}–{})", words(gap.median_s), words(gap.least_s), words(gap.most_s)),
        None => {
            let cut_off = halted(series).find(|(at, _)| *at == token);
            cut_off
                .map(|(_, seconds)| format!("{}, cut off later", words(seconds)))
                .unwrap_or_default()
        }
    }
}

/// Gaps of a generation that was cut off.
fn halted(series: &Series) -> impl Iterator<Item = (usize, f64)> {
    series.halt.iter().flat_map(|halt| &halt.gaps).copied()
}

/// The unit of a column: that of its median, or of the gaps there are.
fn unit_of(series: &Series) -> (f64, &'static str) {
    let longest = || halted(series).map(|(_, seconds)| seconds).fold(0.0, f64::max);
    unit(series.median_s.unwrap_or_else(longest))
}

fn find(gaps: &[TokenGap], token: usize) -> Option<&TokenGap> {
    gaps.binary_search_by_key(&token, |gap| gap.token)
        .ok()
        .and_then(|index| gaps.get(index))
}

fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 1e-3 => (1e6, "µs"),
        s if s < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    }
}

/// `1.02`, `41.3`, `250`, `1200`.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        m if m < 9.995 => 2,
        m if m < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
