//! Stacks that a worker writes itself, when it is asked with the signal it has named.

use std::path::Path;

use placebench_core::evidence::Evidence;
use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{Attempt, CaseSpec, Timeouts};
use placebench_runner::supervisor::WorkerCommand;

use crate::fake::{PLENTY, attempt_of, case};

/// Hangs while it loads, and is asked for its stacks where it has said that it can be.
fn stalled(mode: &str) -> (Attempt, Evidence) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stacks_worker.sh");
    let case = CaseSpec {
        timeout: Timeouts { load_s: 1.0, ..PLENTY },
        ..case()
    };
    let command = WorkerCommand::new("sh", [script.to_str().unwrap(), mode]);
    let attempt = attempt_of(&command, &case, &mut |_| {});
    assert_eq!(attempt.outcome.kind(), OutcomeKind::Stalled, "{attempt:?}");
    let evidence = attempt.evidence.clone().unwrap();
    (attempt, evidence)
}

#[test]
fn who_can_be_asked_is_asked() {
    let (attempt, evidence) = stalled("answers");
    let [stacks] = evidence.stacks.as_slice() else {
        panic!("{evidence:?}")
    };
    assert_eq!(
        (stacks.rank, stacks.text.as_str()),
        (None, "File \"a.py\", line 1 in load\n")
    );
    assert_eq!(evidence.notes, [""; 0]);
    assert!(attempt.recovery.unwrap().is_complete());
}

#[test]
fn who_does_not_answer_holds_nobody_up() {
    let (attempt, evidence) = stalled("silent");
    assert_eq!(evidence.stacks, []);
    assert_eq!(evidence.notes, ["the worker did not answer SIGUSR1 within 500 ms"]);
    assert!(attempt.recovery.unwrap().is_complete());
}

#[test]
fn of_who_never_stops_the_beginning_is_kept() {
    let (attempt, evidence) = stalled("endless");
    let text = &evidence.stacks[0].text;
    assert!(text.starts_with("File \"a.py\", line 1 in load\n"), "{}", &text[..100]);
    assert!(
        text.len() < 65 * 1024 && text.ends_with(" bytes left out]\n"),
        "{}",
        text.len()
    );
    assert!(attempt.recovery.unwrap().is_complete());
}

/// The signal would end a shell that has made no arrangements for it, before it is asked to end in order.
#[test]
fn who_has_announced_nothing_is_not_signalled() {
    let (attempt, evidence) = stalled("unannounced");
    assert_eq!((evidence.stacks.len(), evidence.notes.len()), (0, 0), "{evidence:?}");
    assert!(
        !evidence.threads.is_empty() || !cfg!(target_os = "linux"),
        "{evidence:?}"
    );
    assert_eq!(attempt.killed_after_s, None, "it ended on SIGTERM");
}
