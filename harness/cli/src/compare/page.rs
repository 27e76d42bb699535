//! A comparison as a page: what the report needs besides the figures.

use std::path::{Path, PathBuf};

use placebench_core::compare::Relation;
use placebench_core::outcome::Outcome;
use placebench_report::format::html;
use placebench_report::view::comparison::sides::{between, link};
use placebench_report::view::comparison::{
    ComparisonView, Input, Maps, ModulePlace, SideInput, SideMachine, StatusInput,
};

use super::document::{Document, RunName};
use super::matching::Absence;
use super::sentences::{about_the_whole, asked_otherwise, closing, not_compared};
use super::stored::{ComparedSide, SideCase};
use crate::error::CliError;

/// The page. `beside` is where it will lie, if that is known, so that it can point at the reports of its runs.
pub(crate) fn render(
    document: &Document,
    (base, new): (&ComparedSide, &ComparedSide),
    beside: Option<&Path>,
) -> Result<String, CliError> {
    let standings = document.standings();
    let pairs: Vec<(&SideCase, &SideCase)> = (document.comparison.cases.iter())
        .filter_map(|case| Some((base.case(&case.base_case)?, new.case(&case.case)?)))
        .collect();
    let machines: Vec<(SideMachine<'_>, SideMachine<'_>)> = pairs
        .iter()
        .map(|(ours, theirs)| (machine_of(base, ours), machine_of(new, theirs)))
        .collect();
    let is_of_versions = document.comparison.spec.relation == Relation::Versions;
    let maps = pairs.iter().filter(|_| is_of_versions).map(|(ours, theirs)| Maps {
        case: &theirs.case,
        base: places(ours),
        new: places(theirs),
    });
    let statuses = document.status_changes.iter().map(|change| StatusInput {
        case: &change.case,
        base: change.base.as_str(),
        new: change.new.as_str(),
        reason: &change.reason,
        is_broken: change.is_broken,
    });
    let asked = document.asked_otherwise.iter();
    let closing = closing(document);
    let input = Input {
        comparison: &document.comparison,
        standings: &standings,
        exit: document.gates.then_some(document.exit),
        closing: &closing,
        sides: match is_of_versions {
            true => vec![side("base", &document.base, beside), side("new", &document.new, beside)],
            false => vec![side("run", &document.new, beside)],
        },
        differences: between(&machines),
        statuses: statuses.collect(),
        not_compared: document.not_compared.iter().map(not_compared).collect(),
        missing: document
            .not_compared
            .iter()
            .filter(|case| case.absence == Absence::MissingInNew)
            .count(),
        remarks: asked
            .map(|case| (case.case.as_str(), asked_otherwise(&case.asked_otherwise)))
            .collect(),
        sentences: about_the_whole(document),
        maps: maps.collect(),
    };
    html::compare::render(&ComparisonView::new(&input))
        .map_err(|error| CliError::setup(format!("the page cannot be made: {error}")))
}

fn machine_of<'a>(side: &'a ComparedSide, case: &'a SideCase) -> SideMachine<'a> {
    SideMachine {
        tool: &side.name.tool,
        environment: &case.environment,
        attempts: &case.attempts,
    }
}

/// Where the modules were loaded in the first attempt that completed; where they were planned to be, if none says.
fn places(case: &SideCase) -> Vec<ModulePlace> {
    let completed = case
        .attempts
        .iter()
        .find(|attempt| matches!(attempt.outcome, Outcome::Completed));
    let Some(attempt) = completed.or(case.attempts.first()) else {
        return Vec::new();
    };
    if let Some(modules) = &attempt.realised {
        let place = |module: &placebench_core::protocol::RealisedModule| ModulePlace {
            module: module.module.clone(),
            device: module.device.to_string(),
            bytes: Some(module.bytes),
        };
        return modules.iter().map(place).collect();
    }
    let planned = attempt.planned.iter().flat_map(|planned| &planned.device_map);
    let place = |(module, device): &(String, placebench_core::device::DeviceId)| ModulePlace {
        module: module.clone(),
        device: device.to_string(),
        bytes: None,
    };
    planned.map(place).collect()
}

fn side(name: &'static str, run: &RunName, beside: Option<&Path>) -> SideInput {
    let called = match &run.baseline {
        Some(key) => format!("baseline {} of {key}", run.run_id),
        None => run.run_id.clone(),
    };
    let report = match run.baseline {
        Some(_) => None,
        None => beside.and_then(|page| way(page, &Path::new(&run.folder).join("report.html"))),
    };
    SideInput {
        report,
        ..SideInput::new(name, &called, &run.started_at, &run.tool)
    }
}

/// How a page finds a file that is there: the way between their folders, so that both may move together.
fn way(page: &Path, file: &Path) -> Option<String> {
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty());
    let from = real(folder.unwrap_or(Path::new(".")))?;
    let to = file.canonicalize().ok()?;
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| "..".to_owned());
    let down = to
        .components()
        .skip(shared)
        .map(|part| part.as_os_str().to_str().map(str::to_owned));
    let parts: Option<Vec<String>> = up.map(Some).chain(down).collect();
    // Nothing in common: another drive, to which no relative way leads.
    (shared > 0).then_some(parts?).map(|parts| link(&parts))
}

/// Where a folder is, or will be once it is made.
fn real(folder: &Path) -> Option<PathBuf> {
    if let Ok(there) = folder.canonicalize() {
        return Some(there);
    }
    let whole = std::path::absolute(folder).ok()?;
    Some(real(whole.parent()?)?.join(whole.file_name()?))
}
