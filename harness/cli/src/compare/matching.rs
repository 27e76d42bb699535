//! Which cases of two runs can be compared, and what becomes of the others.

use std::collections::HashMap;

use placebench_core::baseline::asked::asked_otherwise;
use placebench_core::record::CaseStatus;
use serde::Serialize;

use super::stored::{ComparedSide, SideCase};

/// A case that both runs have figures of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Matched {
    /// Its name.
    pub(crate) case: String,
    /// What of it was asked otherwise by the new run, such as `generation`.
    pub(crate) asked_otherwise: Vec<String>,
}

/// Why a case is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Absence {
    /// The base has figures, the new run has none: nothing can be said of the whole.
    MissingInNew,
    /// The new run has figures, the base has none.
    NewOnly,
    /// There is nothing to compare on either side.
    Neither,
}

/// A case that is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NotCompared {
    /// Its name.
    pub(crate) case: String,
    /// Which side lacks it.
    pub(crate) absence: Absence,
    /// Why, in words of scenarios and machines: escape them where shown.
    pub(crate) reason: String,
}

/// A case that ended another way than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StatusChange {
    /// Its name.
    pub(crate) case: String,
    /// How it ended.
    pub(crate) base: CaseStatus,
    /// How it ends now.
    pub(crate) new: CaseStatus,
    /// What is wrong with it now, or was before. Escape it where shown.
    pub(crate) reason: String,
    /// It was as expected, and is no longer.
    pub(crate) is_broken: bool,
}

/// Two runs, case by case.
#[derive(Default)]
pub(crate) struct Matching {
    /// In the order of the base.
    pub(crate) matched: Vec<Matched>,
    /// In the order of the base, then those that only the new run has.
    pub(crate) not_compared: Vec<NotCompared>,
    /// Of all cases that both runs ran.
    pub(crate) status_changes: Vec<StatusChange>,
}

/// Matches the cases of two runs by name.
pub(crate) fn matching(base: &ComparedSide, new: &ComparedSide) -> Matching {
    let by_name = |side: &'_ ComparedSide| -> HashMap<String, usize> {
        let names = side.cases.iter().enumerate();
        names.map(|(index, case)| (case.case.clone(), index)).collect()
    };
    let (in_base, in_new) = (by_name(base), by_name(new));
    let mut matching = Matching::default();
    for ours in &base.cases {
        let name = ours.case.as_str();
        let Some(theirs) = in_new.get(name).and_then(|index| new.cases.get(*index)) else {
            matching.leave_out(name, Absence::MissingInNew, "the new run does not have it".to_owned());
            continue;
        };
        matching.status_changes.extend(status_change(ours, theirs));
        match (&ours.unfit, &theirs.unfit) {
            (None, None) => matching.matched.push(Matched {
                case: name.to_owned(),
                asked_otherwise: asked_otherwise(&ours.asked, &theirs.asked),
            }),
            (None, Some(reason)) => {
                matching.leave_out(name, Absence::MissingInNew, format!("in the new run it {reason}"));
            }
            (Some(reason), None) => {
                matching.leave_out(name, Absence::NewOnly, format!("in the base it {reason}"));
            }
            (Some(_), Some(reason)) => matching.leave_out(name, Absence::Neither, format!("it {reason}")),
        }
    }
    for theirs in new.cases.iter().filter(|case| !in_base.contains_key(&case.case)) {
        match &theirs.unfit {
            None => {
                let reason = "it is new: the base does not have it".to_owned();
                matching.leave_out(&theirs.case, Absence::NewOnly, reason);
            }
            Some(reason) => matching.leave_out(&theirs.case, Absence::Neither, format!("it {reason}")),
        }
    }
    matching
}

impl Matching {
    fn leave_out(&mut self, case: &str, absence: Absence, reason: String) {
        self.not_compared.push(NotCompared {
            case: case.to_owned(),
            absence,
            reason,
        });
    }
}

fn status_change(base: &SideCase, new: &SideCase) -> Option<StatusChange> {
    let (before, now) = (base.status?, new.status?);
    let ran = |status: CaseStatus| !matches!(status, CaseStatus::Skipped | CaseStatus::Setup);
    if before == now || !ran(before) || !ran(now) {
        return None;
    }
    let is_broken = now == CaseStatus::Failed;
    let told = if is_broken { new } else { base };
    Some(StatusChange {
        case: new.case.clone(),
        base: before,
        new: now,
        reason: told.reason.clone(),
        is_broken,
    })
}
