//! Timings: from attempts to pairs, from pairs to evidence, from evidence to a verdict.

use std::collections::BTreeMap;

use super::counters::{CounterChange, CounterRow};
use super::fingerprint::Fingerprint;
use super::metric::TimingMetric;
use super::reason::{NoVerdictReason, SideName};
use super::record::{Change, Pair, Threshold, ThresholdSource, TimingRow, TimingWarning};
use super::spec::{Arrangement, GateSpec};
use super::{CasePair, Side};
use crate::doctor::noise::NoiseFloor;
use crate::outcome::{Outcome, OutcomeKind};
use crate::record::{Attempt, GpuProcess};
use crate::statistics::{Interval, log_ratio, median, median_interval, outliers, signed_rank_greater};

/// The routine reason for a GPU's clock to be below its limit: a load that draws all the power it may. The others mean that
/// the machine is in trouble.
const POWER_CAP: &str = "power cap";

/// The most that the noise of a machine may widen the margin of sameness to, as the logarithm of a ratio: about 28 %. Where equal
/// attempts differ by more, `same` would be said of anything, and a gate that says so on a machine that is too busy to tell
/// lets everything pass; the answer is `unclear` then. A machine with 5 % noise has a margin of about 14 %.
const WIDEST_NOISE: f64 = 0.25;

/// The evidence on one gated timing, before it is known how many others were asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    row: TimingRow,
    /// ln(new / base) of each pair, turned so that more is worse.
    worse: Vec<f64>,
    /// The bootstrap interval of their median.
    interval: Option<Interval>,
    /// Signed-rank p-value of "worse by more than the floor"; 1 where it cannot be asked.
    pub(super) p_slower: f64,
    /// The same for better.
    pub(super) p_faster: f64,
}

/// Gathers the evidence on all gated timings of a case.
pub(super) fn ask(pair: &CasePair<'_>, counters: &[CounterRow], spec: &GateSpec, fewest: u32) -> Vec<Question> {
    let unfit = unfit(pair, counters, spec);
    let metrics = spec.metrics.iter();
    metrics
        .map(|&metric| {
            let question = gather(metric, pair, spec, fewest);
            // What is wrong with the whole case explains more than what that did to a figure.
            match &unfit {
                Some(reason) => question.without_verdict(reason.clone()),
                None => question,
            }
        })
        .collect()
}

/// Why no timing of this case can be judged.
fn unfit(pair: &CasePair<'_>, counters: &[CounterRow], spec: &GateSpec) -> Option<NoVerdictReason> {
    let sides = [(SideName::Base, pair.base), (SideName::New, pair.new)];
    if let Some(reason) = sides.iter().find_map(|(name, side)| unfit_side(*name, side)) {
        return Some(reason);
    }
    let fingerprint = |side: &Side<'_>| Fingerprint::new(side.environment, side.attempts);
    let mut differences = Fingerprint::differences(&fingerprint(&pair.base), &fingerprint(&pair.new));
    differences.retain(|difference| !spec.expected_differences.contains(&difference.field));
    if !differences.is_empty() {
        return Some(NoVerdictReason::OtherMachine { differences });
    }
    let is_other_work = |row: &CounterRow| matches!(row.change, CounterChange::Worse | CounterChange::Differs);
    if counters.iter().any(is_other_work) {
        return Some(NoVerdictReason::OtherWork);
    }
    // A near-tie may end a text sooner, and placements need not agree at all.
    let tokens = |side: &Side<'_>| {
        let generations = side.attempts.iter().find_map(|attempt| attempt.generations.first());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        generations.map_or((0, 0), |generation| {
            let input = generation.input_count().unwrap_or_default();
            (number(input), number(generation.output_count()))
        })
    };
    let (base, new) = (tokens(&pair.base), tokens(&pair.new));
    (base != new).then_some(NoVerdictReason::OtherTokenCounts { base, new })
}

fn unfit_side(name: SideName, side: &Side<'_>) -> Option<NoVerdictReason> {
    if side.attempts.is_empty() {
        return Some(NoVerdictReason::Missing { side: name });
    }
    if !side.text.timing_is_valid() {
        return Some(NoVerdictReason::TextInvalid {
            side: name,
            text: side.text,
        });
    }
    let is_incomplete = |attempt: &&&Attempt| !matches!(attempt.outcome.kind(), OutcomeKind::Completed);
    if let Some(first) = side.attempts.iter().find(is_incomplete) {
        let attempts = side.attempts.iter().filter(is_incomplete).count();
        return Some(NoVerdictReason::NotCompleted {
            side: name,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            sentence: first.outcome.sentence(),
        });
    }
    if let Some(reason) = disturbed(name, side) {
        return Some(reason);
    }
    let gpus = side.attempts.iter().flat_map(|attempt| &attempt.gpus);
    let mut reasons: Vec<String> = gpus.flat_map(|gpu| gpu.throttle_reasons.iter().cloned()).collect();
    reasons.retain(|reason| reason != POWER_CAP);
    reasons.sort();
    reasons.dedup();
    (!reasons.is_empty()).then_some(NoVerdictReason::Throttled { side: name, reasons })
}

/// Attempts that did not have their devices to themselves.
fn disturbed(name: SideName, side: &Side<'_>) -> Option<NoVerdictReason> {
    let count = |is_meant: &dyn Fn(&Attempt) -> bool| {
        let meant = side.attempts.iter().filter(|attempt| is_meant(attempt));
        u32::try_from(meant.count()).unwrap_or(u32::MAX)
    };
    let beside = count(&|attempt| attempt.concurrent > 0);
    if beside > 0 {
        return Some(NoVerdictReason::RanBeside {
            side: name,
            attempts: beside,
        });
    }
    let attempts = count(&|attempt| !attempt.foreign_processes.is_empty());
    (attempts > 0).then(|| NoVerdictReason::ForeignProcess {
        side: name,
        attempts,
        processes: GpuProcess::distinct_words(side.attempts.iter().flat_map(|attempt| &attempt.foreign_processes)),
    })
}

/// The figures of one side by the number of the attempt; why they are none, otherwise.
fn figures(name: SideName, side: &Side<'_>, metric: TimingMetric) -> Result<BTreeMap<u32, f64>, NoVerdictReason> {
    let mut figures = BTreeMap::new();
    let completed = side
        .attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Completed));
    for attempt in completed {
        let figure = metric.of(attempt).ok_or(NoVerdictReason::Missing { side: name })?;
        if !(figure.is_finite() && figure > 0.0) {
            return Err(NoVerdictReason::Unusable {
                side: name,
                attempt: attempt.attempt,
                value: figure.to_string(),
            });
        }
        figures.entry(attempt.attempt).or_insert(figure);
    }
    if figures.is_empty() {
        return Err(NoVerdictReason::Missing { side: name });
    }
    Ok(figures)
}

fn gather(metric: TimingMetric, pair: &CasePair<'_>, spec: &GateSpec, fewest: u32) -> Question {
    let thresholds = thresholds(metric, pair.noise, spec);
    let base = figures(SideName::Base, &pair.base, metric);
    let new = figures(SideName::New, &pair.new, metric);
    let (base, new) = match (base, new) {
        (Ok(base), Ok(new)) => (base, new),
        (Err(NoVerdictReason::Missing { .. }), Err(NoVerdictReason::Missing { .. })) => {
            return Question::empty(metric, thresholds).without_verdict(NoVerdictReason::MissingOnBoth);
        }
        (Err(reason), _) | (_, Err(reason)) => return Question::empty(metric, thresholds).without_verdict(reason),
    };
    let paired = base.iter().filter_map(|(&attempt, &base)| {
        let new = *new.get(&attempt)?;
        Some(Pair { attempt, base, new })
    });
    let pairs: Vec<Pair> = paired.collect();
    let unpaired = base.len() + new.len() - 2 * pairs.len();
    let mut question = Question::of(metric, thresholds, pairs, spec.confidence);
    if unpaired > 0 {
        question.row.warnings.push(TimingWarning::Unpaired {
            attempts: u32::try_from(unpaired).unwrap_or(u32::MAX),
        });
    }
    match question.implausible(spec, fewest) {
        Some(reason) => question.without_verdict(reason),
        None => question,
    }
}

/// The floor and the margin of a timing. Chance alone is no reason to raise the floor: the interval and the test see to
/// that, and get better at it with more pairs. What two equal sides differ by in the *median* of a calibration is one. The
/// margin is what two equal attempts differ by, since an interval can only be expected to stay within that.
fn thresholds(metric: TimingMetric, noise: Option<&NoiseFloor>, spec: &GateSpec) -> (Threshold, Threshold) {
    let calibrated = noise.and_then(|noise| noise.metrics.iter().find(|known| known.metric == metric.as_str()));
    let separate = (spec.arrangement == Arrangement::Separate).then_some(spec.separate_floor);
    let least = Threshold {
        log_ratio: spec.min_effect,
        source: ThresholdSource::MinEffect,
    };
    let floor = least
        .or_more(separate, ThresholdSource::SeparateSessions)
        .or_more(calibrated.map(|known| known.bias.abs()), ThresholdSource::Calibrated);
    let noise = calibrated.map(|known| known.floor.min(WIDEST_NOISE));
    let margin = floor.or_more(noise, ThresholdSource::Calibrated);
    (floor, margin)
}

impl Threshold {
    fn or_more(self, log_ratio: Option<f64>, source: ThresholdSource) -> Self {
        log_ratio
            .filter(|log_ratio| *log_ratio > self.log_ratio)
            .map_or(self, |log_ratio| Self { log_ratio, source })
    }
}

impl Question {
    fn empty(metric: TimingMetric, thresholds: (Threshold, Threshold)) -> Self {
        Self::of(metric, thresholds, Vec::new(), 0.0)
    }

    fn of(metric: TimingMetric, thresholds: (Threshold, Threshold), pairs: Vec<Pair>, confidence: f64) -> Self {
        let (floor, margin) = thresholds;
        let sign = metric.sign();
        let ratios = pairs.iter().filter_map(|pair| log_ratio(pair.base, pair.new));
        let worse: Vec<f64> = ratios.map(|ratio| sign * ratio).collect();
        let interval = median_interval(&worse, confidence);
        // Of a metric of which more is better, the worst of the interval is the least ratio.
        let ratios = interval.map(|interval| if sign < 0.0 { interval.mirrored() } else { interval });
        let beyond = |turn: f64| -> (u32, f64) {
            let over: Vec<f64> = worse.iter().map(|worse| turn * worse - floor.log_ratio).collect();
            let pairs = over.iter().filter(|over| **over > 0.0).count();
            (u32::try_from(pairs).unwrap_or(u32::MAX), signed_rank_greater(&over))
        };
        let ((pairs_slower, p_slower), (pairs_faster, p_faster)) = (beyond(1.0), beyond(-1.0));
        let column = |read: fn(&Pair) -> f64| pairs.iter().map(read).collect::<Vec<f64>>();
        let (base, new) = (column(|pair| pair.base), column(|pair| pair.new));
        let row = TimingRow {
            metric,
            unit: metric.unit().to_owned(),
            direction: metric.direction(),
            base: median(&base),
            new: median(&new),
            ratio: median(&worse).map(|worse| (sign * worse).exp()),
            ratio_interval: ratios.map(|interval| Interval {
                low: interval.low.exp(),
                high: interval.high.exp(),
            }),
            floor,
            margin,
            pairs_slower,
            pairs_faster,
            p_slower: None,
            p_faster: None,
            change: Change::NoVerdict,
            reason: None,
            warnings: warnings(&pairs, &worse, &base, &new),
            pairs,
        };
        Self {
            row,
            worse,
            interval,
            p_slower,
            p_faster,
        }
    }

    /// What makes pairs of usable figures unusable.
    fn implausible(&self, spec: &GateSpec, fewest: u32) -> Option<NoVerdictReason> {
        let pairs = u32::try_from(self.worse.len()).unwrap_or(u32::MAX);
        if pairs < fewest {
            return Some(NoVerdictReason::TooFewPairs { pairs, needed: fewest });
        }
        let all_same = |read: fn(&Pair) -> f64| self.row.pairs.windows(2).all(|two| read(&two[0]) == read(&two[1]));
        if all_same(|pair| pair.base) {
            return Some(NoVerdictReason::Collapsed { side: SideName::Base });
        }
        if all_same(|pair| pair.new) {
            return Some(NoVerdictReason::Collapsed { side: SideName::New });
        }
        let change = median(&self.worse)?;
        (change.abs() > spec.implausible_factor.ln()).then(|| NoVerdictReason::Implausible {
            ratio: self.row.ratio.unwrap_or_default(),
        })
    }

    fn without_verdict(mut self, reason: NoVerdictReason) -> Self {
        self.row.change = Change::NoVerdict;
        self.row.reason = Some(reason);
        // It stays in the family: a question that was planned is corrected for, whatever became of it.
        (self.p_slower, self.p_faster) = (1.0, 1.0);
        self
    }

    /// The verdict, from adjusted p-values.
    pub(super) fn answer(mut self, p_slower: f64, p_faster: f64, spec: &GateSpec) -> TimingRow {
        if self.row.reason.is_some() {
            return self.row;
        }
        self.row.p_slower = Some(p_slower);
        self.row.p_faster = Some(p_faster);
        self.row.change = self.interval.map_or(Change::Unclear, |interval| {
            let (floor, margin) = (self.row.floor.log_ratio, self.row.margin.log_ratio);
            let alpha = spec.alpha_per_look();
            let agree = |pairs: u32| f64::from(pairs) >= spec.agreement * self.worse.len() as f64;
            let (is_worse, is_better) = (interval.low > floor, interval.high < -floor);
            if is_worse && p_slower <= alpha && agree(self.row.pairs_slower) {
                Change::Slower
            } else if is_better && p_faster <= alpha && agree(self.row.pairs_faster) {
                Change::Faster
            } else if !is_worse && !is_better && -margin <= interval.low && interval.high <= margin {
                Change::Same
            } else {
                Change::Unclear
            }
        });
        self.row
    }
}

fn warnings(pairs: &[Pair], worse: &[f64], base: &[f64], new: &[f64]) -> Vec<TimingWarning> {
    let mut warnings = Vec::new();
    let far_out: Vec<u32> = outliers(worse)
        .into_iter()
        .filter_map(|position| pairs.get(position))
        .map(|pair| pair.attempt)
        .collect();
    if !far_out.is_empty() {
        warnings.push(TimingWarning::Outliers { attempts: far_out });
    }
    for (side, figures) in [(SideName::Base, base), (SideName::New, new)] {
        if outliers(figures).first() == Some(&0) {
            warnings.push(TimingWarning::FirstStandsApart { side });
        }
    }
    warnings
}
