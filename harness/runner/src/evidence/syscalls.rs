//! Names of the system calls a worker is found waiting in.

/// Numbers on x86-64 and in the table that newer architectures share (without `poll`, `epoll_wait` and `select`), and the
/// name.
const CALLS: [(Option<u32>, Option<u32>, &str); 34] = [
    (Some(0), Some(63), "read"),
    (Some(1), Some(64), "write"),
    (Some(7), None, "poll"),
    (Some(9), Some(222), "mmap"),
    (Some(10), Some(226), "mprotect"),
    (Some(11), Some(215), "munmap"),
    (Some(12), Some(214), "brk"),
    (Some(16), Some(29), "ioctl"),
    (Some(17), Some(67), "pread64"),
    (Some(19), Some(65), "readv"),
    (Some(20), Some(66), "writev"),
    (Some(23), None, "select"),
    (Some(24), Some(124), "sched_yield"),
    (Some(28), Some(233), "madvise"),
    (Some(34), None, "pause"),
    (Some(35), Some(101), "nanosleep"),
    (Some(43), Some(202), "accept"),
    (Some(45), Some(207), "recvfrom"),
    (Some(47), Some(212), "recvmsg"),
    (Some(61), Some(260), "wait4"),
    (Some(73), Some(32), "flock"),
    (Some(74), Some(82), "fsync"),
    (Some(128), Some(137), "rt_sigtimedwait"),
    (Some(130), Some(133), "rt_sigsuspend"),
    (Some(202), Some(98), "futex"),
    (Some(219), Some(128), "restart_syscall"),
    (Some(230), Some(115), "clock_nanosleep"),
    (Some(232), None, "epoll_wait"),
    (Some(247), Some(95), "waitid"),
    (Some(257), Some(56), "openat"),
    (Some(270), Some(72), "pselect6"),
    (Some(271), Some(73), "ppoll"),
    (Some(281), Some(22), "epoll_pwait"),
    (Some(426), Some(426), "io_uring_enter"),
];

/// The name of a number on this machine, where it has one here.
pub(super) fn name(number: u32) -> Option<&'static str> {
    let here = |(x86_64, shared, _): &&(Option<u32>, Option<u32>, &str)| {
        let own = if cfg!(target_arch = "x86_64") {
            *x86_64
        } else if cfg!(any(
            target_arch = "aarch64",
            target_arch = "riscv64",
            target_arch = "loongarch64"
        )) {
            *shared
        } else {
            None
        };
        own == Some(number)
    };
    CALLS.iter().find(here).map(|(_, _, name)| *name)
}
