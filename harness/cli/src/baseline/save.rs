//! `--save-baseline`: the figures of a run that passed become those that later runs are held against.

use std::path::Path;

use placebench_core::baseline::{
    ANY_MACHINE, Baseline, BaselineCase, CaseUpdate, Source, Unsaved, Update, machine_counters,
};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{Attempt, BaselineAction, BaselineUse, CaseStatus, RunRecord};
use placebench_core::units::Bytes;
use placebench_report::view::changes::named;

use super::folder;
use super::machines::machines;
use crate::compare::stored::{deciding, environment_of};
use crate::error::CliError;
use crate::terminal::counted;

/// Saves a run; what was done, in lines. A run that failed is not saved: what is wrong with it would be what is expected from then
/// on.
pub(crate) fn save(record: &RunRecord, asked: &BaselineUse) -> Result<Vec<String>, CliError> {
    refuse_failures(record, asked)?;
    let timings = asked.action == BaselineAction::Save;
    let (mut lines, mut unfit) = (Vec::new(), Vec::new());
    let groups = match timings {
        true => machines(record)
            .into_iter()
            .map(|machine| (machine.key, Some(machine.cases)))
            .collect(),
        false => vec![(ANY_MACHINE.to_owned(), None)],
    };
    for (key, names) in groups {
        let mut cases = Vec::new();
        for spec in &record.info.cases {
            if names.as_ref().is_some_and(|names| !names.contains(&spec.case)) {
                continue;
            }
            match case_of(record, &spec.case, timings) {
                Some(Ok(update)) => cases.push(update),
                Some(Err(Unsaved::Unfit(why))) => unfit.push(format!("{} {why}", spec.case)),
                Some(Err(Unsaved::NoFigures(_))) | None => {}
            }
        }
        if cases.is_empty() {
            continue;
        }
        let is_gone = |name: &str, case: &BaselineCase| is_gone(record, asked, name, case);
        let (path, bytes, update) = folder::change(Path::new(&asked.dir), &asked.name, &key, |known| {
            let mut baseline = known.unwrap_or_else(|| Baseline::new(&key, timings));
            let update = baseline.update(cases, &is_gone);
            (baseline, update)
        })?;
        lines.push(format!(
            "baseline {} saved: {} ({}): {}",
            asked.name,
            path.display(),
            Bytes(bytes as u64),
            told(&update)
        ));
    }
    if lines.is_empty() {
        let why = match unfit.as_slice() {
            [] => "no case made figures".to_owned(),
            unfit => named(unfit),
        };
        return Err(refused(record, asked, &why));
    }
    if !unfit.is_empty() {
        lines.push(format!("not saved: {}", unfit.join("; ")));
    }
    Ok(lines)
}

fn refuse_failures(record: &RunRecord, asked: &BaselineUse) -> Result<(), CliError> {
    let is_wrong = |status| matches!(status, CaseStatus::Failed | CaseStatus::Setup);
    let failed = record.verdict.cases.iter().filter(|judged| is_wrong(judged.status));
    let failed: Vec<String> = failed.map(|judged| judged.case.clone()).collect();
    if !failed.is_empty() {
        let why = format!("{} failed: {}", counted(failed.len(), "case"), named(&failed));
        return Err(refused(record, asked, &why).hint(
            "put right what failed, or leave it out with --filterset; what is meant to fail says so in `expect.fails`",
        ));
    }
    match record.verdict.complete {
        true => Ok(()),
        false => Err(refused(record, asked, "the run did not come to its end")),
    }
}

/// The exit code stays that of the run where that is an alarm already: `verdict.json` says the same.
fn refused(record: &RunRecord, asked: &BaselineUse, why: &str) -> CliError {
    let code = match record.verdict.exit {
        ExitCode::Passed => ExitCode::Setup,
        exit => exit,
    };
    CliError::with_code(code, format!("baseline {} is not saved: {why}", asked.name))
}

fn case_of(record: &RunRecord, name: &str, timings: bool) -> Option<Result<CaseUpdate, Unsaved>> {
    let spec = record.info.cases.iter().find(|case| case.case == name)?;
    let judged = record.verdict_of(name)?;
    let attempts = deciding(record, spec);
    let attempts: Vec<&Attempt> = attempts.iter().collect();
    let left_out = match timings {
        true => Vec::new(),
        false => machine_counters(spec),
    };
    let source = Source::new(&record.info, &environment_of(record, spec), &attempts);
    let case = BaselineCase::new(spec, judged, &attempts, left_out, timings);
    Some(case.map(|case| CaseUpdate {
        name: name.to_owned(),
        source: if timings { source } else { source.of_any_machine() },
        case,
    }))
}

/// Whether a case of the baseline is no longer one: its suite has no such case, or it makes no figures any more. A case that was
/// skipped on this machine is still one.
fn is_gone(record: &RunRecord, asked: &BaselineUse, name: &str, case: &BaselineCase) -> bool {
    let makes_none = |spec: &placebench_core::record::CaseSpec| {
        let judged = record
            .verdict_of(name)
            .filter(|judged| judged.status != CaseStatus::Skipped);
        judged.is_some_and(|judged| placebench_core::baseline::no_figures(spec, judged).is_some())
    };
    if let Some(spec) = record.info.cases.iter().find(|spec| spec.case == name) {
        return makes_none(spec);
    }
    let has = |names: &[String]| names.iter().any(|known| known == name);
    asked.covers(&case.scenario) && !has(&record.info.control.selected) && !has(&asked.left_out)
}

fn told(update: &Update) -> String {
    let counts = [
        (&update.added, "new"),
        (&update.renewed, "renewed"),
        (&update.unchanged, "unchanged"),
        (&update.kept, "kept from before"),
        (&update.removed, "removed, since they are no longer in the suite"),
    ];
    let parts = counts.iter().filter(|(cases, _)| !cases.is_empty());
    let parts: Vec<String> = parts.map(|(cases, what)| format!("{} {what}", cases.len())).collect();
    format!("cases: {}", parts.join(", "))
}
