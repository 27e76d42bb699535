//! What exactly a small failing configuration has that its passing neighbours have not.

use super::ProbeResult::{Fails, Passes};
use super::answer::{Answer, Culprit, ObservationKind};
use super::oracle::{Halt, Oracle};
use super::search::{fewest_differences, fewest_hops, modules_on, option_words};
use super::space::{Configuration, Difference};
use crate::device::DeviceId;

/// One hop, after the module at `hop`, between two devices. Whether it is these modules, these devices or the way between
/// them shows when the boundary is moved by one module either way: the smallest change there is.
pub(super) fn one_hop(oracle: &Oracle<'_>, failing: &Configuration, hop: usize) -> Result<Answer, Halt> {
    let space = oracle.space;
    let (Some(from), Some(to)) = (failing.devices.get(hop).cloned(), failing.devices.get(hop + 1).cloned()) else {
        return fewest_differences(oracle, failing.clone());
    };
    let earlier = failing.with_module(hop, &to);
    let later = failing.with_module(hop + 1, &from);
    let moved = |module: usize, device: &DeviceId| format!("{} on {device}, all else the same", space.name(module));
    let before = oracle.ask(&earlier, 0, || moved(hop, &to))?;
    let after = oracle.ask(&later, 0, || moved(hop + 1, &from))?;
    let one_of = |module: usize, device: &DeviceId| -> Result<Option<Answer>, Halt> {
        // It goes on failing wherever the boundary is as long as this module is there: try it without any other.
        let alone = space.passing.with_module(module, device);
        if alone == space.passing || oracle.ask(&alone, 0, || format!("{} alone", space.name(module)))? != Fails {
            return Ok(None);
        }
        one_module(oracle, alone, module, device).map(Some)
    };
    // At an end of the model the boundary vanishes with its last module: then a pass says nothing about that module.
    let is_hop = |moved: &Configuration| !moved.hops().is_empty();
    match (before, after) {
        (Fails, Passes) if is_hop(&later) => match one_of(hop + 1, &to)? {
            Some(answer) => Ok(answer),
            None => fewest_differences(oracle, failing.clone()),
        },
        (Passes, Fails) if is_hop(&earlier) => match one_of(hop, &from)? {
            Some(answer) => Ok(answer),
            None => fewest_differences(oracle, failing.clone()),
        },
        (Fails, _) | (_, Fails) => link_or_device(oracle, failing, hop, &from, &to),
        _ => {
            let passing = match (before, after) {
                (_, Passes) => later,
                (Passes, _) => earlier,
                _ => space.passing.clone(),
            };
            let culprit = Culprit::Hop {
                from_module: space.name(hop).to_owned(),
                to_module: space.name(hop + 1).to_owned(),
                from_device: from.clone(),
                to_device: to.clone(),
            };
            let mut answer = Answer::new(culprit, failing.clone(), passing);
            answer.observe(ObservationKind::BoundaryEarlier, before);
            answer.observe(ObservationKind::BoundaryLater, after);
            around_hop(oracle, failing, &from, &to, &mut answer)?;
            Ok(answer)
        }
    }
}

/// The boundary may be anywhere. So it is the way from one device to the other, or one of the two devices.
fn link_or_device(
    oracle: &Oracle<'_>,
    failing: &Configuration,
    hop: usize,
    from: &DeviceId,
    to: &DeviceId,
) -> Result<Answer, Halt> {
    let space = oracle.space;
    let everything = |device: &DeviceId| failing.all_on(device);
    let all_on = |device: &DeviceId| oracle.ask(&everything(device), 0, || format!("everything on {device}"));
    for device in [to, from] {
        if all_on(device)? == Fails {
            return modules_on(oracle, failing, device);
        }
    }
    let (all_from, all_to) = (all_on(from)?, all_on(to)?);
    // The smallest failing map over this link: its last module alone on the other side.
    let last = space.modules.len().saturating_sub(1);
    let tail = everything(from).with_module(last, to);
    let tried = oracle.ask_if_allowed(&tail, || {
        format!("{} alone on {to}, the rest on {from}", space.name(last))
    })?;
    let (failing, passing) = match (tried, all_from, all_to) {
        (Some(Fails), Passes, _) => (tail, everything(from)),
        (_, Passes, _) => (failing.clone(), everything(from)),
        (_, _, Passes) => (failing.clone(), everything(to)),
        _ => (failing.clone(), space.passing.clone()),
    };
    let culprit = Culprit::Link {
        from: from.clone(),
        to: to.clone(),
    };
    let mut answer = Answer::new(culprit, failing.clone(), passing);
    answer.observe(ObservationKind::AllOnSender, all_from);
    answer.observe(ObservationKind::AllOnReceiver, all_to);
    around_hop(oracle, &failing, from, to, &mut answer)?;
    other_link(oracle, &failing, hop, from, to, &mut answer)?;
    Ok(answer)
}

/// What else is worth knowing about a hop: the other direction, and the other way.
fn around_hop(
    oracle: &Oracle<'_>,
    failing: &Configuration,
    from: &DeviceId,
    to: &DeviceId,
    answer: &mut Answer,
) -> Result<(), Halt> {
    let other_way = failing.with_other_transfer();
    let words = option_words(Difference::Transfer, &other_way);
    let transfer = oracle.ask_if_allowed(&other_way, || format!("the same with {words}"))?;
    if let Some(result) = transfer {
        answer.observe(ObservationKind::Transfer(other_way.transfer), result);
    }
    let swapped = failing.swapped(from, to);
    let result = oracle.ask_if_allowed(&swapped, || format!("the same with {from} and {to} exchanged"))?;
    if let Some(result) = result {
        answer.observe(ObservationKind::Exchanged, result);
    }
    Ok(())
}

/// Whether another pair of devices does the same: then it is no link but hops as such.
fn other_link(
    oracle: &Oracle<'_>,
    failing: &Configuration,
    hop: usize,
    from: &DeviceId,
    to: &DeviceId,
    answer: &mut Answer,
) -> Result<(), Halt> {
    let devices = oracle.space.failing.devices.iter();
    let third = devices
        .chain(&oracle.space.passing.devices)
        .find(|device| **device != *from && **device != *to && device.kind() != crate::device::DeviceKind::Disk);
    let Some(third) = third.cloned() else { return Ok(()) };
    let mut elsewhere = failing.all_on(from);
    for place in elsewhere.devices.iter_mut().skip(hop + 1) {
        place.clone_from(&third);
    }
    let result = oracle.ask_if_allowed(&elsewhere, || format!("{from} -> {third} instead of {from} -> {to}"))?;
    if let Some(result) = result {
        answer.observe(ObservationKind::OtherLink { to: third }, result);
    }
    Ok(())
}

/// One module on one device. Everything there tells whether it is the way there, another module whether it is the device.
pub(super) fn one_module(
    oracle: &Oracle<'_>,
    failing: Configuration,
    module: usize,
    device: &DeviceId,
) -> Result<Answer, Halt> {
    let space = oracle.space;
    let passing = &space.passing;
    let culprit = Culprit::Module {
        module: space.name(module).to_owned(),
        device: device.clone(),
    };
    let mut answer = Answer::new(culprit, failing.clone(), passing.clone());
    let all = failing.all_on(device);
    match oracle.ask_if_allowed(&all, || format!("everything on {device}"))? {
        Some(Passes) => return the_way_there(oracle, &failing),
        Some(result) => answer.observe(ObservationKind::AllOnReceiver, result),
        None => return Ok(answer),
    }
    // The one farthest away shares no hop with it.
    let is_elsewhere = |other: &usize| *other != module && passing.devices.get(*other) != Some(device);
    let elsewhere = (0..space.modules.len()).filter(is_elsewhere);
    let Some(other) = elsewhere.max_by_key(|other| other.abs_diff(module)) else {
        return Ok(answer);
    };
    let candidate = passing.with_module(other, device);
    let name = space.name(other).to_owned();
    if let Some(result) = oracle.ask_if_allowed(&candidate, || format!("{name} on {device} instead"))? {
        answer.observe(ObservationKind::OtherModule { module: name }, result);
        if result == Fails {
            answer.culprit = Culprit::Device { device: device.clone() };
        }
    }
    Ok(answer)
}

/// A module on a device fails because of the hop to it, or of the one back.
fn the_way_there(oracle: &Oracle<'_>, failing: &Configuration) -> Result<Answer, Halt> {
    if !oracle.may_turn() {
        return combination(oracle, failing.clone());
    }
    let fewest = fewest_hops(oracle, failing.clone())?;
    match fewest.hops().as_slice() {
        [hop] => one_hop(oracle, &fewest, *hop),
        _ => combination(oracle, failing.clone()),
    }
}

/// Several differences that are needed together. Leaving out each of them by itself has been tried by the search.
pub(super) fn combination(oracle: &Oracle<'_>, failing: Configuration) -> Result<Answer, Halt> {
    let space = oracle.space;
    let passing = &space.passing;
    let differences = failing.differences(passing);
    let mut passes = 0;
    for difference in &differences {
        if oracle.known(&failing.taking(&[*difference], passing)) == Some(Passes) {
            passes += 1;
        }
    }
    let only = match differences.as_slice() {
        [Difference::Module(module)] => failing.devices.get(*module).map(|device| (*module, device.clone())),
        _ => None,
    };
    let culprit = match only {
        Some((module, device)) => Culprit::Module {
            module: space.name(module).to_owned(),
            device,
        },
        None => Culprit::Several {
            count: differences.len(),
            map: failing.words(&space.modules),
        },
    };
    let mut answer = Answer::new(culprit, failing, passing.clone());
    answer.undone = (passes, differences.len());
    Ok(answer)
}
