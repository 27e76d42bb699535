//! Stacks that a worker writes itself, when it is asked with the signal it has named; and which of its ranks holds it up.

use std::path::Path;

use placebench_core::evidence::Evidence;
use placebench_core::outcome::{Outcome, OutcomeKind, Phase};
use placebench_core::placement::{DeviceMapRequest, Launcher, Parallelism, RanksSpec};
use placebench_core::record::{Attempt, CaseSpec, Timeouts};
use placebench_runner::supervisor::WorkerCommand;

use crate::fake::{PLENTY, attempt_of, case, command};

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

/// SIGUSR1 would end a process that has made no arrangements for it.
#[test]
fn who_has_announced_nothing_is_not_signalled() {
    let (attempt, evidence) = stalled("unannounced");
    assert_eq!((evidence.stacks.len(), evidence.notes.len()), (0, 0), "{evidence:?}");
    assert!(
        !evidence.threads.is_empty() || !cfg!(target_os = "linux"),
        "{evidence:?}"
    );
    assert_eq!(attempt.stderr_tail, "", "the script says so when it gets the signal");
}

fn ranks(processes: u32) -> Attempt {
    let mut case = CaseSpec {
        timeout: Timeouts { token_s: 1.0, ..PLENTY },
        ..case()
    };
    case.request.device_map = DeviceMapRequest::Ranks(RanksSpec {
        launcher: Launcher::Torchrun,
        processes,
        backend: None,
        parallel: Parallelism::Data,
    });
    attempt_of(&command("hang_ranks:decode"), &case, &mut |_| {})
}

#[test]
fn a_stall_is_put_down_to_the_rank_that_is_behind() {
    let attempt = ranks(2);
    let Outcome::Stalled { phase, last, .. } = &attempt.outcome else {
        panic!("{:?}", attempt.outcome)
    };
    assert_eq!((*phase, last.token, last.ranks.len()), (Phase::Decode, Some(1), 2));
    let words = attempt.outcome.sentence();
    assert!(
        words.starts_with("stalled: rank 1 of 2 in decode, token 1, module "),
        "{words}"
    );
    // A rank that was never heard of is behind those that were.
    let words = ranks(3).outcome.sentence();
    assert!(words.starts_with("stalled: rank 2 of 3 in spawn ("), "{words}");
}
