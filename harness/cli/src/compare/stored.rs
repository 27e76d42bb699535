//! A side of a comparison: a run as read back from its folder, or a baseline.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use placebench_core::baseline::asked::{Asked, asked};
use placebench_core::baseline::no_figures;
use placebench_core::compare::placements;
use placebench_core::record::{Attempt, BaselineUse, CaseSpec, CaseStatus, Environment, RunRecord, TextVerdict, Tool};
use placebench_runner::run::unfinished;
use placebench_runner::store;
use serde::Serialize;

use crate::error::CliError;
use crate::{judged, terminal};

/// A run, or a baseline, as it is named.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunName {
    /// Its name; of a baseline that of the newest run in it.
    pub(crate) run_id: String,
    /// Its folder; of a baseline its file.
    pub(crate) folder: String,
    /// When it was started.
    pub(crate) started_at: String,
    /// The program that made it.
    pub(crate) tool: Tool,
    /// The machine a baseline is of; absent for a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<String>,
}

/// A case on one side.
pub(crate) struct SideCase {
    /// Its name.
    pub(crate) case: String,
    /// What was asked.
    pub(crate) asked: Asked,
    /// Why it has no figures to compare, if so. In words that follow "it".
    pub(crate) unfit: Option<String>,
    /// How it ended; absent where it was never judged.
    pub(crate) status: Option<CaseStatus>,
    /// What is wrong with it. Escape it where shown.
    pub(crate) reason: String,
    /// The judgement on its text.
    pub(crate) text: TextVerdict,
    /// The machine it was run on.
    pub(crate) environment: Environment,
    /// The attempts of the try that decided, counted from 0.
    pub(crate) attempts: Vec<Attempt>,
}

/// A side.
pub(crate) struct ComparedSide {
    /// What it is called.
    pub(crate) name: RunName,
    /// Its cases, in order.
    pub(crate) cases: Vec<SideCase>,
    /// Names of the cases with attempts that were never made.
    pub(crate) unfinished: Vec<String>,
    /// The baseline a run was asked to be held against, or saved as.
    pub(crate) baseline: Option<BaselineUse>,
    /// Cases of other shards of a run.
    pub(crate) selected: Vec<String>,
}

/// Reads a run that is named by its folder, its id, or as `latest`; with its folder. It is judged by its own expectations.
pub(crate) fn record(dir: &Path, run: &str) -> Result<(RunRecord, PathBuf), CliError> {
    let folder = store::locate(dir, run).map_err(|error| {
        CliError::setup(terminal::chain(&error))
            .hint("name the folder of a run (reports/<run-id>), or its id with --output-dir for where it lies")
    })?;
    let record = judged::read_alone(&folder)?;
    Ok((record, folder))
}

/// A run.
pub(crate) fn of_record(record: &RunRecord, folder: PathBuf) -> ComparedSide {
    let info = &record.info;
    let cases = info.cases.iter().map(|case| {
        let judged = record.verdict_of(&case.case);
        SideCase {
            case: case.case.clone(),
            asked: asked(case),
            unfit: match judged {
                None => Some("was never judged".to_owned()),
                Some(judged) => no_figures(case, judged),
            },
            status: judged.map(|judged| judged.status),
            reason: judged.map(crate::standing::reason).unwrap_or_default(),
            text: judged.map_or(TextVerdict::Unchecked, |judged| judged.text),
            environment: environment_of(record, case),
            attempts: deciding(record, case),
        }
    });
    ComparedSide {
        name: RunName {
            run_id: info.run_id.clone(),
            folder: folder.display().to_string(),
            started_at: info.started_at.clone(),
            tool: info.tool.clone(),
            baseline: None,
        },
        cases: cases.collect(),
        unfinished: unfinished(&info.cases, &record.attempts),
        baseline: info.control.baseline.clone(),
        selected: info.control.selected.clone(),
    }
}

/// The attempts of the try that decided, counted from 0: those of a retry are as good as those of a first try.
pub(crate) fn deciding(record: &RunRecord, case: &CaseSpec) -> Vec<Attempt> {
    let attempts = placements::counted_from_zero(case, record.deciding_attempts(case));
    attempts.map(Cow::into_owned).collect()
}

/// The machine a case was run on: that of its shard in a merged run. Where a run was gone on with on another machine, what
/// those that made the deciding attempts have in common.
pub(crate) fn environment_of(record: &RunRecord, case: &CaseSpec) -> Environment {
    placements::environment_of(&record.info, case, record.deciding_attempts(case))
}

impl ComparedSide {
    /// A case by its name.
    pub(crate) fn case(&self, name: &str) -> Option<&SideCase> {
        self.cases.iter().find(|case| case.case == name)
    }
}
