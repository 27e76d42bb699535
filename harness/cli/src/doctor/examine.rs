//! All questions of an examination, and the report made of the answers.

use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::doctor::advice;
use placebench_core::doctor::machine::MachineFacts;
use placebench_core::doctor::probe::{DeviceFigures, DriverFacts, GpuFacts, ProbeEvent, ProbeTask};
use placebench_core::doctor::report::{
    DOCTOR_VERSION, DeviceReport, DoctorReport, Finding, Health, LinkReport, PathReport, rates_of,
};
use placebench_core::placement::Transfer;
use placebench_core::record::Tool;
use placebench_runner::environment;

use super::ask::{Answer, Asker, Trouble};
use super::machine;
use crate::error::CliError;

/// Examines the machine. Everything but the noise floor is in the report.
pub(crate) fn examine(asker: &Asker) -> Result<DoctorReport, CliError> {
    // First of all: what this does to the machine is not to count as its load.
    let seen = machine::facts();
    let inventory = asker.ask(ProbeTask::Inventory)?;
    let (gpus, driver) = found(&inventory);
    let machine = MachineFacts { driver, ..seen };
    let devices = devices(asker, &gpus, &machine)?;
    let mut links = Vec::new();
    for (from, to) in pairs(&devices) {
        let paths = match not_sound(&devices, &[&from, &to]) {
            // Each would cost a deadline and say nothing new.
            Some(message) => both_ways()
                .map(|path| PathReport::unheard(path, Health::Inconclusive, message.clone()))
                .to_vec(),
            None => paths(asker, &from, &to)?,
        };
        links.push(LinkReport {
            driver_says: driver_says(&devices, &machine.driver, &from, &to),
            ..LinkReport::new(from, to, paths)
        });
    }
    let mut findings = advice::findings(&devices, &links, &machine);
    let mut summary = advice::summary(&devices, &links);
    if let Some(trouble) = inventory.trouble {
        findings.insert(0, no_inventory(&trouble));
        summary = format!(
            "GPUs could not be listed ({}); of the rest: {summary}",
            trouble.health.as_str()
        );
    }
    let worst = devices.iter().map(|device| device.health);
    let worst = worst.chain(links.iter().map(|link| link.health));
    let worst = worst.chain(findings.iter().map(|finding| finding.health));
    Ok(DoctorReport {
        schema_version: DOCTOR_VERSION,
        tool: Tool {
            name: "placebench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: placebench_engine::worker::build_profile().to_owned(),
        },
        measured_at: environment::now_rfc3339(),
        quick: asker.quick,
        verdict: worst.max().unwrap_or(Health::Inconclusive),
        summary,
        findings,
        rates: rates_of(&devices, &links),
        machine,
        devices,
        links,
        noise_floor: None,
    })
}

fn found(inventory: &Answer) -> (Vec<GpuFacts>, DriverFacts) {
    let mut gpus = Vec::new();
    let mut driver = DriverFacts::default();
    for event in &inventory.events {
        match event {
            ProbeEvent::Gpus { gpus: found } => gpus.clone_from(found),
            ProbeEvent::Driver { driver: found } => driver.clone_from(found),
            _ => {}
        }
    }
    (gpus, driver)
}

fn no_inventory(trouble: &Trouble) -> Finding {
    Finding {
        about: "machine".to_owned(),
        health: trouble.health,
        message: format!("its GPUs could not be listed: {}", trouble.message),
        hints: vec!["look at: `nvidia-smi`; where it hangs too, the driver does, and only a restart helps".to_owned()],
    }
}

/// The host, the GPUs, and the logical devices, the physical ones measured.
fn devices(asker: &Asker, gpus: &[GpuFacts], machine: &MachineFacts) -> Result<Vec<DeviceReport>, CliError> {
    let mut devices = vec![measured(
        asker,
        DeviceReport {
            name: format!("{}, {} threads", machine.cpu, machine.threads),
            memory_bytes: Some(machine.memory_bytes),
            free_bytes: machine.available_bytes,
            ..unmeasured(&DeviceId::cpu())
        },
    )?];
    for gpu in gpus {
        let by_driver = machine
            .driver
            .gpus
            .iter()
            .find(|known| known.uuid.is_some() && known.uuid == gpu.uuid);
        let report = DeviceReport {
            name: gpu.name.clone(),
            uuid: gpu.uuid.clone(),
            bus_id: by_driver.and_then(|known| known.bus_id.clone()),
            memory_bytes: gpu.memory_bytes,
            free_bytes: gpu.free_bytes,
            ..unmeasured(&gpu.id)
        };
        devices.push(measured(asker, report)?);
    }
    for logical in &asker.devices {
        let report = slice_of(logical, &devices)?;
        devices.push(report);
    }
    Ok(devices)
}

fn unmeasured(id: &DeviceId) -> DeviceReport {
    DeviceReport {
        id: id.clone(),
        on: id.clone(),
        name: String::new(),
        uuid: None,
        bus_id: None,
        memory_bytes: None,
        free_bytes: None,
        health: Health::Inconclusive,
        message: None,
        rates: None,
        copy_bytes_per_s: None,
        matmul_flops_per_s: None,
    }
}

fn measured(asker: &Asker, device: DeviceReport) -> Result<DeviceReport, CliError> {
    let answer = asker.ask(ProbeTask::Device {
        device: device.id.clone(),
    })?;
    let figures: Option<DeviceFigures> = answer.events.iter().find_map(|event| match event {
        ProbeEvent::Device { figures } => Some(*figures),
        _ => None,
    });
    Ok(match (figures, answer.trouble) {
        (Some(figures), None) => DeviceReport {
            health: Health::Ok,
            rates: Some(figures.rates),
            copy_bytes_per_s: Some(figures.copy_bytes_per_s),
            matmul_flops_per_s: Some(figures.matmul_flops_per_s),
            ..device
        },
        (_, Some(trouble)) => DeviceReport {
            health: trouble.health,
            message: Some(trouble.message),
            ..device
        },
        (None, None) => DeviceReport {
            message: Some("the probe gave no figures".to_owned()),
            ..device
        },
    })
}

/// A slice is as fast and as sound as what it lies on.
fn slice_of(logical: &LogicalDevice, physical: &[DeviceReport]) -> Result<DeviceReport, CliError> {
    if logical.id.kind() != DeviceKind::Logical || physical.iter().any(|device| device.id == logical.id) {
        return Err(CliError::setup(format!(
            "logical device {} has a name that is taken",
            logical.id
        )));
    }
    let below = physical
        .iter()
        .find(|device| device.id == logical.on && device.on == device.id)
        .ok_or_else(|| {
            let names: Vec<&str> = physical
                .iter()
                .filter(|device| device.id == device.on)
                .map(|device| device.id.as_str())
                .collect();
            CliError::setup(format!(
                "logical device {} lies on {}, which is not there; there is: {}",
                logical.id,
                logical.on,
                names.join(", ")
            ))
        })?;
    Ok(DeviceReport {
        id: logical.id.clone(),
        on: logical.on.clone(),
        name: format!("slice of {}", logical.on),
        memory_bytes: logical.memory_bytes,
        free_bytes: None,
        message: below.message.as_ref().map(|_| format!("{} is not sound", below.id)),
        copy_bytes_per_s: None,
        matmul_flops_per_s: None,
        ..below.clone()
    })
}

/// Every ordered pair, and for each physical device itself: two slices of it.
fn pairs(devices: &[DeviceReport]) -> Vec<(DeviceId, DeviceId)> {
    let mut pairs = Vec::new();
    for from in devices {
        for to in devices {
            if from.id != to.id || from.id == from.on {
                pairs.push((from.id.clone(), to.id.clone()));
            }
        }
    }
    pairs
}

fn both_ways() -> [Transfer; 2] {
    [Transfer::Direct, Transfer::Host]
}

/// Which of the ends has failed already, in words.
fn not_sound(devices: &[DeviceReport], ends: &[&DeviceId]) -> Option<String> {
    let failed = devices
        .iter()
        .find(|device| ends.contains(&&device.id) && device.health != Health::Ok)?;
    Some(format!("not tried: {} is {}", failed.id, failed.health.as_str()))
}

/// Both ways to copy. A way that hangs or kills its probe does not keep the other from being tried.
fn paths(asker: &Asker, from: &DeviceId, to: &DeviceId) -> Result<Vec<PathReport>, CliError> {
    let mut left = both_ways().to_vec();
    let mut paths = Vec::new();
    while !left.is_empty() {
        let answer = asker.ask(ProbeTask::Link {
            from: from.clone(),
            to: to.clone(),
            paths: left.clone(),
        })?;
        for event in answer.events {
            if let ProbeEvent::Path {
                transfer,
                copies,
                rates,
            } = event
            {
                left.retain(|path| *path != transfer);
                paths.push(PathReport::compared(transfer, copies, rates));
            }
        }
        let Some(failed) = left.first().copied() else { break };
        let trouble = answer.trouble.unwrap_or_else(|| Trouble {
            health: Health::Inconclusive,
            message: "the probe said nothing about it".to_owned(),
        });
        paths.push(PathReport::unheard(failed, trouble.health, trouble.message));
        left.retain(|path| *path != failed);
    }
    Ok(paths)
}

fn driver_says(devices: &[DeviceReport], driver: &DriverFacts, from: &DeviceId, to: &DeviceId) -> Option<String> {
    let uuid = |id: &DeviceId| devices.iter().find(|device| device.id == *id)?.uuid.clone();
    let (from, to) = (uuid(from)?, uuid(to)?);
    let peers = driver.peers.iter().find(|peers| peers.from == from && peers.to == to)?;
    Some(peers.says.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, on: &str) -> DeviceReport {
        DeviceReport {
            on: DeviceId::new(on).unwrap(),
            ..unmeasured(&DeviceId::new(id).unwrap())
        }
    }

    #[test]
    fn pairs_are_ordered_and_slices_of_physical_devices_stand_for_two() {
        let devices = [device("cpu", "cpu"), device("sim:0", "cpu"), device("sim:1", "cpu")];
        let names: Vec<String> = pairs(&devices)
            .iter()
            .map(|(from, to)| format!("{from}>{to}"))
            .collect();
        assert_eq!(
            names,
            [
                "cpu>cpu",
                "cpu>sim:0",
                "cpu>sim:1",
                "sim:0>cpu",
                "sim:0>sim:1",
                "sim:1>cpu",
                "sim:1>sim:0"
            ]
        );
    }

    #[test]
    fn logical_devices_lie_on_something_that_is_there() {
        let slice = |id: &str, on: &str| LogicalDevice {
            id: DeviceId::new(id).unwrap(),
            on: DeviceId::new(on).unwrap(),
            memory_bytes: None,
        };
        let there = [device("cpu", "cpu"), device("sim:0", "cpu")];
        assert_eq!(slice_of(&slice("sim:1", "cpu"), &there).unwrap().name, "slice of cpu");
        for (id, on) in [
            ("sim:1", "cuda:7"),
            ("sim:1", "sim:0"),
            ("sim:0", "cpu"),
            ("cuda:0", "cpu"),
        ] {
            assert!(slice_of(&slice(id, on), &there).is_err(), "{id} on {on}");
        }
    }
}
