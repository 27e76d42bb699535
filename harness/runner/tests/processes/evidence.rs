//! What is seen of a worker that missed its deadline, and that looking at it changes nothing.

use std::path::Path;
use std::process::Command;

use placebench_core::evidence::{Evidence, ThreadEvidence};
use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{Attempt, CaseSpec, Timeouts};
use placebench_core::units::Bytes;
use placebench_runner::supervisor::{Observation, WorkerCommand};

use crate::fake::{PLENTY, attempt, attempt_of, case, command, runs};

/// Hangs in decoding and is looked at.
fn stalled(mode: &str) -> (Attempt, Evidence) {
    let attempt = attempt(&format!("{mode}:decode"), Timeouts { token_s: 1.0, ..PLENTY });
    assert_eq!(attempt.outcome.kind(), OutcomeKind::Stalled, "{attempt:?}");
    let evidence = attempt.evidence.clone().unwrap();
    (attempt, evidence)
}

fn holds(thread: &ThreadEvidence, function: &str) -> bool {
    let names = thread.frames.iter().filter_map(|frame| frame.function.as_deref());
    names.into_iter().any(|name| name.contains(function))
}

/// Stacks are taken on these systems.
const STACKS: bool = cfg!(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

#[test]
fn the_stack_of_a_stall_names_the_function_it_sleeps_in() {
    let (attempt, evidence) = stalled("hang");
    if !STACKS {
        return;
    }
    let first = &evidence.threads[0];
    assert_eq!((first.pid, first.state), (first.tid, Some('S')), "{first:?}");
    assert!(first.name.starts_with("fake_worker"), "{first:?}");
    assert!(
        holds(first, "hang_for_ever") && holds(first, "Worker::generate"),
        "{first:#?}"
    );
    assert_eq!(first.stack_note, None, "the stack is complete: {first:#?}");
    let sleeping = first.frames.iter().find(|frame| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| name.contains("hang_for_ever"))
    });
    let sleeping = sleeping.unwrap();
    assert!(
        sleeping.file.as_deref().unwrap().ends_with("fake_worker.rs"),
        "{sleeping:?}"
    );
    assert!(sleeping.line.is_some() && sleeping.module.as_deref().unwrap().contains("fake_worker"));
    let sentence = evidence.sentence();
    assert!(sentence.contains("hang_for_ever < "), "{sentence}");
    assert!(evidence.rss_bytes.unwrap() > Bytes(1 << 16));
    assert!(attempt.recovery.unwrap().is_complete());
}

#[test]
fn every_thread_is_seen_by_its_name() {
    let (_, evidence) = stalled("hang_with_pool");
    if !STACKS {
        return;
    }
    for name in ["pool-0", "pool-1"] {
        let thread = evidence.threads.iter().find(|thread| thread.name == name).unwrap();
        assert!(holds(thread, "idle_in_a_pool"), "{thread:#?}");
    }
    assert_eq!((evidence.threads.len(), evidence.threads_left_out), (3, 0));
    assert_eq!(
        evidence.threads[0].pid, evidence.threads[0].tid,
        "the worker's first thread tells most"
    );
}

#[test]
fn a_worker_that_somebody_else_traces_is_judged_all_the_same() {
    let (attempt, evidence) = stalled("hang_traced");
    if !STACKS {
        return;
    }
    assert!(
        attempt.stderr_tail.contains("tracer: Ok(Ok("),
        "{}",
        attempt.stderr_tail
    );
    let worker = &evidence.threads[0];
    assert_eq!(worker.frames, [], "{worker:#?}");
    assert!(
        worker
            .stack_note
            .as_deref()
            .unwrap()
            .contains("traced by another process"),
        "{worker:?}"
    );
    // Its tracer is of the same group, and nobody traces that.
    let tracer = evidence.threads.iter().find(|thread| thread.pid != worker.pid).unwrap();
    assert!(holds(tracer, "hang_for_ever"), "{tracer:#?}");
}

#[test]
fn a_worker_may_end_while_it_is_looked_at() {
    let (_, evidence) = stalled("exit_when_traced");
    assert!(!evidence.threads.is_empty() || !STACKS, "{evidence:?}");
    for thread in &evidence.threads {
        assert!(!thread.frames.is_empty() || thread.stack_note.is_some(), "{thread:?}");
    }
}

#[test]
fn a_thread_that_cannot_be_interrupted_holds_nobody_up() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vfork_worker.c");
    let compiled = Command::new("cc").arg("-o").arg(&program).arg(source).status();
    assert!(compiled.unwrap().success());
    let limits = Timeouts { load_s: 0.5, ..PLENTY };
    let case = CaseSpec {
        timeout: limits,
        ..case()
    };
    let attempt = attempt_of(&WorkerCommand::new(program, [""; 0]), &case, &mut |_| {});
    assert_eq!(attempt.outcome.kind(), OutcomeKind::Stalled, "{attempt:?}");
    let evidence = attempt.evidence.unwrap();
    let [waiting, borrower] = evidence.threads.as_slice() else {
        panic!("{:#?}", evidence.threads)
    };
    assert_eq!(waiting.state, Some('D'), "{waiting:?}");
    if STACKS {
        assert_eq!(waiting.stack_note.as_deref(), Some("it did not stop within 50 ms"));
        assert!(!borrower.frames.is_empty(), "{borrower:?}");
    }
}

#[test]
fn the_judgement_comes_first_and_its_lateness_is_on_record() {
    let mut judged_while_it_ran = false;
    let mut pid = 0;
    let case = CaseSpec {
        timeout: Timeouts { token_s: 0.5, ..PLENTY },
        ..case()
    };
    let attempt = attempt_of(&command("hang:decode"), &case, &mut |observation| match observation {
        Observation::Spawned { pid: spawned } => pid = spawned,
        Observation::Judged(_) => judged_while_it_ran = runs(pid),
        _ => {}
    });
    assert!(judged_while_it_ran);
    let evidence = attempt.evidence.unwrap();
    assert!(evidence.judged_after_s > 0.0 && evidence.judged_after_s <= evidence.taken_after_s);
    // Far above the 250 ms it is meant to keep: machines that test are busy.
    assert!(evidence.judged_after_s < 30.0, "{evidence:?}");
    let Outcome::Stalled { last, tokens, .. } = &attempt.outcome else {
        panic!("{:?}", attempt.outcome)
    };
    assert_eq!(*tokens, 1);
    assert!(
        last.last_token_before_s
            .is_some_and(|seconds| (0.0..100.0).contains(&seconds)),
        "{last:?}"
    );
}

#[test]
fn who_keeps_its_deadlines_is_not_looked_at() {
    for (mode, kind) in [
        ("ok", OutcomeKind::Completed),
        ("slow", OutcomeKind::Completed),
        ("exit:3", OutcomeKind::Crashed),
    ] {
        let attempt = attempt(mode, PLENTY);
        assert_eq!((attempt.outcome.kind(), attempt.evidence), (kind, None), "{mode}");
        assert_eq!(attempt.recovery.is_some(), kind != OutcomeKind::Completed, "{mode}");
    }
}
