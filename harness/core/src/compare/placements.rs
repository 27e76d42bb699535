//! The placements of a run, each compared with the reference placement of its prompt. They took turns, so that their pairs are
//! neighbours in time; what can be counted is meant to differ between them, and is not compared. The command `compare RUN`, the
//! page, its pictures and the terminal all say what is found here.

use std::borrow::Cow;

use super::{CasePair, Comparison, GateSpec, Side, compare};
use crate::baseline::no_figures;
use crate::doctor::noise::NoiseFloor;
use crate::merge::common_environment;
use crate::record::{Attempt, CaseSpec, Environment, IndexedRun, RunInfo, TextVerdict};

/// What a placement is compared with where neither a person nor the scenario says.
const USUAL_REFERENCE: &str = "single";

/// The placements of a run beside their references.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementComparison {
    /// The figures: a case for each placement that is no reference and has figures, its base the reference of its prompt.
    pub comparison: Comparison,
    /// Placements that are not compared, with the reason. In words of scenarios and machines: escape them where shown.
    pub left_out: Vec<(String, String)>,
}

/// Compares the placements of a run as one family of questions. `reference` is the placement the others are compared with;
/// absent: [`reference_of`] each prompt. Nothing where no prompt has two placements.
#[must_use]
pub fn compare_placements(
    run: &IndexedRun<'_>,
    reference: Option<&str>,
    noise: Option<&NoiseFloor>,
    spec: &GateSpec,
) -> Option<PlacementComparison> {
    let mut couples: Vec<(Measured<'_>, Measured<'_>)> = Vec::new();
    let mut left_out = Vec::new();
    for case in &run.info.cases {
        let beside = || run.info.cases.iter().filter(|other| is_beside(case, other));
        let base = match reference {
            Some(name) => beside().find(|other| other.placement == name),
            None => reference_of(beside()),
        };
        let Some(base) = base else {
            let why = "its prompt has no such placement to compare with";
            left_out.push((case.case.clone(), why.to_owned()));
            continue;
        };
        if base.case == case.case {
            continue;
        }
        match (unfit(run, base).map(|why| format!("{} {why}", base.case)))
            .or_else(|| unfit(run, case))
            .or_else(|| other_work(base, case))
        {
            Some(why) => left_out.push((case.case.clone(), why)),
            None => couples.push((Measured::new(run, base), Measured::new(run, case))),
        }
    }
    if couples.is_empty() && left_out.is_empty() {
        return None;
    }
    Some(PlacementComparison {
        comparison: compared(&couples, noise, spec),
        left_out,
    })
}

/// Compares some cases of a run with one of its cases, as a family of their own: for what the comparison with the reference
/// leaves open.
#[must_use]
pub fn compare_with(run: &IndexedRun<'_>, base: &CaseSpec, others: &[&CaseSpec], spec: &GateSpec) -> Comparison {
    let others = others.iter().copied();
    let couples: Vec<_> = others
        .map(|other| (Measured::new(run, base), Measured::new(run, other)))
        .collect();
    compared(&couples, None, spec)
}

fn compared(couples: &[(Measured<'_>, Measured<'_>)], noise: Option<&NoiseFloor>, spec: &GateSpec) -> Comparison {
    let attempts: Vec<(Vec<&Attempt>, Vec<&Attempt>)> = (couples.iter())
        .map(|(base, new)| (base.attempts(), new.attempts()))
        .collect();
    let pairs: Vec<CasePair<'_>> = (couples.iter().zip(&attempts))
        .map(|((base, new), (ours, theirs))| CasePair {
            base: base.side(ours),
            new: new.side(theirs),
            noise,
        })
        .collect();
    compare(&pairs, spec)
}

/// The case others of its prompt are compared with: the one the scenario's texts must agree with, else `single`, else the
/// first. `beside` are the cases of one prompt.
pub fn reference_of<'a>(beside: impl Iterator<Item = &'a CaseSpec> + Clone) -> Option<&'a CaseSpec> {
    let of_placement = |name: &str| beside.clone().find(|case| case.placement == name);
    // The reference itself need not say that it is one.
    let agreed = beside.clone().find_map(|case| case.expect.agreement.as_ref());
    agreed
        .and_then(|agreement| of_placement(&agreement.reference))
        .or_else(|| of_placement(USUAL_REFERENCE))
        .or_else(|| beside.clone().next())
}

/// Attempts of the try that decided on a case, counted from 0: those of a retry are as good as those of a first try.
pub fn counted_from_zero<'r>(
    case: &CaseSpec,
    deciding: impl Iterator<Item = &'r Attempt>,
) -> impl Iterator<Item = Cow<'r, Attempt>> {
    let tries = case.attempts_per_try();
    deciding.map(move |attempt| match attempt.attempt % tries {
        number if number == attempt.attempt => Cow::Borrowed(attempt),
        number => Cow::Owned(Attempt {
            attempt: number,
            ..attempt.clone()
        }),
    })
}

/// The machine a case was run on: that of its shard in a merged run. Where a run was gone on with on another machine, what
/// those that made the deciding attempts have in common.
pub fn environment_of<'r>(info: &RunInfo, case: &CaseSpec, deciding: impl Iterator<Item = &'r Attempt>) -> Environment {
    let numbers = deciding.map(|attempt| attempt.attempt);
    match info.environments_of(&case.case, numbers).as_slice() {
        [one] => (*one).clone(),
        several => common_environment(several.iter().copied()),
    }
}

/// Why a case has no figures to compare, if so. In words that follow "it".
fn unfit(run: &IndexedRun<'_>, case: &CaseSpec) -> Option<String> {
    match run.verdict_of(&case.case) {
        None => Some("was never judged".to_owned()),
        Some(judged) => no_figures(case, judged),
    }
}

/// What one of two cases of a prompt does that the other does not, apart from where its modules are: figures of different work
/// are no comparison of placements. In words that follow the name of `case`.
#[must_use]
pub fn other_work(base: &CaseSpec, case: &CaseSpec) -> Option<String> {
    let dtype = |of: &CaseSpec| of.dtype.map_or("as stored", |dtype| dtype.as_str());
    let sequences = |of: &CaseSpec| of.companion_inputs.len() + 1;
    let told =
        |what: &str, own: String, other: String| Some(format!("has {what} {own} where {} has {other}", base.case));
    if case.engine != base.engine {
        told("engine", case.engine.clone(), base.engine.clone())
    } else if case.model.label() != base.model.label() {
        told("model", case.model.label(), base.model.label())
    } else if dtype(case) != dtype(base) {
        told("dtype", dtype(case).to_owned(), dtype(base).to_owned())
    } else if sequences(case) != sequences(base) {
        let number = |of| format!("{} at once", sequences(of));
        told("sequences", number(case), number(base))
    } else if case.faults != base.faults {
        Some(format!("has other faults injected than {}", base.case))
    } else {
        None
    }
}

fn is_beside(case: &CaseSpec, other: &CaseSpec) -> bool {
    other.scenario == case.scenario && other.prompt == case.prompt
}

/// A side, before it is borrowed from.
struct Measured<'r> {
    case: &'r str,
    attempts: Vec<Cow<'r, Attempt>>,
    environment: Environment,
    text: TextVerdict,
}

impl<'r> Measured<'r> {
    fn new(run: &IndexedRun<'r>, case: &'r CaseSpec) -> Self {
        Self {
            case: &case.case,
            attempts: counted_from_zero(case, run.deciding_attempts(case)).collect(),
            environment: environment_of(&run.info, case, run.deciding_attempts(case)),
            text: (run.verdict_of(&case.case)).map_or(TextVerdict::Unchecked, |judged| judged.text),
        }
    }

    fn attempts(&self) -> Vec<&Attempt> {
        self.attempts.iter().map(Cow::as_ref).collect()
    }

    fn side<'a>(&'a self, attempts: &'a [&'a Attempt]) -> Side<'a> {
        Side {
            case: self.case,
            attempts,
            environment: &self.environment,
            text: self.text,
        }
    }
}
