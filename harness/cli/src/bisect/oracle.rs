//! What an attempt says about a placement: the verdict of the judge, compared with the failure that is looked for.

use placebench_core::bisect::record::ProbeLine;
use placebench_core::bisect::symptom::Symptom;
use placebench_core::bisect::{Configuration, ProbeResult};
use placebench_core::judge::judge;
use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec, RunInfo};

use super::lab::Lab;
use crate::snapshots;

/// A placement that was tried.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    case: String,
    symptom: Option<Symptom>,
    sentence: String,
    attempts: u32,
    wall_s: f64,
}

impl Trial {
    /// Judges the attempts of `case` beside those of the placement that passes: its text is the right one.
    pub(super) fn of(lab: &Lab, case: &CaseSpec, passing: &CaseSpec, attempts: &[Attempt]) -> Self {
        let mut judged = case.clone();
        if let Some(agreement) = &mut judged.expect.agreement {
            agreement.reference.clone_from(&passing.placement);
        }
        let mut cases = vec![judged];
        if passing.case != case.case {
            cases.push(passing.clone());
        }
        let info = RunInfo {
            cases,
            ..lab.info().clone()
        };
        let known: Vec<Attempt> = lab
            .attempts()
            .iter()
            .filter(|attempt| attempt.case == case.case || attempt.case == passing.case)
            .cloned()
            .collect();
        let states = snapshots::states(&info, &known);
        let verdict = judge(&info, &known, &states, true);
        let own: Vec<&Attempt> = attempts.iter().collect();
        let judged = verdict.cases.first();
        let symptom = judged.and_then(|verdict| Symptom::of(&own, verdict));
        let finding = judged.and_then(|verdict| verdict.findings.first());
        let sentence = match (&symptom, finding) {
            (Some(Symptom::WrongText | Symptom::Check { .. }), Some(finding)) => finding.message.clone(),
            _ => sentence_of(attempts),
        };
        Self {
            case: case.case.clone(),
            symptom,
            sentence,
            attempts: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
            wall_s: attempts.iter().map(|attempt| attempt.wall_s).sum(),
        }
    }

    /// How it failed, if it did.
    pub(super) fn symptom(&self) -> Option<&Symptom> {
        self.symptom.as_ref()
    }

    /// What it says about the failure that is looked for.
    pub(super) fn result(&self, looked_for: &Symptom) -> ProbeResult {
        match &self.symptom {
            None => ProbeResult::Passes,
            Some(symptom) if looked_for.is_same(symptom) => ProbeResult::Fails,
            Some(_) => ProbeResult::Unresolved,
        }
    }

    /// The same before it is known what is looked for.
    pub(super) fn against_itself(&self) -> ProbeResult {
        match self.symptom {
            None => ProbeResult::Passes,
            Some(_) => ProbeResult::Fails,
        }
    }

    /// Its line in the table.
    pub(super) fn line(&self, tried: &str, result: ProbeResult, configuration: Option<Configuration>) -> ProbeLine {
        ProbeLine {
            case: self.case.clone(),
            tried: tried.to_owned(),
            result,
            sentence: self.sentence.clone(),
            attempts: self.attempts,
            wall_s: self.wall_s,
            configuration,
        }
    }
}

/// What happened, in a sentence: to the attempt that did not complete, else to the last.
pub(super) fn sentence_of(attempts: &[Attempt]) -> String {
    let failed = attempts.iter().find(|attempt| attempt.outcome != Outcome::Completed);
    let shown = failed.or(attempts.last());
    shown.map_or_else(|| "not run".to_owned(), |attempt| attempt.outcome.sentence())
}
