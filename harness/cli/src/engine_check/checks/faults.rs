//! Faults, and the breadcrumb that says where a hang is.

use placebench_core::device::DeviceKind;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::outcome::{Deadline, FailureClass, LastSeen, Outcome, Phase, Place};
use placebench_core::protocol::EventKind;
use serde_json::json;

use super::super::answer::{Answer, Stop};
use super::super::check::Check;
use super::super::lab::{Lab, MANY_TOKENS, to_value};
use super::super::seen::Seen;

/// Of events that are sent as they happen, those of a generation come in over about the time that it takes. Where they come in
/// over less than this share of it, they were kept back.
const SHARE: f64 = 0.1;
/// A generation that is shorter tells nothing.
const LONG_ENOUGH_S: f64 = 0.5;

pub(crate) const UNKNOWN_FAULT: Check = Check {
    name: "unknown_fault",
    requires: "A fault of a kind that the engine does not know is refused",
    section: "faults",
    help: "refuse it with `request_invalid`: a fault that is passed over makes its detector look blind",
    after: &[],
    ask: unknown_fault,
};

pub(crate) const FAULTS: Check = Check {
    name: "faults",
    requires: "A fault strikes and is told, or is refused",
    section: "faults",
    help: "refuse kinds you cannot inject with `request_invalid`; say in `faults_struck` which have struck",
    after: &[],
    ask: faults,
};

pub(crate) const FLUSH: Check = Check {
    name: "flush",
    requires: "Events come in as they happen",
    section: "a-process-from-start-to-end",
    help: "flush standard output after each line: into a pipe it is buffered otherwise, and every token looks like a hang",
    after: &[],
    ask: flush,
};

pub(crate) const STALL: Check = Check {
    name: "stall",
    requires: "A `stall` at a token hangs there, and the breadcrumb has the phase and the token",
    section: "the-breadcrumb-page",
    help: "write phase, generation, token and stamp into the page as they begin, not when they are over",
    after: &["flush"],
    ask: stall,
};

pub(crate) const STALL_IN_MODULE: Check = Check {
    name: "stall_in_module",
    requires: "A hang in a module is named: the breadcrumb counts modules as `places` does",
    section: "the-breadcrumb-page",
    help: "for each module write its position among the modules of `places`, then kind 1, then the stamp",
    after: &["stall"],
    ask: stall_in_module,
};

pub(crate) const STALL_IN_HOP: Check = Check {
    name: "stall_in_hop",
    requires: "A hang between two devices is named: the breadcrumb counts hops as `places` does",
    section: "the-breadcrumb-page",
    help: "for each hop write its position among the hops of `places`, then kind 2, then the stamp, before anything is copied",
    after: &["needed_events", "stall", "split"],
    ask: stall_in_hop,
};

/// A fault that hangs at the token in this position.
pub(crate) fn stall_at_token(token: u32) -> Fault {
    let at = FaultPoint {
        token: Some(token),
        ..FaultPoint::default()
    };
    Fault::new(FaultKind::Stall, at)
}

fn unknown_fault(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.request()?;
    let mut value = to_value(&request)?;
    value["faults"] = json!([{"kind": "a_kind_of_a_later_release", "at": {}}]);
    let seen = lab.attempt_of_text(&request, value.to_string().into_bytes())?;
    // Who reads a request into types cannot even read this one.
    if matches!(seen.attempt.outcome, Outcome::Crashed { exit_code: Some(2), .. }) {
        return Ok(Answer::passed_with("it says that the request cannot be read"));
    }
    Ok(seen.must_be_refused(&[FailureClass::RequestInvalid, FailureClass::Unsupported]))
}

fn faults(lab: &mut Lab) -> Result<Answer, Stop> {
    let (mut struck, mut refused) = (Vec::new(), Vec::new());
    for kind in [
        FaultKind::Crash,
        FaultKind::Nan,
        FaultKind::OutOfMemory,
        FaultKind::Garbage,
    ] {
        let mut request = lab.request()?;
        request.faults = vec![Fault::new(kind, FaultPoint::default())];
        let seen = lab.attempt(&request)?;
        if seen.refusal().is_some() {
            refused.push(kind.as_str());
            continue;
        }
        let has_struck = match (&seen.attempt.outcome, kind) {
            (Outcome::Crashed { .. }, FaultKind::Crash) | (Outcome::OutOfMemory { .. }, FaultKind::OutOfMemory) => true,
            (Outcome::Failed { failure }, FaultKind::Nan) => failure.class == FailureClass::NonFinite,
            (Outcome::Completed, _) => seen.attempt.faults_struck.as_deref() == Some(&[0]),
            _ => false,
        };
        if !has_struck {
            return Ok(Answer::failed_saying(
                format!(
                    "the fault `{}` was taken and neither shows nor is in `faults_struck`: {}",
                    kind.as_str(),
                    seen.attempt.outcome.sentence()
                ),
                seen.said(),
            ));
        }
        struck.push(kind.as_str());
    }
    match struck.is_empty() {
        true => Ok(Answer::not_applicable(format!(
            "the engine refuses {}",
            refused.join(", ")
        ))),
        false => Ok(Answer::passed_with(struck.join(", "))),
    }
}

fn flush(lab: &mut Lab) -> Result<Answer, Stop> {
    let seen = lab.stalled()?;
    if let Outcome::Stalled { .. } | Outcome::Timeout { .. } = &seen.attempt.outcome {
        let tokens = seen.attempt.partial_tokens.len();
        if tokens >= 2 {
            return Ok(Answer::passed());
        }
        return Ok(Answer::failed_saying(
            format!("it hangs at its third token, as was asked, and {tokens} tokens have come in"),
            seen.said(),
        ));
    }
    // Without a hang only time tells.
    let mut request = lab.request()?;
    request.generation.max_new_tokens = MANY_TOKENS;
    let seen = lab.attempt(&request)?;
    seen.must_complete()?;
    Ok(spread(&seen))
}

/// Whether a generation came in over the time that it took.
fn spread(seen: &Seen) -> Answer {
    let first = seen
        .events
        .iter()
        .find(|heard| matches!(heard.event.kind, EventKind::Token { .. }));
    let last = seen
        .events
        .iter()
        .rfind(|heard| matches!(heard.event.kind, EventKind::Finished { .. }));
    let (Some(first), Some(last)) = (first, last) else {
        return Answer::failed("no token was told");
    };
    let took_s = last.event.t_s - first.event.t_s;
    let came_s = last.after.saturating_sub(first.after).as_secs_f64();
    if took_s < LONG_ENOUGH_S {
        return Answer::not_applicable(format!(
            "its tokens take {took_s:.3} s, too short a time to see them come"
        ));
    }
    if came_s < SHARE * took_s {
        return Answer::failed(format!(
            "its tokens took {took_s:.1} s and came in within {came_s:.3} s"
        ));
    }
    Answer::passed()
}

/// Where it hangs, of an attempt that was to hang.
fn hang(seen: &Seen) -> Result<(Phase, &LastSeen), Answer> {
    match &seen.attempt.outcome {
        Outcome::Stalled {
            phase,
            deadline: Deadline::Token,
            last,
            ..
        } => Ok((*phase, last)),
        Outcome::Completed => Err(Answer::failed("the fault `stall` was taken, and nothing hangs")),
        other => match seen.refusal() {
            Some(failure) => Err(Answer::refused(failure)),
            None => Err(Answer::failed_saying(
                format!("a hang between two tokens was asked for: {}", other.sentence()),
                seen.said(),
            )),
        },
    }
}

fn stall(lab: &mut Lab) -> Result<Answer, Stop> {
    let seen = lab.stalled()?;
    let (phase, last) = hang(&seen)?;
    if last.last_token_before_s.is_none() {
        return Ok(Answer::failed(
            "it hangs, and the breadcrumb says nothing: no magic word, or no stamp",
        ));
    }
    if (phase, last.token) != (Phase::Decode, Some(2)) {
        return Ok(Answer::failed(format!(
            "it hangs at token 2 in decode, and the breadcrumb says {phase}, token {}",
            last.token.map_or_else(|| "none".to_owned(), |token| token.to_string())
        )));
    }
    Ok(Answer::passed())
}

fn stall_in_module(lab: &mut Lab) -> Result<Answer, Stop> {
    let places = &lab.base()?.attempt.places;
    let Some((module, device)) = places.get(places.len() / 2).cloned() else {
        return Ok(Answer::not_applicable("the engine names no places"));
    };
    let mut request = lab.request()?;
    request.faults = vec![Fault::new(
        FaultKind::Stall,
        FaultPoint {
            module: Some(module.clone()),
            token: Some(1),
            ..FaultPoint::default()
        },
    )];
    let seen = lab.attempt_with(&request, None, lab.stall_timeouts(), None)?;
    let (_, last) = hang(&seen)?;
    Ok(at_place(last, &Place::Module { module, device }))
}

fn stall_in_hop(lab: &mut Lab) -> Result<Answer, Stop> {
    let split = lab.split()?;
    if lab.on.iter().take(2).any(|device| device.kind() == DeviceKind::Disk) {
        return Ok(Answer::not_applicable(
            "weights on disk are computed with on the cpu, so that no activation moves",
        ));
    }
    let hops = split.events.iter().find_map(|heard| match &heard.event.kind {
        EventKind::Places { hops, .. } => Some(hops.clone()),
        _ => None,
    });
    let Some(hop) = hops.into_iter().flatten().next() else {
        return Ok(Answer::failed("on two devices the engine names no hop in `places`"));
    };
    let mut request = lab.split_request()?;
    request.faults = vec![Fault::new(
        FaultKind::Stall,
        FaultPoint {
            hop: Some(format!("{} -> {}", hop.from_module, hop.to_module)),
            token: Some(1),
            ..FaultPoint::default()
        },
    )];
    let seen = lab.attempt_with(&request, None, lab.stall_timeouts(), None)?;
    let (_, last) = hang(&seen)?;
    Ok(at_place(last, &Place::Hop(hop)))
}

fn at_place(last: &LastSeen, wanted: &Place) -> Answer {
    if last.place.as_ref() == Some(wanted) {
        return Answer::passed();
    }
    let is = last
        .place
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), ToString::to_string);
    Answer::failed(format!("it hangs in {wanted}, and the breadcrumb names {is}"))
}
