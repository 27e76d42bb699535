//! The other side of a run: its attempts, in a folder that is a run of its own.

use std::path::Path;

use placebench_core::compare::{CasePair, Side, compare_as_part};
use placebench_core::record::{AgainstSpec, Attempt, CaseSpec, RunControl, RunInfo, TextVerdict, Tool};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::{BasePlan, RunError, RunEvent, RunPlan, RunSummary, run_against};
use placebench_runner::store::{self, RunFolder};
use placebench_runner::supervisor::WorkerCommand;

use super::program;
use crate::error::CliError;
use crate::{standing, terminal};

/// The other side while its run goes on.
pub(crate) struct BaseSide {
    info: RunInfo,
    folder: RunFolder,
    previous: Vec<Attempt>,
}

impl BaseSide {
    /// Makes its folder inside that of a fresh run. `cases` are the run's as the other program is asked for them.
    pub(crate) fn begin(info: &RunInfo, cases: Vec<CaseSpec>, folder: &RunFolder) -> Result<Option<Self>, CliError> {
        let Some(against) = &info.control.against else {
            return Ok(None);
        };
        let is_left_out = |case: &CaseSpec| against.left_out.iter().any(|known| known.case == case.case);
        let info = RunInfo {
            run_id: format!("{}-{}", info.run_id, store::BASE),
            tool: Tool {
                version: against.version.clone(),
                profile: against.profile.clone(),
                ..info.tool.clone()
            },
            cases: cases.into_iter().filter(|case| !is_left_out(case)).collect(),
            control: RunControl {
                base_of: Some(info.run_id.clone()),
                against: None,
                selected: Vec::new(),
                ..info.control.clone()
            },
            ..info.clone()
        };
        let folder = folder
            .create_base(&info)
            .map_err(|error| CliError::setup(terminal::chain(&error)))?;
        Ok(Some(Self {
            info,
            folder,
            previous: Vec::new(),
        }))
    }

    /// Opens it to go on with a run.
    pub(crate) fn resume(info: &RunInfo, run: &Path) -> Result<Option<Self>, CliError> {
        let Some(against) = &info.control.against else {
            return Ok(None);
        };
        program::refuse_another(Path::new(&against.program), &against.sha256)?;
        let (folder, stored) = RunFolder::resume(&run.join(store::BASE)).map_err(|error| {
            CliError::setup(terminal::chain(&error)).hint("the other side of the run is not there: begin a new run")
        })?;
        for warning in &stored.warnings {
            terminal::warning(warning);
        }
        Ok(Some(Self {
            info: stored.info,
            folder,
            previous: stored.attempts,
        }))
    }

    /// Runs both sides in turns.
    pub(crate) fn run(
        &mut self,
        plan: &RunPlan<'_>,
        info: &RunInfo,
        folder: &mut RunFolder,
        cancel: &Cancel,
        observer: &mut dyn FnMut(RunEvent<'_>),
    ) -> Result<RunSummary, RunError> {
        let Some(against) = &info.control.against else {
            return placebench_runner::run::run(plan, folder, cancel, observer);
        };
        let base_info = &self.info;
        let base = BasePlan {
            cases: &base_info.cases,
            worker: &|_| WorkerCommand::new(&against.program, ["worker"]),
            previous: &self.previous,
            more_pairs: &|case, base, new| more_pairs(against, (base_info, base), (info, new), case),
        };
        run_against(plan, &base, (folder, &mut self.folder), cancel, observer)
    }
}

/// How many pairs a case should have before it is looked at again; nothing where its answer is clear, or no number of pairs
/// would make it so. Asked while the run goes on, and held to what the judgement of the whole will ask: see
/// [`compare_as_part`].
fn more_pairs(
    against: &AgainstSpec,
    base: (&RunInfo, &[Attempt]),
    new: (&RunInfo, &[Attempt]),
    case: &CaseSpec,
) -> Option<u32> {
    let of_try = |attempts: &[Attempt]| -> Vec<Attempt> {
        let own = attempts.iter().filter(|attempt| attempt.case == case.case);
        let last = own.clone().map(|attempt| case.retry_of(attempt.attempt)).max();
        own.filter(|attempt| Some(case.retry_of(attempt.attempt)) == last)
            .map(|attempt| Attempt {
                attempt: attempt.attempt % case.attempts_per_try(),
                ..attempt.clone()
            })
            .collect()
    };
    let (ours, theirs) = (of_try(base.1), of_try(new.1));
    let (ours, theirs): (Vec<&Attempt>, Vec<&Attempt>) = (ours.iter().collect(), theirs.iter().collect());
    fn side<'a>((info, all): (&'a RunInfo, &[Attempt]), own: &'a [&'a Attempt], case: &'a CaseSpec) -> Side<'a> {
        Side {
            case: &case.case,
            attempts: own,
            environment: &info.environment,
            text: standing::verdict_on(info, all, case).map_or(TextVerdict::Unchecked, |judged| judged.text),
        }
    }
    let pair = CasePair {
        base: side(base, &ours, case),
        new: side(new, &theirs, case),
        noise: against.noise.as_ref(),
    };
    let comparison = compare_as_part(&[pair], &against.spec, against.cases as usize);
    comparison.cases.first()?.pairs_wanted
}
