//! The machine and the time, as they go on record.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::SystemTime;

use placebench_core::record::Environment;
use placebench_core::units::Bytes;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::worker_env;

/// What figures depend on besides the scenario: two runs are compared only where this is the same.
#[must_use]
pub fn fingerprint() -> Environment {
    let system = System::new_with_specifics(
        RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram()),
    )
    .ok();
    Environment {
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        kernel: System::kernel_version().unwrap_or_else(|_| "unknown".to_owned()),
        cpu: system
            .as_ref()
            .and_then(|system| system.cpus().first())
            .map(|cpu| cpu.brand().trim())
            .filter(|brand| !brand.is_empty())
            .unwrap_or("unknown")
            .to_owned(),
        cpu_count: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: Bytes(system.as_ref().map_or(0, System::total_memory)),
        worker_env: worker_env::recorded(),
    }
}

/// Memory of the host that can be used without swapping; none where the system does not tell.
pub(crate) fn available_memory() -> Bytes {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory).ok();
    Bytes(system.as_ref().map_or(0, System::available_memory))
}

/// The time in RFC 3339, UTC, to the millisecond: `2026-11-22T14:00:00.250Z`.
#[must_use]
pub fn now_rfc3339() -> String {
    humantime::format_rfc3339_millis(wall_clock()).to_string()
}

/// A name for a run: the time to the second, and four hexadecimal digits for runs of the same second.
/// `20261122T140000Z-1a2b` sorts by time, as long as nobody sets the clock back. It may have been given before:
/// [`RunFolder::create_fresh`](crate::store::RunFolder::create_fresh) asks for another one then.
#[must_use]
pub fn fresh_run_id() -> String {
    run_id(wall_clock(), random())
}

#[expect(
    clippy::disallowed_methods,
    reason = "records and names say when; nothing is measured with it and no order follows from it"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn run_id(time: SystemTime, random: u64) -> String {
    let time: String = humantime::format_rfc3339_seconds(time)
        .to_string()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    format!("{time}-{:04x}", random & 0xffff)
}

/// The random numbers `std` gives its hash tables: different in each process and each time.
fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn run_ids_name_time_and_chance() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_356_000);
        assert_eq!(run_id(time, 0xffff_1a2b), "20261122T140000Z-1a2b");
        assert_eq!(run_id(time, 0), "20261122T140000Z-0000");
        assert_ne!(random(), random());
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let now = now_rfc3339();
        assert!(
            now.ends_with('Z') && now.len() == "2026-11-22T14:00:00.250Z".len(),
            "{now}"
        );
        assert!(humantime::parse_rfc3339(&now).is_ok());
    }

    #[test]
    fn the_fingerprint_is_filled_in_and_stable() {
        let first = fingerprint();
        assert!(first.memory_bytes > Bytes(1 << 20), "{first:?}");
        assert!(first.cpu_count >= 1);
        assert!(first.platform.contains(std::env::consts::ARCH));
        assert!(!first.kernel.is_empty() && !first.cpu.is_empty());
        assert_eq!(first, fingerprint());
    }
}
