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
