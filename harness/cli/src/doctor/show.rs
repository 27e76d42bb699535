//! The report as people read and paste it: the verdict first, then tables.

use console::{Style, measure_text_width};
use placebench_core::doctor::advice::per_second;
use placebench_core::doctor::machine::MachineFacts;
use placebench_core::doctor::noise::{FEWEST_PAIRS, NoiseFloor};
use placebench_core::doctor::report::{DeviceReport, DoctorReport, Finding, Health, LinkReport};
use placebench_core::placement::Transfer;
use placebench_core::units::{Bytes, human_seconds};

use crate::terminal::printable;

/// All lines.
pub(crate) fn lines(report: &DoctorReport) -> Vec<String> {
    let mut lines = vec![coloured(report.verdict).bold().apply_to(&report.summary).to_string()];
    lines.extend(report.findings.iter().flat_map(finding));
    lines.push(String::new());
    lines.extend(devices(&report.devices));
    if !report.links.is_empty() {
        lines.push(String::new());
        lines.extend(links(report));
    }
    lines.push(String::new());
    lines.extend(machine(&report.machine));
    if let Some(floor) = &report.noise_floor {
        lines.push(String::new());
        lines.extend(noise(floor));
    }
    if report.tool.profile == "debug" {
        lines.push(String::new());
        lines.push("built with debug assertions: take rates for planning from a --release build".to_owned());
    }
    lines
}

fn coloured(health: Health) -> Style {
    match health {
        Health::Ok => Style::new().green(),
        Health::Inconclusive => Style::new().yellow(),
        Health::Stalled | Health::Corrupt => Style::new().red(),
    }
}

fn finding(finding: &Finding) -> Vec<String> {
    let word = match finding.health {
        Health::Ok => "note",
        health => health.as_str(),
    };
    let mut lines = vec![
        String::new(),
        format!(
            "{} {}: {}",
            coloured(finding.health).apply_to(word),
            printable(&finding.about),
            printable(&finding.message)
        ),
    ];
    lines.extend(finding.hints.iter().map(|hint| format!("  - {}", printable(hint))));
    lines
}

fn devices(devices: &[DeviceReport]) -> Vec<String> {
    let header = [
        "device",
        "memory",
        "free",
        "weights read",
        "of copy",
        "prompt",
        "of matmul",
        "a layer",
        "what",
    ];
    let rows = devices.iter().map(|device| {
        let bytes = |value: Option<Bytes>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let rate = |value: Option<f64>, unit| value.map_or_else(|| "-".to_owned(), |value| per_second(value, unit));
        let mut what = printable(&device.name);
        for name in [&device.uuid, &device.bus_id].into_iter().flatten() {
            what.push_str(&format!(", {}", printable(name)));
        }
        if device.health != Health::Ok {
            what.push_str(&format!(", {}", device.health.as_str()));
        }
        // A slice is as fast as what it lies on, which is said there.
        let rates = device.rates.filter(|_| device.id == device.on);
        vec![
            device.id.to_string(),
            bytes(device.memory_bytes),
            bytes(device.free_bytes),
            rate(rates.map(|rates| rates.memory_bytes_per_s), "B"),
            rate(device.copy_bytes_per_s, "B"),
            rate(rates.map(|rates| rates.flops_per_s), "FLOP"),
            rate(device.matmul_flops_per_s, "FLOP"),
            rates.map_or_else(|| "-".to_owned(), |rates| human_seconds(rates.layer_overhead_s)),
            what,
        ]
    });
    table(&header.map(str::to_owned), rows.collect())
}

/// One cell for each pair: bandwidth and latency of the direct way, or what is wrong with it.
fn links(report: &DoctorReport) -> Vec<String> {
    let ids: Vec<&str> = report.devices.iter().map(|device| device.id.as_str()).collect();
    let mut header = vec!["from \\ to".to_owned()];
    header.extend(ids.iter().map(|id| (*id).to_owned()));
    let rows = ids.iter().map(|from| {
        let mut row = vec![(*from).to_owned()];
        row.extend(ids.iter().map(|to| {
            let link = report
                .links
                .iter()
                .find(|link| link.from.as_str() == *from && link.to.as_str() == *to);
            link.map_or_else(String::new, cell)
        }));
        row
    });
    let mut lines = vec!["direct copies between devices (the same device twice: between two slices of it)".to_owned()];
    lines.extend(table(&header, rows.collect()));
    let told: Vec<&LinkReport> = report.links.iter().filter(|link| link.driver_says.is_some()).collect();
    for link in told {
        let says = link.driver_says.as_deref().unwrap_or_default();
        lines.push(format!("the driver on {}: {}", link.name(), printable(says)));
    }
    lines
}

fn cell(link: &LinkReport) -> String {
    let Some(direct) = link.path(Transfer::Direct) else {
        return "-".to_owned();
    };
    let mut text = match (direct.health, direct.rates) {
        (Health::Ok, Some(rates)) => format!(
            "{} {}",
            per_second(rates.bytes_per_s, "B"),
            human_seconds(rates.latency_s)
        ),
        (health, _) => health.as_str().to_owned(),
    };
    let host = link
        .path(Transfer::Host)
        .map_or(Health::Inconclusive, |path| path.health);
    match (direct.health, host) {
        (Health::Ok, Health::Ok) => {}
        (Health::Ok, host) => text.push_str(&format!(", via host {}", host.as_str())),
        (_, Health::Ok) => text.push_str(", via host ok"),
        (_, host) => text.push_str(&format!(", via host {}", host.as_str())),
    }
    text
}

fn machine(machine: &MachineFacts) -> Vec<String> {
    let mut lines = vec![format!(
        "machine: {} ({}), {} processors, {} NUMA {}{}{}",
        printable(&machine.platform),
        printable(&machine.kernel),
        machine.cpu_count,
        machine.numa_nodes,
        if machine.numa_nodes == 1 { "node" } else { "nodes" },
        machine
            .clock_mhz
            .map_or_else(String::new, |(low, high)| format!(", {low} to {high} MHz")),
        machine
            .governor
            .as_ref()
            .map_or_else(String::new, |governor| format!(", governor {}", printable(governor))),
    )];
    let mut limits = Vec::new();
    limits.extend(machine.limits.cpus.map(|cpus| format!("{cpus} processors")));
    limits.extend(machine.limits.memory_bytes.map(|bytes| bytes.to_string()));
    if !limits.is_empty() {
        lines.push(format!("limits of the control group: {}", limits.join(", ")));
    }
    lines.push(driver(machine));
    lines.push(iommu(machine));
    let variables: Vec<String> = machine
        .environment
        .iter()
        .map(|variable| {
            let lost = if variable.handed_on {
                ""
            } else {
                " (not handed to workers)"
            };
            format!("{}={}{lost}", printable(&variable.name), printable(&variable.value))
        })
        .collect();
    lines.push(format!("environment: {}", variables.join(" ")));
    lines.push(format!("built with: {}", printable(&machine.versions.join(", "))));
    lines
}

fn driver(machine: &MachineFacts) -> String {
    let driver = &machine.driver;
    match (&driver.absent, &driver.driver_version) {
        (Some(reason), _) => printable(reason),
        (None, version) => format!(
            "NVIDIA driver {}, CUDA up to {}, {} on the bus",
            printable(version.as_deref().unwrap_or("unknown")),
            printable(driver.cuda_version.as_deref().unwrap_or("unknown")),
            crate::terminal::counted(u32::try_from(driver.gpus.len()).unwrap_or(u32::MAX), "GPU")
        ),
    }
}

fn iommu(machine: &MachineFacts) -> String {
    let iommu = &machine.iommu;
    let mut parts = vec![match (iommu.groups, &iommu.default_domain) {
        (0, _) => "IOMMU: off or hidden".to_owned(),
        (groups, None) => format!("IOMMU: {groups} groups"),
        (groups, Some(domain)) => format!("IOMMU: {groups} groups, {}", printable(domain)),
    }];
    if !iommu.kernel_arguments.is_empty() {
        parts.push(format!("kernel: {}", printable(&iommu.kernel_arguments.join(" "))));
    }
    parts.push(match &iommu.bridges_with_redirect {
        None => "PCIe ACS: not readable by this user".to_owned(),
        Some(bridges) if bridges.is_empty() => "PCIe ACS: redirects nothing".to_owned(),
        Some(bridges) => format!("PCIe ACS: redirects at {}", printable(&bridges.join(", "))),
    });
    parts.join("; ")
}

fn noise(floor: &NoiseFloor) -> Vec<String> {
    let mut lines = vec![format!(
        "noise floor from {} of {}: smaller differences mean nothing here",
        crate::terminal::counted(u32::try_from(floor.pairs).unwrap_or(u32::MAX), "pair"),
        printable(&floor.case)
    )];
    let header = ["metric", "floor", "bias"].map(str::to_owned);
    let rows = floor.metrics.iter().map(|metric| {
        let percent = |log_ratio: f64| format!("{:.1} %", log_ratio.exp_m1() * 100.0);
        vec![metric.metric.clone(), percent(metric.floor), percent(metric.bias)]
    });
    lines.extend(table(&header, rows.collect()));
    if floor.pairs < FEWEST_PAIRS {
        lines.push(format!("fewer than {FEWEST_PAIRS} pairs: the floor is likely too low"));
    }
    lines
}

/// Columns as wide as their widest cell, two spaces between.
pub(crate) fn table(header: &[String], rows: Vec<Vec<String>>) -> Vec<String> {
    let mut all = vec![header.to_vec()];
    all.extend(rows);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let padding = width.saturating_sub(measure_text_width(cell));
            format!("{cell}{}", " ".repeat(padding))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("  {}", line.trim_end())
    };
    let mut lines: Vec<String> = all.iter().map(line).collect();
    if let Some(first) = lines.first_mut() {
        *first = Style::new().dim().apply_to(&*first).to_string();
    }
    lines
}
