//! The words of an answer.

use super::Because;
use super::diagnosis::Diagnosis;
use super::observed::{Manner, ScriptStep, Seen, Shape, State};

/// Names, or devices, that are listed before the rest is counted.
const NAMED: usize = 4;

/// Its name beside the words for what executes it: `auto[transfer=host]`.
pub(super) fn name(seen: &Seen<'_>) -> String {
    let Some((base, axes)) = seen.placement.strip_suffix(']').and_then(|name| name.split_once('[')) else {
        return full_name(seen);
    };
    let is_told = |part: &&str| part.starts_with("engine=") || part.starts_with("environment=");
    let axes: Vec<&str> = axes.split(',').filter(|part| !is_told(part)).collect();
    match axes.is_empty() {
        true => format!("`{base}`"),
        false => format!("`{base}[{}]`", axes.join(",")),
    }
}

/// The whole name of its placement, where nothing else tells what executes it.
pub(super) fn full_name(seen: &Seen<'_>) -> String {
    format!("`{}`", seen.placement)
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if items.len() <= NAMED => format!("{} and {last}", first.join(", ")),
        _ => {
            let first: Vec<String> = items.iter().take(NAMED - 1).cloned().collect();
            format!("{} and {} more", first.join(", "), items.len() + 1 - NAMED)
        }
    }
}

fn names(seen: &[&Seen<'_>]) -> String {
    list(&seen.iter().map(|seen| full_name(seen)).collect::<Vec<_>>())
}

/// `cuda:0 and cuda:1`.
pub(super) fn devices(seen: &Seen<'_>) -> String {
    let devices: Vec<String> = seen.devices.iter().map(ToString::to_string).collect();
    match (devices.is_empty(), seen.shape()) {
        (false, _) => list(&devices),
        (true, Shape::Ranks) => "its ranks".to_owned(),
        (true, _) => "its devices".to_owned(),
    }
}

/// The engine, with its environment.
pub(super) fn stack(seen: &Seen<'_>) -> String {
    let script = match seen.script.is_empty() {
        true => String::new(),
        false => format!(" with {}", script(seen)),
    };
    match seen.environment {
        Some(environment) => format!("{} ({environment}){script}", seen.engine),
        None => format!("{}{script}", seen.engine),
    }
}

/// `model.to(cpu)`.
pub(super) fn script(seen: &Seen<'_>) -> String {
    list(&seen.script.iter().map(|step| step.words.clone()).collect::<Vec<_>>())
}

/// The same with the keys that ask for it: `transformers.move_to` (model.to(cpu) after dispatch).
pub(super) fn script_keys(seen: &Seen<'_>) -> String {
    let told = |step: &ScriptStep| format!("`{}` ({}{})", step.key, step.words, step.when);
    list(&seen.script.iter().map(told).collect::<Vec<_>>())
}

/// `, which did not keep the map (lm_head on cpu instead of disk),`.
pub(super) fn not_kept(seen: &Seen<'_>) -> String {
    let told = seen.not_kept.as_ref();
    told.map(|told| format!(", which did not keep the map ({told}),"))
        .unwrap_or_default()
}

/// `, although transformers did not keep the map (lm_head on cpu instead of disk),`.
pub(super) fn although_not_kept(seen: &Seen<'_>) -> String {
    let told = seen.not_kept.as_ref();
    told.map(|told| format!(", although {} did not keep the map ({told}),", seen.engine))
        .unwrap_or_default()
}

pub(super) fn numbers(seen: &Seen<'_>) -> String {
    match seen.dtype {
        Some(dtype) => format!("numbers of type {}", dtype.as_str()),
        None => "numbers as they are stored".to_owned(),
    }
}

/// `stalls in decode at a -> b`.
pub(super) fn did<'s>(seen: &'s Seen<'_>) -> &'s str {
    match &seen.state {
        State::Wrong { words, .. } => words,
        State::Right { .. } => "is right",
        State::Unknown { .. } => "is not known",
    }
}

pub(super) fn is_at_times(seen: &Seen<'_>) -> bool {
    matches!(seen.state, State::Wrong { at_times: true, .. })
}

pub(super) fn injected(seen: &Seen<'_>) -> String {
    let faults: Vec<String> = seen.faults.iter().map(|fault| format!("`{fault}`")).collect();
    let (verb, noun) = match faults.len() {
        1 => ("is", "the fault"),
        _ => ("are", "the faults"),
    };
    format!("{noun} {} {verb} injected into {}", list(&faults), full_name(seen))
}

/// What is injected stands for the real thing, and is never passed for it.
pub(super) fn if_injected(seen: &Seen<'_>) -> String {
    match seen.faults.is_empty() {
        true => String::new(),
        false => format!(" ({})", injected(seen)),
    }
}

/// What one device being right leaves open.
pub(super) fn what_is_open(seen: &Seen<'_>, link: bool, library: bool) -> String {
    let only = match seen.shape() {
        Shape::Ranks => "the distributed configuration".to_owned(),
        Shape::Stated => "how the server was placed".to_owned(),
        Shape::One | Shape::Several => "where the model was put".to_owned(),
    };
    // A map alone is not to blame where a script does something to what was put there.
    let only = match seen.script.is_empty() {
        true => only,
        false => format!("{}, {only}", script_keys(seen)),
    };
    match (link, library) {
        (true, _) => format!(": {only}, or the link between {} that it crosses", devices(seen)),
        (false, true) => format!(": {only}, or how {} handles it", seen.engine),
        (false, false) => format!(": {only}, under another engine as well"),
    }
}

/// Packages whose versions differ, with both versions.
fn changed(wrong: &Seen<'_>, right: &Seen<'_>) -> Vec<(String, String, String)> {
    let parted = |text: &String| -> Option<(String, String)> {
        let (package, version) = text.split_once(' ')?;
        Some((package.to_owned(), version.to_owned()))
    };
    let of_right: Vec<(String, String)> = right.versions.iter().filter_map(parted).collect();
    let mut changed: Vec<(String, String, String)> = wrong
        .versions
        .iter()
        .filter_map(parted)
        .filter_map(|(package, version)| {
            let (_, other) = of_right.iter().find(|(known, _)| *known == package)?;
            (*other != version).then(|| (package, version, other.clone()))
        })
        .collect();
    // A wheel of torch says itself which CUDA it was built with.
    if changed.iter().any(|(package, ..)| package == "torch") {
        changed.retain(|(_, version, _)| !version.ends_with("(of torch)"));
    }
    changed.sort();
    changed
}

fn number(version: &str) -> Vec<u64> {
    let plain = version.split(['+', '-', ' ']).next().unwrap_or_default();
    plain.split('.').map_while(|part| part.parse().ok()).collect()
}

/// The same placement under two environments: which versions it is wrong and right with.
pub(super) fn mended(wrong: &Seen<'_>, right: &Seen<'_>) -> String {
    let changed = changed(wrong, right);
    let packages = |side: fn(&(String, String, String)) -> &String| -> String {
        let told: Vec<String> = changed
            .iter()
            .map(|package| format!("{} {}", package.0, side(package)))
            .collect();
        list(&told)
    };
    let environment = |seen: &Seen<'_>| seen.environment.unwrap_or("the default environment").to_owned();
    let side = |seen: &Seen<'_>, versions: String| match versions.is_empty() {
        true => environment(seen),
        false => format!("{} ({versions})", environment(seen)),
    };
    let wrong_side = side(wrong, packages(|package| &package.1));
    let right_side = side(right, packages(|package| &package.2));
    let is_older = |(_, old, new): &(String, String, String)| number(old) < number(new);
    let is_newer = |(_, old, new): &(String, String, String)| number(old) > number(new);
    let verb = if !changed.is_empty() && changed.iter().all(is_older) {
        "it was mended in between"
    } else if !changed.is_empty() && changed.iter().all(is_newer) {
        "it was broken in between"
    } else {
        "what differs between them is to blame"
    };
    format!(
        "{} {} under {} with {wrong_side}{} and is right with {right_side}: {verb}",
        name(wrong),
        did(wrong),
        wrong.engine,
        not_kept(wrong)
    )
}

pub(super) fn because(sentence: &str, seen: &[&Seen<'_>]) -> Because {
    let mut cases: Vec<String> = seen.iter().map(|seen| seen.case.to_owned()).collect();
    cases.sort();
    cases.dedup();
    Because {
        sentence: sentence.to_owned(),
        cases,
    }
}

/// What went wrong, those of one manner together.
pub(super) fn what_went_wrong(wrong: &[&Seen<'_>]) -> Vec<Because> {
    let mut groups: Vec<(&str, Vec<&Seen<'_>>)> = Vec::new();
    for seen in wrong {
        let words = did(seen);
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, members)) => members.push(seen),
            None => groups.push((words, vec![seen])),
        }
    }
    groups
        .into_iter()
        .map(|(words, members)| because(words, &members))
        .collect()
}

pub(super) fn right(right: &[&Seen<'_>]) -> Because {
    let unchecked = right
        .iter()
        .filter(|seen| seen.state == State::Right { is_checked: false })
        .count();
    let sentence = match unchecked {
        0 => "right".to_owned(),
        all if all == right.len() => "completed; no text was compared with another".to_owned(),
        some => format!("right; {some} of them completed without a text to compare with"),
    };
    because(&sentence, right)
}

/// Cases of which nothing is known, those of one reason together.
pub(super) fn not_run(open: &[&Seen<'_>]) -> Vec<Because> {
    let mut groups: Vec<(&str, Vec<&Seen<'_>>)> = Vec::new();
    for seen in open {
        let State::Unknown { why, .. } = &seen.state else {
            continue;
        };
        match groups.iter_mut().find(|(known, _)| known == why) {
            Some((_, members)) => members.push(seen),
            None => groups.push((why, vec![seen])),
        }
    }
    let sentence = |why: &str| format!("not known: {why}");
    groups
        .into_iter()
        .map(|(why, members)| because(&sentence(why), &members))
        .collect()
}

pub(super) fn nothing_ran() -> String {
    "no case was run to an end that says something".to_owned()
}

pub(super) fn nothing_wrong(right: &[&Seen<'_>], open: usize) -> String {
    let stacks: Vec<String> = {
        let mut stacks: Vec<String> = right.iter().map(|seen| stack(seen)).collect();
        stacks.sort();
        stacks.dedup();
        stacks
    };
    let cases = match (right.len(), open) {
        (1, 0) => "the only case is right".to_owned(),
        (1, _) => "one case is right".to_owned(),
        (n, _) => format!("{n} cases are right"),
    };
    let open = match open {
        0 => String::new(),
        1 => "; of one more nothing is known".to_owned(),
        n => format!("; of {n} more nothing is known"),
    };
    format!("{cases}, under {}{open}", list(&stacks))
}

/// Several causes at once.
pub(super) fn several(wrong: &[&Seen<'_>], diagnoses: &[Diagnosis]) -> String {
    let mut groups: Vec<(&'static str, Vec<&Seen<'_>>)> = Vec::new();
    for (seen, diagnosis) in wrong.iter().zip(diagnoses) {
        let blame = diagnosis.blame.as_str();
        match groups.iter_mut().find(|(known, _)| *known == blame) {
            Some((_, members)) => members.push(seen),
            None => groups.push((blame, vec![seen])),
        }
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|(blame, seen)| format!("{blame}, by {}", names(seen)))
        .collect();
    format!("more than one thing goes wrong: {}", parts.join("; "))
}

pub(super) fn no_right_case(wrong: &Seen<'_>, is_right_elsewhere: bool) -> String {
    let memory = match wrong.manner() {
        Some(Manner::OutOfMemory) => " for want of memory",
        _ => "",
    };
    match is_right_elsewhere {
        true => format!(
            "{} goes wrong{memory}, and no case that is right can be compared with it",
            full_name(wrong)
        ),
        false => format!(
            "{} {}, and there is no case that is right",
            full_name(wrong),
            did(wrong)
        ),
    }
}
