//! Checks on how attempts ended and where the model really was.

use std::collections::BTreeSet;

use crate::device::{DeviceId, DeviceKind};
use crate::fault::same_hop;
use crate::outcome::{Outcome, OutcomeKind};
use crate::protocol::{PlannedPlacement, RealisedModule};
use crate::record::{Attempt, CaseSpec, Finding};
use crate::units::human_seconds;

/// Every attempt must end as expected, and where expected.
pub(super) fn outcome(case: &CaseSpec, attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let expect = &case.expect;
    for attempt in attempts {
        let outcome = &attempt.outcome;
        let kind = outcome.kind();
        if kind == OutcomeKind::Skipped {
            continue;
        }
        let message = if kind != expect.outcome {
            Some(if expect.outcome == OutcomeKind::Completed {
                outcome.sentence()
            } else {
                format!("expected to end as {}, but: {}", expect.outcome, outcome.sentence())
            })
        } else if expect.phase.is_some() && outcome.phase() != expect.phase {
            let found = outcome
                .phase()
                .map_or_else(|| "an unknown phase".to_owned(), |phase| phase.to_string());
            let wanted = expect.phase.map(|phase| phase.to_string()).unwrap_or_default();
            Some(format!("{kind} in {found}, but the scenario expects {wanted}"))
        } else if let Some(at) = &expect.at
            && !ends_at(outcome, at)
        {
            let found = outcome
                .place()
                .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            Some(format!("{kind} at {found}, but the scenario expects {at}"))
        } else {
            None
        };
        if let Some(message) = message {
            findings.push(Finding {
                check: "outcome".into(),
                message,
                hint: hint(outcome),
            });
            // The same misfortune of later attempts adds nothing.
            return;
        }
    }
}

fn ends_at(outcome: &Outcome, at: &str) -> bool {
    outcome.place().is_some_and(|place| same_hop(at, &place.name()))
}

/// Where the scenario says so, the worker must have ended on SIGTERM, or must not have.
pub(super) fn killed(case: &CaseSpec, attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let Some(wanted) = case.expect.killed else { return };
    let message = attempts
        .iter()
        .find_map(|attempt| match (attempt.killed_after_s, wanted) {
            (Some(grace_s), false) => Some(format!(
                "the worker did not end within {} of SIGTERM and had to be killed",
                human_seconds(grace_s)
            )),
            (None, true) => Some("the worker did not have to be killed: it ended by itself or on SIGTERM".to_owned()),
            (Some(_), true) | (None, false) => None,
        });
    if let Some(message) = message {
        findings.push(Finding {
            check: "killed".into(),
            message,
            hint: Some("a worker that ignores SIGTERM keeps its devices until it is killed".into()),
        });
    }
}

fn hint(outcome: &Outcome) -> Option<String> {
    let text = match outcome {
        Outcome::Stalled { .. } => {
            "`placebench bisect` finds the module, hop or link to blame; by hand: if the case passes with transfer = \"host\", it is \
             the link between the devices"
        }
        Outcome::OutOfMemory { .. } => {
            "give the device more memory, move modules away from it, or shorten the generation"
        }
        Outcome::Timeout { .. } => "if it is merely slow, raise timeout.total",
        Outcome::Crashed { .. } => "the worker's last words are in the attempt's stderr_tail",
        Outcome::Failed { .. } | Outcome::Completed | Outcome::Skipped { .. } => return None,
    };
    Some(text.to_owned())
}

/// What was loaded where: against the plan, against forbidden devices, against the number of devices asked for.
pub(super) fn placement(case: &CaseSpec, attempts: &[&Attempt], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for attempt in attempts {
        let Some(realised) = &attempt.realised else { continue };
        let mut add = |check: &str, message: String, hint: &str| {
            if seen.insert(check.to_owned()) {
                findings.push(Finding {
                    check: check.into(),
                    message,
                    hint: Some(hint.into()),
                });
            }
        };
        if let Some(planned) = &attempt.planned
            && let Some(message) = differs_from_plan(planned, realised)
        {
            add(
                "realised",
                message,
                "the engine did not do what was planned: trust the realised map, not the request",
            );
        }
        if let Some(message) = on_forbidden(&case.expect.forbid_devices, realised) {
            add(
                "forbid_devices",
                message,
                "raise max_memory so that everything fits the accelerators, or allow the spill by removing it from forbid_devices",
            );
        }
        if let Some(wanted) = case.expect.min_devices_used {
            let used: BTreeSet<&DeviceId> = realised
                .iter()
                .filter(|module| module.bytes.0 > 0)
                .map(|module| &module.device)
                .collect();
            if used.len() < wanted as usize {
                let names: Vec<&str> = used.iter().map(|device| device.as_str()).collect();
                let message = format!(
                    "weights are on {} of {wanted} devices: {}",
                    used.len(),
                    names.join(", ")
                );
                add(
                    "min_devices_used",
                    message,
                    "the split was not made: compare requested, resolved and realised map",
                );
            }
        }
    }
}

/// The device the resolved map gives a module: its longest key that is the module or a prefix of it.
fn planned_device<'a>(planned: &'a PlannedPlacement, module: &str) -> Option<&'a DeviceId> {
    planned
        .device_map
        .iter()
        .filter(|(key, _)| {
            key.is_empty()
                || module == key
                || module
                    .strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        })
        .max_by_key(|(key, _)| key.len())
        .map(|(_, device)| device)
}

fn differs_from_plan(planned: &PlannedPlacement, realised: &[RealisedModule]) -> Option<String> {
    let differing: Vec<String> = realised
        .iter()
        .filter_map(|module| {
            let device = planned_device(planned, &module.module)?;
            (*device != module.device).then(|| format!("{} on {} instead of {device}", module.module, module.device))
        })
        .collect();
    let first = differing.first()?;
    Some(match differing.len() {
        1 => format!("the realised placement is not the planned one: {first}"),
        n => format!("the realised placement is not the planned one for {n} modules, first {first}"),
    })
}

fn on_forbidden(forbidden: &[String], realised: &[RealisedModule]) -> Option<String> {
    let is_forbidden = |device: &DeviceId| {
        forbidden.iter().any(|name| {
            name == device.as_str()
                || match device.kind() {
                    DeviceKind::Cuda(_) => name == "cuda",
                    DeviceKind::Metal(_) => name == "metal",
                    DeviceKind::Cpu | DeviceKind::Disk | DeviceKind::Logical => false,
                }
        })
    };
    let offending: Vec<&RealisedModule> = realised.iter().filter(|module| is_forbidden(&module.device)).collect();
    let first = offending.first()?;
    let bytes: crate::units::Bytes = offending.iter().map(|module| module.bytes).sum();
    let modules = match offending.len() {
        1 => first.module.clone(),
        n => format!("{n} modules from {} on", first.module),
    };
    Some(format!(
        "{modules} ({bytes}) landed on {}, where nothing may be",
        first.device
    ))
}
