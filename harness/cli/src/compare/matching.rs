//! Which cases of two runs can be compared, and what becomes of the others.

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{CaseSpec, CaseStatus, CaseVerdict};
use serde::Serialize;

use super::stored::StoredRun;

/// A case that both runs have figures of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Matched {
    /// Its name.
    pub(crate) case: String,
    /// What of it was asked otherwise by the new run, such as `generation`.
    pub(crate) asked_otherwise: Vec<&'static str>,
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
pub(crate) fn matching(base: &StoredRun, new: &StoredRun) -> Matching {
    let mut matching = Matching::default();
    for ours in &base.info.cases {
        let name = ours.case.as_str();
        let Some(theirs) = new.case(name) else {
            matching.leave_out(name, Absence::MissingInNew, "the new run does not have it".to_owned());
            continue;
        };
        let (before, now) = (base.verdict_of(name), new.verdict_of(name));
        matching.status_changes.extend(status_change(name, before, now));
        match (unfit(ours, before), unfit(theirs, now)) {
            (None, None) => matching.matched.push(Matched {
                case: name.to_owned(),
                asked_otherwise: asked_otherwise(ours, theirs),
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
    for theirs in &new.info.cases {
        if base.case(&theirs.case).is_none() {
            matching.leave_out(
                &theirs.case,
                Absence::NewOnly,
                "it is new: the base does not have it".to_owned(),
            );
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

/// Why a side has no figures to compare, if so.
pub(super) fn unfit(case: &CaseSpec, judged: Option<&CaseVerdict>) -> Option<String> {
    let Some(judged) = judged else {
        return Some("was never judged".to_owned());
    };
    if case.audit.is_some() {
        return Some("was audited, which makes no figures".to_owned());
    }
    match judged.status {
        CaseStatus::Skipped => return Some(format!("was skipped: {}", judged.sentence)),
        CaseStatus::Setup => return Some(format!("could not be set up: {}", judged.sentence)),
        CaseStatus::Passed | CaseStatus::Flaky | CaseStatus::Failed | CaseStatus::Pending => {}
    }
    if case.expect.outcome != OutcomeKind::Completed {
        let outcome = case.expect.outcome.as_str();
        return Some(format!("is expected to end as {outcome}, which makes no figures"));
    }
    let fails = case.expect.fails.join(", ");
    (!fails.is_empty()).then(|| format!("is expected to fail ({fails}), so its figures mean nothing"))
}

fn status_change(name: &str, base: Option<&CaseVerdict>, new: Option<&CaseVerdict>) -> Option<StatusChange> {
    let (base, new) = (base?, new?);
    let ran = |judged: &CaseVerdict| !matches!(judged.status, CaseStatus::Skipped | CaseStatus::Setup);
    if base.status == new.status || !ran(base) || !ran(new) {
        return None;
    }
    let is_broken = new.status == CaseStatus::Failed;
    let told = if is_broken { new } else { base };
    Some(StatusChange {
        case: name.to_owned(),
        base: base.status,
        new: new.status,
        reason: crate::standing::reason(told),
        is_broken,
    })
}

/// What makes two cases of the same name two different questions.
fn asked_otherwise(base: &CaseSpec, new: &CaseSpec) -> Vec<&'static str> {
    let parts = [
        ("engine", base.engine == new.engine && base.program == new.program),
        ("model", base.model == new.model && base.dtype == new.dtype),
        ("devices", base.devices == new.devices),
        ("placement", base.request == new.request),
        (
            "prompt",
            base.input == new.input && base.companion_inputs == new.companion_inputs,
        ),
        ("generation", base.generation == new.generation),
        ("measure", base.measure == new.measure),
        ("fault", base.faults == new.faults),
        ("env", base.env == new.env),
    ];
    let otherwise = parts.into_iter().filter(|(_, is_same)| !is_same);
    otherwise.map(|(part, _)| part).collect()
}
