//! What a normal user can see of the machine: clocks, limits, memory, and the variables that change placement or links.

use std::fs;
use std::path::{Path, PathBuf};

use placebench_core::doctor::machine::{ContainerLimits, EnvironmentVariable, MachineFacts};
use placebench_core::units::Bytes;
use placebench_runner::{environment, worker_env};

use super::pci;
use crate::engines;

/// Beginnings of the variables that are shown, whether workers get them or not.
const PREFIXES: [&str; 12] = [
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "CUBLAS_",
    "PYTORCH_",
    "CANDLE_",
    "GGML_CUDA_",
    "ACCELERATE_",
    "RAYON_",
    "OMP_",
    "MKL_",
    "HIP_",
];
const NAMES: [&str; 4] = ["WORLD_SIZE", "RANK", "LOCAL_RANK", "LD_LIBRARY_PATH"];

/// Asks the system. The driver is asked elsewhere.
pub(crate) fn facts() -> MachineFacts {
    let known = environment::fingerprint();
    let root = Path::new("/");
    let handed_on = &known.worker_env;
    let threads = handed_on
        .iter()
        .find(|(name, _)| name == "RAYON_NUM_THREADS")
        .and_then(|(_, value)| value.parse().ok());
    MachineFacts {
        threads: threads.unwrap_or(known.cpu_count),
        available_bytes: text(root, "proc/meminfo").as_deref().and_then(available),
        load_average: text(root, "proc/loadavg").as_deref().and_then(load_average),
        limits: limits(root),
        governor: text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        clock_mhz: clocks(root),
        numa_nodes: numbered(&root.join("sys/devices/system/node"), "node").len(),
        iommu: pci::facts(root),
        environment: variables(handed_on),
        versions: versions(),
        platform: known.platform,
        kernel: known.kernel,
        cpu: known.cpu,
        cpu_count: known.cpu_count,
        memory_bytes: known.memory_bytes,
        ..MachineFacts::default()
    }
}

/// What the engines of this build compute with, each once.
fn versions() -> Vec<String> {
    let mut versions: Vec<String> = engines::all().iter().flat_map(|engine| engine.versions()).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// The listed variables of this process, with what workers get where that differs.
fn variables(handed_on: &[(String, String)]) -> Vec<EnvironmentVariable> {
    let is_shown = |name: &str| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let mut shown: Vec<EnvironmentVariable> = handed_on
        .iter()
        .filter(|(name, _)| is_shown(name))
        .map(|(name, value)| EnvironmentVariable {
            name: name.clone(),
            value: value.clone(),
            handed_on: true,
        })
        .collect();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if is_shown(&name) && !shown.iter().any(|known| known.name == name) {
            shown.push(EnvironmentVariable {
                value: worker_env::for_record(&name, &value.to_string_lossy()),
                name,
                handed_on: false,
            });
        }
    }
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    shown
}

/// The content of a small file without the newline at its end.
pub(super) fn text(root: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(name)).ok()?;
    Some(text.trim_end().to_owned())
}

/// Entries called `name0`, `name1`, … of a folder.
fn numbered(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_numbered = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        let number = file.and_then(|file| file.strip_prefix(name));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_numbered)
        .collect()
}

/// `0.52 0.58 0.59 1/467 1234`: over one minute, five, fifteen.
fn load_average(loadavg: &str) -> Option<f64> {
    loadavg.split(' ').next()?.parse().ok()
}

/// `MemAvailable:  1234 kB`, where kB means KiB.
fn available(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kibibytes.checked_mul(1024)?))
}

/// The slowest and the fastest processor now, from cpufreq, else as the kernel's table says.
fn clocks(root: &Path) -> Option<(u32, u32)> {
    let folders = numbered(&root.join("sys/devices/system/cpu"), "cpu");
    let from_files = folders.iter().filter_map(|folder| {
        let kilohertz: u32 = text(folder, "cpufreq/scaling_cur_freq")?.parse().ok()?;
        Some(kilohertz / 1000)
    });
    let mut clocks: Vec<u32> = from_files.collect();
    if clocks.is_empty() {
        let table = text(root, "proc/cpuinfo").unwrap_or_default();
        clocks = table
            .lines()
            .filter(|line| line.starts_with("cpu MHz"))
            .filter_map(|line| line.split_once(':')?.1.trim().split('.').next()?.parse().ok())
            .collect();
    }
    Some((*clocks.iter().min()?, *clocks.iter().max()?))
}

/// The limits of the control group, its own first; inside a container it is mounted at the root.
fn limits(root: &Path) -> ContainerLimits {
    let groups = text(root, "proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let own = format!("sys/fs/cgroup/{}", own.trim_start_matches('/'));
    let read =
        |name: &str| text(root, &format!("{own}/{name}")).or_else(|| text(root, &format!("sys/fs/cgroup/{name}")));
    let old_quota = || {
        let quota = text(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us")?;
        Some(format!(
            "{quota} {}",
            text(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us")?
        ))
    };
    let memory = read("memory.max").or_else(|| text(root, "sys/fs/cgroup/memory/memory.limit_in_bytes"));
    // Version 1 writes "no limit" as the largest multiple of a page.
    let is_limit = |bytes: &u64| *bytes < 1 << 60;
    ContainerLimits {
        cpus: read("cpu.max").or_else(old_quota).as_deref().and_then(cpus),
        memory_bytes: memory.and_then(|text| text.parse().ok()).filter(is_limit).map(Bytes),
    }
}

/// `150000 100000` is one and a half; `max 100000` and `-1 100000` are no limit.
fn cpus(quota: &str) -> Option<f64> {
    let (quota, period) = quota.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn limits_of_both_versions_are_read() {
        let limits_of = |files: &[(&str, &str)]| limits(tree(files).path());
        let own = limits_of(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "1048576\n"),
            ("sys/fs/cgroup/memory.max", "7\n"),
        ]);
        assert_eq!((own.cpus, own.memory_bytes), (Some(1.5), Some(Bytes(1 << 20))));
        let none = limits_of(&[
            ("proc/self/cgroup", "0::/elsewhere\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ]);
        assert_eq!(none, ContainerLimits::default());
        let old = limits_of(&[
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!((old.cpus, old.memory_bytes), (Some(2.0), None));
        assert_eq!(limits_of(&[]), ContainerLimits::default());
    }

    #[test]
    fn clocks_and_nodes_are_read() {
        let fast = tree(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "800000"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3600000"),
            ("sys/devices/system/cpu/cpufreq/scaling_cur_freq", "1"),
        ]);
        assert_eq!(clocks(fast.path()), Some((800, 3600)));
        let table = tree(&[("proc/cpuinfo", "cpu MHz\t\t: 2596.096\nflags\t: x\ncpu MHz\t: 2600.1\n")]);
        assert_eq!(clocks(table.path()), Some((2596, 2600)));
        assert_eq!(clocks(tree(&[]).path()), None);
    }

    #[test]
    fn memory_and_load_are_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   2 kB\n"), Some(Bytes(2048)));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert_eq!(load_average("0.52 0.58 0.59 1/467 1234"), Some(0.52));
        assert_eq!(load_average(""), None);
    }

    #[test]
    fn facts_of_this_machine_are_filled_in() {
        let facts = facts();
        assert!(facts.threads >= 1 && facts.cpu_count >= 1 && facts.memory_bytes > Bytes(1 << 20));
        assert!(
            facts
                .environment
                .iter()
                .any(|variable| variable.name == "RAYON_NUM_THREADS")
        );
        assert!(!facts.environment.iter().any(|variable| variable.name == "PATH"));
    }
}
