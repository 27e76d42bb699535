//! The search for what makes a placement fail: it asks the core what to try, tries it, and says what came out.

pub(crate) mod files;
pub(crate) mod lab;
mod oracle;
pub(crate) mod question;
mod show;

use placebench_core::bisect::case::{ProbeBase, passing_case, single_device_case};
use placebench_core::bisect::record::{BisectRecord, Confirmed, Progress};
use placebench_core::bisect::symptom::Symptom;
use placebench_core::bisect::{Configuration, Probe, Probed, Space, Step, Suspect, next_step};
use placebench_core::device::{DeviceId, DeviceKind};
use placebench_core::outcome::{Outcome, Place};
use placebench_core::planner::along;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::Bytes;

use self::lab::Lab;
use self::oracle::{Trial, sentence_of};
use crate::error::CliError;

/// How a search came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The record says with what.
    Decided,
    /// A person stopped it.
    Interrupted,
}

/// Keeps the record after each probe.
type Keep<'a> = &'a mut dyn FnMut(&BisectRecord) -> Result<(), CliError>;

/// Searches until the record holds an answer or a reason why there is none.
pub(crate) fn search(lab: &mut Lab, record: &mut BisectRecord, keep: Keep<'_>) -> Result<Ended, CliError> {
    let failing = record.question.failing.clone();
    lab.say(&show::heading(&failing.case));
    let Some(failed) = lab.attempts_of(&failing, &failing.case)? else {
        return Ok(Ended::Interrupted);
    };
    if let Some(Outcome::Skipped { reason, hint }) = failed.iter().map(|attempt| &attempt.outcome).next() {
        let error = CliError::setup(format!("{} is not run here: {reason}", failing.case));
        return Err(match hint {
            Some(hint) => error.hint(format!("to run it: {hint}")),
            None => error,
        });
    }
    if let Some(Outcome::Failed { failure }) = failed.iter().map(|attempt| &attempt.outcome).next()
        && failure.class.is_setup()
    {
        return Err(
            CliError::setup(failure.message.clone()).hint("put that right first; then see whether the case fails")
        );
    }
    let confirmed = match confirm(lab, record, &failing, &failed)? {
        Confirmation::Both(both) => {
            record.confirmed = Some(both.clone());
            *both
        }
        Confirmation::Undecided(reason) => {
            record.progress = Progress::Undecided { reason, nearest: None };
            return Ok(Ended::Decided);
        }
        Confirmation::Interrupted => return Ok(Ended::Interrupted),
    };
    keep(record)?;
    let modules = &confirmed.space.modules;
    let base = ProbeBase {
        failing: &failing,
        passing: &confirmed.passing,
        modules,
        failing_devices: &confirmed.space.failing.devices,
    };
    let mut history: Vec<Probed> = Vec::new();
    let mut left = show::Left::new(&confirmed.space);
    loop {
        let budget = record.question.max_attempts.saturating_sub(lab.made()) / record.question.repeat;
        let step = next_step(&confirmed.space, &history, budget_with(lab, &history, budget));
        match step {
            Step::Probe(probe) => {
                let case = base.probe(&format!("probe-{:02}", history.len() + 1), &probe.configuration);
                let Some(attempts) = lab.attempts_of(&case, &probe.tried)? else {
                    return Ok(Ended::Interrupted);
                };
                let trial = Trial::of(lab, &case, &confirmed.passing, &attempts);
                note(lab, record, &probe, &trial, &confirmed.symptom, &mut left);
                history.push(Probed {
                    configuration: probe.configuration,
                    result: trial.result(&confirmed.symptom),
                });
                keep(record)?;
            }
            Step::Found(answer) => {
                let sentence = answer.sentence(&confirmed.symptom);
                record.progress = Progress::Found { answer, sentence };
                return Ok(Ended::Decided);
            }
            Step::Exhausted(pair) => {
                record.progress = Progress::Undecided {
                    reason: format!(
                        "the {} attempts that are allowed did not suffice; the smallest that fails so far is {}; go on with `placebench bisect --resume {} --max-attempts N`",
                        record.question.max_attempts,
                        pair.failing.words(modules),
                        record.run_id
                    ),
                    nearest: Some(pair),
                };
                return Ok(Ended::Decided);
            }
            Step::NoDifference => {
                record.progress = Progress::Undecided {
                    reason: "the failing and the passing placement put every module on the same device in the same way: the fault comes and goes; try --repeat".to_owned(),
                    nearest: None,
                };
                return Ok(Ended::Decided);
            }
        }
    }
}

/// A probe that is on record already costs nothing: a search that is resumed is led through all of them first.
fn budget_with(lab: &Lab, history: &[Probed], budget: u32) -> u32 {
    let next = format!("/probe-{:02}", history.len() + 1);
    let is_on_record = lab.attempts().iter().any(|attempt| attempt.case.ends_with(&next));
    budget.max(u32::from(is_on_record))
}

fn note(lab: &Lab, record: &mut BisectRecord, probe: &Probe, trial: &Trial, symptom: &Symptom, left: &mut show::Left) {
    let result = trial.result(symptom);
    let line = trial.line(&probe.tried, result, Some(probe.configuration.clone()));
    lab.say(&show::probe(record.probes.len() + 1, &line, left.after(probe, result)));
    record.probes.push(line);
}

/// Whether the two placements do what they must.
enum Confirmation {
    Both(Box<Confirmed>),
    Undecided(String),
    Interrupted,
}

/// Finds a placement that passes, and confirms that the case fails beside it.
fn confirm(
    lab: &mut Lab,
    record: &mut BisectRecord,
    failing: &CaseSpec,
    failed: &[Attempt],
) -> Result<Confirmation, CliError> {
    let mut candidates = record.question.candidates.clone();
    if record.question.or_one_device
        && let Some(device) = roomiest(failed)
    {
        candidates.push(passing_case(failing, &single_device_case(failing, &device)));
    }
    let mut reasons = Vec::new();
    for candidate in candidates {
        if lab.made() + record.question.repeat > record.question.max_attempts
            && !lab.attempts().iter().any(|attempt| attempt.case == candidate.case)
        {
            reasons.push("no more attempts are allowed".to_owned());
            break;
        }
        let Some(passed) = lab.attempts_of(&candidate, &candidate.case)? else {
            return Ok(Confirmation::Interrupted);
        };
        let passing = Trial::of(lab, &candidate, &candidate, &passed);
        if record.probes.is_empty() {
            let trial = Trial::of(lab, failing, &candidate, failed);
            let line = trial.line(&format!("{} as it is", failing.case), trial.against_itself(), None);
            lab.say(&show::probe(1, &line, None));
            record.probes.push(line);
        }
        let line = passing.line(&candidate.case, passing.against_itself(), None);
        lab.say(&show::probe(record.probes.len() + 1, &line, None));
        record.probes.push(line);
        if passing.symptom().is_some() {
            reasons.push(format!(
                "{} does not pass either ({})",
                candidate.placement,
                sentence_of(&passed)
            ));
            continue;
        }
        let trial = Trial::of(lab, failing, &candidate, failed);
        let Some(symptom) = trial.symptom().cloned() else {
            return Ok(Confirmation::Undecided(passes_here(failing)));
        };
        return Ok(match space_of(failing, failed, &candidate, &passed) {
            Ok(space) => Confirmation::Both(Box::new(Confirmed {
                symptom,
                passing: candidate,
                space,
            })),
            Err(reason) => Confirmation::Undecided(reason),
        });
    }
    if reasons.is_empty() {
        reasons.push("there is no other placement to compare with; name one with --good".to_owned());
    }
    let injected = match failing.faults.is_empty() {
        true => "",
        false => " (the scenario's faults are injected into every placement that is tried)",
    };
    Ok(Confirmation::Undecided(format!(
        "no placement was found that passes, so it need not be the placement that fails: {}{injected}",
        reasons.join("; ")
    )))
}

fn passes_here(failing: &CaseSpec) -> String {
    format!(
        "{} passes here: it completes with the right text, so there is nothing to search; demands on the map itself (forbid_devices, min_devices_used) are not looked at, and a fault that comes and goes needs --repeat",
        failing.case
    )
}

/// The device of the failing map with the most room; where nobody says how much they have, the one with the most modules.
fn roomiest(failed: &[Attempt]) -> Option<DeviceId> {
    let attempt = failed.first()?;
    let map = attempt.planned.as_ref().map(|planned| planned.device_map.as_slice())?;
    let room = |device: &DeviceId| {
        let facts = attempt.devices.iter().find(|facts| facts.id == *device);
        let modules = map.iter().filter(|(_, place)| place == device).count();
        (facts.and_then(|facts| facts.memory_bytes), modules)
    };
    let devices = map.iter().map(|(_, device)| device);
    let computing = devices.filter(|device| device.kind() != DeviceKind::Disk);
    // Of equals the first in the map.
    computing.rev().max_by_key(|device| room(device)).cloned()
}

/// What there is to search: where the modules were in both.
fn space_of(failing: &CaseSpec, failed: &[Attempt], passing: &CaseSpec, passed: &[Attempt]) -> Result<Space, String> {
    let unknown =
        |whose: &str| format!("the worker of {whose} did not say where the modules are, so there is nothing to vary");
    let good = passed.first().and_then(|attempt| attempt.realised.as_ref());
    let good = good
        .filter(|realised| !realised.is_empty())
        .ok_or_else(|| unknown(&passing.case))?;
    let modules: Vec<String> = good.iter().map(|module| module.module.clone()).collect();
    let bad = failed.iter().find_map(|attempt| attempt.planned.as_ref());
    let bad = bad.and_then(|planned| along(&modules, &planned.device_map));
    let bad = bad.ok_or_else(|| {
        format!(
            "{}: it fails before its placement is known ({})",
            unknown(&failing.case),
            sentence_of(failed)
        )
    })?;
    let capacities = failed.iter().chain(passed).flat_map(|attempt| &attempt.devices);
    let capacities: Vec<(DeviceId, Bytes)> = capacities
        .filter_map(|facts| Some((facts.id.clone(), facts.memory_bytes?)))
        .collect();
    let place = failed.iter().find_map(|attempt| attempt.outcome.place());
    let position = |name: &str| modules.iter().position(|module| module == name);
    let suspect = place.and_then(|place| match place {
        Place::Hop(hop) => position(&hop.from_module).map(Suspect::Hop),
        Place::Module { module, .. } => position(module).map(Suspect::Module),
    });
    let configuration = |devices: Vec<DeviceId>, case: &CaseSpec| Configuration {
        devices,
        transfer: case.request.transfer,
        offload: case.request.offload,
    };
    Ok(Space {
        weights_bytes: good.iter().map(|module| module.bytes).collect(),
        capacities,
        failing: configuration(bad.into_iter().map(|(_, device)| device).collect(), failing),
        passing: configuration(good.iter().map(|module| module.device.clone()).collect(), passing),
        suspect,
        modules,
    })
}
