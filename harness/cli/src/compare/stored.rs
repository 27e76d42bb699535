//! A side of a comparison as read back from its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use placebench_core::record::{Attempt, CaseSpec, CaseVerdict, Environment, RunInfo, RunRecord, RunVerdict};
use placebench_runner::run::unfinished;
use placebench_runner::store;

use crate::error::CliError;
use crate::{judged, terminal};

/// A run whose attempts lie with their cases.
pub(crate) struct StoredRun {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// `run.json`.
    pub(crate) info: RunInfo,
    /// The judgement, made again.
    pub(crate) verdict: RunVerdict,
    /// Names of the cases with attempts that were never made.
    pub(crate) unfinished: Vec<String>,
    attempts: BTreeMap<String, Vec<Attempt>>,
}

/// Reads a run that is named by its folder, its id, or as `latest`.
pub(crate) fn read(dir: &Path, run: &str) -> Result<StoredRun, CliError> {
    let folder = store::locate(dir, run).map_err(|error| {
        CliError::setup(terminal::chain(&error))
            .hint("name the folder of a run (reports/<run-id>), or its id with --output-dir for where it lies")
    })?;
    let record = judged::read_alone(&folder)?;
    Ok(StoredRun::of(folder, &record))
}

/// The attempts of the try that decided, counted from 0: those of a retry are as good as those of a first try.
fn deciding(record: &RunRecord, case: &CaseSpec) -> Vec<Attempt> {
    let attempts = record.deciding_attempts(case).cloned();
    attempts
        .map(|attempt| Attempt {
            attempt: attempt.attempt % case.attempts_per_try(),
            ..attempt
        })
        .collect()
}

impl StoredRun {
    /// From what was read of its folder.
    pub(crate) fn of(folder: PathBuf, record: &RunRecord) -> Self {
        let cases = record.info.cases.iter();
        Self {
            folder,
            unfinished: unfinished(&record.info.cases, &record.attempts),
            attempts: cases.map(|case| (case.case.clone(), deciding(record, case))).collect(),
            info: record.info.clone(),
            verdict: record.verdict.clone(),
        }
    }

    /// A case by its name.
    pub(crate) fn case(&self, name: &str) -> Option<&CaseSpec> {
        self.info.cases.iter().find(|case| case.case == name)
    }

    /// The judgement on a case.
    pub(crate) fn verdict_of(&self, name: &str) -> Option<&CaseVerdict> {
        self.verdict.cases.iter().find(|judged| judged.case == name)
    }

    /// The attempts that decided on a case.
    pub(crate) fn attempts_of(&self, name: &str) -> Vec<&Attempt> {
        self.attempts.get(name).into_iter().flatten().collect()
    }

    /// The machine a case was run on. A merged run has several.
    pub(crate) fn environment_of(&self, name: &str) -> &Environment {
        let mut shards = self.info.shards.iter();
        let shard = shards.find(|shard| shard.cases.iter().any(|case| case == name));
        shard.map_or(&self.info.environment, |shard| &shard.environment)
    }
}
