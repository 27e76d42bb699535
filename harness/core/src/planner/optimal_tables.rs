//! What every possible stage costs on every group of devices.

use super::footprint_workload::{Need, Workload};
use super::optimal_groups::{Group, Links};
use super::predict::Objective;
use super::predict_step::{StageTicks, Step};
use super::shape_decoder::{Decoder, Tie};

/// What is added up along a placement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Minimise {
    /// Predicted time. A stage that does not fit is impossible.
    Time(Objective),
    /// Bytes above the budgets. Every stage is possible and hops cost nothing.
    Deficit,
}

/// The cost of one stage and how full it makes its device, in millionths of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StageCost {
    pub(super) cost: u64,
    pub(super) fill: u32,
}

impl StageCost {
    const IMPOSSIBLE: Self = Self {
        cost: u64::MAX,
        fill: u32::MAX,
    };

    pub(super) fn is_possible(self) -> bool {
        self.fill != u32::MAX
    }
}

/// Costs of the stages `start..end` on one group.
pub(super) struct StageTable {
    modules: usize,
    costs: Vec<StageCost>,
    /// Costs of `0..end` together with the last module, on one device.
    ring: Vec<StageCost>,
}

impl StageTable {
    /// Costs of all stages that begin at `start`; the first of them is of the stage without modules.
    pub(super) fn row(&self, start: usize) -> &[StageCost] {
        let width = self.modules + 1;
        self.costs
            .get(start * width + start..(start + 1) * width)
            .unwrap_or_default()
    }

    /// The cost of one device that has `0..end` and the last module.
    pub(super) fn ring(&self, end: usize) -> StageCost {
        self.ring.get(end).copied().unwrap_or(StageCost::IMPOSSIBLE)
    }
}

/// All that a search needs to know.
pub(super) struct Tables {
    pub(super) modules: usize,
    pub(super) stages: Vec<StageTable>,
    /// Cost of a hop by group of origin and group of arrival.
    pub(super) hops: Vec<Vec<u64>>,
    /// The fewest first modules of a device that also has the head at the end, where that shares a tensor.
    pub(super) ring_from: Option<usize>,
}

impl Tables {
    pub(super) fn new(
        decoder: &Decoder,
        workload: &Workload,
        groups: &[Group],
        links: &Links,
        minimise: Minimise,
    ) -> Self {
        let needs = Needs::new(decoder, workload);
        let step = match minimise {
            Minimise::Time(objective) => Some(Step::new(decoder, workload, objective)),
            Minimise::Deficit => None,
        };
        let hop = |from: &Group, to: &Group| match (&step, links.between_groups(from, to)) {
            (Some(step), Some(link)) => step.hop(link),
            _ => 0,
        };
        Self {
            modules: needs.modules,
            stages: groups
                .iter()
                .map(|group| stage_table(&needs, step.as_ref(), group))
                .collect(),
            hops: groups
                .iter()
                .map(|from| groups.iter().map(|to| hop(from, to)).collect())
                .collect(),
            ring_from: needs.ring_from,
        }
    }

    pub(super) fn hop(&self, from: usize, to: usize) -> u64 {
        self.hops.get(from).and_then(|row| row.get(to)).copied().unwrap_or(0)
    }
}

/// Bytes of every stage, the same on all devices.
struct Needs {
    modules: usize,
    totals: Vec<u64>,
    ring_from: Option<usize>,
    ring: Vec<u64>,
}

impl Needs {
    fn new(decoder: &Decoder, workload: &Workload) -> Self {
        let kv_tokens = workload.sequence_tokens();
        let modules = decoder.modules.iter();
        let each: Vec<Need> = modules
            .map(|module| Need::of(module, decoder, workload, kv_tokens))
            .collect();
        let mut totals = Vec::with_capacity(each.len() * (each.len() + 1));
        for start in 0..each.len() {
            totals.resize(totals.len() + start + 1, 0);
            let mut need = Need::default();
            for (position, own) in each.iter().enumerate().skip(start) {
                need = need.and(*own);
                let is_tied = |tie: &&Tie| {
                    let range = start..position + 1;
                    range.contains(&tie.embedding) && range.contains(&tie.head)
                };
                let shared = decoder.tie.as_ref().filter(is_tied).map_or(0, |tie| tie.bytes.0);
                totals.push(need.sharing(shared).total());
            }
        }
        let tie = decoder
            .tie
            .filter(|tie| tie.head + 1 == each.len() && tie.embedding < tie.head);
        let mut ring = vec![0];
        if let (Some(tie), Some(&head)) = (tie, each.last()) {
            let mut need = head;
            for own in &each {
                need = need.and(*own);
                ring.push(need.sharing(tie.bytes.0).total());
            }
        }
        Self {
            modules: each.len(),
            totals,
            ring_from: tie.map(|tie| tie.embedding + 1),
            ring,
        }
    }

    fn total(&self, start: usize, end: usize) -> u64 {
        self.totals
            .get(start * (self.modules + 1) + end)
            .copied()
            .unwrap_or(u64::MAX)
    }
}

fn stage_table(needs: &Needs, step: Option<&Step>, group: &Group) -> StageTable {
    let modules = needs.modules;
    let cost = |bytes: u64, time: u64| cost(bytes, step.map(|_| time), group);
    let ticks: Vec<StageTicks> = (0..modules)
        .map(|position| step.map(|step| step.module(position, &group.rates)).unwrap_or_default())
        .collect();
    let mut costs = Vec::with_capacity(modules * (modules + 1));
    for start in 0..modules {
        costs.resize(costs.len() + start + 1, StageCost::IMPOSSIBLE);
        let mut stage = StageTicks::empty(&group.rates);
        for (position, own) in ticks.iter().enumerate().skip(start) {
            stage += *own;
            costs.push(cost(needs.total(start, position + 1), stage.total()));
        }
    }
    let mut ring = vec![StageCost::IMPOSSIBLE];
    let mut stage = StageTicks::empty(&group.rates);
    let mut head = stage;
    head += ticks.last().copied().unwrap_or_default();
    for (own, &bytes) in ticks.iter().zip(needs.ring.iter().skip(1)) {
        stage += *own;
        ring.push(cost(bytes, stage.total().saturating_add(head.total())));
    }
    StageTable { modules, costs, ring }
}

fn cost(bytes: u64, time: Option<u64>, group: &Group) -> StageCost {
    let Some(budget) = group.budget else {
        return StageCost {
            cost: time.unwrap_or(0),
            fill: 0,
        };
    };
    match time {
        None => StageCost {
            cost: bytes.saturating_sub(budget.0),
            fill: 0,
        },
        Some(_) if bytes > budget.0 => StageCost::IMPOSSIBLE,
        Some(time) => {
            let millionths = u128::from(bytes) * 1_000_000 / u128::from(budget.0.max(1));
            StageCost {
                cost: time,
                fill: u32::try_from(millionths).unwrap_or(1_000_000),
            }
        }
    }
}
