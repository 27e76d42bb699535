//! What `/proc` tells an unprivileged parent about the processes of a group.
//!
//! Any of it may be missing: a process ends while it is looked at, a container hides some files, and another system has
//! no `/proc`. What is missing is absent, never an error.

use std::fs;
use std::path::Path;

use placebench_core::evidence::ThreadEvidence;
use placebench_core::units::Bytes;

use super::syscalls;

/// Characters of a thread's or function's name that are kept; the kernel's own limit is lower.
const NAME_CHARS: usize = 64;

/// Processes of a group that run or wait: the leader first, then by age of their ids. The dead do not count.
pub(crate) fn processes_of_group(group: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.ok()
                .and_then(|stat| parse_stat(&stat))
                .is_some_and(|stat| stat.group == group && !stat.is_dead())
        })
        .collect();
    found.sort_unstable_by_key(|pid| (*pid != group, *pid));
    found
}

/// Resident memory of some processes; `None` where none of them tells.
pub(crate) fn resident(processes: &[u32]) -> Option<Bytes> {
    let of = |pid: &u32| parse_resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?);
    let told: Vec<u64> = processes.iter().filter_map(of).collect();
    (!told.is_empty()).then(|| Bytes(told.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))))
}

/// The threads of a process, its first one first.
pub(super) fn threads(pid: u32) -> Vec<ThreadEvidence> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut tids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable_by_key(|tid| (*tid != pid, *tid));
    tids.iter().map(|tid| thread(pid, *tid)).collect()
}

fn thread(pid: u32, tid: u32) -> ThreadEvidence {
    let folder = format!("/proc/{pid}/task/{tid}");
    let file = |name: &str| fs::read_to_string(Path::new(&folder).join(name)).ok();
    ThreadEvidence {
        pid,
        tid,
        name: file("comm")
            .map(|name| kept(name.trim_end_matches('\n')))
            .unwrap_or_default(),
        state: file("stat").and_then(|stat| parse_stat(&stat)).map(|stat| stat.state),
        wchan: file("wchan")
            .filter(|name| !name.is_empty() && name != "0")
            .map(|name| kept(&name)),
        syscall: file("syscall").and_then(|line| parse_syscall(&line)),
        ..ThreadEvidence::default()
    }
}

fn kept(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    group: u32,
}

impl Stat {
    fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// `pid (name) state parent group …`; the name may hold anything, brackets too.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, group })
}

/// `VmRSS:     1234 kB`, where kB means KiB.
fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// `202 0x7f… …` in a call, `-1 …` blocked outside of one, `running` otherwise.
fn parse_syscall(line: &str) -> Option<String> {
    let number: u32 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(syscalls::name(number).map_or_else(|| format!("system call {number}"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_with_brackets_do_not_confuse() {
        let stat = parse_stat("17 (a) R (b) S 4 1234 1234 0 -1").unwrap();
        assert_eq!(
            stat,
            Stat {
                state: 'S',
                group: 1234
            }
        );
        assert!(parse_stat("17 (x) Z 4 1234").unwrap().is_dead());
        for broken in ["", "17", "17 (x)", "17 (x) S", "17 (x) S 4 y"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn calls_have_names() {
        let futex = if cfg!(target_arch = "x86_64") {
            "202 0x1 0x0"
        } else {
            "98 0x1 0x0"
        };
        assert_eq!(parse_syscall(futex).as_deref(), Some("futex"));
        assert_eq!(parse_syscall("9999 0x1").as_deref(), Some("system call 9999"));
        assert_eq!(parse_syscall("running"), None);
        assert_eq!(parse_syscall("-1 0x7ffd 0x7f"), None);
    }

    #[test]
    fn resident_memory_is_in_kibibytes() {
        assert_eq!(parse_resident("VmHWM:\t 9 kB\nVmRSS:\t    8 kB\n"), Some(8192));
        assert_eq!(parse_resident("State:\tZ\n"), None);
    }

    #[test]
    fn the_own_threads_are_found() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let own = std::process::id();
        let threads = threads(own);
        assert_eq!(threads[0].tid, own);
        let me = std::thread::current()
            .name()
            .unwrap()
            .chars()
            .take(15)
            .collect::<String>();
        assert!(
            threads
                .iter()
                .any(|thread| thread.name == me && thread.state == Some('R')),
            "{threads:?}"
        );
        assert!(resident(&[own]).unwrap() > Bytes(1 << 16));
        assert_eq!(super::threads(u32::MAX), []);
        assert_eq!(resident(&[u32::MAX]), None);
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_parsers(line in "\\PC{0,80}") {
            parse_stat(&line);
            parse_syscall(&line);
            parse_resident(&line);
        }
    }
}
