//! Explanations: step by step, why a module landed where it did.
//!
//! The planner runs as ever, with a recorder in the placement loop; nothing is reconstructed afterwards.

use serde::Serialize;

use super::amount::Amount;
use super::balance::{Balance, Share};
use super::budget;
use super::device::PlanDevice;
use super::entry::{Entry, contains};
use super::error::PlanError;
use super::request::PlanRequest;
use super::resolve::DeviceMap;
use super::sizing::Sizing;
use super::table::{Counting, SizeTable};
use super::trial::{Recorder, Trial, TrialResult};
use super::{PlanAnswer, counts_untied, no_split_classes, plan_and_record};
use crate::module_tree::ModuleTree;
use crate::placement::StrategyName;

/// Why a module landed where it did. Its `Display` is one sentence a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The module, or tensor, that was asked about.
    pub module: String,
    /// What happened, in order.
    pub steps: Vec<ExplanationStep>,
}

/// A step of an explanation. Its `Display` is a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExplanationStep {
    /// The path leads to a module that is registered under another path already; the rest is about that one.
    SameModule {
        /// The path that was asked about.
        module: String,
        /// The first path of the module.
        first: String,
    },
    /// How large the module is as it will be loaded.
    Size {
        /// The module.
        module: String,
        /// Its bytes; a tied parameter counts under the first of its names only.
        bytes: Amount,
        /// The first names, outside of the module, of tied parameters in it.
        counted_as: Vec<String>,
    },
    /// How much every accelerator but the last may hold.
    Balanced(Balancing),
    /// What a device may hold.
    Budget {
        /// The device.
        device: PlanDevice,
        /// Bytes as given by the user or the machine.
        given: Amount,
        /// Bytes after balancing.
        balanced: Amount,
    },
    /// Something was tried on a device.
    Tried {
        /// The trial.
        #[serde(flatten)]
        trial: PlacementTrial,
        /// What came of it.
        result: TrialOutcome,
    },
    /// The device map has a key for the module, for a module around it, or for a part of it.
    Mapped {
        /// The key.
        key: String,
        /// Its device.
        device: PlanDevice,
    },
    /// No key of the map covers the module: it was divided and holds buffers only.
    NotCovered {
        /// The module.
        module: String,
    },
}

/// The numbers of balancing: `total / devices + margin`, and the margin is 1.25 x the larger of two layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Balancing {
    /// Whose rules these are decides what `other` is.
    pub dialect: super::Dialect,
    /// Accelerators with a budget above zero.
    pub accelerators: usize,
    /// Bytes of the model, as they are counted for balancing.
    pub total: Amount,
    /// How many accelerators share the total: one less where the first is kept free.
    pub divided_by: usize,
    /// The size of an undividable module (Accelerate: the first of its class; Transformers 5: the largest).
    pub block: Amount,
    /// Accelerate: the mean size of a leaf. Transformers 5: the most bytes that a module holds directly.
    pub other: Amount,
    /// 1.25 x the larger of the two, cut to whole bytes.
    pub margin: Amount,
    /// What each accelerator but the last may hold.
    pub cap: Amount,
    /// The first accelerator is kept as free as the others allow.
    pub low_zero: bool,
    /// The only accelerator's budget is the machine's free memory and was multiplied by 0.9.
    pub spares_only_device: bool,
}

/// Something tried on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacementTrial {
    /// The module or tensor that was tried.
    pub entry: String,
    /// Its bytes.
    pub bytes: Amount,
    /// Modules and tensors that must come along, because they hold the other names of its tied parameters.
    pub tied: Vec<String>,
    /// Bytes with what they add.
    pub bytes_with_ties: Amount,
    /// The device.
    pub device: PlanDevice,
    /// The device's limit; `None` on the disk, where everything fits.
    pub room: Option<TrialRoom>,
}

/// What a device has room for at a moment: `used` plus the size must not exceed `limit`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialRoom {
    /// Bytes placed so far.
    pub used: Amount,
    /// The budget, after balancing.
    pub budget: Amount,
    /// Room kept for the largest layer that is still to be placed.
    pub reserve: Amount,
    /// One of the layers of that size, where there is a reserve.
    pub reserve_for: Option<String>,
    /// Budget minus reserve.
    pub limit: Amount,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TrialOutcome {
    /// It fits, and stays.
    Placed,
    /// It does not fit, and its parts are tried one by one.
    Divided,
    /// It would fit without what it is tied to, so that is divided.
    PartnerDivided {
        /// What is divided.
        partner: String,
    },
    /// It does not fit the empty device, and something smaller goes first (fallback allocation).
    Overtaken {
        /// What goes first.
        by: String,
    },
    /// It does not fit and is not divided: the device is closed for good because of it.
    DeviceClosed,
}

/// Explains where a module, or a tensor, lands under a request.
///
/// Steps that concern other modules are left out, but for those that close a device before the module is placed.
///
/// # Errors
/// As for [`plan`](super::plan), and when the tree has no such module or tensor.
pub fn explain(tree: &ModuleTree, request: &PlanRequest, module: &str) -> Result<Explanation, PlanError> {
    let first = tree.first_name(module);
    let entry_of = |name: &str| {
        let module = tree.module_index(name).map(Entry::Module);
        module.or_else(|| tree.tensor_index(name).map(Entry::Tensor))
    };
    let unknown = || PlanError::UnknownModule {
        module: module.to_owned(),
    };
    entry_of(module).ok_or_else(unknown)?;
    let target = entry_of(&first).ok_or_else(unknown)?;
    let mut recording = Recording {
        tree,
        target,
        trials: Vec::new(),
        current: None,
    };
    let answer = plan_and_record(tree, request, &mut recording)?;

    let mut steps = Vec::new();
    if *first != *module {
        steps.push(ExplanationStep::SameModule {
            module: module.to_owned(),
            first: first.clone().into_owned(),
        });
    }
    steps.extend(sizes_and_budgets(tree, request, &first, target, &answer)?);
    steps.extend(recording.until_placed());
    steps.extend(keys(tree, &first, target, &answer));
    Ok(Explanation {
        module: module.to_owned(),
        steps,
    })
}

fn sizes_and_budgets(
    tree: &ModuleTree,
    request: &PlanRequest,
    name: &str,
    target: Entry,
    answer: &PlanAnswer,
) -> Result<Vec<ExplanationStep>, PlanError> {
    let sizing = Sizing::new(request)?;
    let tied = SizeTable::new(tree, &sizing, Counting::Tied);
    let mut steps = vec![ExplanationStep::Size {
        module: name.to_owned(),
        bytes: tied.size(target),
        counted_as: counted_elsewhere(tree, target),
    }];
    let given = budget::normalise(request)?;
    if request.strategy != StrategyName::Sequential {
        let untied = counts_untied(tree, request).then(|| SizeTable::new(tree, &sizing, Counting::Untied));
        let no_split = no_split_classes(tree, request);
        let balance = Balance::new(tree, request, &no_split, untied.as_ref().unwrap_or(&tied));
        let share = balance.share(&given);
        steps.extend(share.map(|share| ExplanationStep::Balanced(balancing(request, &share))));
    }
    let budgets = answer.budget.iter().map(|&(device, balanced)| ExplanationStep::Budget {
        device,
        given: given.get(&device).copied().unwrap_or(balanced),
        balanced,
    });
    steps.extend(budgets);
    Ok(steps)
}

/// First names, outside of the target, of tied parameters that have another name in it.
fn counted_elsewhere(tree: &ModuleTree, target: Entry) -> Vec<String> {
    let is_inside = |&tensor: &usize| contains(tree, target, Entry::Tensor(tensor));
    let groups = tree.tied().iter().filter_map(|group| {
        let members: Vec<usize> = group.iter().filter_map(|name| tree.tensor_index(name)).collect();
        let first = *members.iter().min()?;
        let counts_elsewhere = !is_inside(&first) && members.iter().any(is_inside);
        counts_elsewhere.then(|| Entry::Tensor(first).name(tree).to_owned())
    });
    groups.collect()
}

fn balancing(request: &PlanRequest, share: &Share) -> Balancing {
    Balancing {
        dialect: request.dialect,
        accelerators: share.accelerators,
        total: share.total,
        divided_by: share.divided_by,
        block: share.block,
        other: share.other,
        margin: share.margin,
        cap: share.cap,
        low_zero: share.low_zero,
        spares_only_device: share.spares_only_device,
    }
}

/// The keys of the map that cover the module, or else its parts.
fn keys(tree: &ModuleTree, name: &str, target: Entry, answer: &PlanAnswer) -> Vec<ExplanationStep> {
    let mapped = |(key, device): &(String, PlanDevice)| ExplanationStep::Mapped {
        key: key.clone(),
        device: *device,
    };
    let covers = |key: &str| {
        let rest = if key.is_empty() {
            Some("")
        } else {
            name.strip_prefix(key)
        };
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let around = answer.device_map.iter().find(|(key, _)| covers(key));
    if let Some(key) = around {
        return vec![mapped(key)];
    }
    let is_part = |key: &str| {
        let module = tree.module_index(key).map(Entry::Module);
        let entry = module.or_else(|| tree.tensor_index(key).map(Entry::Tensor));
        entry.is_some_and(|entry| contains(tree, target, entry))
    };
    let parts: Vec<ExplanationStep> = answer
        .device_map
        .iter()
        .filter(|(key, _)| is_part(key))
        .map(mapped)
        .collect();
    if parts.is_empty() && DeviceMap::new(&answer.device_map).device_of(name).is_none() {
        return vec![ExplanationStep::NotCovered {
            module: name.to_owned(),
        }];
    }
    parts
}

/// A recorder that keeps the trials which concern a module, and those that close a device.
struct Recording<'a> {
    tree: &'a ModuleTree,
    target: Entry,
    trials: Vec<Recorded>,
    current: Option<(PlacementTrial, bool)>,
}

struct Recorded {
    trial: PlacementTrial,
    result: TrialOutcome,
    /// It is about the module itself, something around it, a part of it or something tied to it.
    concerns_target: bool,
}

impl Recording<'_> {
    fn concerns_target(&self, trial: &Trial<'_>) -> bool {
        let entries = std::iter::once(&trial.entry).chain(&trial.partners.entries);
        let mut related =
            entries.map(|&entry| contains(self.tree, entry, self.target) || contains(self.tree, self.target, entry));
        related.any(|is_related| is_related)
    }

    fn name(&self, entry: Entry) -> String {
        entry.name(self.tree).to_owned()
    }

    fn described(&self, trial: &Trial<'_>) -> PlacementTrial {
        PlacementTrial {
            entry: self.name(trial.entry),
            bytes: trial.bytes,
            tied: trial.partners.entries.iter().map(|&entry| self.name(entry)).collect(),
            bytes_with_ties: trial.partners.size,
            device: trial.device,
            room: trial.room.map(|room| TrialRoom {
                used: room.used,
                budget: room.budget,
                reserve: room.reserve,
                reserve_for: trial
                    .layers
                    .one()
                    .filter(|_| room.reserve > Amount::ZERO)
                    .map(|layer| self.name(layer)),
                limit: room.limit(),
            }),
        }
    }

    /// Everything up to the last trial by which the module, or a part of it, is placed.
    fn until_placed(mut self) -> Vec<ExplanationStep> {
        let is_last = |recorded: &Recorded| recorded.concerns_target && recorded.result == TrialOutcome::Placed;
        let end = self.trials.iter().rposition(is_last).map_or(0, |last| last + 1);
        self.trials.truncate(end);
        let steps = self.trials.into_iter().map(|recorded| ExplanationStep::Tried {
            trial: recorded.trial,
            result: recorded.result,
        });
        steps.collect()
    }
}

impl Recorder for Recording<'_> {
    fn tried(&mut self, trial: &Trial<'_>) {
        let concerns_target = self.concerns_target(trial);
        let may_close = trial.room.is_some_and(|room| !room.holds(trial.partners.size));
        self.current = (concerns_target || may_close).then(|| (self.described(trial), concerns_target));
    }

    fn decided(&mut self, result: TrialResult) {
        let Some((trial, concerns_target)) = self.current.take() else {
            return;
        };
        let result = match result {
            TrialResult::Placed => TrialOutcome::Placed,
            TrialResult::Divided => TrialOutcome::Divided,
            TrialResult::PartnerDivided(partner) => TrialOutcome::PartnerDivided {
                partner: self.name(partner),
            },
            TrialResult::Overtaken(by) => TrialOutcome::Overtaken { by: self.name(by) },
            TrialResult::DeviceLeft => TrialOutcome::DeviceClosed,
        };
        if concerns_target || result == TrialOutcome::DeviceClosed {
            self.trials.push(Recorded {
                trial,
                result,
                concerns_target,
            });
        }
    }
}
