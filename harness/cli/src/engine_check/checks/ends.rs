//! How it ends: asked to, left alone, or unheard.

use placebench_core::protocol::EventKind;
use placebench_runner::unsupervised::{Aftermath, Loss};

use super::super::answer::{Answer, Stop};
use super::super::check::Check;
use super::super::lab::{Lab, MANY_TOKENS};
use super::faults::stall_at_token;

pub(crate) const SIGTERM: Check = Check {
    name: "sigterm",
    requires: "SIGTERM ends the engine and its children within a second",
    section: "a-process-from-start-to-end",
    help: "leave the signal to its default, or let its handler do nothing that can hang; clean nothing up",
    after: &[],
    ask: sigterm,
};

pub(crate) const SUPERVISOR_GONE: Check = Check {
    name: "supervisor_gone",
    requires: "When the supervisor is killed the engine ends",
    section: "a-process-from-start-to-end",
    help: "compare the parent's id with PLACEBENCH_SUPERVISOR_PID every half a second in a thread, or use PR_SET_PDEATHSIG",
    after: &["flush"],
    ask: supervisor_gone,
};

pub(crate) const CLOSED_PIPE: Check = Check {
    name: "closed_pipe",
    requires: "When nobody reads its events any more the engine ends, at once or with its work",
    section: "a-process-from-start-to-end",
    help: "let an event that cannot be written end the process; do not wait for a reader",
    after: &["flush"],
    ask: closed_pipe,
};

fn sigterm(lab: &mut Lab) -> Result<Answer, Stop> {
    let stalled = lab.stalled()?;
    let killed = |after: Option<f64>| match after {
        Some(seconds) => Answer::failed(format!("it did not end within {seconds} s of SIGTERM and was killed")),
        None => Answer::passed(),
    };
    if stalled.refusal().is_none() && !stalled.is_completed() && stalled.failure().is_none() {
        return Ok(killed(stalled.attempt.killed_after_s));
    }
    // It cannot be made to hang: it is called off in the middle of its work.
    let mut request = lab.request()?;
    request.generation.max_new_tokens = MANY_TOKENS;
    let at_token = |event: &placebench_core::protocol::WorkerEvent| matches!(event.kind, EventKind::Token { .. });
    let seen = lab.attempt_with(&request, None, lab.timeouts(), Some(&at_token))?;
    if seen.has(|kind| matches!(kind, EventKind::Done)) {
        return Ok(Answer::not_applicable("it was over before it could be asked to end"));
    }
    Ok(killed(seen.attempt.killed_after_s))
}

fn supervisor_gone(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    if lab.stalled()?.refusal().is_none() {
        request.faults = vec![stall_at_token(2)];
    }
    request.generation.max_new_tokens = MANY_TOKENS;
    left_alone(lab, &request, Loss::Supervisor, "token", "its supervisor was killed")
}

fn closed_pipe(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.generation.max_new_tokens = MANY_TOKENS;
    left_alone(lab, &request, Loss::Reader, "hello", "its event pipe was closed")
}

fn left_alone(
    lab: &Lab,
    request: &placebench_core::protocol::WorkerRequest,
    loss: Loss,
    event: &str,
    what: &str,
) -> Result<Answer, Stop> {
    Ok(match lab.leave_alone(request, loss, event)? {
        Ok(Aftermath::Ended) => Answer::passed(),
        Ok(Aftermath::OverBefore) => Answer::not_applicable("it was over before it could be left alone"),
        Ok(Aftermath::RanOn) => Answer::failed(format!(
            "{} after {what} it still ran, and was killed",
            placebench_core::units::human_seconds(lab.setup.timeout.as_secs_f64())
        )),
        Err(error) => Answer::failed(format!("no `{event}` was heard of it: {error}")),
    })
}
