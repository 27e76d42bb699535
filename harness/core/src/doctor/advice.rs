//! What the findings of `doctor` mean, and the way out of each.

use super::machine::MachineFacts;
use super::probe::DriverGpu;
use super::report::{DeviceReport, Finding, Health, LinkReport, PathReport};
use crate::device::{DeviceId, DeviceKind};
use crate::placement::Transfer;
use crate::planner::LinkRates;
use crate::record::GpuProcess;
use crate::units::human_seconds;

/// A link is called slow when it takes this many times as long as the other way round. Real links are within a factor
/// of three both ways.
const SLOWER_THAN_BACK: f64 = 8.0;

/// Differences in latency below this come from the clock and the scheduler, in seconds.
const LATENCY_NOISE_S: f64 = 0.002;

/// Launchers set these; a device map in one of several processes is refused or misbehaves.
const LAUNCHER: [&str; 3] = ["WORLD_SIZE", "RANK", "LOCAL_RANK"];

/// Everything worth saying, problems first.
#[must_use]
pub fn findings(devices: &[DeviceReport], links: &[LinkReport], machine: &MachineFacts) -> Vec<Finding> {
    let mut found: Vec<Finding> = devices.iter().filter_map(|device| of_device(device, machine)).collect();
    found.extend(tried(devices, links).filter_map(|link| of_link(link, machine)));
    found.extend(links.iter().filter_map(|link| slow(link, links)));
    found.extend(of_machine(devices, machine));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.health));
    found
}

/// The verdict in a sentence: `1 of 7 links is not sound: sim:0 -> sim:1 (corrupt)`.
#[must_use]
pub fn summary(devices: &[DeviceReport], links: &[LinkReport]) -> String {
    let bad_devices: Vec<String> = devices
        .iter()
        .filter(|device| device.health != Health::Ok)
        .map(|device| format!("{} ({})", device.id, device.health.as_str()))
        .collect();
    let bad_links: Vec<String> = tried(devices, links)
        .filter(|link| link.health != Health::Ok)
        .map(|link| format!("{} ({})", link.name(), link.health.as_str()))
        .collect();
    let is_are = |number: usize| if number == 1 { "is" } else { "are" };
    let mut parts = Vec::new();
    for (bad, all, noun) in [
        (&bad_devices, devices.len(), "device"),
        (&bad_links, links.len(), "link"),
    ] {
        if !bad.is_empty() {
            parts.push(format!(
                "{} of {} {} not sound: {}",
                bad.len(),
                counted(all, noun),
                is_are(bad.len()),
                bad.join(", ")
            ));
        }
    }
    if !parts.is_empty() {
        return parts.join("; ");
    }
    if devices.is_empty() {
        return "nothing was measured".to_owned();
    }
    format!(
        "{} and {}: all sound",
        counted(devices.len(), "device"),
        counted(links.len(), "link")
    )
}

/// Links between devices that are sound. Of a device that is not, the others say nothing of their own.
fn tried<'a>(devices: &'a [DeviceReport], links: &'a [LinkReport]) -> impl Iterator<Item = &'a LinkReport> {
    let is_bad = |id: &DeviceId| {
        let mut ends = devices.iter().filter(|device| device.id == *id);
        ends.any(|device| device.health != Health::Ok)
    };
    links
        .iter()
        .filter(move |link| !is_bad(&link.from) && !is_bad(&link.to))
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn of_device(device: &DeviceReport, machine: &MachineFacts) -> Option<Finding> {
    if device.health == Health::Ok {
        return None;
    }
    let mut hints = vec![format!(
        "leave {} out of device maps until it answers: with CUDA_VISIBLE_DEVICES, or by naming the others",
        device.id
    )];
    if matches!(device.on.kind(), DeviceKind::Cuda(_)) {
        hints.push(format!(
            "look at: `nvidia-smi`, and the kernel's log for Xid messages{}",
            driver_words(machine)
        ));
    } else {
        hints.push("look at: what else runs on this machine, and how much memory is free".to_owned());
    }
    Some(Finding {
        about: device.id.to_string(),
        health: device.health,
        message: device
            .message
            .clone()
            .unwrap_or_else(|| "it was not measured".to_owned()),
        hints,
    })
}

fn of_link(link: &LinkReport, machine: &MachineFacts) -> Option<Finding> {
    if link.health == Health::Ok {
        return None;
    }
    let words = |transfer: Transfer, name: &str| {
        let path = link.path(transfer)?;
        Some(format!("{name} {}", path_in_words(path)))
    };
    let parts: Vec<String> = [
        words(Transfer::Direct, "direct copies"),
        words(Transfer::Host, "copies through host memory"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let is_sound = |transfer| link.path(transfer).is_some_and(|path| path.health == Health::Ok);
    let first = match (is_sound(Transfer::Direct), is_sound(Transfer::Host)) {
        (false, true) => format!(
            "use `transfer = \"host\"` in placements that cross {}: activations then go through host memory",
            link.name()
        ),
        (true, false) => format!(
            "use `transfer = \"direct\"` in placements that cross {}: only the way through host memory is broken",
            link.name()
        ),
        _ => format!(
            "do not use {} and {} in one placement: keep the model on one side (`device_map = \"{}\"`)",
            link.from, link.to, link.to
        ),
    };
    let mut hints = vec![first];
    hints.extend(look_at(link, machine));
    Some(Finding {
        about: link.name(),
        health: link.health,
        message: parts.join("; "),
        hints,
    })
}

fn path_in_words(path: &PathReport) -> String {
    let why = path.message.as_deref().unwrap_or("no reason was given");
    match path.health {
        Health::Ok => "are right".to_owned(),
        Health::Corrupt => format!("arrive wrong ({why})"),
        Health::Stalled => format!("never complete ({why})"),
        Health::Inconclusive => format!("could not be judged ({why})"),
    }
}

/// Settings of driver and BIOS that break copies. Logical devices stand in for the cards they imitate.
fn look_at(link: &LinkReport, machine: &MachineFacts) -> Vec<String> {
    if link.health == Health::Inconclusive {
        return vec!["look at: whether both devices have memory left, and run doctor again".to_owned()];
    }
    if !link.from.is_accelerator() || !link.to.is_accelerator() {
        return vec![
            "look at: the slot and riser of the card, the kernel's log for AER, IO_PAGE_FAULT and Xid messages, and a \
             memory test of the host"
                .to_owned(),
        ];
    }
    let iommu = match &machine.iommu.default_domain {
        Some(domain) if domain.starts_with("DMA") => {
            format!(" (now: translated, {domain}, {} groups)", machine.iommu.groups)
        }
        Some(domain) => format!(" (now: {domain}, {} groups)", machine.iommu.groups),
        None => String::new(),
    };
    vec![
        format!(
            "look at: IOMMU and PCIe ACS: in the BIOS switch ACS off and the IOMMU off or to pass-through; on the \
             kernel's command line `iommu=pt`{iommu}"
        ),
        format!(
            "look at: the driver: peer-to-peer copies of some branches are broken, another branch may be right{}",
            driver_words(machine)
        ),
        "other programs until then: NCCL_P2P_DISABLE=1 (PyTorch, vLLM); unset GGML_CUDA_P2P (llama.cpp)".to_owned(),
    ]
}

fn driver_words(machine: &MachineFacts) -> String {
    let version = machine.driver.driver_version.as_ref();
    version.map_or_else(String::new, |version| format!(" (now: driver {version})"))
}

/// A link that takes far longer than the way back, or than through the host where the way back is not sound. It is
/// right, so it is only worth knowing.
fn slow(link: &LinkReport, links: &[LinkReport]) -> Option<Finding> {
    let rates = |link: &LinkReport, transfer| -> Option<LinkRates> { link.path(transfer)?.rates };
    let here = rates(link, Transfer::Direct)?;
    let back = links
        .iter()
        .find(|other| other.from == link.to && other.to == link.from && other.from != other.to)
        .and_then(|back| rates(back, Transfer::Direct));
    let (other, whence) = match back {
        Some(back) => (back, "the other way round"),
        None => (rates(link, Transfer::Host)?, "through host memory"),
    };
    let late = here.latency_s > other.latency_s * SLOWER_THAN_BACK + LATENCY_NOISE_S;
    let narrow = here.bytes_per_s * SLOWER_THAN_BACK < other.bytes_per_s;
    if !late && !narrow {
        return None;
    }
    Some(Finding {
        about: link.name(),
        health: Health::Ok,
        message: format!(
            "direct copies are right but slow: {} and {} here, {} and {} {whence}",
            human_seconds(here.latency_s),
            per_second(here.bytes_per_s, "B"),
            human_seconds(other.latency_s),
            per_second(other.bytes_per_s, "B")
        ),
        hints: vec![
            "look at: generation and width of the PCIe link under load (`nvidia-smi --query-gpu=pcie.link.gen.current,\
             pcie.link.width.current --format=csv`), the slot, and what else uses it"
                .to_owned(),
        ],
    })
}

fn of_machine(devices: &[DeviceReport], machine: &MachineFacts) -> Vec<Finding> {
    let gpus = devices
        .iter()
        .filter(|device| device.id == device.on && device.id.is_accelerator())
        .count();
    let note = |message: String, hint: &str| Finding {
        about: "machine".to_owned(),
        health: Health::Ok,
        message,
        hints: vec![hint.to_owned()],
    };
    let variable = |name: &str| machine.environment.iter().find(|variable| variable.name == name);
    let mut notes = Vec::new();
    if let Some(load) = machine
        .load_average
        .filter(|load| *load > machine.cpu_count as f64 + 1.0)
    {
        notes.push(note(
            format!(
                "it is busy: {load:.1} programs want its {} processors, so rates are lower and noise is higher than they are",
                machine.cpu_count
            ),
            "measure again when nothing else runs",
        ));
    }
    if machine.governor.as_deref() == Some("powersave") {
        notes.push(note(
            "the processor's governor is powersave: figures vary with load".to_owned(),
            "for measuring: cpupower frequency-set -g performance",
        ));
    }
    if let Some(cpus) = machine.limits.cpus.filter(|cpus| *cpus + 0.01 < machine.threads as f64) {
        notes.push(note(
            format!(
                "the container may use {cpus} processors, but {} threads compute: they are stopped in between",
                machine.threads
            ),
            "set RAYON_NUM_THREADS to the whole processors of the limit",
        ));
    }
    if gpus >= 2 && variable("CUDA_DEVICE_ORDER").is_none() {
        notes.push(note(
            "CUDA_DEVICE_ORDER is not set: cuda:N may be another card than nvidia-smi's N".to_owned(),
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or go by the UUIDs above",
        ));
    }
    if gpus >= 2
        && machine
            .iommu
            .default_domain
            .as_deref()
            .is_some_and(|domain| domain.starts_with("DMA"))
    {
        notes.push(note(
            "the IOMMU translates: on some boards copies between cards are then lost or stall".to_owned(),
            "if a link misbehaves: `iommu=pt` on the kernel's command line",
        ));
    }
    if let Some(launcher) = LAUNCHER.iter().find_map(|name| variable(name)) {
        notes.push(note(
            format!(
                "{} is set: a launcher of several processes may be at work",
                launcher.name
            ),
            "device maps belong in one process: start without torchrun or accelerate launch",
        ));
    }
    if let Some(peer) = variable("GGML_CUDA_P2P").filter(|variable| variable.value == "0") {
        notes.push(note(
            format!(
                "{}=0 switches peer copies of llama.cpp on: it looks whether it is set, not what to",
                peer.name
            ),
            "unset it",
        ));
    }
    notes.extend(devices.iter().filter_map(throttled(machine)));
    notes.extend(machine.driver.gpus.iter().filter_map(in_use));
    notes
}

/// A card that others compute on, whether or not this build can use it.
fn in_use(gpu: &DriverGpu) -> Option<Finding> {
    let processes = GpuProcess::distinct_words(gpu.foreign_processes.iter());
    (!processes.is_empty()).then(|| Finding {
        about: gpu.uuid.clone().unwrap_or_else(|| "GPU".to_owned()),
        health: Health::Ok,
        message: format!("other programs compute on it: {}", processes.join(", ")),
        hints: vec![
            "end them, or wait for them, before you measure: attempts beside them are no basis for a verdict"
                .to_owned(),
        ],
    })
}

fn throttled(machine: &MachineFacts) -> impl Fn(&DeviceReport) -> Option<Finding> {
    |device| {
        let gpu = machine
            .driver
            .gpus
            .iter()
            .find(|gpu| gpu.uuid.is_some() && gpu.uuid == device.uuid && device.id == device.on)?;
        (!gpu.throttled_by.is_empty()).then(|| Finding {
            about: device.id.to_string(),
            health: Health::Ok,
            message: format!("its clocks are held down by: {}", gpu.throttled_by.join(", ")),
            hints: vec!["figures taken now are lower than it can do: look at cooling and power limit".to_owned()],
        })
    }
}

/// `8.12 GB/s`: three figures and a decimal prefix.
#[must_use]
pub fn per_second(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut value = value;
    let mut prefix = PREFIXES[0];
    for next in &PREFIXES[1..] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {prefix}{unit}/s")
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
