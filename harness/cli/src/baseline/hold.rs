//! `--baseline`: a run that is judged is held against what was saved.

use std::collections::HashMap;
use std::path::Path;

use placebench_core::baseline::{ANY_MACHINE, Baseline};
use placebench_core::compare::GateSpec;
use placebench_core::record::{BaselineAction, BaselineUse, CaseStatus, GateBase, GateVerdict, RunRecord, Tool};

use super::folder::{self, Stored};
use super::machines::{Machine, machines};
use crate::compare::document::document;
use crate::compare::stored::{ComparedSide, RunName, SideCase, of_record};
use crate::error::CliError;
use crate::gate;

/// The run beside the files it is held against, and what is to be said of that.
pub(crate) struct Held {
    /// The figures of the files, as far as the run could have them too.
    pub(crate) base: ComparedSide,
    /// The run, without what the files leave out.
    pub(crate) new: ComparedSide,
    /// By what it is judged.
    pub(crate) spec: GateSpec,
    /// The files.
    pub(crate) files: Vec<String>,
    /// Machines that no file is of. A sentence each.
    pub(crate) unknown: Vec<String>,
}

/// Why a run cannot be held against a baseline as it was asked to.
pub(crate) enum Unheld {
    /// The files are not those of then, or not here. A sentence.
    Changed(String),
    /// They cannot be read.
    Broken(CliError),
}

/// Holds a run against the baseline it was asked to be held against, if it was.
pub(crate) fn hold(record: &RunRecord) -> Result<Option<GateVerdict>, Unheld> {
    let Some(asked) = record.info.control.baseline.as_ref() else {
        return Ok(None);
    };
    let lenient = match asked.action {
        BaselineAction::Hold => false,
        BaselineAction::HoldLeniently => true,
        BaselineAction::Save | BaselineAction::SaveCounters => return Ok(None),
    };
    let files = folder::read_all(Path::new(&asked.dir), &asked.name).map_err(Unheld::Broken)?;
    refuse_changed(record, asked, &files)?;
    let spec = GateSpec {
        base_may_lack: lenient,
        ..gate::spec(&record.info)
    };
    let held = beside(record, Path::new(""), &files, &asked.name, spec);
    let document = document(&held.base, &held.new, asked.noise.clone(), &held.spec).map_err(Unheld::Broken)?;
    let base = GateBase::Baseline {
        name: asked.name.clone(),
        file: held.files.join(", "),
    };
    Ok(Some(gate::verdict(base, document.without_files(held.unknown))))
}

/// The answer must be one about the files of then: whoever renews a baseline does not change what was said of old runs.
fn refuse_changed(record: &RunRecord, asked: &BaselineUse, files: &[Stored]) -> Result<(), Unheld> {
    let used = machines(record);
    let used = used.iter().filter_map(|machine| machine.find(files));
    let is_known = |file: &Stored| {
        let mut known = asked.files.iter();
        known.any(|known| known.key == file.baseline.key && known.digest == file.digest)
    };
    let changed: Vec<String> = used
        .filter(|file| !is_known(file))
        .map(|file| format!("{} has changed since the run began", file.path.display()))
        .collect();
    let is_gone = |key: &String| !files.iter().any(|file| file.baseline.key == *key);
    let gone = asked.files.iter().map(|file| &file.key).filter(|key| is_gone(key));
    let gone = gone.map(|key| format!("{}/{}/{key}.json is not here", asked.dir, asked.name));
    match changed.into_iter().chain(gone).next() {
        Some(first) => Err(Unheld::Changed(format!(
            "{first}; hold the run against what there is with `placebench compare baseline:{} {}`",
            asked.name, record.info.run_id
        ))),
        None => Ok(()),
    }
}

/// Puts a run beside the files that its machines are held against.
pub(crate) fn beside(record: &RunRecord, folder: &Path, files: &[Stored], name: &str, spec: GateSpec) -> Held {
    let mut new = of_record(record, folder.to_path_buf());
    let mut cases = Vec::new();
    let (mut used, mut unknown): (Vec<&Stored>, Vec<String>) = (Vec::new(), Vec::new());
    for machine in machines(record) {
        let Some(file) = machine.find(files) else {
            unknown.push(unknown_machine(&machine, files, name));
            continue;
        };
        if !used.iter().any(|known| known.path == file.path) {
            used.push(file);
            cases.extend(vanished(&new, file));
        }
        cases.extend(cases_of(&mut new, file, &machine));
    }
    let has_timings = used.iter().any(|file| file.baseline.timings);
    Held {
        base: ComparedSide {
            name: name_of(name, &used),
            cases,
            unfinished: Vec::new(),
            baseline: None,
            selected: Vec::new(),
        },
        new,
        spec: match has_timings {
            true => spec,
            false => GateSpec {
                metrics: Vec::new(),
                ..spec
            },
        },
        files: used.iter().map(|file| file.path.display().to_string()).collect(),
        unknown,
    }
}

/// The cases of a file that were run on its machine.
fn cases_of(new: &mut ComparedSide, file: &Stored, machine: &Machine) -> Vec<SideCase> {
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (index, case) in new.cases.iter().enumerate() {
        positions.insert(case.case.clone(), index);
    }
    let mut cases = Vec::new();
    for (name, known) in &file.baseline.cases {
        let Some(theirs) = positions.get(name).and_then(|index| new.cases.get_mut(*index)) else {
            continue;
        };
        if !machine.cases.contains(name) {
            continue;
        }
        let refs: Vec<_> = theirs.attempts.iter().collect();
        let source = file.baseline.source_of(known);
        let attempts = known.attempts(name, &source, &refs);
        theirs.attempts = known.comparable(&refs);
        cases.push(SideCase {
            // Counters of all machines are not told apart by the machine.
            environment: source.environment.unwrap_or_else(|| theirs.environment.clone()),
            attempts,
            ..side_case(name, known)
        });
    }
    cases
}

/// The cases of a file that the run should have had, and had not.
fn vanished(new: &ComparedSide, file: &Stored) -> Vec<SideCase> {
    let is_known = |name: &str| {
        let lists = [
            new.selected.as_slice(),
            new.baseline.as_ref().map_or(&[], |asked| asked.left_out.as_slice()),
        ];
        new.case(name).is_some() || lists.iter().any(|list| list.iter().any(|known| known == name))
    };
    let is_covered = |scenario: &str| new.baseline.as_ref().is_none_or(|asked| asked.covers(scenario));
    let cases = file.baseline.cases.iter();
    cases
        .filter(|(name, case)| is_covered(&case.scenario) && !is_known(name))
        .map(|(name, case)| side_case(name, case))
        .collect()
}

fn side_case(name: &str, case: &placebench_core::baseline::BaselineCase) -> SideCase {
    SideCase {
        case: name.to_owned(),
        asked: case.asked.clone(),
        unfit: None,
        status: Some(CaseStatus::Passed),
        reason: String::new(),
        text: case.text,
        environment: placebench_core::record::Environment::default(),
        attempts: Vec::new(),
    }
}

fn name_of(name: &str, used: &[&Stored]) -> RunName {
    let newest = used.iter().filter_map(|file| file.baseline.newest());
    let newest = newest.max_by(|a, b| a.started_at.cmp(&b.started_at));
    let keys: Vec<&str> = used.iter().map(|file| file.baseline.key.as_str()).collect();
    let paths: Vec<String> = used.iter().map(|file| file.path.display().to_string()).collect();
    RunName {
        run_id: newest.map(|source| source.run_id.clone()).unwrap_or_default(),
        folder: paths.join(", "),
        started_at: newest.map(|source| source.started_at.clone()).unwrap_or_default(),
        tool: newest.and_then(|source| source.tool.clone()).unwrap_or_else(|| Tool {
            name: String::new(),
            version: String::new(),
            profile: String::new(),
        }),
        baseline: Some(match keys.as_slice() {
            [] => name.to_owned(),
            keys => keys.join(", "),
        }),
    }
}

/// Which machines a baseline knows, and what sets them apart from this one.
fn unknown_machine(machine: &Machine, files: &[Stored], name: &str) -> String {
    let apart = |baseline: &Baseline| {
        let source = baseline.newest().cloned().unwrap_or_default();
        let differences = machine.differences(&source);
        let differences = differences.iter().map(|difference| {
            let told = |text: &str| {
                if text.is_empty() {
                    "none".to_owned()
                } else {
                    format!("`{text}`")
                }
            };
            format!(
                "{} {} instead of {}",
                difference.field.as_str(),
                told(&difference.new),
                told(&difference.base)
            )
        });
        format!("{} ({})", baseline.key, differences.collect::<Vec<_>>().join(", "))
    };
    let known: Vec<String> = files
        .iter()
        .filter(|file| file.baseline.key != ANY_MACHINE)
        .map(|file| apart(&file.baseline))
        .collect();
    let known = match known.as_slice() {
        [] => "it has no file yet".to_owned(),
        known => format!("it has {}", known.join("; ")),
    };
    format!(
        "baseline {name} has no file {}.json for this machine: {known}; save one here with --save-baseline {name}",
        machine.key
    )
}
