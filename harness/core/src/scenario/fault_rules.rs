//! What may be said of a fault: a condition that its kind cannot mean is refused, never ignored.

use std::ops::Range;

use toml::Spanned;

use super::file::{FaultPointTable, FaultTable};
use super::problem::Problem;
use super::rules::{device_exists, placement_exists};
use crate::device::{DeviceId, LogicalDevice};
use crate::fault::{Conditions, FaultKind};
use crate::outcome::Phase;

/// What a step's time may be multiplied by, at most: beyond that `stall` is meant.
const MOST_SLOWDOWN: f64 = 100.0;

pub(super) fn fault(
    table: &Spanned<FaultTable>,
    placements: &[&str],
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) {
    let fault = table.get_ref();
    for name in fault.placements.iter().flatten() {
        placement_exists(name, placements, problems);
    }
    let delayed = match fault.kind {
        FaultKind::SlowStep => FaultKind::SlowStep,
        _ => FaultKind::SlowLink,
    };
    for (key, span, kind) in [
        ("delay", fault.delay.as_ref().map(Spanned::span), delayed),
        ("signal", fault.signal.as_ref().map(Spanned::span), FaultKind::Crash),
        ("factor", fault.factor.as_ref().map(Spanned::span), FaultKind::SlowStep),
    ] {
        if let Some(span) = span
            && fault.kind != kind
        {
            problems.push(Problem::at(
                span,
                format!(
                    "{key} goes with kind = \"{}\", not with {}",
                    kind.as_str(),
                    fault.kind.as_str()
                ),
            ));
        }
    }
    if let (Some(factor), Some(_)) = (&fault.factor, &fault.delay) {
        problems.push(
            Problem::at(factor.span(), "factor and delay both say how much longer a step takes")
                .hint("leave one of the two out"),
        );
    }
    if let Some(factor) = &fault.factor
        && !(*factor.get_ref() > 1.0 && *factor.get_ref() <= MOST_SLOWDOWN)
    {
        problems.push(Problem::at(
            factor.span(),
            format!("factor must be above 1 and at most {MOST_SLOWDOWN}: 1.1 makes each step a tenth longer"),
        ));
    }
    let Some(at) = &fault.at else { return };
    for (key, span, has_meaning) in conditions(at, fault.kind.conditions()) {
        if let Some(span) = span
            && !has_meaning
        {
            problems.push(
                Problem::at(span, format!("the fault {} knows no {key}", fault.kind.as_str()))
                    .hint(meaning(fault.kind.conditions())),
            );
        }
    }
    hop_is_written_right(at, problems);
    if let Some(link) = &at.link {
        link_exists(link, devices, problems);
    }
    if let Some(device) = &at.device {
        device_exists(&device.get_ref().0, &device.span(), devices, problems);
    }
    phase_is_possible(fault.kind, at, problems);
    can_hold_together(at, problems);
}

type Condition = (&'static str, Option<Range<usize>>, bool);

fn conditions(at: &FaultPointTable, known: Conditions) -> [Condition; 9] {
    [
        ("hop", at.hop.as_ref().map(Spanned::span), known.hop),
        ("module", at.module.as_ref().map(Spanned::span), known.module),
        ("phase", at.phase.as_ref().map(Spanned::span), !known.phases.is_empty()),
        ("token", at.token.as_ref().map(Spanned::span), known.token),
        ("bytes", at.bytes.as_ref().map(Spanned::span), known.bytes),
        ("link", at.link.as_ref().map(Spanned::span), known.hop),
        ("device", at.device.as_ref().map(Spanned::span), known.device()),
        (
            "generation",
            at.generation.as_ref().map(Spanned::span),
            known.generation(),
        ),
        ("rank", at.rank.as_ref().map(Spanned::span), known.rank()),
    ]
}

/// What can be said of a kind.
fn meaning(known: Conditions) -> String {
    let keys = [
        ("hop", known.hop),
        ("module", known.module),
        ("phase", !known.phases.is_empty()),
        ("token", known.token),
        ("bytes", known.bytes),
        ("link", known.hop),
        ("device", known.device()),
        ("generation", known.generation()),
        ("rank", known.rank()),
    ];
    let keys: Vec<&str> = keys
        .into_iter()
        .filter(|(_, known)| *known)
        .map(|(key, _)| key)
        .collect();
    match keys.as_slice() {
        [] => "it has no place in time or among the modules: leave `at` out".to_owned(),
        keys => format!("what can be said of it: {}", keys.join(", ")),
    }
}

fn hop_is_written_right(at: &FaultPointTable, problems: &mut Vec<Problem>) {
    let Some(hop) = &at.hop else { return };
    let parts: Vec<&str> = hop.get_ref().split("->").map(str::trim).collect();
    if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) {
        problems.push(
            Problem::at(hop.span(), format!("`{}` is no hop", hop.get_ref()))
                .hint("write: last module of one stage -> first module of the next"),
        );
    }
}

fn phase_is_possible(kind: FaultKind, at: &FaultPointTable, problems: &mut Vec<Problem>) {
    let Some(phase) = &at.phase else { return };
    let known = kind.conditions().phases;
    if !known.is_empty() && !known.contains(phase.get_ref()) {
        let names: Vec<&str> = known.iter().map(|phase| phase.as_str()).collect();
        problems.push(
            Problem::at(
                phase.span(),
                format!("the fault {} cannot strike in phase {}", kind.as_str(), phase.get_ref()),
            )
            .hint(format!("it strikes in: {}", names.join(", "))),
        );
    }
}

/// Conditions that never hold at the same moment make a fault that never strikes.
fn can_hold_together(at: &FaultPointTable, problems: &mut Vec<Problem>) {
    let of_hop = at.hop.as_ref().or(at.link.as_ref());
    let of_module = at.module.as_ref().map(Spanned::span);
    if let (Some(_), Some(span)) = (of_hop, of_module.or(at.device.as_ref().map(Spanned::span))) {
        problems.push(
            Problem::at(
                span,
                "no moment is in a hop and in a module at once: this fault would never strike",
            )
            .hint("write two faults, or keep one of the two"),
        );
    }
    let phase = at.phase.as_ref().map(|phase| *phase.get_ref());
    let mut never = |span: Range<usize>, message: String| {
        problems.push(Problem::at(span, format!("{message}: this fault would never strike")));
    };
    if let (Some(token), Some(phase)) = (&at.token, phase) {
        let possible = match phase {
            Phase::Prefill => *token.get_ref() == 0,
            Phase::Decode => *token.get_ref() > 0,
            Phase::Spawn | Phase::Resolve | Phase::Plan | Phase::Load | Phase::Prepare | Phase::Finish => false,
        };
        if !possible {
            let token_number = token.get_ref();
            never(
                token.span(),
                format!("token {token_number} is not made in phase {phase} (prefill makes token 0, decode the others)"),
            );
        }
    }
    let has_generation = |phase| matches!(phase, Phase::Prefill | Phase::Decode | Phase::Finish);
    if let (Some(generation), Some(phase)) = (&at.generation, phase)
        && !has_generation(phase)
    {
        never(generation.span(), format!("phase {phase} belongs to no generation"));
    }
    let has_hops = |phase| matches!(phase, Phase::Prepare | Phase::Prefill | Phase::Decode);
    if let (Some(hop), Some(phase)) = (of_hop, phase)
        && !has_hops(phase)
    {
        never(hop.span(), format!("nothing hops in phase {phase}"));
    }
    let has_modules = |phase| matches!(phase, Phase::Load | Phase::Prepare | Phase::Prefill | Phase::Decode);
    let of_module = at.module.as_ref().map(Spanned::span);
    if let (Some(span), Some(phase)) = (of_module.or(at.device.as_ref().map(Spanned::span)), phase)
        && !has_modules(phase)
    {
        never(span, format!("no module is loaded or computed in phase {phase}"));
    }
}

/// `sim:0 -> sim:1`, or `sim:0 -> host -> sim:1`.
fn link_exists(link: &Spanned<String>, devices: &[LogicalDevice], problems: &mut Vec<Problem>) {
    let parts: Vec<&str> = link.get_ref().split("->").map(str::trim).collect();
    let ([from, to] | [from, "host", to]) = parts.as_slice() else {
        problems.push(
            Problem::at(link.span(), format!("`{}` is no link", link.get_ref()))
                .hint("write: device -> device, or device -> host -> device for copies staged through host memory"),
        );
        return;
    };
    for name in [from, to] {
        match DeviceId::new(name) {
            Ok(device) => device_exists(&device, &link.span(), devices, problems),
            Err(error) => problems.push(Problem::at(link.span(), error.to_string())),
        }
    }
}
