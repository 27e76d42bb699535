//! Request and events: whether the two sides understand each other.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, Outcome};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::{EventKind, FinishReason, PROTOCOL_VERSION, Prompt, WorkerEvent, WorkerRequest};
use placebench_core::record::Attempt;
use placebench_runner::probe::ProbeEnd;
use serde_json::{Value, json};

use super::super::answer::{Answer, Stop, is_refusal};
use super::super::check::Check;
use super::super::lab::{Lab, to_value};
use super::super::seen::{Seen, line};
use crate::error::CliError;

/// How much longer than the whole process an engine's clock may have run: clocks are read one after the other.
const CLOCK_SLACK_S: f64 = 0.5;
/// What is put before a request to make it long.
const PADDING_BYTES: usize = 1 << 20;

pub(crate) const STDOUT: Check = Check {
    name: "stdout",
    requires: "Standard output carries events, one JSON object a line, and nothing else",
    section: "a-process-from-start-to-end",
    help: "duplicate descriptor 1 for the events and point 1 at 2, before any library is loaded that prints",
    after: &[],
    ask: stdout,
};

pub(crate) const HELLO: Check = Check {
    name: "hello",
    requires: "The first event is `hello` with the version of the protocol, a name and versions",
    section: "events",
    help: "send hello before anything else, with \"protocol\": 1",
    after: &["stdout"],
    ask: hello,
};

pub(crate) const RUN: Check = Check {
    name: "run",
    requires: "Warm-ups and repetitions come one after the other, each with its tokens in order, then `done` and exit code 0",
    section: "events",
    help: "the sentence names the rule that was broken; the section has the order of events",
    after: &["hello"],
    ask: run,
};

pub(crate) const NEEDED_EVENTS: Check = Check {
    name: "needed_events",
    requires: "`phase`, `places`, `loaded`, `started`, `token`, `finished` and `done` are sent",
    section: "events",
    help: "deadlines, the naming of hangs and every figure rest on these: send them all",
    after: &[],
    ask: needed_events,
};

pub(crate) const CLOCK: Check = Check {
    name: "clock",
    requires: "Times count from the start of the process; a token's stamp lies between the events of the tokens around it",
    section: "clocks-and-units",
    help: "take t_s, start_s and the stamps from one monotonic clock that begins with the process; stamps count from start_s",
    after: &[],
    ask: clock,
};

pub(crate) const RESULT: Check = Check {
    name: "result",
    requires: "The lists of a result have an entry for each token, and its gaps are those of its top 5",
    section: "result-of-finished",
    help: "send one entry a token, the five largest logits first to last; leave out or leave empty what you do not know",
    after: &[],
    ask: result,
};

pub(crate) const NO_BREADCRUMB: Check = Check {
    name: "no_breadcrumb",
    requires: "Without PLACEBENCH_BREADCRUMB the engine works on",
    section: "the-breadcrumb-page",
    help: "treat a missing variable, or a page that cannot be mapped, as nobody reading it",
    after: &[],
    ask: no_breadcrumb,
};

pub(crate) const PROTOCOL_VERSION_REFUSED: Check = Check {
    name: "protocol_version",
    requires: "A request of another version of the protocol is refused with `request_invalid`",
    section: "versions",
    help: "compare request.protocol with 1 before you look at anything else",
    after: &[],
    ask: protocol_version,
};

pub(crate) const UNKNOWN_KEYS: Check = Check {
    name: "unknown_keys",
    requires: "Keys of the request that the engine does not know are passed over",
    section: "versions",
    help: "do not validate the request against a closed list of keys: new ones come within a version",
    after: &[],
    ask: unknown_keys,
};

pub(crate) const UNREADABLE_REQUEST: Check = Check {
    name: "unreadable_request",
    requires: "A request that is no JSON is complained about on standard error, with exit code 2 and no event",
    section: "a-process-from-start-to-end",
    help: "catch the parser's error, print it to standard error, and exit with 2",
    after: &[],
    ask: unreadable_request,
};

pub(crate) const LARGE_REQUEST: Check = Check {
    name: "large_request",
    requires: "A request of 1 MiB is read to its end",
    section: "a-process-from-start-to-end",
    help: "read standard input until the end of the file, not one buffer or line of it",
    after: &[],
    ask: large_request,
};

/// The first time the engine is asked: without a supervisor, to see its lines as they are. Devices that it does not have are
/// found out here.
fn raw(lab: &mut Lab) -> Result<(), CliError> {
    if lab.raw.is_some() {
        return Ok(());
    }
    let choices = match (&lab.setup.devices, lab.places_itself()) {
        (None, false) => {
            let real = vec![DeviceId::cpu(), DeviceId::disk()];
            vec![(lab.devices.clone(), lab.on.clone()), (Vec::new(), real)]
        }
        _ => vec![(lab.devices.clone(), lab.on.clone())],
    };
    for (devices, on) in choices {
        let before = (
            std::mem::replace(&mut lab.devices, devices),
            std::mem::replace(&mut lab.on, on),
        );
        let heard = lab.listen(&lab.request()?)?;
        if let ProbeEnd::NotStarted(message) = &heard.1.end {
            return Err(CliError::setup(message.clone())
                .hint("write the program and its arguments after --, as a shell would find them"));
        }
        let is_first = lab.raw.is_none();
        if is_first || !refuses(&heard.0) {
            lab.raw = Some(heard);
        } else {
            (lab.devices, lab.on) = before;
        }
        if !lab.raw.as_ref().is_some_and(|(lines, _)| refuses(lines)) {
            break;
        }
    }
    Ok(())
}

/// Whether the last line refuses the devices, or something that may be about them.
fn refuses(lines: &[String]) -> bool {
    let last: Option<WorkerEvent> = lines.last().and_then(|line| serde_json::from_str(line).ok());
    match last.map(|event| event.kind) {
        Some(EventKind::Error { failure }) => {
            is_refusal(&failure)
                || matches!(
                    failure.class,
                    FailureClass::DeviceMissing | FailureClass::PlacementInvalid
                )
        }
        _ => false,
    }
}

fn stdout(lab: &mut Lab) -> Result<Answer, Stop> {
    raw(lab)?;
    let Some((lines, probed)) = &lab.raw else {
        return Ok(Answer::failed("nothing was heard of it"));
    };
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Ok(Answer::failed_saying(
            format!("it said nothing: {}", end_words(&probed.end)),
            Some(probed.stderr_tail.clone()),
        ));
    }
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        if let Err(error) = serde_json::from_str::<WorkerEvent>(line) {
            return Ok(Answer::failed_saying(
                format!("a line that is no event: {error}"),
                Some(line.clone()),
            ));
        }
    }
    Ok(Answer::passed())
}

fn end_words(end: &ProbeEnd) -> String {
    match end {
        ProbeEnd::Finished => "it ended with exit code 0".into(),
        ProbeEnd::Died(message) | ProbeEnd::NotStarted(message) => message.clone(),
        ProbeEnd::Silent => "it was silent for longer than --timeout and was ended".into(),
        ProbeEnd::Interrupted => "it said more than was listened to".into(),
    }
}

fn hello(lab: &mut Lab) -> Result<Answer, Stop> {
    let lines = lab.raw.iter().flat_map(|(lines, _)| lines);
    let mut lines = lines.filter(|line| !line.trim().is_empty());
    let Some(first) = lines.next() else {
        return Ok(Answer::failed("nothing was heard of it"));
    };
    let event: Option<WorkerEvent> = serde_json::from_str(first).ok();
    let failed = |seen: String| Ok(Answer::failed_saying(seen, Some(first.clone())));
    match event.map(|event| event.kind) {
        Some(EventKind::Hello { protocol, .. }) if protocol != PROTOCOL_VERSION => failed(format!(
            "it speaks protocol {protocol}, this program {PROTOCOL_VERSION}"
        )),
        Some(EventKind::Hello { engine, versions, .. }) if engine.is_empty() || versions.is_empty() => {
            failed("hello names no engine, or no versions: a record must say what computed".into())
        }
        Some(EventKind::Hello { engine, versions, .. }) => {
            Ok(Answer::passed_with(format!("{engine}: {}", versions.join(", "))))
        }
        Some(EventKind::Error { failure }) => failed(format!(
            "the first request is refused before hello: {}",
            failure.message
        )),
        _ => failed("the first event is another".into()),
    }
}

fn run(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    (request.warmup, request.repetitions) = (1, 2);
    let seen = lab.attempt(&request)?;
    seen.must_complete()?;
    let made = seen.generation().map_or(0, |made| made.output_count());
    let asked = request.generation.max_new_tokens;
    if made == 0 {
        return Ok(Answer::failed_saying("no token was made", seen.said()));
    }
    lab.base = Some(seen);
    Ok(Answer::passed_with(format!(
        "{made} of at most {asked} tokens, three times"
    )))
}

fn needed_events(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.request()?;
    let seen = lab.base()?;
    // Where a server places, or ranks do, there may be no module to name.
    let names_places = matches!(
        request.placement.device_map,
        DeviceMapRequest::Single(_) | DeviceMapRequest::Manual(_)
    );
    let needed = [
        ("phase", seen.has(|kind| matches!(kind, EventKind::Phase { .. }))),
        ("loaded", seen.has(|kind| matches!(kind, EventKind::Loaded { .. }))),
        (
            "places",
            !names_places || seen.has(|kind| matches!(kind, EventKind::Places { modules, .. } if !modules.is_empty())),
        ),
        ("token", seen.has(|kind| matches!(kind, EventKind::Token { .. }))),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        let loaded = seen
            .events
            .iter()
            .position(|heard| matches!(heard.event.kind, EventKind::Loaded { .. }));
        let started = seen
            .events
            .iter()
            .position(|heard| matches!(heard.event.kind, EventKind::Started { .. }));
        if started < loaded {
            return Ok(Answer::failed("a generation is started before `loaded`"));
        }
        return Ok(Answer::passed());
    }
    Ok(Answer::failed(format!("it did not say: {}", missing.join(", "))))
}

fn clock(lab: &mut Lab) -> Result<Answer, Stop> {
    let seen = lab.base()?;
    for heard in &seen.events {
        let arrived_s = heard.after.as_secs_f64();
        if heard.event.t_s > arrived_s + CLOCK_SLACK_S {
            return Ok(Answer::failed_saying(
                format!(
                    "at {arrived_s:.3} s from its start the engine's clock says {:.3} s",
                    heard.event.t_s
                ),
                Some(line(&heard.event)),
            ));
        }
    }
    stamps(seen)?;
    Ok(Answer::passed())
}

/// Each stamp lies between the events around it: on a machine however busy, what comes later comes later.
fn stamps(seen: &Seen) -> Result<(), Answer> {
    let mut times: Vec<f64> = Vec::new();
    for heard in &seen.events {
        match &heard.event.kind {
            EventKind::Started { .. } => times = vec![heard.event.t_s],
            EventKind::Token { sequence: 0, .. } => times.push(heard.event.t_s),
            EventKind::Finished { result, generation, .. } => {
                let end = heard.event.t_s;
                for (index, stamp) in result.token_stamps_s.iter().enumerate() {
                    let at = result.start_s + stamp;
                    // The event of the token itself may come before or after its stamp is taken.
                    let from = times.get(index).copied().unwrap_or(0.0);
                    let until = times.get(index + 2).copied().unwrap_or(end);
                    let rounding = 1e-5;
                    if at < from - rounding || at > until + rounding {
                        return Err(Answer::failed_saying(
                            format!(
                                "token {index} of generation {generation} is stamped {at:.6} s (start_s plus its stamp), and \
                                 the events around it came at {from:.6} s and {until:.6} s"
                            ),
                            Some(line(&heard.event)),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn result(lab: &mut Lab) -> Result<Answer, Stop> {
    let asked = lab.request()?;
    let seen = lab.base()?;
    let Some(made) = seen.generation() else {
        return Ok(Answer::failed("no generation was measured"));
    };
    let tokens = made.token_stamps_s.len();
    let lists = [
        ("top2_gaps", made.top2_gaps.len()),
        ("top5", made.top5.len()),
        ("hops", made.hops.len()),
        ("transfer_bytes", made.transfer_bytes.len()),
        ("streamed_bytes", made.streamed_bytes.len()),
        ("stage_times_s", made.stage_times_s.len()),
        ("text_offsets", made.text_offsets.len()),
    ];
    if let Some((name, length)) = lists.iter().find(|(_, length)| *length != tokens && *length != 0) {
        return Ok(Answer::failed(format!(
            "{name} has {length} entries for {tokens} tokens"
        )));
    }
    for (index, five) in made.top5.iter().enumerate() {
        if !five.windows(2).all(|pair| pair[0].logit >= pair[1].logit) {
            return Ok(Answer::failed(format!(
                "the top 5 of token {index} are not in order, largest first: {five:?}"
            )));
        }
        if let ([first, second, ..], Some(gap)) = (five.as_slice(), made.top2_gaps.get(index)) {
            let difference = first.logit - second.logit;
            if (difference - gap).abs() > 1e-3 * difference.abs().max(1.0) {
                return Ok(Answer::failed(format!(
                    "token {index} has a gap of {gap} and a top 5 whose first two are {difference} apart"
                )));
            }
        }
        if let (Some(first), Some(id)) = (five.first(), made.output_ids.get(index))
            && first.id != *id
            && five.get(1).is_none_or(|second| second.logit < first.logit)
        {
            return Ok(Answer::failed(format!(
                "greedy text was asked for: token {index} is {id}, and the largest logit is that of {}",
                first.id
            )));
        }
    }
    if let (Prompt::InputIds(ids), [_, ..]) = (&asked.prompt, made.input_ids.as_slice())
        && *ids != made.input_ids
    {
        return Ok(Answer::failed(format!(
            "the prompt has the tokens {ids:?}, and the result says {:?}",
            made.input_ids
        )));
    }
    if made.finish_reason == FinishReason::Length && made.output_count() != asked.generation.max_new_tokens as usize {
        return Ok(Answer::failed(format!(
            "it ended for its length with {} tokens of {}",
            made.output_count(),
            asked.generation.max_new_tokens
        )));
    }
    Ok(Answer::passed())
}

fn no_breadcrumb(lab: &mut Lab) -> Result<Answer, Stop> {
    let Some((lines, probed)) = &lab.raw else {
        return Ok(Answer::failed("nothing was heard of it"));
    };
    let last: Option<WorkerEvent> = lines.last().and_then(|line| serde_json::from_str(line).ok());
    if probed.end == ProbeEnd::Finished && last.is_some_and(|event| event.kind == EventKind::Done) {
        return Ok(Answer::passed());
    }
    let said = match probed.stderr_tail.is_empty() {
        true => lines.last().cloned(),
        false => Some(probed.stderr_tail.clone()),
    };
    Ok(Answer::failed_saying(
        format!(
            "with the variable it completes, without it not: {}",
            end_words(&probed.end)
        ),
        said,
    ))
}

fn protocol_version(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    request.protocol = PROTOCOL_VERSION + 1;
    Ok(lab.attempt(&request)?.must_be_refused(&[FailureClass::RequestInvalid]))
}

fn unknown_keys(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.request()?;
    let mut value = to_value(&request)?;
    if let Value::Object(keys) = &mut value {
        keys.insert("a_key_of_a_later_release".into(), json!({"nested": [1, null, "x"]}));
        for key in ["placement", "generation"] {
            if let Some(Value::Object(inner)) = keys.get_mut(key) {
                inner.insert("another_one".into(), json!(true));
            }
        }
    }
    as_before(lab, &request, value.to_string().into_bytes())
}

fn large_request(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.request()?;
    let value = to_value(&request)?.to_string();
    // Blanks between the tokens of JSON mean nothing, so that the request is long and says the same.
    let padded = value.replacen('{', &format!("{{{}", " ".repeat(PADDING_BYTES)), 1);
    as_before(lab, &request, padded.into_bytes())
}

/// The same request in other words has the same result.
fn as_before(lab: &mut Lab, request: &WorkerRequest, text: Vec<u8>) -> Result<Answer, Stop> {
    let seen = lab.attempt_of_text(request, text)?;
    seen.must_complete()?;
    Ok(Answer::passed())
}

fn unreadable_request(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.request()?;
    let seen = lab.attempt_of_text(&request, b"{\"protocol\": 1, \"case\": ".to_vec())?;
    Ok(
        unreadable_answer(&seen.attempt)
            .unwrap_or_else(|seen_instead| Answer::failed_saying(seen_instead, seen.said())),
    )
}

fn unreadable_answer(attempt: &Attempt) -> Result<Answer, String> {
    match &attempt.outcome {
        Outcome::Crashed { exit_code: Some(2), .. } if attempt.stderr_tail.trim().is_empty() => {
            Err("exit code 2, and not a word on standard error".into())
        }
        Outcome::Crashed { exit_code: Some(2), .. } => Ok(Answer::passed()),
        Outcome::Crashed {
            exit_code: Some(code), ..
        } => Err(format!("exit code {code}, not 2")),
        other => Err(format!("exit code 2 was expected: {}", other.sentence())),
    }
}
