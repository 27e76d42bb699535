//! The loop without a process that would report its end.

use std::process::Command;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::fixture;
use crate::run::request_of;
use crate::sys;

/// A process the kernel does not let go of cannot be made on demand; one of whose end nobody hears is the same to
/// the loop.
#[test]
fn a_process_that_survives_sigkill_is_given_up() {
    let (mut child, group) = sys::spawn_in_group(Command::new("sleep").arg("100000")).unwrap();
    let (sender, signals) = sync_channel(QUEUE);
    let case = fixture::case();
    let at_once = StopLimits {
        grace: Duration::ZERO,
        after_kill: Duration::ZERO,
        recovery: Duration::ZERO,
    };
    let supervision = Supervision::new(
        at_once,
        Timeouts {
            load_s: 0.0,
            ..case.timeout
        },
        &request_of(&case, 1),
        group,
        Instant::now(),
        Listeners::hearing(signals),
    );
    let mut steps = Vec::new();
    let mut sender = Some(sender);
    let page = BreadcrumbPage::create().unwrap();
    let finished = supervision
        .run(&page, &Cancel::new(), None, None, &mut |observation| {
            if let Observation::Stopping(step) = observation {
                steps.push(step);
                if step == StopStep::GiveUp {
                    drop(sender.take());
                }
            }
        })
        .unwrap();
    assert_eq!(steps, [StopStep::Terminate, StopStep::Kill, StopStep::GiveUp]);
    let attempt = finished.into_record(&case, 0, String::new());
    assert!(matches!(
        attempt.outcome,
        Outcome::Stalled {
            phase: placebench_core::outcome::Phase::Spawn,
            ..
        }
    ));
    assert!(
        attempt.stderr_tail.contains("is still there 0 s after SIGKILL"),
        "{}",
        attempt.stderr_tail
    );
    assert!(
        !attempt.leaked_pipes,
        "nothing is said about the pipes of a process that is still there"
    );
    child.wait().unwrap();
}

/// A worker that dies of SIGKILL while the kernel's count stands, or rises by one.
fn killed(limits: Timeouts, by: impl FnOnce(Group), rises: bool) -> Outcome {
    ended(limits, by, rises, &Cancel::new())
}

/// The same of whatever ends it.
fn ended(limits: Timeouts, by: impl FnOnce(Group), rises: bool, cancel: &Cancel) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let counter = folder.path().join("memory.events");
    std::fs::write(&counter, "oom_kill 4\n").unwrap();
    let (mut child, group) = sys::spawn_in_group(Command::new("sleep").arg("100000")).unwrap();
    let (sender, signals) = sync_channel(QUEUE);
    let at_once = StopLimits {
        grace: Duration::ZERO,
        ..StopLimits::default()
    };
    let request = request_of(&fixture::case(), 1);
    let mut supervision = Supervision::new(
        at_once,
        limits,
        &request,
        group,
        Instant::now(),
        Listeners::hearing(signals),
    );
    supervision.oom_counter = OomCounter::in_file(counter.clone());
    supervision.oom_kills_before = supervision.oom_counter.read();
    by(group);
    std::thread::spawn(move || {
        let ended = group.wait_without_reaping();
        if rises {
            std::fs::write(&counter, "oom_kill 5\n").unwrap();
        }
        sender.send(Signal::Exited(ended, Instant::now())).unwrap();
        for end in [
            Signal::EventsEnded(PipeEnd::Closed),
            Signal::StderrEnded(PipeEnd::Closed, StderrCapture::default()),
        ] {
            sender.send(end).unwrap();
        }
    });
    let page = BreadcrumbPage::create().unwrap();
    let finished = supervision.run(&page, cancel, None, None, &mut |_| {}).unwrap();
    child.wait().unwrap();
    finished.into_record(&fixture::case(), 0, String::new()).outcome
}

#[test]
fn a_kill_by_the_kernel_by_somebody_and_by_ourselves_are_told_apart() {
    let patient = fixture::case().timeout;
    let kill = |group: Group| group.signal(GroupSignal::Kill);
    let by_the_kernel = killed(patient, kill, true);
    let Outcome::OutOfMemory { failure } = &by_the_kernel else {
        panic!("{by_the_kernel:?}")
    };
    assert!(failure.message.contains("the memory of the host"), "{failure:?}");
    let by_somebody = killed(patient, kill, false);
    let Outcome::Crashed {
        signal: Some(9),
        message,
        ..
    } = &by_somebody
    else {
        panic!("{by_somebody:?}")
    };
    assert!(message.contains("placebench did not send it"), "{message}");
    // Somebody else in the group ran out of memory at the same time: the deadline was missed all the same.
    let hasty = Timeouts { load_s: 0.0, ..patient };
    let by_ourselves = killed(hasty, |_| {}, true);
    assert!(matches!(by_ourselves, Outcome::Stalled { .. }), "{by_ourselves:?}");
}

/// A scheduler tells all processes of a job to end, in any order.
#[test]
fn a_worker_that_follows_a_wish_for_the_whole_run_has_not_failed() {
    let patient = fixture::case().timeout;
    let terminate = |group: Group| group.signal(GroupSignal::Terminate);
    let is_interrupted =
        |outcome: &Outcome| matches!(outcome, Outcome::Skipped { reason, .. } if reason == INTERRUPTED);
    let cancel = Cancel::new();
    let late = cancel.clone();
    // The loop hears of the worker's end before the wish is there.
    let by_both = ended(
        patient,
        |group| {
            terminate(group);
            std::thread::spawn(move || {
                group.wait_without_reaping().unwrap();
                late.cancel();
            });
        },
        false,
        &cancel,
    );
    assert!(is_interrupted(&by_both), "{by_both:?}");
    let by_somebody = killed(patient, terminate, false);
    assert!(
        matches!(by_somebody, Outcome::Crashed { signal: Some(15), .. }),
        "{by_somebody:?}"
    );
}

#[test]
fn ends_that_were_asked_for_are_told_from_others() {
    let by = |signal, code| Ended { signal, code }.was_asked_to();
    assert!(by(Some(15), None) && by(Some(2), None) && by(None, Some(143)) && by(None, Some(130)));
    assert!(!by(Some(9), None) && !by(Some(11), None) && !by(None, Some(1)) && !by(None, None));
}
