//! What is to blame for one case that went wrong, from those beside it.

use super::factors::{Factor, between, is_moved};
use super::observed::{Manner, Seen, Shape};
use super::{Because, Blame, next, words};
use crate::device::{DeviceId, DeviceKind};

/// The answer for one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) blame: Blame,
    pub(super) sentence: String,
    pub(super) because: Vec<Because>,
    pub(super) next: Option<String>,
}

impl Diagnosis {
    fn new(blame: Blame, sentence: String) -> Self {
        Self {
            blame,
            sentence,
            because: Vec::new(),
            next: None,
        }
    }

    fn because(self, reasons: Vec<Because>) -> Self {
        Self {
            because: reasons,
            ..self
        }
    }

    fn next(self, next: Option<String>) -> Self {
        Self { next, ..self }
    }
}

/// A case that went wrong beside all others of its prompt.
#[derive(Clone, Copy)]
pub(super) struct Bench<'b, 'a> {
    pub(super) wrong: &'b Seen<'a>,
    all: &'b [Seen<'a>],
}

impl<'b, 'a> Bench<'b, 'a> {
    /// The cases that differ from it in exactly these things.
    pub(super) fn but(self, factors: &'static [Factor]) -> impl Iterator<Item = &'b Seen<'a>> {
        let others = self.all.iter().filter(move |other| other.case != self.wrong.case);
        others.filter(move |other| between(self.wrong, other) == factors)
    }

    fn right_but(self, factors: &'static [Factor]) -> Vec<&'b Seen<'a>> {
        self.but(factors).filter(|other| other.is_right()).collect()
    }

    fn wrong_but(self, factors: &'static [Factor]) -> Vec<&'b Seen<'a>> {
        self.but(factors).filter(|other| other.is_wrong()).collect()
    }

    /// Right cases of the same stack with another map, however activations travel there.
    fn right_elsewhere(self) -> Vec<&'b Seen<'a>> {
        let both = self.right_but(&[Factor::Map, Factor::Transfer]);
        self.right_but(&[Factor::Map]).into_iter().chain(both).collect()
    }

    /// All cases that it can be held against at all: the same numbers, faults and script.
    fn comparable(self) -> impl Iterator<Item = &'b Seen<'a>> {
        let apart = [Factor::Dtype, Factor::Faults, Factor::Script];
        let is_comparable =
            move |other: &&Seen<'_>| !between(self.wrong, other).iter().any(|factor| apart.contains(factor));
        self.all.iter().filter(is_comparable)
    }
}

/// What is to blame for a case that went wrong.
pub(super) fn diagnose(wrong: &Seen<'_>, all: &[Seen<'_>]) -> Diagnosis {
    let bench = Bench { wrong, all };
    injected(bench)
        .or_else(|| at_times(bench))
        .or_else(|| version(bench))
        .or_else(|| same_placement(bench))
        .or_else(|| transport(bench))
        .or_else(|| number_type(bench))
        .or_else(|| script(bench))
        .or_else(|| match wrong.shape() {
            Shape::One => one_device(bench),
            Shape::Several | Shape::Ranks | Shape::Stated => spread(bench),
        })
        .unwrap_or_else(|| everywhere(bench))
}

/// Something that comes and goes is not told from chance by a case that was right once.
fn at_times(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    words::is_at_times(bench.wrong).then(|| {
        let sentence = format!(
            "{} goes wrong at times only, so that a case that is right may have been lucky",
            words::full_name(bench.wrong)
        );
        Diagnosis::new(Blame::Undecided, sentence).next(Some(next::repeat(bench.wrong)))
    })
}

/// A fault struck, and no case that it could have struck is right.
fn injected(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let is_met_elsewhere = bench
        .all
        .iter()
        .any(|other| other.is_right() && other.faults == wrong.faults);
    if wrong.faults.is_empty() || is_met_elsewhere {
        return None;
    }
    let clean = bench.right_but(&[Factor::Faults]);
    let sentence = match clean.first() {
        Some(clean) => format!(
            "{}, and without it the same placement is right ({})",
            words::injected(wrong),
            words::full_name(clean)
        ),
        None => format!("{}, and no case with it is right", words::injected(wrong)),
    };
    Some(Diagnosis::new(Blame::Injected, sentence))
}

/// Another version of the same library does it right.
fn version(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let right = bench.right_but(&[Factor::Environment]);
    let first = right.first()?;
    let reason = words::because("the same placement is right with another version", &right);
    Some(Diagnosis::new(Blame::Library, words::mended(bench.wrong, first)).because(vec![reason]))
}

/// Another engine does the same right.
fn same_placement(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let right = bench.right_but(&[Factor::Engine]);
    let beside = right.first()?;
    let elsewhere = bench.right_elsewhere();
    let reason = words::because("the same placement is right under another engine", &right);
    let sentence = match (wrong.manner(), elsewhere.first()) {
        (Some(Manner::OtherThanEngine), _) => {
            let sentence = format!(
                "{} and {} generate different texts from the same placement ({}); which of them is wrong no case shows",
                words::stack(wrong),
                words::stack(beside),
                words::name(wrong)
            );
            let diagnosis = Diagnosis::new(Blame::Library, sentence).because(vec![reason]);
            return Some(diagnosis.next(Some(next::snapshot(wrong))));
        }
        _ if wrong.not_kept.is_some() => format!(
            "{} goes wrong under {}{} and is right under {}, which did ({})",
            words::name(wrong),
            words::stack(wrong),
            words::not_kept(wrong),
            words::stack(beside),
            words::full_name(beside)
        ),
        (_, Some(elsewhere)) => format!(
            "{} goes wrong under {}, which is right with {}; {} is right with the very placement that goes wrong",
            words::name(wrong),
            words::stack(wrong),
            words::name(elsewhere),
            words::stack(beside)
        ),
        (_, None) => format!(
            "{} goes wrong under {} and is right under {}, on the same devices",
            words::name(wrong),
            words::stack(wrong),
            words::stack(beside)
        ),
    };
    let diagnosis = Diagnosis::new(Blame::Library, sentence).because(vec![reason]);
    Some(diagnosis.next(next::versions(bench)))
}

/// The same map is right where activations go through the host.
fn transport(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let right = bench.right_but(&[Factor::Transfer]);
    let host = right.iter().find(|right| right.is_host_staged())?;
    let reason = words::because("the same map is right where activations go through host memory", &right);
    let devices = words::devices(wrong);
    // Where a fault stands for a broken link, slices of one processor stand for devices.
    if wrong.crosses_hardware() || !wrong.faults.is_empty() {
        let sentence = format!(
            "what {} copies directly between {devices} under {} goes wrong, and through the host it is right ({}): the link, or the driver's \
             copy over it{}",
            words::name(wrong),
            words::stack(wrong),
            words::name(host),
            words::if_injected(wrong)
        );
        return Some(Diagnosis::new(Blame::Machine, sentence).because(vec![reason]));
    }
    let sentence = format!(
        "{} goes wrong where {} copies directly between {devices} and is right through the host ({}); no link takes part, for all of it is on one piece of hardware",
        words::name(wrong),
        words::stack(wrong),
        words::name(host)
    );
    Some(Diagnosis::new(Blame::Library, sentence).because(vec![reason]))
}

/// The same is right with another type of numbers.
fn number_type(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let right = bench.right_but(&[Factor::Dtype]);
    let first = right.first()?;
    let sentence = format!(
        "{} goes wrong with {} and is right with {}",
        words::full_name(bench.wrong),
        words::numbers(bench.wrong),
        words::numbers(first)
    );
    let reason = words::because("the same placement is right with another type of numbers", &right);
    Some(Diagnosis::new(Blame::Model, sentence).because(vec![reason]))
}

/// The same is right where no script does anything to the model.
fn script(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let mut right = bench.right_but(&[Factor::Script]);
    right.retain(|right| right.script.is_empty());
    let first = right.first()?;
    let sentence = format!(
        "{} {} with {}, and without it the same placement is right under {} ({})",
        words::name(wrong),
        words::did(wrong),
        words::script_keys(wrong),
        words::stack(first),
        words::full_name(first)
    );
    let reason = words::because("the same placement is right without what the script does", &right);
    Some(Diagnosis::new(Blame::Model, sentence).because(vec![reason]))
}

/// A model on several devices, in several processes, or wherever its server has it.
fn spread(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let elsewhere = bench.right_elsewhere();
    let first = *elsewhere
        .iter()
        .find(|right| right.shape() == Shape::One)
        .or(elsewhere.first())?;
    let mut reasons = vec![words::because(
        "the same stack is right with another placement",
        &elsewhere,
    )];
    let (name, stack) = (words::name(wrong), words::stack(wrong));
    if wrong.manner() == Some(Manner::OutOfMemory) {
        let sentence = format!(
            "{name} needs more memory under {stack} than its devices have; {} fits",
            words::name(first)
        );
        return Some(Diagnosis::new(Blame::Placement, sentence).because(reasons));
    }
    let moved: Vec<&Seen<'_>> = elsewhere
        .iter()
        .copied()
        .filter(|right| is_moved(wrong, right))
        .collect();
    let same_map = bench.wrong_but(&[Factor::Engine]);
    if !same_map.is_empty() {
        reasons.push(words::because(
            "the same map goes wrong under another engine too",
            &same_map,
        ));
    }
    if let (Some(other), true) = (moved.first(), wrong.crosses_hardware()) {
        let sentence = format!(
            "{name} goes wrong on {}, and the same split is right on {} ({})",
            words::devices(wrong),
            words::devices(other),
            words::name(other)
        );
        return Some(Diagnosis::new(Blame::Machine, sentence).because(reasons));
    }
    if let (Some(other), true) = (same_map.first(), wrong.crosses_hardware()) {
        let sentence = format!(
            "{stack} and {} both go wrong on {} ({name}) and {stack} is right on {} ({}): the link, a device or its driver",
            words::stack(other),
            words::devices(wrong),
            words::devices(first),
            words::name(first)
        );
        return Some(Diagnosis::new(Blame::Machine, sentence).because(reasons));
    }
    let staged = bench
        .but(&[Factor::Transfer])
        .find(|other| other.is_wrong() && other.is_host_staged());
    let is_staged = wrong.is_host_staged() || staged.is_some();
    if let Some(staged) = staged {
        reasons.push(words::because(
            "the same map goes wrong through host memory too",
            &[staged],
        ));
    }
    let link = wrong.crosses_hardware() && !is_staged && wrong.shape() == Shape::Several;
    let sentence = format!(
        "{name} {}{} and {} is right, both under {stack}{}{}",
        words::did(wrong),
        words::although_not_kept(wrong),
        words::name(first),
        words::what_is_open(wrong, link, same_map.is_empty()),
        words::if_injected(wrong)
    );
    let no_script: Vec<&Seen<'_>> = match wrong.script.is_empty() {
        true => Vec::new(),
        false => bench.right_but(&[Factor::Engine, Factor::Script]),
    };
    if !no_script.is_empty() {
        reasons.push(words::because(
            "the same map is right under an engine where no script does anything to the model",
            &no_script,
        ));
    }
    let open = match (link, same_map.is_empty()) {
        _ if !wrong.script.is_empty() => Some(next::without_script(bench)),
        (true, _) => Some(next::through_host(bench)),
        (false, true) => Some(next::other_engine(bench)),
        (false, false) => None,
    };
    Some(Diagnosis::new(Blame::Placement, sentence).because(reasons).next(open))
}

/// A model on one device.
fn one_device(bench: Bench<'_, '_>) -> Option<Diagnosis> {
    let wrong = bench.wrong;
    let elsewhere = bench.right_elsewhere();
    let first = elsewhere.first()?;
    let (name, stack) = (words::name(wrong), words::stack(wrong));
    let mut reasons = vec![words::because(
        "the same stack is right with another placement",
        &elsewhere,
    )];
    if wrong.manner() == Some(Manner::OutOfMemory) {
        let sentence = format!(
            "{} has not the memory for {name}; {} fits",
            words::devices(wrong),
            words::name(first)
        );
        return Some(Diagnosis::new(Blame::Placement, sentence).because(reasons));
    }
    let same_device = bench.wrong_but(&[Factor::Engine]);
    if let Some(other) = same_device.first() {
        reasons.push(words::because(
            "the same device goes wrong under another engine too",
            &same_device,
        ));
        let sentence = format!(
            "{stack} and {} both go wrong on {} alone, and {} is right: the device or its driver",
            words::stack(other),
            words::devices(wrong),
            words::name(first)
        );
        return Some(Diagnosis::new(Blame::Machine, sentence).because(reasons));
    }
    let sentence = format!(
        "{stack} goes wrong on {} alone ({name}) and is right with {}: the device, its driver, or how {stack} uses it",
        words::devices(wrong),
        words::name(first)
    );
    Some(
        Diagnosis::new(Blame::Undecided, sentence)
            .because(reasons)
            .next(Some(next::other_engine(bench))),
    )
}

/// Nothing that the same stack did with other placements is right.
fn everywhere(bench: Bench<'_, '_>) -> Diagnosis {
    let wrong = bench.wrong;
    let stack = words::stack(wrong);
    let own: Vec<&Seen<'_>> = bench
        .comparable()
        .filter(|other| other.engine == wrong.engine && other.environment == wrong.environment && other.is_wrong())
        .collect();
    let others_right: Vec<&Seen<'_>> = bench.comparable().filter(|other| other.is_right()).collect();
    let script = bench
        .all
        .iter()
        .find(|other| other.is_right() && other.script != wrong.script);
    if let (false, Some(right)) = (wrong.script.is_empty(), script) {
        let sentence = format!(
            "everything under {} goes wrong where a script sets {}, which no case that is right has ({})",
            wrong.engine,
            words::script_keys(wrong),
            words::full_name(right)
        );
        return Diagnosis::new(Blame::Undecided, sentence).next(Some(next::without_script(bench)));
    }
    let kept = others_right.iter().find(|right| right.not_kept.is_none());
    if let Some(right) = kept.or(others_right.first()) {
        let reasons = vec![words::because("another stack is right", &others_right)];
        let has_simple = own.iter().any(|case| case.shape() != Shape::Several);
        let maps = own
            .iter()
            .filter(|case| between(wrong, case).contains(&Factor::Map))
            .count()
            + 1;
        if has_simple && maps > 1 {
            let sentence = format!(
                "{stack} goes wrong under all {maps} placements it was given, and {} is right",
                words::stack(right)
            );
            return Diagnosis::new(Blame::Library, sentence)
                .because(reasons)
                .next(next::versions(bench));
        }
        let sentence = format!(
            "{} is the only kind of placement {stack} was given, and {} is right with another: the placement, the library or what \
             only it uses",
            words::name(wrong),
            words::stack(right)
        );
        return Diagnosis::new(Blame::Undecided, sentence)
            .because(reasons)
            .next(Some(match kept {
                Some(kept) => next::shared_placement(bench, kept),
                // Where it came to be is nothing that could be asked for by its name.
                None => next::on_host(bench),
            }));
    }
    let is_right_at_all = bench.all.iter().any(|other| other.is_right());
    let mut engines: Vec<&str> = bench
        .comparable()
        .filter(|other| other.is_wrong())
        .map(|other| other.engine)
        .collect();
    engines.sort_unstable();
    engines.dedup();
    let is_on_host = |case: &&Seen<'_>| {
        case.is_wrong()
            && case.shape() == Shape::One
            && case.devices.iter().all(|device| device.kind() == DeviceKind::Cpu)
    };
    let host: Vec<&Seen<'_>> = bench.comparable().filter(is_on_host).collect();
    match (engines.len(), host.is_empty()) {
        (2.., false) if !is_right_at_all => {
            let sentence = format!(
                "every case goes wrong, under {} engines and on the {} alone as well",
                engines.len(),
                DeviceId::cpu()
            );
            let reason = words::because("one device, and the simplest there is", &host);
            Diagnosis::new(Blame::Model, sentence).because(vec![reason])
        }
        (_, true) => Diagnosis::new(Blame::Undecided, words::no_right_case(wrong, is_right_at_all))
            .next(Some(next::on_host(bench))),
        (_, false) => Diagnosis::new(Blame::Undecided, words::no_right_case(wrong, is_right_at_all))
            .next(Some(next::other_engine(bench))),
    }
}
