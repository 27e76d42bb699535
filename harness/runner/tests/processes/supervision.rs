//! Every way a worker can end or not end, and that none of them is seen where nothing is wrong.

use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use placebench_core::outcome::{Deadline, Outcome, Phase, Place};
use placebench_core::protocol::EventKind;
use placebench_core::record::{Attempt, CaseSpec, LastEvent, Timeouts};
use placebench_core::units::Bytes;
use placebench_runner::cancel::Cancel;
use placebench_runner::run::request_of;
use placebench_runner::supervisor::{INTERRUPTED, Observation, StopLimits, StopStep, WorkerCommand, run_attempt};

use crate::fake::{PLENTY, attempt, attempt_of, case, command, fake_worker, runs};

#[test]
fn an_exit_code_is_a_crash() {
    let attempt = attempt("exit:3", PLENTY);
    let Outcome::Crashed { exit_code, signal, .. } = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!((exit_code, signal), (Some(3), None));
}

#[test]
fn signals_are_named_with_the_place() {
    for (mode, number, word) in [
        ("abort", 6, "SIGABRT"),
        ("signal:11", 11, "SIGSEGV"),
        ("signal:9", 9, "placebench did not send it"),
        ("signal:25", 25, "SIGXFSZ"),
    ] {
        let attempt = attempt(mode, PLENTY);
        let Outcome::Crashed {
            signal,
            phase,
            last,
            message,
            ..
        } = &attempt.outcome
        else {
            panic!("{attempt:?}")
        };
        assert_eq!((*signal, *phase), (Some(number), Phase::Decode));
        assert!(message.contains(word), "{message}");
        assert_eq!(last.token, Some(1));
        let Some(Place::Hop(hop)) = &last.place else {
            panic!("{last:?}")
        };
        assert_eq!(hop.name(), "model.layers.0 -> model.layers.1");
        assert_eq!(attempt.partial_tokens.len(), 1);
    }
}

/// The deadline that is to pass, in seconds.
const LIMIT_S: f64 = 1.5;

/// Hangs in `point` with the deadline in question short and all others far away.
fn stall(mode: &str, point: &str, deadline: Deadline) -> Attempt {
    let mut limits = PLENTY;
    match deadline {
        Deadline::Load => limits.load_s = LIMIT_S,
        Deadline::FirstToken => limits.first_token_s = LIMIT_S,
        Deadline::Token => limits.token_s = LIMIT_S,
        Deadline::Total => limits.total_s = LIMIT_S,
    }
    let mut steps = Vec::new();
    let mut pid = 0;
    let case = CaseSpec {
        timeout: limits,
        ..case()
    };
    let attempt = attempt_of(
        &command(&format!("{mode}:{point}")),
        &case,
        &mut |observation| match observation {
            Observation::Spawned { pid: spawned } => pid = spawned,
            Observation::Judged(_) => assert!(runs(pid), "judged while it still runs"),
            Observation::Stopping(step) => steps.push(step),
            Observation::Event(_) | Observation::Waiting { .. } => {}
        },
    );
    assert_eq!(steps, [StopStep::Terminate]);
    assert!(!runs(pid));
    attempt
}

/// A hang at `point` must be named by that phase, and so must the deadline and the tokens made before.
fn check_hang(point: &str, phase: Phase, deadline: Deadline, tokens: u32) {
    let attempt = stall("hang", point, deadline);
    let Outcome::Stalled {
        phase: stalled,
        deadline: expired,
        limit_s,
        last,
        tokens: made,
    } = &attempt.outcome
    else {
        panic!("{point}: {:?}", attempt.outcome)
    };
    assert_eq!((*stalled, *expired, *made), (phase, deadline, tokens), "{point}");
    assert_eq!(*limit_s, LIMIT_S);
    assert_eq!(last.phase, Some(phase));
    if point == "decode" {
        assert_eq!(last.token, Some(1));
        let place = last.place.as_ref().unwrap();
        assert_eq!(place.name(), "model.layers.0 -> model.layers.1");
        assert!(
            last.for_s.is_some_and(|seconds| seconds > 0.0 && seconds < 1000.0),
            "{last:?}"
        );
        assert_eq!(attempt.partial_tokens[0].1, Some(100));
    }
}

#[test]
fn a_hang_is_named_by_its_phase() {
    // Side by side, because each takes as long as its deadline.
    std::thread::scope(|scope| {
        for (point, phase, deadline, tokens) in [
            ("spawn", Phase::Spawn, Deadline::Load, 0),
            ("load", Phase::Load, Deadline::Load, 0),
            ("prefill", Phase::Prefill, Deadline::FirstToken, 0),
            ("decode", Phase::Decode, Deadline::Token, 1),
            ("finish", Phase::Finish, Deadline::Token, 3),
            ("exit", Phase::Finish, Deadline::Token, 3),
        ] {
            scope.spawn(move || check_hang(point, phase, deadline, tokens));
        }
    });
}

#[test]
fn a_worker_without_a_breadcrumb_is_judged_by_what_it_said() {
    let attempt = stall("hang_without_breadcrumb", "decode", Deadline::Token);
    let Outcome::Stalled { phase, last, .. } = attempt.outcome else {
        panic!()
    };
    assert_eq!((phase, last.token, last.place), (Phase::Decode, Some(1), None));
    assert!(last.for_s.unwrap() >= LIMIT_S);
}

#[test]
fn the_whole_attempt_has_a_deadline_too() {
    let attempt = stall("hang", "decode", Deadline::Total);
    let Outcome::Timeout { limit_s, .. } = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(limit_s, LIMIT_S);
}

#[test]
fn being_alive_is_not_getting_on() {
    let limits = Timeouts { token_s: 0.6, ..PLENTY };
    let attempt = attempt("chatter", limits);
    let Outcome::Stalled { deadline, .. } = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(deadline, Deadline::Token);
}

#[test]
fn slow_is_not_stalled() {
    // The generation as a whole takes longer than the deadline between tokens, and no gap comes near it.
    let limits = Timeouts { token_s: 2.0, ..PLENTY };
    let attempt = attempt("slow", limits);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.wall_s > limits.token_s);
}

#[test]
fn a_slow_download_is_not_stalled() {
    // As a whole it takes longer than the deadline of loading, and no piece comes near it.
    let limits = Timeouts { load_s: 2.0, ..PLENTY };
    let attempt = attempt("slow_fetch", limits);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.wall_s > limits.load_s);
}

#[test]
fn who_ignores_sigterm_is_killed() {
    let limits = Timeouts { token_s: 0.4, ..PLENTY };
    let command = WorkerCommand {
        // An ignored signal stays ignored in the program a shell turns into.
        args: ["-c", "trap '' TERM; exec \"$0\" \"$1\""]
            .map(Into::into)
            .into_iter()
            .chain([fake_worker().into(), "hang:decode".into()])
            .collect(),
        program: PathBuf::from("sh"),
        folder: None,
        stop: StopLimits {
            grace: Duration::from_millis(200),
            ..StopLimits::default()
        },
        lock_devices: false,
        unavailable: None,
        request_text: None,
    };
    let mut steps = Vec::new();
    let attempt = attempt_of(
        &command,
        &CaseSpec {
            timeout: limits,
            ..case()
        },
        &mut |observation| {
            if let Observation::Stopping(step) = observation {
                steps.push(step);
            }
        },
    );
    assert_eq!(steps, [StopStep::Terminate, StopStep::Kill]);
    assert!(matches!(
        attempt.outcome,
        Outcome::Stalled {
            phase: Phase::Decode,
            ..
        }
    ));
    assert!(
        attempt
            .stderr_tail
            .contains("[placebench] the worker did not end within 200 ms of SIGTERM")
    );
    assert_eq!(attempt.killed_after_s, Some(0.2));
}

/// SIGTERM does not reach a stopped process before it goes on.
#[test]
fn a_stopped_worker_stalls_is_looked_at_and_ends() {
    let attempt = stall("stop", "decode", Deadline::Token);
    assert!(
        matches!(
            attempt.outcome,
            Outcome::Stalled {
                phase: Phase::Decode,
                tokens: 1,
                ..
            }
        ),
        "{attempt:?}"
    );
    let evidence = attempt.evidence.unwrap();
    if cfg!(target_os = "linux") {
        let state = evidence.threads[0].state;
        assert!(matches!(state, Some('T' | 't')), "{:?}", evidence.threads[0]);
    }
    assert!(attempt.recovery.unwrap().is_complete());
}

#[test]
fn the_peak_of_a_worker_that_never_reports_is_known() {
    let attempt = attempt("allocate", Timeouts { load_s: 3.0, ..PLENTY });
    assert!(matches!(attempt.outcome, Outcome::Stalled { phase: Phase::Load, .. }));
    assert!(
        attempt.peak_rss_bytes.unwrap() >= Bytes(64 << 20),
        "{:?}",
        attempt.peak_rss_bytes
    );
}

#[test]
fn workers_get_a_clean_environment() {
    let output = Command::new(fake_worker())
        .arg("supervise")
        .arg(fake_worker())
        .arg("env")
        .env("UNRELATED_VARIABLE", "1")
        .env("HF_HOME", "/models")
        .output()
        .unwrap();
    let seen = String::from_utf8(output.stderr).unwrap();
    assert!(!seen.contains("UNRELATED_VARIABLE"), "{seen}");
    assert!(seen.contains("HF_HOME=/models\n"), "{seen}");
    assert!(seen.contains("PLACEBENCH_BREADCRUMB=/") && seen.contains("PLACEBENCH_SUPERVISOR_PID="));
}

#[test]
fn a_case_adds_to_the_environment_and_overrides_it() {
    let env = [("RAYON_NUM_THREADS", "1"), ("PATH", "/nowhere")];
    let case = CaseSpec {
        env: env.map(|(name, value)| (name.into(), value.into())).to_vec(),
        ..case()
    };
    let attempt = attempt_of(&command("env"), &case, &mut |_| {});
    let lines: Vec<&str> = attempt.stderr_tail.lines().collect();
    assert!(
        lines.contains(&"RAYON_NUM_THREADS=1") && lines.contains(&"PATH=/nowhere"),
        "{lines:?}"
    );
}

#[test]
fn an_interrupted_attempt_is_no_failure() {
    let cancel = Cancel::new();
    let request = request_of(&case(), 1);
    let mut pid = 0;
    let attempt = run_attempt(
        &command("hang:decode"),
        &case(),
        &request,
        0,
        None,
        &cancel,
        &mut |observation| match observation {
            Observation::Spawned { pid: spawned } => pid = spawned,
            Observation::Event(event) if matches!(event.kind, EventKind::Token { .. }) => {
                cancel.cancel();
            }
            _ => {}
        },
    )
    .unwrap();
    let Outcome::Skipped { reason, .. } = &attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(reason, INTERRUPTED);
    assert_eq!(attempt.partial_tokens.len(), 1);
    assert!(!runs(pid));
}

#[test]
fn attempts_can_run_side_by_side() {
    let (sender, receiver) = mpsc::channel();
    for mode in ["ok", "exit:3", "ok"] {
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(attempt(mode, PLENTY).outcome).unwrap());
    }
    drop(sender);
    let completed = receiver.iter().filter(|outcome| *outcome == Outcome::Completed).count();
    assert_eq!(completed, 2);
}

#[test]
fn what_was_said_last_is_kept_of_a_stall_and_of_a_crash_and_not_of_a_success() {
    let stalled = attempt("hang:decode", Timeouts { token_s: 1.0, ..PLENTY });
    assert!(matches!(stalled.outcome, Outcome::Stalled { .. }), "{stalled:?}");
    let last = stalled.last_events.last().unwrap();
    // The deadline runs from when the last token came in, which is no earlier than when it was said.
    let token = stalled
        .last_events
        .iter()
        .rfind(|event| event.event == "token")
        .unwrap();
    assert!(token.before_end_s > 1.0 - 1e-6, "{:#?}", stalled.last_events);
    assert!(last.before_end_s <= token.before_end_s);
    assert!(token.words.contains("generation"), "{token:?}");
    let crashed = attempt("abort", PLENTY);
    assert!(crashed.last_events.len() > 3 && crashed.last_events.len() <= LastEvent::MOST);
    let order = crashed.last_events.windows(2);
    assert!(
        order
            .into_iter()
            .all(|pair| pair[0].before_end_s >= pair[1].before_end_s)
    );
    assert!(crashed.last_events.iter().all(|event| event.before_end_s > -1e-6));
    assert_eq!(attempt("ok", PLENTY).last_events, []);
}
