//! What the integration tests share: the fake worker, and a case that has all the time it needs.

#[path = "../../src/fixture.rs"]
mod fixture;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use placebench_core::record::{Attempt, CaseSpec, Timeouts};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::request_of;
use placebench_runner::supervisor::{Observation, StopLimits, WorkerCommand, run_attempt};

pub(crate) use fixture::case;

/// Limits no test waits for.
pub(crate) const PLENTY: Timeouts = Timeouts {
    load_s: 120.0,
    first_token_s: 120.0,
    token_s: 120.0,
    total_s: 300.0,
};

/// The program of `examples/fake_worker.rs`, which cargo builds with the tests.
pub(crate) fn fake_worker() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/fake_worker");
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build -p placebench-runner --examples` first",
        path.display()
    );
    path
}

pub(crate) fn command(mode: &str) -> WorkerCommand {
    WorkerCommand {
        stop: StopLimits {
            grace: Duration::from_secs(5),
            ..StopLimits::default()
        },
        ..WorkerCommand::new(fake_worker(), [mode])
    }
}

pub(crate) fn attempt(mode: &str, limits: Timeouts) -> Attempt {
    attempt_of(
        &command(mode),
        &CaseSpec {
            timeout: limits,
            ..case()
        },
        &mut |_| {},
    )
}

pub(crate) fn attempt_of(
    command: &WorkerCommand,
    case: &CaseSpec,
    observer: &mut dyn FnMut(Observation<'_>),
) -> Attempt {
    let request = request_of(case, case.measure.repetitions);
    run_attempt(command, case, &request, 0, None, &Cancel::new(), observer).unwrap()
}

/// Whether a process runs; one that is dead and not reaped does not.
pub(crate) fn runs(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the name, which is in brackets and may hold anything.
        Ok(stat) => !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X']),
        Err(_) => false,
    }
}

/// Waits until a process is gone. A minute is for ever here: what has been killed goes at once.
pub(crate) fn wait_until_gone(pid: u32) {
    let start = Instant::now();
    while runs(pid) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "process {pid} was left behind"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
