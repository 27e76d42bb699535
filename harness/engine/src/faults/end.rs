//! Faults that end a process, or keep it from ending.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use placebench_core::fault::CrashSignal;
use rustix::process::{Signal, getpid, kill_process};

/// Never returns, and costs nothing meanwhile.
pub(super) fn stall() -> ! {
    loop {
        std::thread::park();
    }
}

/// Dies of a signal.
pub(super) fn crash(signal: CrashSignal) -> ! {
    let signal = match signal {
        CrashSignal::Abort => std::process::abort(),
        CrashSignal::Segv => Signal::SEGV,
        CrashSignal::Bus => Signal::BUS,
        CrashSignal::Ill => Signal::ILL,
        CrashSignal::Fpe => Signal::FPE,
        CrashSignal::Kill => Signal::KILL,
    };
    // Rust's own handler of SIGSEGV and SIGBUS looks for an overflown stack; where there is none it gives the signal its
    // deadly meaning back and returns, so that the next one kills.
    for _ in 0..2 {
        if kill_process(getpid(), signal).is_err() {
            break;
        }
    }
    std::process::abort()
}

/// SIGTERM then sets a flag nobody reads. False where the system refuses: SIGTERM stays deadly, and the fault has not
/// struck.
pub(super) fn ignore_sigterm() -> bool {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, flag).is_ok()
}
