//! The run that would decide what is open.

use super::diagnosis::Bench;
use super::factors::Factor;
use super::observed::{Seen, Shape, State};
use super::words;
use crate::scenario::TRANSFORMERS;

/// A case that is there and was not run.
pub(super) fn run_it(open: &Seen<'_>) -> String {
    let State::Unknown { why, hint } = &open.state else {
        return format!("run {} again", words::full_name(open));
    };
    let hint = hint.as_ref().map(|hint| format!("; first: {hint}")).unwrap_or_default();
    format!(
        "run {} of {}, of which nothing is known ({why}){hint}",
        words::full_name(open),
        open.file
    )
}

/// The case that would decide, if the scenario has it and it was not run; else what to add to the scenario.
fn missing(bench: Bench<'_, '_>, factors: &'static [Factor], fits: impl Fn(&Seen<'_>) -> bool, add: String) -> String {
    let open = bench.but(factors).find(|other| other.is_unknown() && fits(other));
    open.map_or(add, run_it)
}

pub(super) fn through_host(bench: Bench<'_, '_>) -> String {
    let add = format!(
        "run {} through host memory as well: [matrix] transfer = [\"direct\", \"host\"] in {} (right: the link; wrong: not the link)",
        words::full_name(bench.wrong),
        bench.wrong.file
    );
    missing(bench, &[Factor::Transfer], |other| other.is_host_staged(), add)
}

pub(super) fn other_engine(bench: Bench<'_, '_>) -> String {
    let wrong = bench.wrong;
    // Neither a distributed configuration nor what a server does by itself is another engine's.
    let within = match wrong.shape() {
        Shape::Ranks => Some(
            "with another backend of its process group, or under another launcher: launch = { backend = …, with = … }",
        ),
        Shape::Stated => Some("with another server, or another version of it: [server] command and url"),
        Shape::One | Shape::Several => None,
    };
    if let Some(within) = within {
        return format!("run {} {within}, in {}", words::full_name(wrong), wrong.file);
    }
    let other = match wrong.engine {
        TRANSFORMERS => "candle",
        _ => TRANSFORMERS,
    };
    let devices = match wrong.is_logical {
        true => ", on devices that both engines have (a logical device is only candle's)",
        false => "",
    };
    let add = format!(
        "run {} under another engine{devices}: engines = [\"{}\", \"{other}\"] in {} (right: the library; wrong: not the library)",
        words::full_name(wrong),
        wrong.engine,
        wrong.file
    );
    missing(bench, &[Factor::Engine], |_| true, add)
}

/// Where one environment of several was tried.
pub(super) fn versions(bench: Bench<'_, '_>) -> Option<String> {
    let wrong = bench.wrong;
    let is_tried = bench.but(&[Factor::Environment]).any(|other| !other.is_unknown());
    (wrong.engine == TRANSFORMERS && !is_tried).then(|| {
        let add = format!(
            "[matrix] environment = [\"incident\", \"newest\"] in {} shows whether another version mends it",
            wrong.file
        );
        missing(bench, &[Factor::Environment], |_| true, add)
    })
}

pub(super) fn on_host(bench: Bench<'_, '_>) -> String {
    // A server places by itself: no map of ours could be asked of it.
    if bench.wrong.shape() == Shape::Stated {
        return other_engine(bench);
    }
    let add = format!(
        "run the prompt on one device: [placement.single] with device_map = \"cpu\" in {} (right: the placement or a device; wrong: the \
         library or the model)",
        bench.wrong.file
    );
    missing(bench, &[Factor::Map], |other| other.shape() == Shape::One, add)
}

pub(super) fn shared_placement(bench: Bench<'_, '_>, right: &Seen<'_>) -> String {
    let add = format!(
        "give {} the placement of {} too, in {}",
        words::stack(bench.wrong),
        words::full_name(right),
        bench.wrong.file
    );
    missing(bench, &[Factor::Map], |other| other.shape() == Shape::One, add)
}

pub(super) fn without_script(bench: Bench<'_, '_>) -> String {
    let wrong = bench.wrong;
    let keys: Vec<String> = wrong.script.iter().map(|step| format!("`{}`", step.key)).collect();
    let add = format!(
        "run {} without {} as well, in {} (right: what the script does; wrong: not that)",
        words::full_name(wrong),
        keys.join(" and "),
        wrong.file
    );
    missing(bench, &[Factor::Script], |other| other.script.is_empty(), add)
}

pub(super) fn snapshot(wrong: &Seen<'_>) -> String {
    format!(
        "a text that somebody has approved: [expect] snapshot = true in {}, then `placebench accept`",
        wrong.file
    )
}

pub(super) fn repeat(wrong: &Seen<'_>) -> String {
    format!(
        "run all cases of {} more often: [measure] repetitions = 20, isolation = \"process\"",
        wrong.file
    )
}
