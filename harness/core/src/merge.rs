//! Several runs put together as one: what must hold for that, and what the one is then.
//!
//! Nothing is merged silently: a case that two runs made, or that no run made, is named.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::record::{BaselineAction, BaselineUse, CaseSpec, Environment, RunControl, RunInfo, Shard};
use crate::selection::Partition;

/// A run that is to be merged.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// What people know it as: its folder.
    pub name: &'a str,
    /// Its `run.json`.
    pub info: &'a RunInfo,
    /// Cases of it with attempts that were never made.
    pub unfinished: &'a [String],
}

/// Why runs cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MergeError {
    /// The same run was given twice.
    #[error("{first} and {second} are the same run {run_id}")]
    SameRun {
        /// Its name.
        run_id: String,
        /// One of its folders.
        first: String,
        /// The other.
        second: String,
    },
    /// Cases were made by two runs.
    #[error("{first} and {second} both made {}", named(cases))]
    Duplicates {
        /// One run.
        first: String,
        /// The other.
        second: String,
        /// The cases.
        cases: Vec<String>,
    },
    /// Shards were cut from different selections, or cut differently.
    #[error("{first} and {second} are not shards of one selection: {why}")]
    OtherSelection {
        /// One run.
        first: String,
        /// The other.
        second: String,
        /// What differs.
        why: String,
    },
    /// Cases are missing.
    #[error("{}", gap_words(shards, cases))]
    Gap {
        /// Shards nobody gave.
        shards: Vec<String>,
        /// Their cases.
        cases: Vec<String>,
    },
    /// A run ended before all its attempts were made.
    #[error("{name} is not finished: {} to be made", named(cases))]
    Unfinished {
        /// The run.
        name: String,
        /// Its name, for `run --resume`.
        run_id: String,
        /// Cases with attempts to be made.
        cases: Vec<String>,
    },
}

impl MergeError {
    /// Whether merging is possible all the same, with less to be said about the whole.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        matches!(self, Self::Gap { .. } | Self::Unfinished { .. })
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::SameRun { .. } => "name each run once".to_owned(),
            Self::Duplicates { .. } => {
                "leave one of the runs out; a shard that was started again keeps its run with `run --resume`".to_owned()
            }
            Self::OtherSelection { .. } => {
                "shards of one run have the same files, the same filter and the same number of shards".to_owned()
            }
            Self::Gap { .. } => {
                "add the runs of the missing shards, or merge without them with --allow-gaps".to_owned()
            }
            Self::Unfinished { run_id, .. } => {
                format!(
                    "finish it with `placebench run --resume {run_id}` on its machine, or merge without with --allow-gaps"
                )
            }
        }
    }
}

/// `a, b and 3 more`.
fn named(cases: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = cases.iter().take(SHOWN).map(String::as_str).collect();
    match cases.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn gap_words(shards: &[String], cases: &[String]) -> String {
    let cases = named(cases);
    match shards {
        [] => format!("no run made {cases}"),
        [one] => format!("shard {one} is missing: no run made {cases}"),
        several => format!("shards {} are missing: no run made {cases}", several.join(", ")),
    }
}

/// What a merged run is to be made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Its cases, in the order of the suite where the runs are shards, else run by run.
    pub cases: Vec<CaseSpec>,
    /// How it came about: what all runs have in common.
    pub control: RunControl,
    /// The runs.
    pub shards: Vec<Shard>,
    /// What all machines have in common.
    pub environment: Environment,
    /// Seed of the first run.
    pub seed: u64,
}

/// Checks runs against each other and puts them together. Errors are complete: all of them at once, gaps last, and what could
/// be merged all the same is there where gaps are all there is.
///
/// # Errors
/// When a case would be there twice, or the runs do not belong together.
pub fn merge(parts: &[Part<'_>]) -> Result<(Merged, Vec<MergeError>), Vec<MergeError>> {
    let mut errors = same_runs(parts);
    if errors.is_empty() {
        errors.extend(duplicates(parts));
        errors.extend(other_selections(parts));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut merged = put_together(parts);
    let gaps = gaps(parts);
    if gaps.iter().any(|gap| matches!(gap, MergeError::Gap { .. })) {
        // Whoever judges the merged run later must know that it is not whole.
        merged.control.selected = selected(parts).to_vec();
    }
    Ok((merged, gaps))
}

fn same_runs(parts: &[Part<'_>]) -> Vec<MergeError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for part in parts {
        if let Some(first) = seen.insert(&part.info.run_id, part.name) {
            errors.push(MergeError::SameRun {
                run_id: part.info.run_id.clone(),
                first: first.to_owned(),
                second: part.name.to_owned(),
            });
        }
    }
    errors
}

fn duplicates(parts: &[Part<'_>]) -> Vec<MergeError> {
    let mut owner: BTreeMap<&str, usize> = BTreeMap::new();
    let mut twice: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        for case in &part.info.cases {
            match owner.get(case.case.as_str()) {
                Some(&first) => twice.entry((first, index)).or_default().push(case.case.clone()),
                None => {
                    owner.insert(&case.case, index);
                }
            }
        }
    }
    let error = |((first, second), cases): ((usize, usize), Vec<String>)| MergeError::Duplicates {
        first: parts[first].name.to_owned(),
        second: parts[second].name.to_owned(),
        cases,
    };
    twice.into_iter().map(error).collect()
}

fn other_selections(parts: &[Part<'_>]) -> Vec<MergeError> {
    let Some((first, rest)) = parts.split_first() else {
        return Vec::new();
    };
    let error = |part: &Part<'_>| {
        let (ours, theirs) = (&first.info.control, &part.info.control);
        let why = match (ours.partition, theirs.partition) {
            (None, None) => return None,
            (Some(ours), Some(theirs)) if (ours.kind, ours.count) != (theirs.kind, theirs.count) => {
                format!("one is {ours}, the other {theirs}")
            }
            (Some(_), Some(_)) => differing_case(&ours.selected, &theirs.selected)?,
            (Some(partition), None) => format!("the first is {partition}, the second no shard"),
            (None, Some(partition)) => format!("the first is no shard, the second {partition}"),
        };
        Some(MergeError::OtherSelection {
            first: first.name.to_owned(),
            second: part.name.to_owned(),
            why,
        })
    };
    rest.iter().filter_map(error).collect()
}

/// What shows that two lists of cases are not the same.
fn differing_case(ours: &[String], theirs: &[String]) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let only = |one: &[String], other: &[String]| {
        let other: BTreeSet<&String> = other.iter().collect();
        one.iter().find(|case| !other.contains(case)).cloned()
    };
    Some(match (only(ours, theirs), only(theirs, ours)) {
        (Some(case), _) => format!("{case} was selected for the first only"),
        (None, Some(case)) => format!("{case} was selected for the second only"),
        (None, None) => "the same cases in another order".to_owned(),
    })
}

/// The cases of all shards; nothing where nobody says so.
fn selected<'a>(parts: &[Part<'a>]) -> &'a [String] {
    let mut lists = parts.iter().map(|part| part.info.control.selected.as_slice());
    lists.find(|list| !list.is_empty()).unwrap_or_default()
}

fn gaps(parts: &[Part<'_>]) -> Vec<MergeError> {
    let mut errors = Vec::new();
    let made: BTreeSet<&str> = parts
        .iter()
        .flat_map(|part| &part.info.cases)
        .map(|case| case.case.as_str())
        .collect();
    let missing = selected(parts).iter().filter(|case| !made.contains(case.as_str()));
    let missing: Vec<String> = missing.cloned().collect();
    if !missing.is_empty() {
        errors.push(MergeError::Gap {
            shards: absent_shards(parts),
            cases: missing,
        });
    }
    let unfinished = parts.iter().filter(|part| !part.unfinished.is_empty());
    errors.extend(unfinished.map(|part| MergeError::Unfinished {
        name: part.name.to_owned(),
        run_id: part.info.run_id.clone(),
        cases: part.unfinished.to_vec(),
    }));
    errors
}

fn absent_shards(parts: &[Part<'_>]) -> Vec<String> {
    let partitions = || parts.iter().filter_map(|part| part.info.control.partition);
    let given: BTreeSet<u32> = partitions().map(|partition| partition.index).collect();
    let shard = |partition: Partition| {
        let absent = (1..=partition.count).filter(|index| !given.contains(index));
        absent
            .map(|index| Partition { index, ..partition }.to_string())
            .collect()
    };
    partitions().next().map(shard).unwrap_or_default()
}

fn put_together(parts: &[Part<'_>]) -> Merged {
    let mut cases: Vec<CaseSpec> = parts.iter().flat_map(|part| part.info.cases.iter().cloned()).collect();
    let order: BTreeMap<&str, usize> = (selected(parts).iter().enumerate())
        .map(|(index, case)| (case.as_str(), index))
        .collect();
    cases.sort_by_key(|case| order.get(case.case.as_str()).copied().unwrap_or(usize::MAX));
    let controls = || parts.iter().map(|part| &part.info.control);
    let agreed = |of: &dyn Fn(&RunControl) -> Option<String>| {
        let mut values: Vec<Option<String>> = controls().map(of).collect();
        values.dedup();
        values.pop().filter(|_| values.is_empty()).flatten()
    };
    let strict = controls().any(|control| control.flaky_result == crate::record::FlakyResult::Fail);
    Merged {
        cases,
        control: RunControl {
            profile: agreed(&|control| control.profile.clone()),
            filterset: agreed(&|control| control.filterset.clone()),
            retries: controls().map(|control| control.retries).max().unwrap_or(0),
            flaky_result: if strict {
                crate::record::FlakyResult::Fail
            } else {
                crate::record::FlakyResult::Pass
            },
            baseline: baseline(parts),
            ..RunControl::default()
        },
        shards: parts.iter().flat_map(|part| shards_of(part.info)).collect(),
        environment: common_environment(parts.iter().map(|part| &part.info.environment)),
        seed: parts.first().map_or(0, |part| part.info.seed),
    }
}

/// What all runs were to be held against. Each saved its own cases itself, so that saving is not done again.
fn baseline(parts: &[Part<'_>]) -> Option<BaselineUse> {
    let mut asked = parts.iter().map(|part| part.info.control.baseline.as_ref());
    let first = asked.next().flatten()?;
    let is_held = matches!(first.action, BaselineAction::Hold | BaselineAction::HoldLeniently);
    (is_held && asked.all(|other| other == Some(first))).then(|| first.clone())
}

/// A merged run brings the runs it was made from.
fn shards_of(info: &RunInfo) -> Vec<Shard> {
    if !info.shards.is_empty() {
        return info.shards.clone();
    }
    vec![Shard {
        run_id: info.run_id.clone(),
        started_at: info.started_at.clone(),
        tool: info.tool.clone(),
        environment: info.environment.clone(),
        arguments: info.arguments.clone(),
        seed: info.seed,
        control: RunControl {
            selected: Vec::new(),
            ..info.control.clone()
        },
        cases: info.cases.iter().map(|case| case.case.clone()).collect(),
    }]
}

/// What several machines have in common: words that differ are listed, of numbers the smallest is true of all, and
/// variables are those that are the same everywhere.
#[must_use]
pub fn common_environment<'a>(environments: impl Iterator<Item = &'a Environment>) -> Environment {
    let all: Vec<&Environment> = environments.collect();
    let words = |of: &dyn Fn(&'a Environment) -> &'a str| {
        let mut distinct: Vec<&str> = Vec::new();
        for word in all.iter().map(|environment| of(environment)) {
            if !distinct.contains(&word) {
                distinct.push(word);
            }
        }
        distinct.join("; ")
    };
    let shared = all.first().map(|first| first.worker_env.iter()).into_iter().flatten();
    Environment {
        platform: words(&|environment| &environment.platform),
        kernel: words(&|environment| &environment.kernel),
        cpu: words(&|environment| &environment.cpu),
        cpu_count: all.iter().map(|environment| environment.cpu_count).min().unwrap_or(0),
        memory_bytes: all
            .iter()
            .map(|environment| environment.memory_bytes)
            .min()
            .unwrap_or_default(),
        worker_env: shared
            .filter(|variable| all.iter().all(|environment| environment.worker_env.contains(variable)))
            .cloned()
            .collect(),
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
