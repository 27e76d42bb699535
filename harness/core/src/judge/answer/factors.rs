//! What differs between two cases of a prompt.

use super::observed::Seen;
use crate::device::{DeviceId, DeviceKind};
use crate::placement::{DeviceMapRequest, PlacementRequest, Transfer};

/// Something that may differ between two cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    /// What is asked to be where, or where it came to be.
    Map,
    /// How activations travel.
    Transfer,
    /// What executes it.
    Engine,
    /// The version of what executes it.
    Environment,
    /// The type of numbers.
    Dtype,
    /// What is injected.
    Faults,
    /// What a script does besides.
    Script,
}

/// Everything in which two cases differ.
pub(super) fn between(a: &Seen<'_>, b: &Seen<'_>) -> Vec<Factor> {
    let is_other_engine = a.engine != b.engine;
    let parts = [
        (Factor::Map, !is_same_map(a, b)),
        (Factor::Transfer, a.request.transfer != b.request.transfer),
        (Factor::Engine, is_other_engine),
        // Versions of two engines are no versions of one.
        (Factor::Environment, !is_other_engine && a.environment != b.environment),
        (Factor::Dtype, a.dtype != b.dtype),
        (Factor::Faults, a.faults != b.faults),
        (Factor::Script, a.script != b.script),
    ];
    parts
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(factor, _)| factor)
        .collect()
}

/// The same request that came to the same devices, or was not kept by the one of the two that went wrong. Logical devices of
/// one engine are none of another.
fn is_same_map(a: &Seen<'_>, b: &Seen<'_>) -> bool {
    let plain = |request: &PlacementRequest| PlacementRequest {
        transfer: Transfer::Direct,
        ..request.clone()
    };
    if plain(a.request) != plain(b.request) {
        return false;
    }
    let are_known = !a.devices.is_empty() && !b.devices.is_empty();
    let came_to_the_same = match (&a.not_kept, &b.not_kept) {
        (Some(_), None) => is_not_kept_beside(a, b),
        (None, Some(_)) => is_not_kept_beside(b, a),
        _ => !are_known || a.devices == b.devices,
    };
    came_to_the_same && (a.engine == b.engine || (!a.is_logical && !b.is_logical))
}

/// A map of named devices that went wrong under a stack that did not keep it, beside one that keeps it and does not go
/// wrong: that it was not kept is this stack's. The other way round, what is right did not run what was asked for, and says
/// nothing about it. What a planner answers each engine may compute for itself.
fn is_not_kept_beside(broken: &Seen<'_>, kept: &Seen<'_>) -> bool {
    let is_named = matches!(
        broken.request.device_map,
        DeviceMapRequest::Single(_) | DeviceMapRequest::Manual(_)
    );
    let is_other_stack =
        broken.engine != kept.engine || broken.environment != kept.environment || broken.script != kept.script;
    is_named && is_other_stack && broken.is_wrong() && !kept.is_wrong()
}

/// The same modules together, on other devices of the same kind.
pub(super) fn is_moved(a: &Seen<'_>, b: &Seen<'_>) -> bool {
    let (Some(first), Some(second)) = (layout(a.request), layout(b.request)) else {
        return false;
    };
    let mut pairs: Vec<(&DeviceId, &DeviceId)> = Vec::new();
    for ((module, from), (other, to)) in first.iter().zip(&second) {
        let is_known = |pair: &&(&DeviceId, &DeviceId)| pair.0 == *from || pair.1 == *to;
        match pairs.iter().find(is_known) {
            _ if module != other || !is_of_one_kind(from, to) => return false,
            Some(pair) if *pair != (*from, *to) => return false,
            Some(_) => {}
            None => pairs.push((from, to)),
        }
    }
    first.len() == second.len() && pairs.iter().any(|(from, to)| from != to)
}

fn layout(request: &PlacementRequest) -> Option<Vec<(&str, &DeviceId)>> {
    match &request.device_map {
        DeviceMapRequest::Single(device) => Some(vec![("", device)]),
        DeviceMapRequest::Manual(map) => Some(map.iter().map(|(module, device)| (module.as_str(), device)).collect()),
        _ => None,
    }
}

/// Two slices of a processor are of one kind, the processor and a GPU are not.
fn is_of_one_kind(a: &DeviceId, b: &DeviceId) -> bool {
    match (a.kind(), b.kind()) {
        (DeviceKind::Cuda(_), DeviceKind::Cuda(_)) | (DeviceKind::Metal(_), DeviceKind::Metal(_)) => true,
        (DeviceKind::Logical, DeviceKind::Logical) => a.as_str().split(':').next() == b.as_str().split(':').next(),
        (a, b) => a == b,
    }
}
