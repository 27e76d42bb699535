//! Memory of the host.

use placebench_core::units::Bytes;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// What can be allocated without swapping, within the limits of the control group this process is in.
#[must_use]
pub fn available_memory() -> Option<Bytes> {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok()?;
    let available = system.available_memory();
    let limited = system
        .cgroup_limits()
        .map_or(available, |limits| available.min(limits.free_memory));
    (limited > 0).then_some(Bytes(limited))
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some() {
        assert!(super::available_memory().is_some_and(|bytes| bytes.0 > 1 << 20));
    }
}
