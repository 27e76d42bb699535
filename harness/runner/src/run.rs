//! A run: the attempts of all cases in the order of the schedule, each recorded before the next begins.
//!
//! Whatever becomes of an attempt, the run goes on, unless a [`FailurePolicy`] ends it. A case that did not complete is not repeated: six times the same
//! hang costs six deadlines and says nothing new. A device that did not recover from an attempt is left alone for the rest of
//! the run: the cases that would use it are on record as skipped.

mod plan;
mod progress;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use placebench_core::outcome::Outcome;
use placebench_core::protocol::{PROTOCOL_VERSION, WorkerRequest};
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::scenario::TRANSFORMERS;

pub use self::plan::{RunEvent, RunPlan, RunSummary};
pub(crate) use self::progress::Progress;
use crate::arms::Base;
pub use crate::arms::{BasePlan, MorePairs};
use crate::cancel::Cancel;
use crate::environment;
pub use crate::failures::FailurePolicy;
use crate::failures::{Failures, LastTry};
use crate::quarantine::Quarantine;
use crate::schedule::{Arm, Group, Slot, Turn, schedule_groups, slots_of};
use crate::server_program;
use crate::store::{RunFolder, StoreError, is_interrupted};
use crate::supervisor::{SupervisorError, attempt_without_process, run_attempt};

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
    let groups = schedule_groups(plan.cases, plan.seed, &|case| {
        base.as_ref().is_some_and(|base| base.case(&case.case).is_some())
    });
    let mut running = Running::new(plan, base, folder, cancel, observer);
    for group in groups {
        if running.group(&group)?.is_break() {
            return Ok(running.summary(true));
        }
    }
    Ok(running.summary(false))
}

/// A run that goes on.
pub(crate) struct Running<'a, 'b> {
    pub(crate) plan: &'a RunPlan<'a>,
    pub(crate) folder: &'b mut RunFolder,
    pub(crate) cancel: &'b Cancel,
    pub(crate) observer: &'b mut dyn FnMut(RunEvent<'_>),
    progress: Progress<'a>,
    quarantine: Quarantine,
    pub(crate) failures: Failures<'a>,
    base: Option<Base<'a, 'b>>,
    attempts: u32,
}

impl<'a, 'b> Running<'a, 'b> {
    /// With all that earlier processes have recorded.
    pub(crate) fn new(
        plan: &'a RunPlan<'a>,
        base: Option<Base<'a, 'b>>,
        folder: &'b mut RunFolder,
        cancel: &'b Cancel,
        observer: &'b mut dyn FnMut(RunEvent<'_>),
    ) -> Self {
        let mut quarantine = Quarantine::after(plan.previous, plan.cases);
        for attempt in base.iter().flat_map(|base| base.plan.previous) {
            quarantine.take(attempt, plan.cases);
        }
        Self {
            plan,
            folder,
            cancel,
            observer,
            progress: Progress::of(plan.cases, plan.previous),
            quarantine,
            failures: Failures::new(plan.policy, plan.cases, plan.previous),
            base,
            attempts: 0,
        }
    }

    pub(crate) fn summary(&self, interrupted: bool) -> RunSummary {
        RunSummary {
            attempts: self.attempts,
            interrupted,
        }
    }

    /// All attempts of the placements of a prompt: the first tries, retries of what failed, and, with a base, more pairs where
    /// the answer needs them.
    pub(crate) fn group(&mut self, group: &Group) -> Result<ControlFlow<()>, RunError> {
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
            if ((is_last && case.measure.first_look.is_none()) || !completed) && self.end_try(case, &attempt).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// This was the last attempt of a try.
    pub(crate) fn end_try(&mut self, case: &'a CaseSpec, attempt: &Attempt) -> ControlFlow<()> {
        self.progress.end(case, attempt.attempt);
        if self.failures.decides_at_once(case, attempt) {
            (self.observer)(RunEvent::CaseFinished { case });
        }
        if self.failures.are_too_many() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Begins a prompt beside others: those attempts of its first tries that are not made yet.
    pub(crate) fn open(&mut self, group: &Group) -> Vec<Slot> {
        let cases = self.plan.cases;
        if let Some(&first) = group.cases.first() {
            self.failures.enter_beside(&cases[first]);
        }
        let turns: Vec<Turn> = group.order.iter().map(|&(case, arm)| self.turn(case, arm, 0)).collect();
        let mut slots = slots_of(cases, &turns);
        slots.retain(|slot| !self.progress.is_made(&cases[slot.case], slot.attempt));
        slots
    }

    /// Why a case is not run, as the outcome of its attempt.
    pub(crate) fn skip_reason(&self, case: &CaseSpec) -> Option<Outcome> {
        skip_reason(case, self.plan.cuda_devices).or_else(|| self.quarantine.skip_reason(case))
    }

    /// Makes one attempt, or leaves it out with the reason, and records it.
    fn make(&mut self, slot: Slot, case: &'a CaseSpec) -> Result<Attempt, RunError> {
        let attempt = match self.skip_reason(case) {
            Some(skipped) => attempt_without_process(case, slot.attempt, environment::now_rfc3339(), skipped),
            None => make_attempt(
                self.plan,
                slot,
                &self.folder.events_path(&case.case),
                self.cancel,
                self.observer,
            )?,
        };
        self.record(case, &attempt)?;
        Ok(attempt)
    }

    /// Puts an attempt on record, and tells everybody.
    pub(crate) fn record(&mut self, case: &'a CaseSpec, attempt: &Attempt) -> Result<(), RunError> {
        self.folder.append(attempt)?;
        self.quarantine.take(attempt, self.plan.cases);
        self.failures.take(case, attempt);
        if let Some(base) = &mut self.base {
            base.take_own(attempt);
            self.progress.made.insert((&case.case, attempt.attempt));
        }
        self.attempts += 1;
        (self.observer)(RunEvent::AttemptFinished { case, attempt });
        Ok(())
    }

    /// All placements of a prompt have had their turn: those that failed are tried again, as long as they may.
    fn retry(&mut self, group: &Group) -> Result<ControlFlow<()>, RunError> {
        loop {
            let turns = self.retries_of(group);
            if turns.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            if self.round(&slots_of(self.plan.cases, &turns))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// What is to be tried again of a prompt of which every placement has had its turn.
    pub(crate) fn retries_of(&mut self, group: &Group) -> Vec<Turn> {
        let again = self.failures.to_be_retried(group);
        for &(index, retry) in &again {
            let case = &self.plan.cases[index];
            (self.observer)(RunEvent::CaseRetried { case, retry });
        }
        let retry_of = |wanted: usize| again.iter().find(|(index, _)| *index == wanted);
        let turns = group
            .order
            .iter()
            .filter_map(|&(case, arm)| retry_of(case).map(|&(_, retry)| self.turn(case, arm, retry)));
        turns.collect()
    }

    /// Nothing more will come of the cases of a group.
    pub(crate) fn conclude(&mut self, group: &Group) -> ControlFlow<()> {
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
        transformers: case.transformers.clone(),
        server: case.server.as_ref().map(server_program::located),
    }
}

/// Why a case cannot be run on this machine, as the outcome of its one attempt.
#[must_use]
pub fn skip_reason(case: &CaseSpec, cuda_devices: u32) -> Option<Outcome> {
    // What the stack of Hugging Face finds is another question: whoever starts it asks its own torch.
    if case.engine != TRANSFORMERS && case.requires_cuda > cuda_devices {
        return Some(Outcome::Skipped {
            reason: format!(
                "needs {}, {cuda_devices} here",
                counted(case.requires_cuda, "CUDA device")
            ),
            hint: None,
        });
    }
    if let Some(missing) = case.server.as_ref().and_then(server_program::skip_reason) {
        return Some(missing);
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
