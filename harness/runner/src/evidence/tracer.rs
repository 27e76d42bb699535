//! Stopping the threads of a process for a moment, to see where they are.
//!
//! The supervisor is the parent of its worker, so the kernel lets it look without any privilege, unless the worker forbade
//! it, is being traced by somebody else, or a container rules it out. Whoever calls here must do so in a thread of its
//! own that ends soon: the kernel lets go of everything a thread traces when that thread ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use framehop::UnwindRegsNative;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::unwind::{ProcessMemory, RawStack};

/// How long a thread may take to stop. One that waits in the kernel and cannot be interrupted never does.
const STOP: Duration = Duration::from_millis(50);
/// Pause between two looks at threads that are about to stop.
const PAUSE: Duration = Duration::from_micros(500);

/// The stacks of some threads of a process, or for each why there is none.
pub(super) fn stacks(pid: u32, tids: &[u32], until: Instant) -> BTreeMap<u32, RawStack> {
    let mut stacks = BTreeMap::new();
    let mut stopping: Vec<Pid> = Vec::new();
    for tid in tids {
        let Ok(thread) = i32::try_from(*tid).map(Pid::from_raw) else {
            continue;
        };
        let asked = ptrace::seize(thread, Options::empty()).and_then(|()| ptrace::interrupt(thread));
        match asked {
            Ok(()) => stopping.push(thread),
            Err(error) => {
                stacks.insert(*tid, without(refusal(error)));
            }
        }
    }
    let mut memory = None;
    let give_up = until.min(Instant::now() + STOP);
    while !stopping.is_empty() {
        stopping.retain(|thread| match wait(*thread) {
            Waited::NotYet => true,
            Waited::Gone => {
                stacks.insert(number(*thread), without("it ended while it was looked at".to_owned()));
                false
            }
            Waited::Stopped(signal) => {
                stacks.insert(number(*thread), stack(pid, *thread, &mut memory, until));
                // A signal that was on its way to the thread goes on. Failing means that it has just been killed.
                let _gone: nix::Result<()> = ptrace::detach(*thread, signal);
                false
            }
        });
        if Instant::now() >= give_up {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    for thread in stopping {
        let words = format!("it did not stop within {} ms", STOP.as_millis());
        stacks.insert(number(thread), without(words));
    }
    stacks
}

/// What became of a thread that was asked to stop.
enum Waited {
    NotYet,
    Gone,
    /// With the signal that was being delivered, if one was.
    Stopped(Option<Signal>),
}

/// Takes note of a stop, and of nothing else: that the process has ended is for its supervisor to see.
fn wait(thread: Pid) -> Waited {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    match waitid(Id::Pid(thread), flags) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => Waited::NotYet,
        // An event of 0 is a signal about to be delivered; others are the stop that was asked for.
        Ok(WaitStatus::PtraceEvent(_, signal, 0)) => Waited::Stopped(Some(signal)),
        // A signal without a name here is a stop as well.
        Ok(_) | Err(Errno::EINVAL) => Waited::Stopped(None),
        Err(_) => Waited::Gone,
    }
}

fn stack(pid: u32, thread: Pid, memory: &mut Option<ProcessMemory>, until: Instant) -> RawStack {
    let registers = match ptrace::getregs(thread) {
        Ok(registers) => registers,
        Err(error) => return without(format!("its registers cannot be read: {}", error.desc())),
    };
    if memory.is_none() {
        match ProcessMemory::open(pid) {
            Ok(opened) => *memory = Some(opened),
            Err(error) => return without(format!("its memory cannot be read: {error}")),
        }
    }
    let Some(memory) = memory else {
        return RawStack::default();
    };
    #[cfg(target_arch = "x86_64")]
    let (pc, registers) = (
        registers.rip,
        UnwindRegsNative::new(registers.rip, registers.rsp, registers.rbp),
    );
    #[cfg(target_arch = "aarch64")]
    let (pc, registers) = (
        registers.pc,
        // x29 is the frame pointer, x30 the link register. Linux keeps pointer signatures above 48 bits of address.
        UnwindRegsNative::new_with_ptr_auth_mask(
            framehop::aarch64::PtrAuthMask::from_max_known_address((1 << 48) - 1),
            registers.regs[30],
            registers.sp,
            registers.regs[29],
        ),
    );
    memory.stack(pc, registers, until)
}

fn without(note: String) -> RawStack {
    RawStack {
        frames: Vec::new(),
        note: Some(note),
    }
}

fn refusal(error: Errno) -> String {
    match error {
        Errno::EPERM | Errno::EACCES => "the system does not let it be looked at: it is traced by another process or \
                                         forbids it, or a container or security module does"
            .to_owned(),
        Errno::ESRCH => "it ended while it was looked at".to_owned(),
        other => format!("it cannot be looked at: {}", other.desc()),
    }
}

fn number(thread: Pid) -> u32 {
    thread.as_raw().unsigned_abs()
}
