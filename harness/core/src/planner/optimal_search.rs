//! The search itself: exact, by dynamic programming over sets of devices.
//!
//! `best(set, group, start)` is the best way to place the modules from `start` on, on exactly the devices of `set`, the
//! first stage being on a device of `group`. It follows from the sets with one device less:
//!
//! `best(set, g, start) = min over end of stage(g, start..end) + min over h of hop(g, h) + best(set - g, h, end)`
//!
//! A set says how many devices of each group are used. With `n` modules, `g` groups and `s` sets (the product of the
//! groups' sizes, each plus one: 2^devices where all differ, devices + 1 where all are alike) this takes
//! `O(s g n (n + g))` steps and `16 s g n` bytes. Scores only grow along a placement and keep their order when the same
//! is added to both, so what is dropped could not have become the best.
//!
//! Where the head is the embedding's tensor, placements are searched too whose head returns to the first device: one
//! search for each group that may come first.

use std::cmp::Ordering;
use std::ops::Range;

use super::optimal_tables::{StageCost, Tables};

/// What a placement is judged by, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// Time or bytes.
    pub(super) cost: u64,
    /// Stages; fewer are better.
    stages: u32,
    /// How full the fullest device is, in millionths; less is better.
    fill: u32,
}

impl Score {
    const END: Self = Self {
        cost: 0,
        stages: 0,
        fill: 0,
    };
    /// Worse than every placement, because none has so many stages.
    const UNREACHED: Self = Self {
        cost: u64::MAX,
        stages: u32::MAX,
        fill: u32::MAX,
    };

    fn is_reached(self) -> bool {
        self.stages != u32::MAX
    }

    fn after_stage(self, stage: StageCost) -> Self {
        Self {
            cost: self.cost.saturating_add(stage.cost),
            stages: self.stages.saturating_add(1),
            fill: self.fill.max(stage.fill),
        }
    }

    fn after_hop(self, cost: u64) -> Self {
        Self {
            cost: self.cost.saturating_add(cost),
            ..self
        }
    }
}

/// A complete placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) score: Score,
    /// How many devices of each group it uses.
    pub(super) used: Vec<usize>,
    /// Stages with their groups.
    pub(super) stages: Vec<(Range<usize>, usize)>,
    /// Whether the last stage is on the device of the first.
    pub(super) returns: bool,
}

impl Found {
    fn is_better_than(&self, other: &Self) -> bool {
        let groups = |found: &Self| found.stages.iter().map(|(_, group)| *group).collect::<Vec<_>>();
        match self.score.cmp(&other.score) {
            Ordering::Less => true,
            Ordering::Equal => groups(self) < groups(other),
            Ordering::Greater => false,
        }
    }
}

/// The best placement, and the best one on other devices.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) best: Option<Found>,
    pub(super) runner_up: Option<Found>,
}

impl Results {
    fn may_matter(&self, score: Score) -> bool {
        score.is_reached() && self.runner_up.as_ref().is_none_or(|known| score <= known.score)
    }

    fn add(&mut self, found: Found) {
        match &mut self.best {
            Some(best) if found.is_better_than(best) => {
                let beaten = std::mem::replace(best, found);
                if beaten.used != best.used {
                    self.runner_up = Some(beaten);
                }
            }
            Some(best) if found.used != best.used => {
                if self.runner_up.as_ref().is_none_or(|known| found.is_better_than(known)) {
                    self.runner_up = Some(found);
                }
            }
            Some(_) => {}
            None => self.best = Some(found),
        }
    }
}

/// The number of sets of devices: how many of each group are used.
pub(super) fn number_of_sets(sizes: &[usize]) -> usize {
    sizes
        .iter()
        .fold(1, |sets: usize, size| sets.saturating_mul(size.saturating_add(1)))
}

/// Finds the best placements. `sizes` are the numbers of devices in the groups.
pub(super) fn search(tables: &Tables, sizes: &[usize]) -> Results {
    let mut results = Results::default();
    let line = Line::solve(tables, sizes, tables.modules, |_| Score::END);
    for set in 1..line.sets {
        let scores = line.groups_in(set).map(|group| (line.score(set, group, 0), group));
        // The first of equals: groups ascend.
        if let Some((score, group)) = scores.min()
            && results.may_matter(score)
        {
            results.add(Found {
                score,
                used: line.counts(set),
                stages: line.stages(set, group, 0),
                returns: false,
            });
        }
    }
    for group in 0..sizes.len() {
        add_rings(tables, sizes, group, &mut results);
    }
    results
}

/// Placements whose last module is on the device of the first stage, a device of group `first`.
fn add_rings(tables: &Tables, sizes: &[usize], first: usize, results: &mut Results) {
    let (Some(from), Some(table)) = (tables.ring_from, tables.stages.get(first)) else {
        return;
    };
    let head = tables.modules.saturating_sub(1);
    let mut others = sizes.to_vec();
    if let Some(size) = others.get_mut(first) {
        *size = size.saturating_sub(1);
    }
    let closing = |group| {
        Score {
            stages: 1,
            ..Score::END
        }
        .after_hop(tables.hop(group, first))
    };
    let line = Line::solve(tables, &others, head, closing);
    for set in 1..line.sets {
        let scores = (from..head)
            .filter(|&end| table.ring(end).is_possible())
            .flat_map(|end| {
                let line = &line;
                line.groups_in(set).filter_map(move |next| {
                    let rest = line.score(set, next, end);
                    let score = rest.after_hop(tables.hop(first, next)).after_stage(table.ring(end));
                    rest.is_reached().then_some((score, next, end))
                })
            });
        let Some((score, next, end)) = scores.min() else {
            continue;
        };
        if !results.may_matter(score) {
            continue;
        }
        let mut used = line.counts(set);
        if let Some(count) = used.get_mut(first) {
            *count += 1;
        }
        let mut stages = vec![(0..end, first)];
        stages.extend(line.stages(set, next, end));
        stages.push((head..tables.modules, first));
        results.add(Found {
            score,
            used,
            stages,
            returns: true,
        });
    }
}

/// The solved table `best(set, group, start)` of placements in a line up to `end`.
struct Line<'t> {
    tables: &'t Tables,
    /// Groups' sizes plus one: a set is a number with these digits, the first group's the least.
    radices: Vec<usize>,
    strides: Vec<usize>,
    sets: usize,
    end: usize,
    last: Vec<Score>,
    scores: Vec<Score>,
}

impl<'t> Line<'t> {
    fn solve(tables: &'t Tables, sizes: &[usize], end: usize, last: impl Fn(usize) -> Score) -> Self {
        let radices: Vec<usize> = sizes.iter().map(|size| size + 1).collect();
        let strides = radices.iter().scan(1, |stride, radix| {
            let own = *stride;
            *stride *= radix;
            Some(own)
        });
        let sets = number_of_sets(sizes);
        let mut line = Self {
            strides: strides.collect(),
            sets,
            end,
            last: (0..sizes.len()).map(last).collect(),
            scores: vec![Score::UNREACHED; sets * sizes.len() * (end + 1)],
            tables,
            radices,
        };
        let mut rest = vec![Score::UNREACHED; end + 1];
        for set in 1..sets {
            for group in 0..sizes.len() {
                line.solve_state(set, group, &mut rest);
            }
        }
        line
    }

    fn solve_state(&mut self, set: usize, group: usize, rest: &mut [Score]) {
        let (Some(smaller), Some(table)) = (self.without(set, group), self.tables.stages.get(group)) else {
            return;
        };
        self.rest_into(smaller, group, rest);
        let reached = |score: &Score| score.is_reached();
        let (Some(low), Some(high)) = (rest.iter().position(reached), rest.iter().rposition(reached)) else {
            return;
        };
        let offset = self.offset(set, group);
        for start in 0..high {
            let first = low.max(start + 1);
            // A row begins with the stage that ends where it starts.
            let stages = table.row(start).get(first - start..=high - start).unwrap_or_default();
            let ends = rest.get(first..=high).unwrap_or_default();
            let best = best_sum(stages, ends);
            if let Some(score) = self.scores.get_mut(offset + start) {
                *score = best;
            }
        }
    }

    /// The best way on from every position, coming from `group`, on exactly the devices of `set`.
    fn rest_into(&self, set: usize, group: usize, rest: &mut [Score]) {
        rest.fill(Score::UNREACHED);
        if set == 0 {
            if let (Some(end), Some(&last)) = (rest.get_mut(self.end), self.last.get(group)) {
                *end = last;
            }
            return;
        }
        for next in self.groups_in(set) {
            let hop = self.tables.hop(group, next);
            let offset = self.offset(set, next);
            let scores = self.scores.get(offset..offset + self.end).unwrap_or_default();
            for (best, score) in rest.iter_mut().zip(scores) {
                if score.is_reached() {
                    *best = score.after_hop(hop).min(*best);
                }
            }
        }
    }

    fn offset(&self, set: usize, group: usize) -> usize {
        (set * self.radices.len() + group) * (self.end + 1)
    }

    fn score(&self, set: usize, group: usize, start: usize) -> Score {
        let score = self.scores.get(self.offset(set, group) + start);
        score.copied().unwrap_or(Score::UNREACHED)
    }

    /// How many devices of a group a set has.
    fn count(&self, set: usize, group: usize) -> usize {
        match (self.strides.get(group), self.radices.get(group)) {
            (Some(stride), Some(radix)) => set / stride % radix,
            _ => 0,
        }
    }

    fn counts(&self, set: usize) -> Vec<usize> {
        (0..self.radices.len()).map(|group| self.count(set, group)).collect()
    }

    fn groups_in(&self, set: usize) -> impl Iterator<Item = usize> {
        (0..self.radices.len()).filter(move |&group| self.count(set, group) > 0)
    }

    /// The set with one device of the group less.
    fn without(&self, set: usize, group: usize) -> Option<usize> {
        let stride = *self.strides.get(group)?;
        (self.count(set, group) > 0).then(|| set - stride)
    }

    /// The stages behind a score: at every step the first group that reaches it, with the longest stage before it.
    fn stages(&self, mut set: usize, mut group: usize, mut start: usize) -> Vec<(Range<usize>, usize)> {
        let mut stages = Vec::new();
        while let (Some(smaller), Some(table)) = (self.without(set, group), self.tables.stages.get(group)) {
            let wanted = self.score(set, group, start);
            let row = table.row(start);
            let reaches = |end: usize, rest: Score| {
                let stage = row.get(end - start).filter(|stage| stage.is_possible());
                rest.is_reached() && stage.is_some_and(|&stage| rest.after_stage(stage) == wanted)
            };
            if smaller == 0 {
                stages.push((start..self.end, group));
                break;
            }
            let next = self.groups_in(smaller).find_map(|next| {
                let hop = self.tables.hop(group, next);
                let mut ends = (start + 1..self.end).rev();
                let end = ends.find(|&end| reaches(end, self.score(smaller, next, end).after_hop(hop)))?;
                Some((next, end))
            });
            let Some((next, end)) = next else { break };
            stages.push((start..end, group));
            (set, group, start) = (smaller, next, end);
        }
        stages
    }
}

/// The least sum of a stage and what follows it.
fn best_sum(stages: &[StageCost], rests: &[Score]) -> Score {
    let mut best = Score::UNREACHED;
    for (stage, rest) in stages.iter().zip(rests) {
        // Nearly always the cost decides.
        if stage.cost.saturating_add(rest.cost) > best.cost || !stage.is_possible() || !rest.is_reached() {
            continue;
        }
        best = rest.after_stage(*stage).min(best);
    }
    best
}
