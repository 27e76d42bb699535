//! The order of the questions: what travels how, then where it was seen, then hops by halves, then modules.

use super::ProbeResult::{Fails, Passes, Unresolved};
use super::answer::{Answer, Culprit};
use super::characterise;
use super::ddmin::ddmin;
use super::oracle::{Halt, Oracle};
use super::space::{Configuration, Difference, Run, Space, Suspect};
use crate::device::DeviceId;

/// Looks for the difference that matters.
pub(super) fn search(oracle: &mut Oracle<'_>) -> Result<Answer, Halt> {
    let space = oracle.space;
    let (failing, needed) = without_options(oracle)?;
    let differences = failing.differences(&space.passing);
    let only_options = differences
        .iter()
        .all(|difference| !matches!(difference, Difference::Module(_)));
    if only_options {
        return match (differences.as_slice(), needed) {
            ([], _) => Err(Halt::NoDifference),
            ([option], _) => Ok(Answer::new(
                Culprit::of_option(*option, &failing),
                failing,
                space.passing.clone(),
            )),
            _ => characterise::combination(oracle, failing),
        };
    }
    if let Some(option) = needed
        && let Some(answer) = option_alone(oracle, option)?
    {
        return Ok(answer);
    }
    if let Some(answer) = at_module(oracle, &failing)? {
        return Ok(answer);
    }
    let failing = at_hop(oracle, failing)?;
    let failing = fewest_hops(oracle, failing)?;
    match failing.hops().as_slice() {
        [] => match failing.devices.first().cloned() {
            Some(device) => modules_on(oracle, &failing, &device),
            None => Err(Halt::NoDifference),
        },
        [hop] => characterise::one_hop(oracle, &failing, *hop),
        _ => fewest_differences(oracle, failing),
    }
}

/// Takes from the passing configuration what travels how, as far as it goes on failing. Returns the option that cannot be
/// taken, if there is one.
fn without_options(oracle: &Oracle<'_>) -> Result<(Configuration, Option<Difference>), Halt> {
    let passing = &oracle.space.passing;
    let mut failing = oracle.space.failing.clone();
    let mut needed = None;
    for option in [Difference::Transfer, Difference::Offload] {
        let candidate = failing.taking(&[option], passing);
        if candidate == failing {
            continue;
        }
        let has_effect = candidate.canonical() != failing.canonical();
        let result = oracle.ask(&candidate, candidate.hops().len(), || {
            format!("the same map with {}", option_words(option, &candidate))
        })?;
        match (has_effect, result) {
            (false, _) | (true, Fails) => failing = candidate,
            (true, Passes | Unresolved) => needed = Some(option),
        }
    }
    Ok((failing, needed))
}

/// The passing map with the failing one's option: where that fails, the map has nothing to do with it.
fn option_alone(oracle: &Oracle<'_>, option: Difference) -> Result<Option<Answer>, Halt> {
    let passing = &oracle.space.passing;
    let candidate = passing.taking(&[option], &oracle.space.failing);
    if candidate.canonical() == passing.canonical() {
        return Ok(None);
    }
    let result = oracle.ask(&candidate, 1, || {
        format!("the passing map with {}", option_words(option, &candidate))
    })?;
    Ok((result == Fails).then(|| Answer::new(Culprit::of_option(option, &candidate), candidate, passing.clone())))
}

/// `transfer = "host"`.
pub(super) fn option_words(option: Difference, of: &Configuration) -> String {
    use crate::placement::{Offload, Transfer};
    let (key, value) = match option {
        Difference::Offload => (
            "offload",
            match of.offload {
                Offload::Stream => "stream",
                Offload::Execute => "execute",
            },
        ),
        Difference::Transfer | Difference::Module(_) => (
            "transfer",
            match of.transfer {
                Transfer::Direct => "direct",
                Transfer::Host => "host",
            },
        ),
    };
    format!("{key} = \"{value}\"")
}

/// A failure that named a module is looked for there first. Where the place is only where the worker happened to wait,
/// nothing is lost but that probe.
fn at_module(oracle: &Oracle<'_>, failing: &Configuration) -> Result<Option<Answer>, Halt> {
    let space = oracle.space;
    let Some(Suspect::Module(module)) = space.suspect else {
        return Ok(None);
    };
    let is_elsewhere = |device: &&DeviceId| space.passing.devices.get(module) != Some(device);
    let Some(device) = failing.devices.get(module).filter(is_elsewhere) else {
        return Ok(None);
    };
    let alone = space.passing.with_module(module, device);
    let result = oracle.ask(&alone, 1, || {
        format!("{} alone on {device}, where it failed", space.name(module))
    })?;
    match result {
        Fails => characterise::one_module(oracle, alone, module, device).map(Some),
        Passes | Unresolved => Ok(None),
    }
}

/// The same for a failure that named a hop: one probe instead of one for each halving.
fn at_hop(oracle: &Oracle<'_>, failing: Configuration) -> Result<Configuration, Halt> {
    let space = oracle.space;
    let Some(Suspect::Hop(before)) = space.suspect else {
        return Ok(failing);
    };
    let runs = failing.runs();
    let at = runs.iter().position(|run| run.last == before);
    let Some(at) = at.filter(|at| runs.len() > 2 && at + 1 < runs.len()) else {
        return Ok(failing);
    };
    let alone = window(&failing, &runs, at, at + 1);
    let result = oracle.ask(&alone, 1, || {
        format!("the hop {} alone, where it was seen", space.hop_name(before))
    })?;
    Ok(if result == Fails { alone } else { failing })
}

/// The map that keeps the runs from `first` to `last` with the hops between them, the modules before on the first one's
/// device and those after on the last one's.
fn window(of: &Configuration, runs: &[Run], first: usize, last: usize) -> Configuration {
    let mut kept = of.clone();
    if let (Some(first), Some(last)) = (runs.get(first), runs.get(last)) {
        for (index, place) in kept.devices.iter_mut().enumerate() {
            if index < first.first {
                place.clone_from(&first.device);
            } else if index > last.last {
                place.clone_from(&last.device);
            }
        }
    }
    kept
}

/// Halves the hops until one is left, or until neither half fails by itself.
///
/// Where the first half passes, the second is taken to fail without asking: with a single culprit it must. The last one left
/// is tried in any case; if it passes, there is more than one culprit, and the ends are cut off as far as it goes on failing.
pub(super) fn fewest_hops(oracle: &Oracle<'_>, failing: Configuration) -> Result<Configuration, Halt> {
    let runs = failing.runs();
    let part = |first: usize, last: usize| window(&failing, &runs, first, last);
    let total = runs.len().saturating_sub(1);
    let ask = |first: usize, last: usize| {
        oracle.ask(&part(first, last), last - first, || {
            hops_words(oracle.space, &runs, first, last)
        })
    };
    let (mut first, mut last) = (0, total);
    let mut confirmed = (first, last);
    while last - first > 1 {
        let middle = first.midpoint(last);
        match ask(first, middle)? {
            Fails => {
                last = middle;
                confirmed = (first, last);
            }
            Passes => first = middle,
            Unresolved => match ask(middle, last)? {
                Fails => {
                    first = middle;
                    confirmed = (first, last);
                }
                Passes => last = middle,
                Unresolved => break,
            },
        }
    }
    if confirmed != (first, last) && ask(first, last)? == Fails {
        confirmed = (first, last);
    }
    let (mut first, mut last) = confirmed;
    if last - first > 1 {
        last = boundary(first + 1, last, |middle| Ok(ask(first, middle)? == Fails))?;
        first = last - boundary(1, last - first, |length| Ok(ask(last - length, last)? == Fails))?;
    }
    Ok(part(first, last))
}

/// The smallest number from `low` to `high` for which `holds`, which is known to hold for `high`.
fn boundary(low: usize, high: usize, holds: impl Fn(usize) -> Result<bool, Halt>) -> Result<usize, Halt> {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(high)
}

/// `hops 3 to 5 of 26 alone`; counted from 1.
fn hops_words(space: &Space, runs: &[Run], first: usize, last: usize) -> String {
    let total = runs.len().saturating_sub(1);
    match (last - first, runs.get(first)) {
        (1, Some(run)) => format!("hop {last} of {total}, {}, alone", space.hop_name(run.last)),
        _ => format!("hops {} to {last} of {total} alone", first + 1),
    }
}

/// Everything on one device fails: which of its modules must be there?
pub(super) fn modules_on(oracle: &Oracle<'_>, failing: &Configuration, device: &DeviceId) -> Result<Answer, Halt> {
    let everything = failing.all_on(device);
    let passing = &oracle.space.passing;
    // A device that spoils whatever runs there shows it with any module, so that no halving is needed.
    let is_elsewhere = |module: &usize| passing.devices.get(*module) != Some(device);
    if let Some(last) = (0..passing.devices.len()).rev().find(is_elsewhere) {
        let alone = passing.with_module(last, device);
        let tried = || format!("{} alone on {device}", oracle.space.name(last));
        if oracle.ask(&alone, 0, tried)? == Fails {
            return characterise::one_module(oracle, alone, last, device);
        }
    }
    let needed = smallest(oracle, &everything)?;
    let smallest = passing.taking(&needed, &everything);
    match needed.as_slice() {
        [Difference::Module(module)] => characterise::one_module(oracle, smallest, *module, device),
        _ => characterise::combination(oracle, smallest),
    }
}

/// The general way: any set of differences.
pub(super) fn fewest_differences(oracle: &Oracle<'_>, failing: Configuration) -> Result<Answer, Halt> {
    let needed = smallest(oracle, &failing)?;
    let smallest = oracle.space.passing.taking(&needed, &failing);
    match needed.as_slice() {
        [Difference::Module(module)] => match smallest.devices.get(*module).cloned() {
            Some(device) => characterise::one_module(oracle, smallest, *module, &device),
            None => characterise::combination(oracle, smallest),
        },
        _ => characterise::combination(oracle, smallest),
    }
}

fn smallest(oracle: &Oracle<'_>, failing: &Configuration) -> Result<Vec<Difference>, Halt> {
    let passing = &oracle.space.passing;
    let differences = failing.differences(passing);
    let total = differences.len();
    ddmin(differences, |subset| {
        oracle.ask(&passing.taking(subset, failing), subset.len(), || {
            subset_words(oracle, subset, total)
        })
    })
}

fn subset_words(oracle: &Oracle<'_>, subset: &[Difference], total: usize) -> String {
    match subset {
        [Difference::Module(module)] => format!("{} alone", oracle.space.name(*module)),
        _ => format!("{} of {total} differences", subset.len()),
    }
}
