//! What selection knows of a case besides its own words: its devices, its group, and the cases it is compared with.

use std::collections::BTreeSet;

use crate::device::DeviceId;
use crate::placement::DeviceMapRequest;
use crate::record::CaseSpec;

/// The devices a case may use: those its device map names; where a planner decides, those with a budget, else the
/// declared logical devices, else as many CUDA devices as it requires. Behind a logical device stands also the physical one.
/// Nothing is asked of the machine, so that every machine of a fleet gives the same answer.
#[must_use]
pub fn devices_of(case: &CaseSpec) -> Vec<String> {
    let named: Vec<DeviceId> = match &case.request.device_map {
        DeviceMapRequest::Single(device) => vec![device.clone()],
        DeviceMapRequest::Manual(map) => map.iter().map(|(_, device)| device.clone()).collect(),
        DeviceMapRequest::Strategy(_)
        | DeviceMapRequest::Optimal(_)
        | DeviceMapRequest::Ranks(_)
        | DeviceMapRequest::Stated(_) => match &case.request.max_memory {
            Some(budgets) => budgets.iter().map(|(device, _)| device.clone()).collect(),
            None if case.devices.is_empty() => (0..case.requires_cuda)
                .filter_map(|ordinal| DeviceId::new(&format!("cuda:{ordinal}")).ok())
                .collect(),
            None => case.devices.iter().map(|device| device.id.clone()).collect(),
        },
    };
    let mut seen = BTreeSet::new();
    let physical = |device: &DeviceId| {
        case.devices
            .iter()
            .find(|slice| slice.id == *device)
            .map(|slice| &slice.on)
    };
    let mut devices: Vec<String> = Vec::new();
    for device in named
        .iter()
        .flat_map(|device| std::iter::once(device).chain(physical(device)))
    {
        if seen.insert(device.clone()) {
            devices.push(device.as_str().to_owned());
        }
    }
    devices
}

/// Whether a text of `case` must agree with one of `other`: the reference placement's of its prompt, or, where sequences of
/// several prompts are generated together, of any prompt; or that of the engine that sets the measure.
#[must_use]
pub fn is_compared_with(case: &CaseSpec, other: &CaseSpec) -> bool {
    // Which placement an audit is held to is known once all have run.
    if case.audit.is_some() && (&other.scenario, &other.prompt) == (&case.scenario, &case.prompt) {
        return true;
    }
    let agreement = case.expect.agreement.as_ref();
    let engines = case.expect.engines.as_ref();
    let sets_the_measure = engines.is_some_and(|engines| engines.reference == other.placement);
    if sets_the_measure && (&other.scenario, &other.prompt) == (&case.scenario, &case.prompt) {
        return true;
    }
    other.scenario == case.scenario
        && agreement.is_some_and(|agreement| agreement.reference == other.placement)
        && (other.prompt == case.prompt || !case.companion_inputs.is_empty())
}

/// The name of the comparison group of each case. Cases of one group are compared with each other and are run on one
/// machine: all placements of a prompt (`scenario/prompt`), or the whole scenario where a placement generates sequences of
/// several prompts together.
#[must_use]
pub fn groups_of(cases: &[CaseSpec]) -> Vec<String> {
    let whole: BTreeSet<&str> = cases
        .iter()
        .filter(|case| !case.companion_inputs.is_empty())
        .map(|case| case.scenario.as_str())
        .collect();
    let group = |case: &CaseSpec| {
        if whole.contains(case.scenario.as_str()) {
            case.scenario.clone()
        } else {
            format!("{}/{}", case.scenario, case.prompt)
        }
    };
    cases.iter().map(group).collect()
}
