//! How an attempt that did not complete went, from what it was asked to its end, in order.

use placebench_core::outcome::ranks::behind_words;
use placebench_core::outcome::{LastSeen, Outcome, Phase, RankSeen, WorkerFailure};
use placebench_core::record::{Attempt, CaseSpec, LastEvent, PhaseSpan};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::Fact;
use super::words::{Lines, count, line, list, visible};

/// The story of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoryView {
    /// What it had to do, and by when.
    pub asked: Vec<Fact>,
    /// The phases it went through, with their durations.
    pub phases: Vec<PhaseView>,
    /// How many tokens it had made, and when.
    pub tokens: String,
    /// Where it was: phase, token, module or hop, and for how long.
    pub place: String,
    /// What it died of, or what it lacked.
    pub cause: Vec<Fact>,
    /// What the times of the last events are counted from: `the deadline`, `the end`.
    pub until: &'static str,
    /// What it had said last, oldest first.
    pub events: Vec<EventView>,
    /// How it was ended.
    pub end: String,
    /// Last lines of its log.
    pub log: String,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseView {
    /// Its name.
    pub name: &'static str,
    /// How long it took, or that it never ended; empty where times mean nothing.
    pub words: String,
    /// It is the one the attempt ended in.
    pub is_last: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// How long before the deadline or the end it came.
    pub when: String,
    /// How long after the one before it; empty for the first.
    pub gap: String,
    /// Its kind.
    pub event: String,
    /// What it said.
    pub words: String,
}

/// The story of an attempt that was started and did not complete.
pub(super) fn view(
    spec: &CaseSpec,
    attempt: &Attempt,
    request: &str,
    faults: &str,
    is_timed: bool,
) -> Option<StoryView> {
    if matches!(attempt.outcome, Outcome::Completed | Outcome::Skipped { .. }) {
        return None;
    }
    let had_deadline = matches!(attempt.outcome, Outcome::Stalled { .. } | Outcome::Timeout { .. });
    Some(StoryView {
        asked: asked(spec, request, faults),
        phases: phases(attempt, is_timed),
        tokens: tokens(attempt),
        place: place(&attempt.outcome),
        cause: cause(&attempt.outcome),
        until: if had_deadline { "the deadline" } else { "the end" },
        events: events(&attempt.last_events),
        end: end(attempt, had_deadline),
        log: visible(&attempt.stderr_tail, Lines::Keep, 4000),
    })
}

fn asked(spec: &CaseSpec, request: &str, faults: &str) -> Vec<Fact> {
    let timeout = &spec.timeout;
    let deadlines = format!(
        "{} to load, {} to the first token, {} between two, {} in all",
        human_seconds(timeout.load_s),
        human_seconds(timeout.first_token_s),
        human_seconds(timeout.token_s),
        human_seconds(timeout.total_s)
    );
    let most = spec.generation_asked().max_new_tokens as usize;
    let mut facts = vec![
        Fact::new("placement", request),
        Fact::new("tokens", format!("at most {most}")),
        Fact::new("deadlines", deadlines),
    ];
    if !faults.is_empty() {
        facts.push(Fact::new("injected", faults));
    }
    facts
}

fn phases(attempt: &Attempt, is_timed: bool) -> Vec<PhaseView> {
    let last = attempt.phases.len().saturating_sub(1);
    let one = |(number, span): (usize, &PhaseSpan)| PhaseView {
        name: span.phase.as_str(),
        words: match span.end_s {
            None => "never ended".into(),
            Some(end) if is_timed => human_seconds((end - span.start_s).max(0.0)),
            Some(_) => String::new(),
        },
        is_last: number == last,
    };
    // A run of many generations repeats its phases: the first ones and the last ones tell the story.
    const MOST: usize = 12;
    let left_out = attempt.phases.len().saturating_sub(MOST);
    let shown = attempt.phases.iter().enumerate();
    let mut phases: Vec<PhaseView> = shown.clone().take(MOST / 2).map(one).collect();
    if left_out > 0 {
        phases.push(PhaseView {
            name: "…",
            words: format!("{left_out} more"),
            is_last: false,
        });
    }
    phases.extend(shown.skip((MOST / 2 + left_out).min(attempt.phases.len())).map(one));
    phases
}

/// What it had generated.
fn tokens(attempt: &Attempt) -> String {
    let whole = match attempt.generations.len() {
        0 => None,
        many => Some(format!("{} reported whole", count(many, "generation", "generations"))),
    };
    let stamps: Vec<f64> = attempt.partial_tokens.iter().map(|(stamp, _)| *stamp).collect();
    let under_way = match stamps.as_slice() {
        [] if attempt.phases.iter().any(|span| span.phase == Phase::Prefill) => Some("no token yet".to_owned()),
        [] => None,
        [only] => Some(format!(
            "1 token, {} after the start of the generation",
            human_seconds(*only)
        )),
        [.., before, last] => Some(format!(
            "{}, the last one {} after the start of the generation and {} after the one before it",
            count(stamps.len(), "token", "tokens"),
            human_seconds(*last),
            human_seconds((last - before).max(0.0))
        )),
    };
    let parts: Vec<String> = whole.into_iter().chain(under_way).collect();
    parts.join("; then ")
}

/// Where it was, as the breadcrumb or the worker said.
fn place(outcome: &Outcome) -> String {
    let last = match outcome {
        Outcome::Timeout { last, .. } | Outcome::Stalled { last, .. } | Outcome::Crashed { last, .. } => last,
        Outcome::OutOfMemory { failure } | Outcome::Failed { failure } => {
            let place = failure.place.as_ref().map(|place| line(&place.to_string()));
            let rank = failure.rank.map(|rank| format!("rank {rank}"));
            let parts: Vec<String> = [rank, Some(format!("in {}", failure.phase)), place]
                .into_iter()
                .flatten()
                .collect();
            return parts.join(", ").replace("->", "→");
        }
        Outcome::Completed | Outcome::Skipped { .. } => return String::new(),
    };
    let LastSeen { phase, token, .. } = last;
    let parts = [
        behind_words(&last.ranks),
        phase.map(|phase| format!("in {phase}")),
        token.map(|token| format!("token {token}")),
        last.place.as_ref().map(|place| line(&place.to_string())),
        last.for_s.map(|seconds| format!("for {}", human_seconds(seconds))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ").replace("->", "→")
}

fn cause(outcome: &Outcome) -> Vec<Fact> {
    match outcome {
        Outcome::OutOfMemory { failure } => lacking(failure),
        Outcome::Crashed {
            signal,
            exit_code,
            last,
            ..
        } => {
            let signal = signal.map(|signal| Fact::new("signal", signal.to_string()));
            let code = exit_code.map(|code| Fact::new("exit code", code.to_string()));
            signal.into_iter().chain(code).chain(ranks(last)).collect()
        }
        // Their sentence says it all.
        Outcome::Failed { .. } | Outcome::Completed | Outcome::Skipped { .. } => Vec::new(),
        Outcome::Timeout { last, .. } | Outcome::Stalled { last, .. } => ranks(last),
    }
}

/// Where each rank was.
fn ranks(last: &LastSeen) -> Vec<Fact> {
    const MOST: usize = 16;
    let one = |rank: &RankSeen| {
        let parts = [
            rank.phase.map(|phase| format!("in {phase}")),
            rank.token.map(|token| format!("token {token}")),
            rank.place.as_ref().map(|place| line(&place.to_string())),
            rank.for_s.map(|seconds| format!("for {}", human_seconds(seconds))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Fact::new(&format!("rank {}", rank.rank), parts.join(", ").replace("->", "→"))
    };
    let mut facts: Vec<Fact> = last.ranks.iter().take(MOST).map(one).collect();
    let left_out = last.ranks.len().saturating_sub(MOST);
    if left_out > 0 {
        facts.push(Fact::new("others", count(left_out, "more rank", "more ranks")));
    }
    facts
}

/// Which device had not enough, what was needed and what was there.
fn lacking(failure: &WorkerFailure) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(
        failure
            .device
            .as_ref()
            .map(|device| Fact::new("device", line(device.as_str()))),
    );
    facts.extend(failure.needed_bytes.map(|bytes| Fact::new("needed", bytes.to_string())));
    facts.extend(
        failure
            .allowed_bytes
            .map(|bytes| Fact::new("allowed", bytes.to_string())),
    );
    if let (Some(needed), Some(allowed)) = (failure.needed_bytes, failure.allowed_bytes)
        && needed > allowed
    {
        let missing = placebench_core::units::Bytes(needed.0 - allowed.0);
        facts.push(Fact::new("missing", missing.to_string()));
    }
    facts
}

fn events(all: &[LastEvent]) -> Vec<EventView> {
    let befores = std::iter::once(None).chain(all.iter().map(Some));
    let one = |(event, before): (&LastEvent, Option<&LastEvent>)| EventView {
        when: when(event.before_end_s),
        gap: before
            .map(|before| human_seconds((before.before_end_s - event.before_end_s).max(0.0)))
            .unwrap_or_default(),
        event: line(&event.event),
        words: visible(&event.words, Lines::Join, LastEvent::MOST_WORDS),
    };
    all.iter().zip(befores).take(LastEvent::MOST).map(one).collect()
}

/// A time by how long it is before the deadline or the end.
fn when(before_s: f64) -> String {
    match before_s {
        before if !before.is_finite() => "at an unknown time".into(),
        before if before < 0.0 => format!("{} after", human_seconds(-before)),
        before => format!("{} before", human_seconds(before)),
    }
}

/// How the process came to its end.
fn end(attempt: &Attempt, had_deadline: bool) -> String {
    let mut parts = Vec::new();
    match attempt.killed_after_s {
        Some(given) => parts.push(format!(
            "did not end within {} of SIGTERM and was killed",
            human_seconds(given)
        )),
        // Records older than evidence do not say how it ended.
        None if had_deadline && attempt.evidence.is_some() => parts.push("ended on SIGTERM".to_owned()),
        None => {}
    }
    if attempt.leaked_pipes {
        parts.push("left its pipes open".to_owned());
    }
    if let Some(recovery) = attempt.recovery.as_ref().filter(|recovery| recovery.is_complete()) {
        parts.push(format!(
            "gave back all that it held within {}",
            human_seconds(recovery.after_s)
        ));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!("It {}.", list(&parts)),
    }
}
