//! A run: the attempts of all cases in the order of the schedule, each recorded before the next begins.
//!
//! Whatever becomes of an attempt, the run goes on. A case that did not complete is not repeated: six times the same
//! hang costs six deadlines and says nothing new. A device that did not recover from an attempt is left alone for the rest of
//! the run: the cases that would use it are on record as skipped.

use std::collections::BTreeSet;
use std::path::Path;

use placebench_core::outcome::Outcome;
use placebench_core::protocol::{PROTOCOL_VERSION, WorkerRequest};
use placebench_core::record::{Attempt, CaseSpec};

use crate::cancel::Cancel;
use crate::environment;
use crate::quarantine::Quarantine;
use crate::schedule::{Slot, schedule};
use crate::store::{RunFolder, StoreError, is_interrupted};
use crate::supervisor::{Observation, SupervisorError, WorkerCommand, attempt_without_process, run_attempt};

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The supervisor cannot work.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The records cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
    /// No more attempts of this case will be made.
    CaseFinished {
        /// The case.
        case: &'a CaseSpec,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// Attempts recorded now, those that were skipped included.
    pub attempts: u32,
    /// True where it was stopped before all attempts were made.
    pub interrupted: bool,
}

/// Makes all attempts that are not made yet. Must be called from a thread that lives until it returns.
///
/// # Errors
/// When the supervisor cannot work or the records cannot be kept; what was recorded until then stays.
pub fn run(
    plan: &RunPlan<'_>,
    folder: &mut RunFolder,
    cancel: &Cancel,
    observer: &mut dyn FnMut(RunEvent<'_>),
) -> Result<RunSummary, RunError> {
    let mut slots = schedule(plan.cases, plan.seed);
    let mut progress = Progress::after(plan);
    let mut quarantine = Quarantine::after(plan.previous, plan.cases);
    slots.retain(|slot| !progress.is_made(plan.cases, *slot));
    let mut summary = RunSummary {
        attempts: 0,
        interrupted: false,
    };
    for (index, slot) in slots.iter().enumerate() {
        let case = &plan.cases[slot.case];
        if progress.over.contains(case.case.as_str()) {
            continue;
        }
        if cancel.is_cancelled() {
            summary.interrupted = true;
            break;
        }
        let skipped = skip_reason(case, plan.cuda_devices).or_else(|| quarantine.skip_reason(case));
        let attempt = match skipped {
            Some(skipped) => attempt_without_process(case, slot.attempt, environment::now_rfc3339(), skipped),
            None => make_attempt(plan, *slot, &folder.events_path(&case.case), cancel, observer)?,
        };
        folder.append(&attempt)?;
        quarantine.take(&attempt, plan.cases);
        summary.attempts += 1;
        observer(RunEvent::AttemptFinished {
            case,
            attempt: &attempt,
        });
        if is_interrupted(&attempt) {
            summary.interrupted = true;
            break;
        }
        let is_last = !slots[index + 1..].iter().any(|later| later.case == slot.case);
        if is_last || attempt.outcome != Outcome::Completed {
            progress.over.insert(&case.case);
            observer(RunEvent::CaseFinished { case });
        }
    }
    Ok(summary)
}

/// What needs not be done any more.
struct Progress<'a> {
    made: BTreeSet<(&'a str, u32)>,
    /// Cases of which no further attempt is made.
    over: BTreeSet<&'a str>,
}

impl<'a> Progress<'a> {
    fn after(plan: &RunPlan<'a>) -> Self {
        let made = plan.previous.iter().filter(|attempt| !is_interrupted(attempt));
        Self {
            made: made
                .clone()
                .map(|attempt| (attempt.case.as_str(), attempt.attempt))
                .collect(),
            over: made
                .filter(|attempt| attempt.outcome != Outcome::Completed)
                .map(|attempt| attempt.case.as_str())
                .collect(),
        }
    }

    fn is_made(&self, cases: &[CaseSpec], slot: Slot) -> bool {
        let case = cases[slot.case].case.as_str();
        self.over.contains(case) || self.made.contains(&(case, slot.attempt))
    }
}

fn make_attempt(
    plan: &RunPlan<'_>,
    slot: Slot,
    events: &Path,
    cancel: &Cancel,
    observer: &mut dyn FnMut(RunEvent<'_>),
) -> Result<Attempt, SupervisorError> {
    let case = &plan.cases[slot.case];
    observer(RunEvent::AttemptStarted {
        case,
        attempt: slot.attempt,
    });
    run_attempt(
        &(plan.worker)(case),
        case,
        &request_of(case, slot.repetitions),
        slot.attempt,
        Some(events),
        cancel,
        &mut |observation| observer(RunEvent::Worker { case, observation }),
    )
}

/// The order for a worker that is to make that many measured generations of a case.
#[must_use]
pub fn request_of(case: &CaseSpec, repetitions: u32) -> WorkerRequest {
    WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: case.case.clone(),
        engine: case.engine.clone(),
        model: case.model.clone(),
        dtype: case.dtype,
        devices: case.devices.clone(),
        rates: case.rates.clone(),
        placement: case.request.clone(),
        prompt: case.input.clone(),
        companion_prompts: case.companion_inputs.clone(),
        generation: case.generation.clone(),
        warmup: case.measure.warmup,
        repetitions,
        faults: case.faults.clone(),
        probe: case.measure.probe,
    }
}

/// Why a case cannot be run on this machine, as the outcome of its one attempt.
#[must_use]
pub fn skip_reason(case: &CaseSpec, cuda_devices: u32) -> Option<Outcome> {
    if case.requires_cuda > cuda_devices {
        return Some(Outcome::Skipped {
            reason: format!(
                "needs {}, {cuda_devices} here",
                counted(case.requires_cuda, "CUDA device")
            ),
            hint: None,
        });
    }
    match (&case.model, &case.model_fetch) {
        // A missing model that nobody says how to get is a mistake of the scenario, and the worker says so.
        (model, Some(fetch)) if model.path().is_some_and(|path| !Path::new(path).exists()) => Some(Outcome::Skipped {
            reason: format!("the model {} is not here", case.model.label()),
            hint: Some(fetch.clone()),
        }),
        _ => None,
    }
}

fn counted(count: u32, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use placebench_core::protocol::ModelSource;

    use super::*;
    use crate::fixture;

    #[test]
    fn a_case_is_skipped_for_want_of_devices() {
        let case = CaseSpec {
            requires_cuda: 2,
            ..fixture::case()
        };
        assert_eq!(skip_reason(&case, 2), None);
        let Some(Outcome::Skipped { reason, hint: None }) = skip_reason(&case, 1) else {
            panic!("not skipped")
        };
        assert_eq!(reason, "needs 2 CUDA devices, 1 here");
    }

    #[test]
    fn a_case_is_skipped_for_want_of_a_model_that_can_be_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let with = |path: &Path, fetch: Option<&str>| CaseSpec {
            model: ModelSource::Path(path.to_str().unwrap().to_owned()),
            model_fetch: fetch.map(str::to_owned),
            ..fixture::case()
        };
        let missing = folder.path().join("tiny");
        let Some(Outcome::Skipped { reason, hint }) = skip_reason(&with(&missing, Some("ci/fetch.sh tiny")), 0) else {
            panic!("not skipped")
        };
        assert_eq!(reason, "the model tiny is not here");
        assert_eq!(hint.as_deref(), Some("ci/fetch.sh tiny"));
        assert_eq!(skip_reason(&with(&missing, None), 0), None);
        assert_eq!(skip_reason(&with(folder.path(), Some("ci/fetch.sh tiny")), 0), None);
    }

    #[test]
    fn the_request_is_the_case() {
        let request = request_of(&fixture::case(), 1);
        assert_eq!(request.protocol, PROTOCOL_VERSION);
        assert_eq!(request.case, fixture::case().case);
        assert_eq!((request.warmup, request.repetitions), (0, 1));
    }
}
