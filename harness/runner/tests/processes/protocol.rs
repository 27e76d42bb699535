//! What workers say, in order and not in order.

use placebench_core::outcome::{FailureClass, Outcome, Phase, WorkerFailure};
use placebench_core::protocol::{EventKind, Prompt};
use placebench_core::record::{Attempt, CaseSpec, MeasureSpec, Timeouts};
use placebench_core::units::Bytes;
use placebench_runner::supervisor::{Observation, WorkerCommand};

use crate::fake::{PLENTY, attempt, attempt_of, case, command};

fn failure(attempt: &Attempt) -> &WorkerFailure {
    match &attempt.outcome {
        Outcome::Failed { failure } | Outcome::OutOfMemory { failure } => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

fn breach(mode: &str) -> String {
    let attempt = attempt(mode, PLENTY);
    let failure = failure(&attempt);
    assert_eq!(failure.class, FailureClass::Protocol, "{failure:?}");
    failure.message.clone()
}

#[test]
fn a_worker_that_does_its_job_is_on_record() {
    let case = CaseSpec {
        measure: MeasureSpec {
            warmup: 1,
            repetitions: 2,
            ..case().measure
        },
        ..case()
    };
    let mut tokens = 0;
    let attempt = attempt_of(&command("ok"), &case, &mut |observation| {
        assert!(!matches!(
            observation,
            Observation::Judged(_) | Observation::Stopping(_)
        ));
        if let Observation::Event(event) = observation {
            tokens += u32::from(matches!(event.kind, EventKind::Token { .. }));
        }
    });
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert_eq!(tokens, 9);
    assert_eq!(attempt.generations.len(), 2);
    assert_eq!(attempt.generations[0].output_ids, [100, 101, 102]);
    assert_eq!(attempt.versions, ["fake 1"]);
    assert_eq!(attempt.realised.unwrap()[0].bytes, Bytes(64));
    assert_eq!(attempt.memory.len(), 1, "a later figure replaces an earlier one");
    assert_eq!(attempt.memory[0].bytes, Bytes(2000));
    let phases: Vec<Phase> = attempt.phases.iter().map(|span| span.phase).collect();
    assert_eq!(phases[..3], [Phase::Spawn, Phase::Load, Phase::Prefill]);
    assert!(attempt.phases.iter().all(|span| span.end_s >= Some(span.start_s)));
    assert!(attempt.wall_s > 0.0 && !attempt.leaked_pipes);
    assert!(attempt.partial_tokens.is_empty());
    assert_eq!(attempt.stderr_tail, "");
}

#[test]
fn noise_on_stderr_does_not_matter() {
    let attempt = attempt("stderr_noise", PLENTY);
    assert_eq!(attempt.outcome, Outcome::Completed);
    assert!(attempt.stderr_tail.starts_with("a warning nobody reads\n"));
    assert!(attempt.stderr_tail.contains("bytes left out]"));
    assert!(attempt.stderr_tail.len() < 40_000);
}

#[test]
fn noise_on_the_event_pipe_is_a_breach() {
    let message = breach("stdout_noise");
    assert!(
        message.contains("no event") && message.contains("\"not an event at all, only a line\""),
        "{message}"
    );
    assert!(breach("stdout_blob").contains("more than 16777216 bytes"));
    assert!(breach("not_utf8").contains("not UTF-8"));
    assert!(breach("raw:{\"t_s\":0,\"event\":\"party\"}\n").contains("unknown variant"));
}

#[test]
fn quotations_cannot_touch_a_terminal() {
    let message = breach("raw:\u{1b}]0;owned\u{7}\n");
    assert!(message.contains("\\u{1b}") && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn breaches_say_what_came() {
    assert!(breach("version").contains("speaks protocol 99, this program 1"));
    assert!(breach("no_hello").contains("`phase` before `hello`"));
    assert!(breach("double_finish").contains("`finished` of generation 0 where no running generation"));
    assert!(breach("after_done").contains("`done` after `done`"));
    assert!(breach("skipped_token").contains("token 1 of generation 0 where token 0 was expected"));
    assert!(
        breach("other_token_in_the_end")
            .contains("token 0 of generation 0 was streamed as 100 and reported as 101 in the end")
    );
    assert!(
        breach("token_left_out_in_the_end")
            .contains("generation 0 was reported with 2 tokens, but 3 had been streamed")
    );
    assert!(breach("silent").contains("exit code 0 without `done`"));
}

#[test]
fn half_a_line_is_a_breach_only_where_the_worker_ended_in_order() {
    assert!(breach("half_line").contains("in the middle of a line: \"{\\\"t_s\\\":1.0,"));
    let attempt = attempt("half_line:9", PLENTY);
    assert!(
        matches!(attempt.outcome, Outcome::Crashed { signal: Some(9), .. }),
        "{attempt:?}"
    );
}

#[test]
fn half_a_line_and_then_silence_is_a_stall() {
    let attempt = attempt("half_line_then_hang", Timeouts { token_s: 1.0, ..PLENTY });
    let Outcome::Stalled { phase, tokens, .. } = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!((phase, tokens), (Phase::Finish, 3));
    assert_eq!(attempt.generations.len(), 1, "what was said before is on record");
}

#[test]
fn keys_nobody_knows_are_passed_over_and_kinds_are_not() {
    let hello = |more: &str| {
        format!(r#"raw:{{"t_s":0,"event":"hello","protocol":1,"engine":"x","versions":[],"profile":"debug"{more}}}"#)
            + "\n"
    };
    // The mode says hello once more after this.
    assert!(breach(&hello("")).contains("a second `hello`"));
    assert!(breach(&hello(r#","mood":{"good":[true]}"#)).contains("a second `hello`"));
    let unknown = hello("") + "{\"t_s\":0,\"event\":\"mood\"}\n";
    assert!(breach(&unknown).contains("unknown variant `mood`"));
}

#[test]
fn numbers_that_are_none_are_a_breach() {
    for (line, words) in [
        (r#"{"t_s":NaN,"event":"done"}"#, "no event"),
        (r#"{"t_s":1e999,"event":"done"}"#, "no event"),
        (r#"{"t_s":-1,"event":"done"}"#, "`done` before `hello`"),
        (
            r#"{"t_s":-1,"event":"hello","protocol":1,"engine":"x","versions":[],"profile":""}"#,
            "t_s of `hello` can be no such figure",
        ),
        (
            "{\"t_s\":9,\"event\":\"hello\",\"protocol\":1,\"engine\":\"x\",\"versions\":[],\"profile\":\"\"}\n\
             {\"t_s\":8,\"event\":\"phase\",\"phase\":\"load\"}",
            "`phase` at 8 s, after an event at 9 s: its clock goes back",
        ),
        (
            r#"{"t_s":0,"event":"hello","protocol":4294967296,"engine":"x","versions":[],"profile":""}"#,
            "no event",
        ),
    ] {
        let message = breach(&format!("raw:{line}\n"));
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn a_failure_the_worker_names_is_taken_over() {
    let failed = attempt("error:model_missing", PLENTY);
    assert!(matches!(failed.outcome, Outcome::Failed { .. }));
    assert_eq!(failure(&failed).class, FailureClass::ModelMissing);
    let full = attempt("error:out_of_memory", PLENTY);
    assert!(matches!(full.outcome, Outcome::OutOfMemory { .. }));
    assert_eq!(failure(&full).needed_bytes, Some(Bytes(2)));
}

#[test]
fn a_failure_stands_even_if_the_worker_then_hangs() {
    let attempt = attempt("error_then_hang:unsupported", Timeouts { token_s: 0.4, ..PLENTY });
    assert_eq!(failure(&attempt).class, FailureClass::Unsupported);
    assert!(attempt.stderr_tail.contains("did not exit"), "{}", attempt.stderr_tail);
}

#[test]
fn done_and_then_a_bad_end_is_no_success() {
    let attempt = attempt("done_then_exit", PLENTY);
    let Outcome::Crashed { exit_code, message, .. } = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(exit_code, Some(3));
    assert!(message.contains("after it had reported everything"));
}

#[test]
fn a_request_nobody_reads_holds_nobody_up() {
    let case = CaseSpec {
        input: Prompt::Text("long ".repeat(1 << 20)),
        ..case()
    };
    let attempt = attempt_of(&command("exit:3"), &case, &mut |_| {});
    assert!(matches!(attempt.outcome, Outcome::Crashed { exit_code: Some(3), .. }));
    assert_eq!(
        attempt_of(&command("ok"), &case, &mut |_| {}).outcome,
        Outcome::Completed
    );
}

#[test]
fn a_program_that_is_not_there_is_a_failure_of_the_attempt() {
    let command = WorkerCommand::new("/nonexistent/engine", ["worker"]);
    let attempt = attempt_of(&command, &case(), &mut |_| {});
    assert!(
        failure(&attempt)
            .message
            .contains("/nonexistent/engine cannot be started")
    );
    assert!(failure(&attempt).class.is_setup());
}
