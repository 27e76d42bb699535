//! The machines of a run: one, or those of the shards it was merged from.

use std::collections::HashSet;

use placebench_core::baseline::key::{machine_key, same_host};
use placebench_core::baseline::{ANY_MACHINE, CardSeen, Source, cards};
use placebench_core::compare::{Fingerprint, FingerprintDifference};
use placebench_core::record::{Attempt, Environment, RunRecord};

use super::folder::Stored;

/// A machine with the cases that were run on it.
pub(crate) struct Machine {
    /// The name of its baseline.
    pub(crate) key: String,
    /// Its accelerators, as far as a case saw them.
    cards: Vec<CardSeen>,
    environment: Environment,
    /// Names of the cases.
    pub(crate) cases: HashSet<String>,
}

/// The machines of a run, each once.
pub(crate) fn machines(record: &RunRecord) -> Vec<Machine> {
    let info = &record.info;
    let all = || {
        info.cases
            .iter()
            .map(|case| case.case.clone())
            .collect::<HashSet<String>>()
    };
    let parts: Vec<(&Environment, HashSet<String>)> = match info.shards.as_slice() {
        [] => vec![(&info.environment, all())],
        shards => (shards.iter())
            .map(|shard| (&shard.environment, shard.cases.iter().cloned().collect()))
            .collect(),
    };
    let mut machines: Vec<Machine> = Vec::new();
    for (environment, cases) in parts {
        let attempts: Vec<&Attempt> = (record.attempts.iter())
            .filter(|attempt| cases.contains(&attempt.case))
            .collect();
        let cards = cards(attempts.into_iter());
        let key = machine_key(environment, &cards);
        match machines.iter_mut().find(|known| known.key == key) {
            Some(known) => known.cases.extend(cases),
            None => machines.push(Machine {
                key,
                cards,
                environment: environment.clone(),
                cases,
            }),
        }
    }
    machines
}

impl Machine {
    /// The file it is held against: its own; where no case used an accelerator that of the same machine with its accelerators;
    /// else the one for all machines.
    pub(crate) fn find<'a>(&self, files: &'a [Stored]) -> Option<&'a Stored> {
        let with_key = |key: &str| files.iter().find(|file| file.baseline.key == key);
        let is_host = |file: &&Stored| {
            let mut sources = file.baseline.sources.iter();
            self.cards.is_empty() && sources.any(|source| same_host(source, &self.environment))
        };
        with_key(&self.key)
            .or_else(|| files.iter().find(is_host))
            .or_else(|| with_key(ANY_MACHINE))
    }

    /// What sets a machine of a baseline apart from this one.
    pub(crate) fn differences(&self, source: &Source) -> Vec<FingerprintDifference> {
        let fingerprint = |environment: &Environment, cards: &[CardSeen]| Fingerprint {
            environment: environment.clone(),
            profiles: Vec::new(),
            gpus: cards.iter().map(|card| card.name.clone()).collect(),
            drivers: Vec::new(),
        };
        let Some(environment) = &source.environment else {
            return Vec::new();
        };
        Fingerprint::differences(
            &fingerprint(environment, &source.cards),
            &fingerprint(&self.environment, &self.cards),
        )
    }
}
