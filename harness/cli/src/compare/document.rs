//! What a comparison of two runs leaves behind, as programs read it.

use placebench_core::compare::{CasePair, Comparison, CounterChange, GateSpec, Side, compare};
use placebench_core::doctor::noise::NoiseFloor;
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{TextVerdict, Tool};
use serde::Serialize;

use super::matching::{Absence, Matched, Matching, NotCompared, StatusChange, matching};
use super::stored::StoredRun;
use crate::error::CliError;

/// Version of the document.
///
/// 1: the first.
pub(crate) const COMPARE_VERSION: u32 = 1;

/// The document.
#[derive(Debug, Serialize)]
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
    /// The answer.
    pub(crate) exit: ExitCode,
    /// The same as a number.
    pub(crate) exit_code: u8,
    /// Whether the process exits with the answer.
    #[serde(skip)]
    pub(crate) gates: bool,
}

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct RunName {
    /// Its name.
    pub(crate) run_id: String,
    /// Its folder.
    pub(crate) folder: String,
    /// When it was started.
    pub(crate) started_at: String,
    /// The program that made it.
    pub(crate) tool: Tool,
}

/// Compares two runs.
pub(crate) fn document(
    base: &StoredRun,
    new: &StoredRun,
    noise: Option<NoiseFloor>,
    spec: &GateSpec,
) -> Result<Document, CliError> {
    spec.check().map_err(|error| CliError::setup(error.to_string()))?;
    let matching = matching(base, new);
    let names = || matching.matched.iter().map(|matched| matched.case.as_str());
    let attempts: Vec<_> = names()
        .map(|case| (base.attempts_of(case), new.attempts_of(case)))
        .collect();
    let pairs: Vec<CasePair<'_>> = names()
        .zip(&attempts)
        .map(|(case, (ours, theirs))| CasePair {
            base: side(base, case, ours),
            new: side(new, case, theirs),
            noise: noise.as_ref(),
        })
        .collect();
    let comparison = compare(&pairs, spec);
    let mut unfinished = [base.unfinished.as_slice(), &new.unfinished].concat();
    unfinished.sort();
    unfinished.dedup();
    unfinished.retain(|case| names().any(|name| name == case));
    let exit = exit_of(&comparison, &matching, &unfinished);
    let asked = matching
        .matched
        .into_iter()
        .filter(|case| !case.asked_otherwise.is_empty());
    Ok(Document {
        schema_version: COMPARE_VERSION,
        base: name_of(base),
        new: name_of(new),
        same_run: base.folder == new.folder,
        status_changes: matching.status_changes,
        not_compared: matching.not_compared,
        asked_otherwise: asked.collect(),
        unfinished,
        noise,
        comparison,
        exit,
        exit_code: exit.number(),
        gates: true,
    })
}

pub(super) fn side<'a>(
    run: &'a StoredRun,
    case: &'a str,
    attempts: &'a [&'a placebench_core::record::Attempt],
) -> Side<'a> {
    Side {
        case,
        attempts,
        environment: run.environment_of(case),
        text: run
            .verdict_of(case)
            .map_or(TextVerdict::Unchecked, |judged| judged.text),
    }
}

pub(super) fn name_of(run: &StoredRun) -> RunName {
    RunName {
        run_id: run.info.run_id.clone(),
        folder: run.folder.display().to_string(),
        started_at: run.info.started_at.clone(),
        tool: run.info.tool.clone(),
    }
}

/// The gate's own answer, and what it cannot know: cases that broke, and cases it was never shown. What is certain
/// outweighs what is not known.
fn exit_of(comparison: &Comparison, matching: &Matching, unfinished: &[String]) -> ExitCode {
    let is_broken = matching.status_changes.iter().any(|change| change.is_broken);
    let is_missing = |case: &NotCompared| case.absence == Absence::MissingInNew;
    let has_gap = !unfinished.is_empty() || matching.not_compared.iter().any(is_missing);
    match comparison.exit {
        _ if is_broken => ExitCode::CaseFailed,
        ExitCode::Passed if has_gap => ExitCode::NoVerdict,
        exit => exit,
    }
}

/// What has become of a case, for counting. The first that is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// A counter got worse or is another, or the case broke.
    Worse,
    /// A timing got slower.
    Slower,
    /// Something of it cannot be judged.
    NoVerdict,
    /// A timing might have changed.
    Unclear,
    /// Something got better.
    Better,
    /// Nothing has changed.
    Same,
}

impl Document {
    /// What has become of each case that was compared.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        use placebench_core::compare::Change;
        let standing = |case: &placebench_core::compare::CaseComparison| {
            let mut of_case = vec![Standing::Same];
            of_case.extend(case.counters.iter().map(|row| match row.change {
                CounterChange::Worse | CounterChange::Differs => Standing::Worse,
                CounterChange::NoVerdict => Standing::NoVerdict,
                CounterChange::Better => Standing::Better,
                CounterChange::Same => Standing::Same,
            }));
            of_case.extend(case.timings.iter().map(|row| match row.change {
                Change::Slower => Standing::Slower,
                Change::NoVerdict => Standing::NoVerdict,
                Change::Unclear => Standing::Unclear,
                Change::Faster => Standing::Better,
                Change::Same => Standing::Same,
            }));
            let statuses = self.status_changes.iter().filter(|change| change.case == case.case);
            of_case.extend(statuses.map(|change| match change.is_broken {
                true => Standing::Worse,
                false => Standing::Same,
            }));
            of_case.into_iter().min().unwrap_or(Standing::Same)
        };
        self.comparison.cases.iter().map(standing).collect()
    }
}
