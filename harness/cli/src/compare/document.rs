//! What a comparison of two runs leaves behind, as programs read it.

use placebench_core::compare::{CaseComparison, CasePair, Comparison, GateSpec, Side, compare};
use placebench_core::doctor::noise::NoiseFloor;
use placebench_core::exit_code::ExitCode;
use placebench_core::record::Attempt;
use placebench_report::view::changes::Standing;
use serde::Serialize;

use super::matching::{Absence, Matched, Matching, NotCompared, StatusChange, matching};
pub(crate) use super::stored::RunName;
use super::stored::{ComparedSide, SideCase};
use crate::error::CliError;

/// Version of the document.
///
/// 1: the first.
pub(crate) const COMPARE_VERSION: u32 = 1;

/// The document.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Document {
    /// [`COMPARE_VERSION`].
    pub(crate) schema_version: u32,
    /// What was compared with.
    pub(crate) base: RunName,
    /// What was compared.
    pub(crate) new: RunName,
    /// The two are one and the same run.
    pub(crate) same_run: bool,
    /// The noise of the machine, where it was given.
    pub(crate) noise: Option<NoiseFloor>,
    /// Cases that ended another way.
    pub(crate) status_changes: Vec<StatusChange>,
    /// Cases that one side lacks, or that have no figures.
    pub(crate) not_compared: Vec<NotCompared>,
    /// Cases of which the two runs did not ask the same.
    pub(crate) asked_otherwise: Vec<Matched>,
    /// Cases of which a run has not made all attempts.
    pub(crate) unfinished: Vec<String>,
    /// The figures.
    pub(crate) comparison: Comparison,
    /// Machines of the run that the baseline has no file of. A sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_machines: Vec<String>,
    /// The answer.
    pub(crate) exit: ExitCode,
    /// The same as a number.
    pub(crate) exit_code: u8,
    /// Whether the process exits with the answer.
    #[serde(skip)]
    pub(crate) gates: bool,
}

/// Compares two runs.
pub(crate) fn document(
    base: &ComparedSide,
    new: &ComparedSide,
    noise: Option<NoiseFloor>,
    spec: &GateSpec,
) -> Result<Document, CliError> {
    spec.check().map_err(|error| CliError::setup(error.to_string()))?;
    let matching = matching(base, new);
    let names = || matching.matched.iter().map(|matched| matched.case.as_str());
    let cases = names().filter_map(|name| Some((base.case(name)?, new.case(name)?)));
    let cases: Vec<(&SideCase, &SideCase)> = cases.collect();
    let comparison = compared(&cases, noise.as_ref(), spec);
    let mut unfinished = [base.unfinished.as_slice(), &new.unfinished].concat();
    unfinished.sort();
    unfinished.dedup();
    unfinished.retain(|case| names().any(|name| name == case));
    let exit = exit_of(&comparison, &matching, &unfinished, base.name.baseline.is_some());
    let asked = matching
        .matched
        .into_iter()
        .filter(|case| !case.asked_otherwise.is_empty());
    Ok(Document {
        schema_version: COMPARE_VERSION,
        base: base.name.clone(),
        new: new.name.clone(),
        same_run: base.name.folder == new.name.folder,
        status_changes: matching.status_changes,
        not_compared: matching.not_compared,
        asked_otherwise: asked.collect(),
        unfinished,
        unknown_machines: Vec::new(),
        noise,
        comparison,
        exit,
        exit_code: exit.number(),
        gates: true,
    })
}

/// Compares cases, each given as base and new.
pub(super) fn compared(cases: &[(&SideCase, &SideCase)], noise: Option<&NoiseFloor>, spec: &GateSpec) -> Comparison {
    let attempts: Vec<(Vec<&Attempt>, Vec<&Attempt>)> = (cases.iter())
        .map(|(base, new)| (base.attempts.iter().collect(), new.attempts.iter().collect()))
        .collect();
    let pairs: Vec<CasePair<'_>> = (cases.iter().zip(&attempts))
        .map(|((base, new), (ours, theirs))| CasePair {
            base: side(base, ours),
            new: side(new, theirs),
            noise,
        })
        .collect();
    compare(&pairs, spec)
}

fn side<'a>(case: &'a SideCase, attempts: &'a [&'a Attempt]) -> Side<'a> {
    Side {
        case: &case.case,
        attempts,
        environment: &case.environment,
        text: case.text,
    }
}

/// The gate's own answer, and what it cannot know: cases that broke, and cases it was never shown. What is certain
/// outweighs what is not known. A baseline is meant to hold every case there is, another run is not: what is new has no verdict
/// against a baseline unless that may lack it.
fn exit_of(comparison: &Comparison, matching: &Matching, unfinished: &[String], is_baseline: bool) -> ExitCode {
    let is_broken = matching.status_changes.iter().any(|change| change.is_broken);
    let may_lack = comparison.spec.base_may_lack;
    let is_gap = |case: &NotCompared| match case.absence {
        Absence::MissingInNew => true,
        Absence::NewOnly => is_baseline && !may_lack,
        Absence::Neither => false,
    };
    let has_gap = !unfinished.is_empty() || matching.not_compared.iter().any(is_gap);
    match comparison.exit {
        _ if is_broken => ExitCode::CaseFailed,
        ExitCode::NoVerdict if comparison.cases.is_empty() && may_lack && !has_gap => ExitCode::Passed,
        ExitCode::Passed if has_gap => ExitCode::NoVerdict,
        exit => exit,
    }
}

impl Document {
    /// The same, where a baseline has no file for a machine of the run: nothing can be said of the whole.
    pub(crate) fn without_files(self, unknown_machines: Vec<String>) -> Self {
        let exit = match self.exit {
            ExitCode::Passed if !unknown_machines.is_empty() && !self.comparison.spec.base_may_lack => {
                ExitCode::NoVerdict
            }
            exit => exit,
        };
        Self {
            unknown_machines,
            exit,
            exit_code: exit.number(),
            ..self
        }
    }

    /// What has become of each case that was compared.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let broke = |case: &CaseComparison| {
            let mut changes = self.status_changes.iter();
            changes.any(|change| change.case == case.case && change.is_broken)
        };
        let standing = |case: &CaseComparison| match broke(case) {
            true => Standing::Worse,
            false => Standing::of(case),
        };
        self.comparison.cases.iter().map(standing).collect()
    }
}
