//! Where a series of figures changes its level.
//!
//! The question is the one Hunter and Apache Otava ask (Fleming et al. 2023): where does a history of results change so
//! that it is both certain and large enough to matter? Nothing is assumed here about the noise, and one run in a storm is no
//! change:
//!
//! 1. *Find.* Each logarithm becomes a score: its distance from the median in units of the noise, at most 2 either way (the
//!    M-procedure of Hušková and Marušiaková 2012; the noise is told from neighbouring runs, so that steps do not swell it).
//!    For every place to cut a stretch of the series in two, the sum of one side's scores is standardised; the largest of all
//!    places is the statistic. Its p-value comes from permutations of the stretch, so that it accounts for ties, for odd
//!    runs, and for the choice among many places. Where it is small, the series is cut, and both sides are searched again
//!    (binary segmentation, as in E-divisive; Matteson and James 2014). The cut is made where the logarithms are nearest to
//!    the medians of their sides (least absolute deviations; Bai 1995). A stretch without such a place may still rise and
//!    fall back: then the part of it that stands out most from the rest is looked for in the same way (circular binary
//!    segmentation; Olshen et al. 2004).
//! 2. *Refine.* Each cut is looked at once more between its two neighbours: it moves to where it fits best there
//!    (repartition; Bai 1997), and of those that are no longer certain, or whose medians differ by less than the stated
//!    share, the least goes and its two sides become one, until all that are left stand.
//!
//! Permutations are counted sequentially (Besag and Clifford 1991): a stretch in which nothing happens is given up after
//! some dozens of them. They are drawn from a fixed seed, so that the same series has the same answer everywhere.
//!
//! Runs are taken to be exchangeable while nothing changes. Where neighbouring runs resemble each other more than distant
//! ones (a machine that is warm for a week), false alarms are more frequent than `alpha`, and a slow drift is told as a
//! staircase of steps: `core/tests/change_points.rs` prints by how much.

use super::{log_ratio, median};

/// Exceedances after which a p-value is settled well enough.
const ENOUGH: u32 = 20;

/// Most that one run counts, in standard deviations: about as efficient as a mean where the noise is normal (Huber 1964).
const CLIP: f64 = 2.0;

/// Noise in logarithms that may be the rounding of figures.
const ROUNDING: f64 = 1e-9;

/// Rounds of refinement; each takes a cut away or moves some. Cuts that still wander then stay where they are.
const MOST_ROUNDS: usize = 64;

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePointSpec {
    /// The largest p-value of a cut.
    pub alpha: f64,
    /// The smallest change between the medians of two neighbouring levels, as a share: 0.03 is 3 %.
    pub min_change: f64,
    /// Values a level consists of at least: fewer are outliers.
    pub shortest: usize,
    /// Permutations of a stretch at most.
    pub permutations: u32,
    /// Their seed.
    pub seed: u64,
}

impl Default for ChangePointSpec {
    /// One false alarm in a hundred quiet series; 3 %, about the least that levels of different days can be told apart
    /// by; three runs, so that neither one nor two odd ones are a level.
    fn default() -> Self {
        Self {
            alpha: 0.01,
            min_change: 0.03,
            shortest: 3,
            permutations: 1999,
            seed: 0,
        }
    }
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Position of the first value of the new level.
    pub at: usize,
    /// Median of the level before.
    pub before: f64,
    /// Median of the level it begins.
    pub after: f64,
    /// ln(after / before).
    pub log_ratio: f64,
    /// How often chance alone would make a cut between the two neighbouring changes stand out as much.
    pub p: f64,
}

/// The changes of level in a series, in order. Values that are not finite and above zero are passed over; a series of fewer
/// than twice [`ChangePointSpec::shortest`] others has none.
#[must_use]
pub fn change_points(values: &[f64], spec: &ChangePointSpec) -> Vec<ChangePoint> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    let (positions, kept): (Vec<usize>, Vec<f64>) = values
        .iter()
        .enumerate()
        .filter(|(_, value)| usable(**value))
        .map(|(position, value)| (position, *value))
        .unzip();
    let mut cuts = Vec::new();
    find(&kept, 0, spec, &mut cuts);
    cuts.sort_unstable();
    let found = refine(&kept, cuts, spec);
    found
        .into_iter()
        .filter_map(|change| {
            let at = *positions.get(change.at)?;
            Some(ChangePoint { at, ..change })
        })
        .collect()
}

/// The changes of a figure that is counted and not measured: every place where it is another one than before.
#[must_use]
pub fn steps(values: &[f64]) -> Vec<ChangePoint> {
    let pairs = values.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| pair[0] != pair[1])
        .map(|(before, pair)| ChangePoint {
            at: before + 1,
            before: pair[0],
            after: pair[1],
            log_ratio: log_ratio(pair[0], pair[1]).unwrap_or(0.0),
            p: 0.0,
        })
        .collect()
}

/// Cuts a stretch that begins at `start` of the series, and its parts.
fn find(stretch: &[f64], start: usize, spec: &ChangePointSpec, cuts: &mut Vec<usize>) {
    let one = best_cut(stretch, spec).filter(|best| best.p <= spec.alpha);
    let here: Vec<usize> = match one {
        Some(best) => vec![best.at],
        None => standing_out(stretch, spec).unwrap_or_default(),
    };
    if here.is_empty() {
        return;
    }
    let starts = std::iter::once(0).chain(here.iter().copied());
    let ends = here.iter().copied().chain(std::iter::once(stretch.len()));
    for (first, end) in starts.zip(ends) {
        if let Some(part) = stretch.get(first..end) {
            find(part, start + first, spec, cuts);
        }
    }
    cuts.extend(here.iter().map(|at| start + at));
}

fn refine(values: &[f64], mut cuts: Vec<usize>, spec: &ChangePointSpec) -> Vec<ChangePoint> {
    let floor = spec.min_change.max(0.0).ln_1p();
    let fails = |change: &ChangePoint| change.p > spec.alpha || change.log_ratio.abs() < floor;
    let mut changes = Vec::new();
    for _ in 0..MOST_ROUNDS {
        changes.clear();
        for (index, &at) in cuts.iter().enumerate() {
            // One after the other: two that move at once could meet.
            let low = changes.last().map_or(0, |before: &ChangePoint| before.at);
            let high = cuts.get(index + 1).map_or(values.len(), |cut| *cut);
            changes.push(change_between(values, (low, at, high), spec));
        }
        // Of those that do not stand, the one that says least.
        let failing = changes.iter().enumerate().filter(|(_, change)| fails(change));
        let least = failing.min_by(|a, b| a.1.log_ratio.abs().total_cmp(&b.1.log_ratio.abs()));
        let next: Vec<usize> = match least.map(|(index, _)| index) {
            Some(index) => {
                let kept = cuts.iter().enumerate().filter(|(position, _)| *position != index);
                kept.map(|(_, cut)| *cut).collect()
            }
            None => changes.iter().map(|change| change.at).collect(),
        };
        if next == cuts {
            break;
        }
        cuts = next;
    }
    changes.retain(|change| !fails(change));
    changes
}

/// The best cut of `low..high`, where one at `at` is known.
fn change_between(values: &[f64], (low, at, high): (usize, usize, usize), spec: &ChangePointSpec) -> ChangePoint {
    let stretch = values.get(low..high).unwrap_or_default();
    let best = best_cut(stretch, spec);
    let (at, p) = best.map_or((at, 1.0), |best| (low + best.at, best.p));
    let level = |range: std::ops::Range<usize>| values.get(range).and_then(median).unwrap_or(f64::NAN);
    let (before, after) = (level(low..at), level(at..high));
    ChangePoint {
        at,
        before,
        after,
        log_ratio: log_ratio(before, after).unwrap_or(0.0),
        p,
    }
}

struct Cut {
    at: usize,
    p: f64,
}

/// Whether a stretch has a change, and where: how often a permutation of it can be cut as well as it can. `None` where it is too
/// short, or all values are the same.
fn best_cut(stretch: &[f64], spec: &ChangePointSpec) -> Option<Cut> {
    let shortest = spec.shortest.max(1);
    if stretch.len() < 2 * shortest {
        return None;
    }
    let weights = weights(stretch.len(), shortest);
    let p = p_value(scores(stretch), spec, |scores| largest(scores, &weights))?;
    let at = match p <= spec.alpha {
        true => nearest_to_medians(stretch, shortest),
        // Nobody will cut there.
        false => shortest,
    };
    Some(Cut { at, p })
}

/// Both ends of the part that stands out most, where that is certain and all three parts are long enough.
fn standing_out(stretch: &[f64], spec: &ChangePointSpec) -> Option<Vec<usize>> {
    let shortest = spec.shortest.max(1);
    if stretch.len() / 3 < shortest {
        return None;
    }
    let weights = weights(stretch.len(), shortest);
    let scores = scores(stretch);
    let (first, end, _) = best_part(&scores, &weights, shortest)?;
    let p = p_value(scores, spec, |scores| {
        best_part(scores, &weights, shortest).map(|best| best.2)
    })?;
    (p <= spec.alpha).then(|| vec![first, end])
}

/// How often a statistic of permuted scores is as large as that of the scores as they are. `None` where they have none.
fn p_value(mut scores: Vec<f64>, spec: &ChangePointSpec, statistic: impl Fn(&[f64]) -> Option<f64>) -> Option<f64> {
    // What is equal but for the rounding of sums is as good.
    let bar = statistic(&scores)? * (1.0 - 1e-9);
    let mut random = SplitMix64(spec.seed);
    let (mut as_good, mut drawn) = (0_u32, 0_u32);
    while drawn < spec.permutations && as_good < ENOUGH {
        random.shuffle(&mut scores);
        drawn += 1;
        as_good += u32::from(statistic(&scores).is_some_and(|value| value >= bar));
    }
    Some(match as_good {
        ENOUGH => f64::from(as_good) / f64::from(drawn),
        _ => f64::from(as_good + 1) / f64::from(drawn + 1),
    })
}

/// Huber's scores of the logarithms: see the module. Ranks where neighbours are mostly equal, so that there is no noise to
/// measure by. They sum to 0.
fn scores(values: &[f64]) -> Vec<f64> {
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let gaps: Vec<f64> = logarithms.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    // The quartile of the normal distribution, and the root of 2 since a gap is the difference of two.
    let noise = median(&gaps).unwrap_or(0.0) / (0.6745 * std::f64::consts::SQRT_2);
    let centre = median(&logarithms).unwrap_or(0.0);
    if noise <= ROUNDING {
        return ranks(values);
    }
    let clipped: Vec<f64> = logarithms
        .iter()
        .map(|logarithm| ((logarithm - centre) / noise).clamp(-CLIP, CLIP))
        .collect();
    let mean = clipped.iter().sum::<f64>() / clipped.len() as f64;
    clipped.iter().map(|score| score - mean).collect()
}

/// Ranks, ties sharing theirs, less their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let centre = (values.len() as f64 + 1.0) / 2.0;
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &position in tied {
            ranks[position] = rank - centre;
        }
        below += tied.len();
    }
    ranks
}

/// For a cut after the first value, the second, …: 1 / the standard deviation of the sum of the left side's scores, but for a
/// factor that all share; 0 where a side would be too short.
fn weights(values: usize, shortest: usize) -> Vec<f64> {
    let weight = |left: usize| {
        let right = values - left;
        let is_long_enough = left >= shortest && right >= shortest;
        if is_long_enough {
            1.0 / ((left * right) as f64).sqrt()
        } else {
            0.0
        }
    };
    (1..values).map(weight).collect()
}

/// The largest standardised sum of all cuts. `None` where all are 0.
fn largest(scores: &[f64], weights: &[f64]) -> Option<f64> {
    let mut sum = 0.0;
    let mut best = 0.0;
    for (score, weight) in scores.iter().zip(weights) {
        sum += score;
        best = f64::max(best, f64::abs(sum) * weight);
    }
    (best > 0.0).then_some(best)
}

/// The part, with values before and after it, whose standardised sum is largest: its first position, the one after its last,
/// and that sum. `None` where all are 0.
fn best_part(scores: &[f64], weights: &[f64], shortest: usize) -> Option<(usize, usize, f64)> {
    let mut sums = Vec::with_capacity(scores.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for score in scores {
        sum += score;
        sums.push(sum);
    }
    let mut best = (0, 0, 0.0);
    let last_end = scores.len().checked_sub(shortest)?;
    for first in shortest..last_end {
        let before = sums.get(first)?;
        // The parts of so many values, longer and longer.
        let ends = sums.get(first + 1..=last_end)?;
        for (index, (after, weight)) in ends.iter().zip(weights).enumerate() {
            let value = f64::abs(after - before) * weight;
            if value > best.2 {
                best = (first, first + 1 + index, value);
            }
        }
    }
    (best.2 > 0.0).then_some(best)
}

/// The cut whose two sides lie nearest to their medians; of several the first. Takes time quadratic in the number of values.
fn nearest_to_medians(values: &[f64], shortest: usize) -> usize {
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let left = deviations(logarithms.iter());
    let mut right = deviations(logarithms.iter().rev());
    right.reverse();
    let cuts = shortest..=values.len() - shortest;
    let cost = |at: &usize| left[at - 1] + right[*at];
    // What is less only by the rounding of sums is no better.
    let mut best = shortest;
    for at in cuts {
        if cost(&at) < cost(&best) * (1.0 - 1e-9) {
            best = at;
        }
    }
    best
}

/// For the first value, the first two, …: the sum of their distances from their median.
fn deviations<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = Vec::new();
    let sum = |value: &f64| {
        let place = sorted.partition_point(|other| other <= value);
        sorted.insert(place, *value);
        let half = sorted.len() / 2;
        let (low, high) = (&sorted[..half], &sorted[sorted.len() - half..]);
        high.iter().sum::<f64>() - low.iter().sum::<f64>()
    };
    values.map(sum).collect()
}

/// Steele, Lea and Flood's generator (OOPSLA 2014): small, and good enough for permutations.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Fisher and Yates's shuffle. The high half of a product of two 64-bit numbers picks a position; its bias is below
    /// 2^-50 for any series there is.
    fn shuffle(&mut self, values: &mut [f64]) {
        for last in (1..values.len()).rev() {
            let wide = u128::from(self.next()) * (last as u128 + 1);
            #[expect(clippy::cast_possible_truncation, reason = "at most `last`, a position")]
            values.swap(last, (wide >> 64) as usize);
        }
    }
}

#[cfg(test)]
mod tests;
