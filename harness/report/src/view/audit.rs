//! What an audit saw of a case: how its modules compare with those of the reference, step by step.

use placebench_core::audit::{Cell, Comparison, Stage, Whose};
use placebench_core::judge::case_audit;
use placebench_core::outcome::Place;
use placebench_core::record::{CaseSpec, RunRecord};
use serde::Serialize;

use super::CaseView;
use super::words::{line, list, message};

/// The audit of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditView {
    /// Where it parts, or how far it agrees.
    pub sentence: String,
    /// The placement it is held to; empty where it is held to none.
    pub reference: String,
    /// It is to blame for what is wrong.
    pub is_wrong: bool,
    /// Modules in order of execution.
    #[serde(skip)]
    pub modules: Vec<ModuleView>,
    /// Its steps: the token each makes, and how each module compares.
    #[serde(skip)]
    pub rows: Vec<(u32, Vec<Cell>)>,
    /// Where it parts.
    #[serde(skip)]
    pub mark: Option<MarkView>,
}

impl AuditView {
    /// True where a picture shows more than that there is nothing to compare.
    #[must_use]
    pub fn has_picture(&self) -> bool {
        self.is_wrong || !self.reference.is_empty()
    }
}

/// A module of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleView {
    /// Dotted path.
    pub module: String,
    /// The position of its device among those of the run, which is its colour.
    pub colour: usize,
}

/// The place where a case parts from its reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkView {
    /// Number of the row.
    pub row: usize,
    /// Number of the module: the one to blame, or the one a hop leads to.
    pub column: usize,
    /// Between modules, not in one.
    pub is_hop: bool,
    /// Step and place in short.
    pub words: String,
}

/// The audit of a case; `None` where there was none, or nothing of it is on record.
pub(super) fn view(record: &RunRecord, spec: &CaseSpec, devices: &[String]) -> Option<AuditView> {
    spec.audit?;
    let comparison = case_audit(spec, &record.info, &record.attempts)?;
    let colour = |device: &str| devices.iter().position(|known| known == device).unwrap_or(0);
    Some(AuditView {
        sentence: message(&comparison.sentence()),
        reference: comparison.reference.as_deref().map(line).unwrap_or_default(),
        is_wrong: comparison.is_blamed(),
        mark: mark(&comparison),
        modules: comparison
            .modules
            .iter()
            .map(|(module, device)| ModuleView {
                module: line(module),
                colour: colour(&line(device.as_str())),
            })
            .collect(),
        rows: comparison.rows.into_iter().map(|row| (row.token, row.cells)).collect(),
    })
}

fn mark(comparison: &Comparison) -> Option<MarkView> {
    let parting = comparison
        .parting
        .as_ref()
        .filter(|parting| parting.whose == Whose::Ours)?;
    let row = comparison.rows.iter().position(|row| row.token == parting.token)?;
    let (module, is_hop) = match &parting.place {
        Place::Hop(hop) => (&hop.to_module, true),
        Place::Module { module, .. } => (module, parting.stage == Stage::Resting),
    };
    let column = comparison.modules.iter().position(|(name, _)| name == module)?;
    // What rests lies behind the module that made it.
    let behind = usize::from(parting.stage == Stage::Resting);
    Some(MarkView {
        row,
        column: column + behind,
        is_hop,
        words: line(&format!(
            "token {}, {}",
            parting.token,
            parting.place.name().replace("->", "→")
        )),
    })
}

/// What the audits of a prompt show, in a sentence.
pub(super) fn title(cases: &[CaseView]) -> String {
    let audits = || cases.iter().filter_map(|case| Some((case, case.audit.as_ref()?)));
    let wrong: Vec<String> = audits()
        .filter(|(_, audit)| audit.is_wrong)
        .map(|(case, audit)| match &audit.mark {
            Some(mark) => format!("{} parts at {}", case.placement, mark.words),
            None => format!("{} parts", case.placement),
        })
        .collect();
    match wrong.as_slice() {
        [] if audits().next().is_none() => "Nothing was audited".into(),
        [] if audits().all(|(_, audit)| audit.reference.is_empty()) => "No two placements could be compared".into(),
        [] => "No placement goes wrong inside the model, as far as they were compared".into(),
        few if few.len() <= 2 => list(few),
        many => format!("{} placements part: {}, …", many.len(), many[0]),
    }
}
