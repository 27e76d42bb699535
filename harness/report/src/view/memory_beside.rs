//! What is known of a case's memory besides its devices' accounts: devices that hold nothing, and what the system and the
//! driver saw of the whole process.

use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::memory::MemoryView;
use super::words::{count, line, list};

/// Unused devices that are named; more are counted.
const MOST_NAMED: usize = 3;

/// What is known of a case's memory besides its devices' accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BesideView {
    /// `sim:1 and sim:2 unused`; empty where every device is used, or nothing was loaded.
    pub unused: String,
    /// What the system and the driver saw.
    pub seen: Vec<Seen>,
}

/// A figure that no engine accounts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `whole process`, `GPU 0`.
    pub what: String,
    /// `resident set, by the system`.
    pub by: &'static str,
    /// The most there was.
    pub peak: String,
    /// Of how much; `–` where that is not known.
    pub of: String,
}

/// Devices that hold nothing, and what the system and the driver saw of the process.
pub(super) fn view(
    spec: &CaseSpec,
    placed: Option<&Attempt>,
    used: &[MemoryView],
    attempts: &[&Attempt],
) -> BesideView {
    let declared = spec.devices.iter().map(|logical| &logical.id);
    let found = placed.iter().flat_map(|attempt| &attempt.devices);
    let found = found.map(|facts| &facts.id).filter(|id| id.is_accelerator());
    let mut unused: Vec<String> = Vec::new();
    for name in declared.chain(found).map(|id| line(id.as_str())) {
        if !unused.contains(&name) && used.iter().all(|device| device.device != name) {
            unused.push(name);
        }
    }
    let is_loaded = used.iter().any(|device| !device.is_unmeasured());
    BesideView {
        unused: match unused.len() {
            _ if !is_loaded => String::new(),
            0 => String::new(),
            1..=MOST_NAMED => format!("{} unused", list(&unused)),
            many => format!("{} unused", count(many, "device", "devices")),
        },
        seen: seen(attempts),
    }
}

/// The resident set of the worker and the memory of GPUs, at most.
fn seen(attempts: &[&Attempt]) -> Vec<Seen> {
    let word = |bytes: Option<Bytes>| bytes.map_or_else(|| "–".into(), |bytes| bytes.to_string());
    let resident = attempts.iter().filter_map(|attempt| attempt.peak_rss_bytes).max();
    let mut found: Vec<Seen> = resident
        .map(|bytes| Seen {
            what: "whole process".into(),
            by: "resident set, by the system",
            peak: bytes.to_string(),
            of: "–".into(),
        })
        .into_iter()
        .collect();
    let gpus = || attempts.iter().flat_map(|attempt| &attempt.gpus);
    let mut known: Vec<u32> = gpus().map(|gpu| gpu.index).collect();
    known.sort_unstable();
    known.dedup();
    for index in known {
        let same = || gpus().filter(|gpu| gpu.index == index);
        let name = same().map(|gpu| line(&gpu.name)).next().unwrap_or_default();
        let before = same().filter_map(|gpu| gpu.memory_before_bytes).max();
        let before = before
            .map(|bytes| format!(", {bytes} of it before"))
            .unwrap_or_default();
        let peak = same().filter_map(|gpu| gpu.memory_peak_bytes).max();
        found.push(Seen {
            what: format!("GPU {index}, {name}"),
            by: "everything on it, by the driver (NVML)",
            peak: peak.map_or_else(|| "–".into(), |bytes| format!("{bytes}{before}")),
            of: word(same().filter_map(|gpu| gpu.memory_bytes).max()),
        });
    }
    found
}
