//! Which processes on a GPU are not ours.
//!
//! The driver lists process ids as its kernel module knows them: those of the host. In the host's own namespace each of them
//! can be looked up, and our workers are told by their descent. In a container they mean nothing (some drivers translate them,
//! which shows where one of our own is among them). There only time tells: what was there before the attempt began, or is still
//! there after its process has ended, is not ours.

use std::collections::BTreeMap;
use std::fs;

use placebench_core::protocol::SUPERVISOR_PID_ENV;
use placebench_core::record::GpuProcess;
use placebench_core::units::Bytes;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The inode of the first namespace of process ids: `PROC_PID_INIT_INO` of the kernel's `include/linux/proc_ns.h`.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Characters of a name that are kept; the kernel's own limit is lower.
const NAME_CHARS: usize = 64;

/// Most generations of processes between a worker's and ours: what is further away, or goes in circles, is not ours.
const MOST_ANCESTORS: usize = 64;

/// The server of NVIDIA's multi-process service. It computes for its clients, which are listed themselves.
const MPS_SERVER: &str = "nvidia-cuda-mps-server";

/// A process with a compute context on a GPU, as the driver lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    pub(crate) memory: Option<Bytes>,
    /// The part of the card (MIG) it runs on.
    pub(crate) instance: Option<u32>,
}

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This program's, or one it has started.
    Own,
    /// Somebody else's; the name where it is told.
    Other(Option<String>),
    /// It has ended meanwhile.
    Gone,
}

/// What the system says about processes.
pub(crate) trait ProcessTable {
    /// Whether the driver's process ids are those of this table.
    fn is_the_hosts(&self) -> bool;
    /// Whose a process is.
    fn owner(&self, pid: u32) -> Owner;
}

/// The processes seen on one GPU in the course of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Census {
    seen: BTreeMap<u32, Seen>,
    /// Parts of the card our own processes were on.
    own_instances: Vec<u32>,
    /// One of our own was listed under the id we know it by.
    has_own: bool,
    counts: u32,
}

#[derive(Debug)]
struct Seen {
    memory: Option<Bytes>,
    instance: Option<u32>,
    /// Absent where it was never known to be somebody else's.
    stranger: Option<Option<String>>,
    first_count: u32,
    last_count: u32,
}

impl Census {
    /// Takes what the driver lists now. The first count is made before the worker starts, the last after its end.
    pub(crate) fn count(&mut self, listed: &[Listed], table: &dyn ProcessTable) {
        for process in listed {
            let owner = table.owner(process.pid);
            if owner == Owner::Own {
                self.has_own = true;
                self.own_instances.extend(process.instance);
                continue;
            }
            let now = self.counts;
            let seen = self.seen.entry(process.pid).or_insert(Seen {
                memory: None,
                instance: process.instance,
                stranger: None,
                first_count: now,
                last_count: now,
            });
            seen.memory = seen.memory.max(process.memory);
            seen.last_count = now;
            if let Owner::Other(name) = owner {
                let known = seen.stranger.get_or_insert_with(|| name.clone());
                if known.is_none() {
                    *known = name;
                }
            }
        }
        self.counts += 1;
    }

    /// The processes that are not ours. Of cards in parts, those on other parts are left out where it is known which part is
    /// ours.
    pub(crate) fn foreign(&self, gpu: u32, table: &dyn ProcessTable) -> Vec<GpuProcess> {
        let ids_mean_something = self.has_own || table.is_the_hosts();
        let last = self.counts.saturating_sub(1);
        let is_elsewhere = |seen: &Seen| {
            let instance = seen.instance.as_ref();
            instance.is_some_and(|instance| !self.own_instances.is_empty() && !self.own_instances.contains(instance))
        };
        let of = |(&pid, seen): (&u32, &Seen)| -> Option<GpuProcess> {
            let was_there_before = seen.first_count == 0;
            let name = if ids_mean_something {
                seen.stranger.clone()?
            } else if was_there_before || (seen.last_count == last && last > 0) {
                None
            } else {
                return None;
            };
            let is_ours_to_bear = name.as_deref() == Some(MPS_SERVER) || is_elsewhere(seen);
            (!is_ours_to_bear).then_some(GpuProcess {
                gpu,
                pid,
                name,
                memory_bytes: seen.memory,
                was_there_before,
            })
        };
        self.seen.iter().filter_map(of).collect()
    }
}

/// `/proc`.
pub(crate) struct Procfs;

impl ProcessTable for Procfs {
    fn is_the_hosts(&self) -> bool {
        fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == FIRST_PID_NAMESPACE)
    }

    fn owner(&self, pid: u32) -> Owner {
        if descends_from(pid, std::process::id()) || is_marked_as_ours(pid) {
            return Owner::Own;
        }
        let is_gone = || {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
        };
        match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => Owner::Other(Some(name.trim_end_matches('\n').chars().take(NAME_CHARS).collect())),
            Err(_) if is_gone() => Owner::Gone,
            // Some systems hide the processes of other users.
            Err(_) => Owner::Other(None),
        }
    }
}

fn descends_from(mut pid: u32, ancestor: u32) -> bool {
    for _ in 0..MOST_ANCESTORS {
        if pid == ancestor {
            return true;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        match stat.as_deref().and_then(parent_of) {
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// The parent in `/proc/PID/stat`: the second word after the name, which is in brackets and may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A process that lost its parent still has the environment its worker was given.
fn is_marked_as_ours(pid: u32) -> bool {
    let mark = format!("{SUPERVISOR_PID_ENV}={}", std::process::id());
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in which process 7 is ours, 13 has gone, 50 is hidden, and the others have names.
    struct Fake {
        is_the_hosts: bool,
    }

    impl ProcessTable for Fake {
        fn is_the_hosts(&self) -> bool {
            self.is_the_hosts
        }

        fn owner(&self, pid: u32) -> Owner {
            match pid {
                7 => Owner::Own,
                13 => Owner::Gone,
                50 => Owner::Other(None),
                66 => Owner::Other(Some(MPS_SERVER.to_owned())),
                _ => Owner::Other(Some(format!("p{pid}"))),
            }
        }
    }

    fn listed(pid: u32, instance: Option<u32>) -> Listed {
        Listed {
            pid,
            memory: Some(Bytes(u64::from(pid))),
            instance,
        }
    }

    /// Each count as the ids listed in it; what is foreign then, as id, name, and whether it was there before.
    fn foreign(counts: &[&[u32]], is_the_hosts: bool) -> Vec<(u32, Option<String>, bool)> {
        let table = Fake { is_the_hosts };
        let mut census = Census::default();
        for count in counts {
            let listed: Vec<Listed> = count.iter().map(|&pid| listed(pid, None)).collect();
            census.count(&listed, &table);
        }
        let found = census.foreign(0, &table).into_iter();
        found
            .map(|process| (process.pid, process.name, process.was_there_before))
            .collect()
    }

    #[test]
    fn on_the_host_descent_tells_who_is_ours() {
        assert_eq!(foreign(&[&[], &[7], &[]], true), []);
        assert_eq!(
            foreign(&[&[42], &[42, 7, 50], &[42]], true),
            [(42, Some("p42".into()), true), (50, None, false)]
        );
        assert_eq!(foreign(&[&[13], &[7, 13], &[]], true), [], "gone before anybody looked");
        assert_eq!(
            foreign(&[&[66], &[66, 7], &[66]], true),
            [],
            "the server of our own computing"
        );
    }

    #[test]
    fn in_a_container_time_tells_and_names_mean_nothing() {
        assert_eq!(
            foreign(&[&[], &[4242], &[]], false),
            [],
            "our worker under its other id"
        );
        assert_eq!(foreign(&[&[900], &[900, 4242], &[900]], false), [(900, None, true)]);
        assert_eq!(foreign(&[&[], &[4242, 901], &[901]], false), [(901, None, false)]);
        assert_eq!(foreign(&[&[900]], false), [(900, None, true)], "one count only");
    }

    #[test]
    fn a_driver_that_translates_ids_is_believed() {
        let seen = foreign(&[&[], &[7, 42], &[]], false);
        assert_eq!(seen, [(42, Some("p42".into()), false)]);
    }

    #[test]
    fn other_parts_of_a_card_are_no_neighbours() {
        let table = Fake { is_the_hosts: true };
        let mut census = Census::default();
        census.count(&[listed(42, Some(1)), listed(43, Some(2)), listed(44, None)], &table);
        assert_eq!(census.foreign(0, &table).len(), 3, "as long as ours is not known");
        census.count(&[listed(7, Some(2)), listed(42, Some(1)), listed(43, Some(2))], &table);
        let pids: Vec<u32> = census.foreign(0, &table).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [43, 44]);
    }

    #[test]
    fn the_most_a_process_held_is_kept() {
        let table = Fake { is_the_hosts: true };
        let mut census = Census::default();
        for memory in [Some(Bytes(5)), Some(Bytes(9)), None] {
            census.count(
                &[Listed {
                    pid: 42,
                    memory,
                    instance: None,
                }],
                &table,
            );
        }
        assert_eq!(census.foreign(3, &table)[0].memory_bytes, Some(Bytes(9)));
        assert_eq!(census.foreign(3, &table)[0].gpu, 3);
    }

    #[test]
    fn the_system_knows_its_processes() {
        use std::process::Command;
        assert_eq!(parent_of("12 (a) b) (c) S 34 12 12 0"), Some(34));
        assert_eq!(parent_of("nonsense"), None);
        if !cfg!(target_os = "linux") {
            return;
        }
        assert_eq!(Procfs.owner(std::process::id()), Owner::Own);
        let mut child = Command::new("sleep").arg("100000").spawn().unwrap();
        let mine = Procfs.owner(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mine, Owner::Own);
        assert_eq!(Procfs.owner(child.id()), Owner::Gone);
        // The first process is nobody's child.
        assert!(matches!(Procfs.owner(1), Owner::Other(_)));
    }
}
