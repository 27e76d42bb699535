//! What is to be run, what can be watched meanwhile, and how it ended.

use placebench_core::record::{Attempt, CaseSpec};

use crate::failures::FailurePolicy;
use crate::supervisor::{Observation, WorkerCommand};

/// What is to be run.
#[derive(Clone, Copy)]
pub struct RunPlan<'a> {
    /// The cases.
    pub cases: &'a [CaseSpec],
    /// Seed of the order of attempts.
    pub seed: u64,
    /// The program that runs a case.
    pub worker: &'a dyn Fn(&CaseSpec) -> WorkerCommand,
    /// CUDA devices of this machine.
    pub cuda_devices: u32,
    /// What an earlier process has already recorded in the same folder; empty for a fresh run.
    pub previous: &'a [Attempt],
    /// What is done about failures.
    pub policy: FailurePolicy<'a>,
}

/// What can be watched while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunEvent<'a> {
    /// A process is about to be started.
    AttemptStarted {
        /// The case.
        case: &'a CaseSpec,
        /// Number of the attempt within the case, from 0.
        attempt: u32,
    },
    /// Something happened in it.
    Worker {
        /// The case.
        case: &'a CaseSpec,
        /// What.
        observation: Observation<'a>,
    },
    /// It is over and on record. Cases that are skipped have this event only.
    AttemptFinished {
        /// The case.
        case: &'a CaseSpec,
        /// Its record.
        attempt: &'a Attempt,
    },
    /// A process of the program that the run is held against is about to be started.
    BaseAttemptStarted {
        /// The case.
        case: &'a CaseSpec,
        /// Number of the attempt.
        attempt: u32,
    },
    /// Something happened in it.
    BaseWorker {
        /// The case.
        case: &'a CaseSpec,
        /// What.
        observation: Observation<'a>,
    },
    /// It is over and on record.
    BaseAttemptFinished {
        /// The case.
        case: &'a CaseSpec,
        /// Its record.
        attempt: &'a Attempt,
    },
    /// The case failed and is about to be tried again.
    CaseRetried {
        /// The case.
        case: &'a CaseSpec,
        /// The number of the retry, from 1.
        retry: u32,
    },
    /// No more attempts of this case will be made.
    CaseFinished {
        /// The case.
        case: &'a CaseSpec,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// Attempts of the run's own program recorded now, those that were skipped included.
    pub attempts: u32,
    /// True where it was stopped before all attempts were made, from outside or because of too many failures.
    pub interrupted: bool,
}
