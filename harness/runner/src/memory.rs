//! What the kernel says about memory: the peak of a process, and whether somebody was killed for want of it.

use std::fs;
use std::path::PathBuf;

use placebench_core::units::Bytes;

/// Largest resident set a running process has had. `None` where the system does not say or the process is gone.
pub(crate) fn peak_rss(pid: u32) -> Option<Bytes> {
    parse_peak_rss(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// `VmHWM:     1234 kB`, where kB means KiB.
fn parse_peak_rss(status: &str) -> Option<Bytes> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kibibytes.checked_mul(1024)?))
}

/// The kernel's count of processes it has killed for want of memory.
#[derive(Debug, Clone)]
pub(crate) struct OomCounter {
    /// Files that may hold the counter, the most telling first.
    files: Vec<PathBuf>,
}

impl OomCounter {
    /// That of this process's control group, in which its children are too, whoever's memory ran out: the group's, that of a
    /// group above it, or the host's. Without one, that of the whole host.
    pub(crate) fn of_this_process() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let files = counter_files(&groups).into_iter().map(PathBuf::from);
        Self {
            files: files.chain([PathBuf::from("/proc/vmstat")]).collect(),
        }
    }

    /// A counter in a file of its own.
    #[cfg(test)]
    pub(crate) fn in_file(file: PathBuf) -> Self {
        Self { files: vec![file] }
    }

    /// The count now. `None` where the system does not say.
    pub(crate) fn read(&self) -> Option<u64> {
        let counts = self
            .files
            .iter()
            .filter_map(|file| parse_oom_kills(&fs::read_to_string(file).ok()?));
        counts.into_iter().next()
    }
}

/// Files with the counter, the group's own first. Inside a container the path may be one of the host, with the group
/// mounted at the root.
fn counter_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let path = path.trim_end_matches('/');
        if controllers.is_empty() {
            files.push(format!("/sys/fs/cgroup{path}/memory.events"));
            files.push("/sys/fs/cgroup/memory.events".to_owned());
        } else if controllers.split(',').any(|name| name == "memory") {
            files.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
            files.push("/sys/fs/cgroup/memory/memory.oom_control".to_owned());
        }
    }
    files
}

/// `oom_kill 3`, among other counters.
fn parse_oom_kills(events: &str) -> Option<u64> {
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmPeak:\t   99 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse_peak_rss(status), Some(Bytes(2 << 20)));
        assert_eq!(parse_peak_rss("Name:\tzombie\nState:\tZ\n"), None);
    }

    #[test]
    fn the_own_process_has_a_peak_where_the_system_tells() {
        if fs::exists("/proc/self/status").unwrap() {
            assert!(peak_rss(std::process::id()).unwrap() > Bytes(1 << 16));
        }
    }

    #[test]
    fn the_first_file_that_tells_is_the_one_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let files = vec![
            folder.path().join("absent"),
            file("silent", "low 0\n"),
            file("group", "oom_kill 3\n"),
            file("host", "oom_kill 9\n"),
        ];
        let counter = OomCounter { files };
        assert_eq!(counter.read(), Some(3));
        let silent = OomCounter::in_file(folder.path().join("silent"));
        assert_eq!(silent.read(), None);
    }

    #[test]
    fn this_host_counts_where_it_tells() {
        let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        if parse_oom_kills(&vmstat).is_some() {
            assert!(OomCounter::of_this_process().read().is_some());
        }
    }

    #[test]
    fn counters_of_both_control_group_versions_are_found() {
        assert_eq!(parse_oom_kills("low 0\noom 4\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(
            parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            Some(1)
        );
        assert_eq!(parse_oom_kills("oom_kill_disable 0\n"), None);
        assert_eq!(
            counter_files("0::/user.slice/x\n"),
            [
                "/sys/fs/cgroup/user.slice/x/memory.events",
                "/sys/fs/cgroup/memory.events"
            ]
        );
        assert_eq!(
            counter_files("5:cpu,memory:/a\n3:pids:/b\n"),
            [
                "/sys/fs/cgroup/memory/a/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control"
            ]
        );
    }
}
