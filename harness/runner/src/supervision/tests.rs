//! The loop without a process that would report its end.

use std::process::Command;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::fixture;
use crate::run::request_of;

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
        attempt.stderr_tail.contains("is still there 0 ns after SIGKILL"),
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
    let finished = supervision.run(&page, &Cancel::new(), None, None, &mut |_| {}).unwrap();
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
