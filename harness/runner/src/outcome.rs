//! What the end of a process means.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, LastSeen, Outcome, Phase, WorkerFailure};

use crate::breach::Breach;
use crate::sys::{Ended, SIGKILL};
use crate::transcript::Transcript;

/// The counter of processes the kernel killed for want of memory, before and after, where it can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OomKills {
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
}

impl OomKills {
    /// Nobody has looked.
    pub(crate) const UNKNOWN: Self = Self {
        before: None,
        after: None,
    };

    fn rose(self) -> bool {
        matches!((self.before, self.after), (Some(before), Some(after)) if after > before)
    }

    /// True where the kernel says that it has killed nobody.
    fn stood(self) -> bool {
        matches!((self.before, self.after), (Some(before), Some(after)) if after == before)
    }
}

/// The outcome of a worker that ended although the supervisor did not make it.
pub(crate) fn of_end(transcript: &Transcript, ended: Ended, last: LastSeen, kills: OomKills) -> Outcome {
    if let Some(failure) = transcript.error() {
        return of_failure(failure.clone());
    }
    let phase = last.phase.unwrap_or_else(|| transcript.phase());
    match (ended.signal, ended.code) {
        (None, Some(0)) => match transcript.breach_at_end() {
            Some(breach) => of_breach(&breach, phase),
            None => Outcome::Completed,
        },
        (Some(SIGKILL), _) if kills.rose() => Outcome::OutOfMemory {
            failure: WorkerFailure {
                device: Some(DeviceId::cpu()),
                place: last.place.clone(),
                ..failure(
                    FailureClass::OutOfMemory,
                    format!(
                        "the kernel killed the worker in {phase}: the memory of the host or of its control group ran out"
                    ),
                    phase,
                )
            },
        },
        (signal, exit_code) => Outcome::Crashed {
            phase,
            signal,
            exit_code,
            last,
            message: crash_message(ended, kills, transcript.is_done()),
        },
    }
}

/// A failure the worker named.
fn of_failure(failure: WorkerFailure) -> Outcome {
    if failure.class == FailureClass::OutOfMemory {
        Outcome::OutOfMemory { failure }
    } else {
        Outcome::Failed { failure }
    }
}

/// The outcome of a worker that broke the protocol.
pub(crate) fn of_breach(breach: &Breach, phase: Phase) -> Outcome {
    Outcome::Failed {
        failure: failure(
            FailureClass::Protocol,
            format!("the worker broke the protocol: {breach}"),
            phase,
        ),
    }
}

/// The outcome of a program that could not be started.
pub(crate) fn of_failed_start(program: &std::path::Path, error: &std::io::Error) -> Outcome {
    let class = match error.kind() {
        // Something a person has to install or to mend.
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => FailureClass::Unsupported,
        _ => FailureClass::Internal,
    };
    let message = format!("the engine's program {} cannot be started: {error}", program.display());
    Outcome::Failed {
        failure: failure(class, message, Phase::Spawn),
    }
}

fn failure(class: FailureClass, message: String, phase: Phase) -> WorkerFailure {
    WorkerFailure {
        class,
        message,
        phase,
        device: None,
        needed_bytes: None,
        allowed_bytes: None,
        place: None,
        rank: None,
    }
}

pub(crate) fn crash_message(ended: Ended, kills: OomKills, done: bool) -> String {
    let what = match (ended.signal, ended.code) {
        (Some(SIGKILL), _) if kills.stood() => {
            "the worker was killed from outside (SIGKILL): placebench did not send it, and the kernel has killed nobody for \
             want of memory"
                .to_owned()
        }
        (Some(SIGKILL), _) => {
            "the worker was killed from outside (SIGKILL): placebench did not send it; most likely the host ran out of \
             memory, but it does not say"
                .to_owned()
        }
        (Some(signal), _) => format!("the worker died of signal {signal}{}", signal_words(signal)),
        (None, Some(code)) => format!("the worker ended with exit code {code} and gave no reason"),
        (None, None) => "the worker is gone, and nothing is known about its end".to_owned(),
    };
    if done {
        format!("{what}, after it had reported everything")
    } else {
        what
    }
}

/// ` (SIGSEGV, …)` for the signals that mean something to a person.
fn signal_words(signal: i32) -> &'static str {
    use rustix::process::Signal;
    const NAMES: [(Signal, &str); 11] = [
        (Signal::ILL, " (SIGILL, an instruction this processor does not have)"),
        (Signal::ABORT, " (SIGABRT, it gave up)"),
        (
            Signal::BUS,
            " (SIGBUS, a mapped file got shorter, or shared memory ran out)",
        ),
        (Signal::FPE, " (SIGFPE)"),
        (Signal::SEGV, " (SIGSEGV, a bad memory access)"),
        (Signal::PIPE, " (SIGPIPE)"),
        (Signal::TERM, " (SIGTERM, somebody asked it to end)"),
        (Signal::INT, " (SIGINT)"),
        (Signal::HUP, " (SIGHUP)"),
        (Signal::XFSZ, " (SIGXFSZ, a file grew beyond `ulimit -f`)"),
        (
            Signal::XCPU,
            " (SIGXCPU, it used more processor time than `ulimit -t` allows)",
        ),
    ];
    NAMES
        .iter()
        .find(|(named, _)| named.as_raw() == signal)
        .map_or("", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn end(signal: Option<i32>, code: Option<i32>, kills: OomKills) -> Outcome {
        let transcript = Transcript::new(&crate::run::request_of(&fixture::case(), 1));
        of_end(&transcript, Ended { signal, code }, LastSeen::default(), kills)
    }

    #[test]
    fn a_kill_from_outside_is_put_down_to_memory_unless_the_kernel_denies_it() {
        let killed = |kills| {
            let Outcome::Crashed { signal, message, .. } = end(Some(SIGKILL), None, kills) else {
                panic!("not a crash")
            };
            assert_eq!(signal, Some(9));
            assert!(message.contains("placebench did not send it"), "{message}");
            message
        };
        assert!(killed(OomKills::UNKNOWN).contains("most likely the host ran out of memory"));
        let stood = OomKills {
            before: Some(3),
            after: Some(3),
        };
        assert!(killed(stood).contains("the kernel has killed nobody"));
    }

    #[test]
    fn a_risen_counter_proves_it_and_one_that_stands_does_not() {
        let kills = |before, after| OomKills {
            before: Some(before),
            after: Some(after),
        };
        let Outcome::OutOfMemory { failure } = end(Some(SIGKILL), None, kills(2, 3)) else {
            panic!("not out of memory")
        };
        assert_eq!(failure.device, Some(DeviceId::cpu()));
        assert!(matches!(end(Some(SIGKILL), None, kills(3, 3)), Outcome::Crashed { .. }));
        assert!(matches!(end(Some(11), None, kills(2, 3)), Outcome::Crashed { .. }));
    }

    #[test]
    fn signals_and_codes_are_told_apart() {
        let message = |signal, code| end(signal, code, OomKills::UNKNOWN).sentence();
        assert!(message(Some(11), None).contains("SIGSEGV"));
        assert!(message(Some(64), None).contains("signal 64;"));
        assert!(message(None, Some(3)).contains("exit code 3"));
        assert!(message(None, Some(0)).contains("without `done`"));
    }

    #[test]
    fn a_missing_program_is_for_a_person_to_mend() {
        let error = |kind: std::io::ErrorKind| {
            let outcome = of_failed_start(std::path::Path::new("nowhere"), &kind.into());
            let Outcome::Failed { failure } = outcome else {
                panic!("{outcome:?}")
            };
            failure.class
        };
        assert!(error(std::io::ErrorKind::NotFound).is_setup());
        assert!(!error(std::io::ErrorKind::OutOfMemory).is_setup());
    }
}
