//! A run: the attempts of all cases in the order of the schedule, each recorded before the next begins.
//!
//! Whatever becomes of an attempt, the run goes on, unless a [`FailurePolicy`] ends it. A case that did not complete is not repeated: six times the same
//! hang costs six deadlines and says nothing new. A device that did not recover from an attempt is left alone for the rest of
//! the run: the cases that would use it are on record as skipped.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use placebench_core::outcome::Outcome;
use placebench_core::protocol::{PROTOCOL_VERSION, WorkerRequest};
use placebench_core::record::{Attempt, CaseSpec};

use crate::arms::Base;
pub use crate::arms::{BasePlan, MorePairs};
use crate::cancel::Cancel;
use crate::environment;
pub use crate::failures::FailurePolicy;
use crate::failures::{Failures, LastTry};
use crate::quarantine::Quarantine;
use crate::schedule::{Arm, Group, Slot, Turn, schedule_groups, slots_of};
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
    run_arms(plan, None, folder, cancel, observer)
}

/// The same in turns with another program, whose attempts go into a folder of their own. Each case has as many pairs as its
/// answer needs.
///
/// # Errors
/// As [`run`].
pub fn run_against(
    plan: &RunPlan<'_>,
    base: &BasePlan<'_>,
    (folder, base_folder): (&mut RunFolder, &mut RunFolder),
    cancel: &Cancel,
    observer: &mut dyn FnMut(RunEvent<'_>),
) -> Result<RunSummary, RunError> {
    run_arms(plan, Some(Base::new(*base, base_folder)), folder, cancel, observer)
}

fn run_arms<'a>(
    plan: &'a RunPlan<'a>,
    base: Option<Base<'a, '_>>,
    folder: &mut RunFolder,
    cancel: &Cancel,
    observer: &mut dyn FnMut(RunEvent<'_>),
) -> Result<RunSummary, RunError> {
    let mut quarantine = Quarantine::after(plan.previous, plan.cases);
    for attempt in base.iter().flat_map(|base| base.plan.previous) {
        quarantine.take(attempt, plan.cases);
    }
    let groups = schedule_groups(plan.cases, plan.seed, &|case| {
        base.as_ref().is_some_and(|base| base.case(&case.case).is_some())
    });
    let mut running = Running {
        plan,
        folder,
        cancel,
        observer,
        progress: Progress::of(plan.cases, plan.previous),
        quarantine,
        failures: Failures::new(plan.policy, plan.cases, plan.previous),
        base,
        attempts: 0,
    };
    for group in groups {
        if running.group(&group)?.is_break() {
            return Ok(running.summary(true));
        }
    }
    Ok(running.summary(false))
}

/// A run that goes on.
struct Running<'a, 'b> {
    plan: &'a RunPlan<'a>,
    folder: &'b mut RunFolder,
    cancel: &'b Cancel,
    observer: &'b mut dyn FnMut(RunEvent<'_>),
    progress: Progress<'a>,
    quarantine: Quarantine,
    failures: Failures<'a>,
    base: Option<Base<'a, 'b>>,
    attempts: u32,
}

impl<'a> Running<'a, '_> {
    fn summary(&self, interrupted: bool) -> RunSummary {
        RunSummary {
            attempts: self.attempts,
            interrupted,
        }
    }

    /// All attempts of the placements of a prompt: the first tries, retries of what failed, and, with a base, more pairs where
    /// the answer needs them.
    fn group(&mut self, group: &Group) -> Result<ControlFlow<()>, RunError> {
        let cases = self.plan.cases;
        self.failures.enter(&cases[group.cases[0]]);
        if let Some(base) = &mut self.base {
            let own: Vec<&CaseSpec> = group.cases.iter().map(|&index| &cases[index]).collect();
            base.enter(&own, self.plan.previous);
        }
        let mut turns: Vec<Turn> = group.order.iter().map(|&(case, arm)| self.turn(case, arm, 0)).collect();
        loop {
            if self.round(&slots_of(cases, &turns))?.is_break() || self.retry(group)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            turns = self
                .base
                .as_ref()
                .map_or_else(Vec::new, |base| base.next_look(group, cases));
            if turns.is_empty() {
                return Ok(self.conclude(group));
            }
        }
    }

    /// The attempts of one try of a case by one program, as far as the next look.
    fn turn(&self, index: usize, arm: Arm, retry: u32) -> Turn {
        let case = &self.plan.cases[index];
        let made_by = |progress: &Progress<'_>| progress.made_of(case, retry);
        let made = made_by(&self.progress).max(self.base.as_ref().map_or(0, |base| made_by(&base.progress)));
        Turn {
            case: index,
            arm,
            retry,
            attempts: case.attempts_to_next_look(made),
        }
    }

    /// Makes those of the attempts that are not made yet.
    fn round(&mut self, slots: &[Slot]) -> Result<ControlFlow<()>, RunError> {
        let plan = self.plan;
        for (index, slot) in slots.iter().enumerate() {
            let case = &plan.cases[slot.case];
            let progress = match slot.arm {
                Arm::New => Some(&self.progress),
                Arm::Base => self.base.as_ref().map(|base| &base.progress),
            };
            if progress.is_none_or(|progress| progress.is_made(case, slot.attempt)) {
                continue;
            }
            if self.cancel.is_cancelled() {
                return Ok(ControlFlow::Break(()));
            }
            let attempt = match (slot.arm, &mut self.base) {
                (Arm::Base, Some(base)) => base.make(*slot, case, &mut self.quarantine, self.cancel, self.observer)?,
                _ => self.make(*slot, case)?,
            };
            if is_interrupted(&attempt) {
                return Ok(ControlFlow::Break(()));
            }
            let completed = attempt.outcome == Outcome::Completed;
            if slot.arm == Arm::Base {
                continue;
            }
            let later = &slots[index + 1..];
            let is_last = !later
                .iter()
                .any(|later| (later.case, later.arm) == (slot.case, slot.arm));
            // Where there is a base, only a look says whether it was the last.
            if (is_last && case.measure.first_look.is_none()) || !completed {
                self.progress.end(case, slot.attempt);
                if self.failures.decides_at_once(case, &attempt) {
                    (self.observer)(RunEvent::CaseFinished { case });
                }
                if self.failures.are_too_many() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Makes one attempt, or leaves it out with the reason, and records it.
    fn make(&mut self, slot: Slot, case: &'a CaseSpec) -> Result<Attempt, RunError> {
        let skipped = skip_reason(case, self.plan.cuda_devices).or_else(|| self.quarantine.skip_reason(case));
        let attempt = match skipped {
            Some(skipped) => attempt_without_process(case, slot.attempt, environment::now_rfc3339(), skipped),
            None => make_attempt(
                self.plan,
                slot,
                &self.folder.events_path(&case.case),
                self.cancel,
                self.observer,
            )?,
        };
        self.folder.append(&attempt)?;
        self.quarantine.take(&attempt, self.plan.cases);
        self.failures.take(case, &attempt);
        if let Some(base) = &mut self.base {
            base.take_own(&attempt);
            self.progress.made.insert((&case.case, slot.attempt));
        }
        self.attempts += 1;
        (self.observer)(RunEvent::AttemptFinished {
            case,
            attempt: &attempt,
        });
        Ok(attempt)
    }

    /// All placements of a prompt have had their turn: those that failed are tried again, as long as they may.
    fn retry(&mut self, group: &Group) -> Result<ControlFlow<()>, RunError> {
        let cases = self.plan.cases;
        loop {
            let again = self.failures.to_be_retried(group);
            if again.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            for &(index, retry) in &again {
                let case = &cases[index];
                (self.observer)(RunEvent::CaseRetried { case, retry });
            }
            let retry_of = |wanted: usize| again.iter().find(|(index, _)| *index == wanted);
            let turns = group
                .order
                .iter()
                .filter_map(|&(case, arm)| retry_of(case).map(|&(_, retry)| self.turn(case, arm, retry)));
            let turns: Vec<Turn> = turns.collect();
            if self.round(&slots_of(cases, &turns))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Nothing more will come of the cases of a group.
    fn conclude(&mut self, group: &Group) -> ControlFlow<()> {
        let cases = self.plan.cases;
        for &index in &group.cases {
            if self.failures.close(index) {
                (self.observer)(RunEvent::CaseFinished { case: &cases[index] });
            }
        }
        if self.failures.are_too_many() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What needs not be done any more.
pub(crate) struct Progress<'a> {
    pub(crate) made: BTreeSet<(&'a str, u32)>,
    /// Cases and retries of which no further attempt is made.
    over: BTreeSet<(&'a str, u32)>,
}

impl<'a> Progress<'a> {
    pub(crate) fn of(cases: &'a [CaseSpec], attempts: &'a [Attempt]) -> Self {
        let made = attempts.iter().filter(|attempt| !is_interrupted(attempt));
        let cases: HashMap<&str, &CaseSpec> = cases.iter().map(|case| (case.case.as_str(), case)).collect();
        let retry = |attempt: &Attempt| {
            cases
                .get(attempt.case.as_str())
                .map_or(0, |case| case.retry_of(attempt.attempt))
        };
        Self {
            made: made
                .clone()
                .map(|attempt| (attempt.case.as_str(), attempt.attempt))
                .collect(),
            over: made
                .filter(|attempt| attempt.outcome != Outcome::Completed)
                .map(|attempt| (attempt.case.as_str(), retry(attempt)))
                .collect(),
        }
    }

    /// How many attempts of a try were made by an earlier process.
    fn made_of(&self, case: &CaseSpec, retry: u32) -> u32 {
        let (name, each) = (case.case.as_str(), case.attempts_per_try());
        let (from, to) = (retry.saturating_mul(each), retry.saturating_add(1).saturating_mul(each));
        u32::try_from(self.made.range((name, from)..(name, to)).count()).unwrap_or(u32::MAX)
    }

    /// No further attempt of this try is made.
    pub(crate) fn end(&mut self, case: &'a CaseSpec, attempt: u32) {
        self.over.insert((&case.case, case.retry_of(attempt)));
    }

    fn is_made(&self, case: &CaseSpec, attempt: u32) -> bool {
        let name = case.case.as_str();
        self.over.contains(&(name, case.retry_of(attempt))) || self.made.contains(&(name, attempt))
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

/// Names of the cases with attempts that are still to be made. Retries that were not begun are not asked for: what was made
/// says enough.
#[must_use]
pub fn unfinished(cases: &[CaseSpec], attempts: &[Attempt]) -> Vec<String> {
    let mut by_case: HashMap<&str, Vec<&Attempt>> = HashMap::new();
    for attempt in attempts {
        by_case.entry(&attempt.case).or_default().push(attempt);
    }
    let is_open = |case: &&CaseSpec| {
        let own = by_case.get(case.case.as_str()).map(Vec::as_slice).unwrap_or_default();
        LastTry::of(case, own.iter().copied()).is_none_or(|last| !last.is_over)
    };
    cases.iter().filter(is_open).map(|case| case.case.clone()).collect()
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
        generation: case.generation_asked(),
        warmup: case.measure.warmup,
        repetitions,
        faults: case.faults.clone(),
        audit: case.audit.is_some(),
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
