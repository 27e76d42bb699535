//! The placements of one run, each compared with the reference placement of its prompt. They took turns, so that their pairs are
//! neighbours in time; what can be counted is meant to differ between them, and is not compared.

use placebench_core::compare::GateSpec;
use placebench_core::doctor::noise::NoiseFloor;
use placebench_core::record::{CaseSpec, RunRecord};

use super::document::{COMPARE_VERSION, Document, compared};
use super::matching::{Absence, NotCompared};
use super::stored::{ComparedSide, SideCase};
use crate::error::CliError;

/// What a placement is compared with where neither the command line nor the scenario says.
const USUAL_REFERENCE: &str = "single";

/// Compares the placements of a run, which is given as a record and as a side. `reference` is the placement the others are
/// compared with; absent: the one the scenario's texts must agree with, else `single`, else the first.
pub(crate) fn document(
    record: &RunRecord,
    run: &ComparedSide,
    reference: Option<&str>,
    noise: Option<NoiseFloor>,
    spec: &GateSpec,
) -> Result<Document, CliError> {
    let mut couples: Vec<(&SideCase, &SideCase)> = Vec::new();
    let mut not_compared = Vec::new();
    for case in &record.info.cases {
        let Some(base) = reference_of(record, case, reference) else {
            not_compared.push(absent(
                case,
                "its prompt has no such placement to compare with".to_owned(),
            ));
            continue;
        };
        let (Some(ours), Some(theirs)) = (run.case(&base.case), run.case(&case.case)) else {
            continue;
        };
        if base.case == case.case {
            continue;
        }
        let why = |of: &SideCase| of.unfit.as_ref().map(|why| format!("{} {why}", of.case));
        match why(ours).or_else(|| why(theirs)) {
            Some(why) => not_compared.push(absent(case, why)),
            None => couples.push((ours, theirs)),
        }
    }
    if couples.is_empty() && not_compared.is_empty() {
        return Err(CliError::setup(
            "no prompt of this run has two placements: there is nothing to compare",
        ));
    }
    let comparison = compared(&couples, noise.as_ref(), spec);
    let exit = comparison.exit;
    let is_compared = |case: &String| {
        couples
            .iter()
            .any(|(base, new)| [&base.case, &new.case].contains(&case))
    };
    Ok(Document {
        schema_version: COMPARE_VERSION,
        base: run.name.clone(),
        new: run.name.clone(),
        same_run: false,
        status_changes: Vec::new(),
        not_compared,
        asked_otherwise: Vec::new(),
        unfinished: run
            .unfinished
            .iter()
            .filter(|case| is_compared(case))
            .cloned()
            .collect(),
        unknown_machines: Vec::new(),
        noise,
        comparison,
        exit,
        exit_code: exit.number(),
        gates: true,
    })
}

fn absent(case: &CaseSpec, reason: String) -> NotCompared {
    NotCompared {
        case: case.case.clone(),
        absence: Absence::Neither,
        reason,
    }
}

fn reference_of<'a>(run: &'a RunRecord, case: &CaseSpec, named: Option<&str>) -> Option<&'a CaseSpec> {
    let is_beside = |other: &&CaseSpec| other.scenario == case.scenario && other.prompt == case.prompt;
    let of_placement = |name: &str| {
        let mut beside = run.info.cases.iter().filter(is_beside);
        beside.find(|other| other.placement == name)
    };
    if let Some(name) = named {
        return of_placement(name);
    }
    let mut beside = run.info.cases.iter().filter(is_beside);
    // The reference itself need not say that it is one.
    let agreed = beside.find_map(|other| other.expect.agreement.as_ref());
    agreed
        .and_then(|agreement| of_placement(&agreement.reference))
        .or_else(|| of_placement(USUAL_REFERENCE))
        .or_else(|| run.info.cases.iter().find(is_beside))
}
