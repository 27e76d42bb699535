//! The other side of a run: the attempts of the program it is held against.
//!
//! They are made in turns with the run's own and kept in a folder of their own, which is a whole run. When all attempts up to a
//! look are made, whoever started the run is asked whether its answer needs more: so the pairs of a case stay neighbours in
//! time, and a run takes no longer than its answers need. A case that is tried again is so by both programs, for only attempts
//! of the same moment are a pair.

use std::collections::HashMap;

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec};

use crate::cancel::Cancel;
use crate::environment;
use crate::quarantine::Quarantine;
use crate::run::{Progress, RunError, RunEvent, request_of};
use crate::schedule::{Group, Slot, Turn};
use crate::store::{RunFolder, is_interrupted};
use crate::supervisor::{WorkerCommand, attempt_without_process, run_attempt};

/// The other program, and what it is to run.
#[derive(Clone, Copy)]
pub struct BasePlan<'a> {
    /// Its cases: some of the run's own, as they are put to it.
    pub cases: &'a [CaseSpec],
    /// Its program.
    pub worker: &'a dyn Fn(&CaseSpec) -> WorkerCommand,
    /// What an earlier process has recorded of it.
    pub previous: &'a [Attempt],
    /// Asked at every look: how many pairs there should be before the next one. `None`: enough. The attempts are all that the
    /// two sides have of the case and those it is compared with.
    pub more_pairs: &'a MorePairs<'a>,
}

/// The case, the attempts of the base and of the run itself: how many pairs are wanted.
pub type MorePairs<'a> = dyn Fn(&CaseSpec, &[Attempt], &[Attempt]) -> Option<u32> + 'a;

/// The other side as it goes on.
pub(crate) struct Base<'a, 'b> {
    pub(crate) plan: BasePlan<'a>,
    pub(crate) folder: &'b mut RunFolder,
    pub(crate) progress: Progress<'a>,
    by_name: HashMap<&'a str, &'a CaseSpec>,
    /// Attempts of the group that is under way, of each side.
    attempts: Vec<Attempt>,
    own: Vec<Attempt>,
}

impl<'a, 'b> Base<'a, 'b> {
    pub(crate) fn new(plan: BasePlan<'a>, folder: &'b mut RunFolder) -> Self {
        Self {
            plan,
            folder,
            progress: Progress::of(plan.cases, plan.previous),
            by_name: plan.cases.iter().map(|case| (case.case.as_str(), case)).collect(),
            attempts: Vec::new(),
            own: Vec::new(),
        }
    }

    /// The case as it is put to the other program.
    pub(crate) fn case(&self, name: &str) -> Option<&'a CaseSpec> {
        self.by_name.get(name).copied()
    }

    /// A group begins. What was kept of the one before is forgotten, so that a long run needs no more memory than a short one.
    pub(crate) fn enter(&mut self, cases: &[&CaseSpec], previous: &[Attempt]) {
        let of_group = |attempts: &[Attempt]| -> Vec<Attempt> {
            let is_of_group = |attempt: &&Attempt| cases.iter().any(|case| case.case == attempt.case);
            let own = attempts.iter().filter(is_of_group);
            own.filter(|attempt| !is_interrupted(attempt)).cloned().collect()
        };
        self.own = of_group(previous);
        self.attempts = of_group(self.plan.previous);
    }

    /// An attempt of the run's own program is on record.
    pub(crate) fn take_own(&mut self, attempt: &Attempt) {
        self.own.push(attempt.clone());
    }

    /// Makes one attempt, or leaves it out with the reason, and records it. `own` is the run's own case.
    pub(crate) fn make(
        &mut self,
        slot: Slot,
        own: &'a CaseSpec,
        quarantine: &mut Quarantine,
        cancel: &Cancel,
        observer: &mut dyn FnMut(RunEvent<'_>),
    ) -> Result<Attempt, RunError> {
        let case = self.case(&own.case).unwrap_or(own);
        let attempt = match quarantine.skip_reason(case) {
            Some(skipped) => attempt_without_process(case, slot.attempt, environment::now_rfc3339(), skipped),
            None => {
                observer(RunEvent::BaseAttemptStarted {
                    case,
                    attempt: slot.attempt,
                });
                run_attempt(
                    &(self.plan.worker)(case),
                    case,
                    &request_of(case, slot.repetitions),
                    slot.attempt,
                    Some(&self.folder.events_path(&case.case)),
                    cancel,
                    &mut |observation| observer(RunEvent::BaseWorker { case, observation }),
                )?
            }
        };
        self.folder.append(&attempt)?;
        quarantine.take(&attempt, std::slice::from_ref(case));
        if attempt.outcome != Outcome::Completed {
            self.progress.end(case, slot.attempt);
        }
        self.progress.made.insert((&case.case, slot.attempt));
        self.attempts.push(attempt.clone());
        observer(RunEvent::BaseAttemptFinished {
            case,
            attempt: &attempt,
        });
        Ok(attempt)
    }

    /// The attempts that the cases of a group still need, now that a look has been reached; none where all is said.
    pub(crate) fn next_look(&self, group: &Group, cases: &[CaseSpec]) -> Vec<Turn> {
        let mut turns = Vec::new();
        for &index in &group.cases {
            let case = &cases[index];
            let Some((retry, attempts)) = self.wanted(case) else {
                continue;
            };
            let arms = group.order.iter().filter(|(case, _)| *case == index);
            turns.extend(arms.map(|&(case, arm)| Turn {
                case,
                arm,
                retry,
                attempts,
            }));
        }
        turns
    }

    /// The last try of a case, and how many attempts it should have.
    fn wanted(&self, case: &CaseSpec) -> Option<(u32, u32)> {
        self.case(&case.case)?;
        let of_case = |attempts: &'_ [Attempt]| -> Vec<(u32, bool)> {
            let own = attempts.iter().filter(|attempt| attempt.case == case.case);
            own.map(|attempt| (attempt.attempt, attempt.outcome == Outcome::Completed))
                .collect()
        };
        let (ours, theirs) = (of_case(&self.own), of_case(&self.attempts));
        let retry = ours.iter().map(|(attempt, _)| case.retry_of(*attempt)).max()?;
        let of_try = |attempts: Vec<(u32, bool)>| -> Option<u32> {
            let own = attempts
                .into_iter()
                .filter(|(attempt, _)| case.retry_of(*attempt) == retry);
            let (count, all_completed) =
                own.fold((0, true), |(count, all), (_, completed)| (count + 1, all && completed));
            all_completed.then_some(count)
        };
        // What did not complete is no figure, and more of them change nothing.
        let (ours, theirs) = (of_try(ours)?, of_try(theirs)?);
        let made = ours.max(theirs);
        let look = case.attempts_to_next_look(made);
        if ours < look || theirs < look {
            return Some((retry, look));
        }
        let wanted = (self.plan.more_pairs)(case, &self.attempts, &self.own)?;
        (wanted > made && made < case.attempts_per_try()).then(|| (retry, case.attempts_to_next_look(made + 1)))
    }
}
