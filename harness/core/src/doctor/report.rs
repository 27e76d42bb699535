//! What `placebench doctor --format json` prints.

use serde::{Deserialize, Serialize};

use super::machine::MachineFacts;
use super::noise::NoiseFloor;
use super::probe::CopyFigures;
use crate::device::DeviceId;
use crate::exit_code::ExitCode;
use crate::placement::Transfer;
use crate::planner::{DeviceRates, Link, LinkRates, Rates};
use crate::record::Tool;
use crate::units::Bytes;

/// Version of the document.
///
/// 1: the first.
pub const DOCTOR_VERSION: u32 = 1;

/// How a device, a link or the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything that was asked of it came out right.
    Ok,
    /// Nothing can be said: the probe could not do its work.
    Inconclusive,
    /// It did not answer within its deadline.
    Stalled,
    /// It delivered wrong data.
    Corrupt,
}

impl Health {
    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Inconclusive => "inconclusive",
            Self::Stalled => "stalled",
            Self::Corrupt => "corrupt",
        }
    }

    /// The exit code of a command that found this.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Ok => ExitCode::Passed,
            Self::Inconclusive => ExitCode::NoVerdict,
            Self::Stalled | Self::Corrupt => ExitCode::CaseFailed,
        }
    }
}

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// [`DOCTOR_VERSION`].
    pub schema_version: u32,
    /// The program that measured.
    pub tool: Tool,
    /// When, in UTC.
    pub measured_at: String,
    /// Fewer and smaller samples than usual.
    pub quick: bool,
    /// The worst of all devices and links.
    pub verdict: Health,
    /// The same in words.
    pub summary: String,
    /// What a person should know or do, problems first.
    pub findings: Vec<Finding>,
    /// The machine.
    pub machine: MachineFacts,
    /// Devices, the host first.
    pub devices: Vec<DeviceReport>,
    /// Ordered pairs.
    pub links: Vec<LinkReport>,
    /// What planners reckon with; `--rates` of other commands reads it.
    pub rates: Rates<DeviceId>,
    /// How much two equal attempts differ here; measured on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<NoiseFloor>,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: a device, `sim:0 -> sim:1`, or `machine`.
    pub about: String,
    /// How bad it is; `ok` for what is only worth knowing.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What to do, the nearest first.
    pub hints: Vec<String>,
}

/// A device and how it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name in device maps.
    pub id: DeviceId,
    /// The physical device it lies on; itself for those.
    pub on: DeviceId,
    /// What it is.
    pub name: String,
    /// What names the hardware whatever its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its place on the PCI bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_id: Option<String>,
    /// Its memory, or the budget of a logical device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Bytes>,
    /// What nobody has allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<Bytes>,
    /// How its probe went.
    pub health: Health,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the decoder achieves on it. A logical device is not measured: it is as fast as what it lies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<DeviceRates>,
    /// Bytes read and written in a second by a plain copy of its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_bytes_per_s: Option<f64>,
    /// Operations a second of a matrix product alone, in single precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matmul_flops_per_s: Option<f64>,
}

/// An ordered pair of devices and how it did. The same device twice stands for two slices of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Where copies begin.
    pub from: DeviceId,
    /// Where they end.
    pub to: DeviceId,
    /// The worst of its paths.
    pub health: Health,
    /// The driver's word on peer-to-peer copies between the two cards, for comparison with what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_says: Option<String>,
    /// The ways to copy.
    pub paths: Vec<PathReport>,
}

/// One way to copy from one device to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// Which.
    pub transfer: Transfer,
    /// How it did.
    pub health: Health,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How fast; absent where it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<LinkRates>,
    /// Copies by size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyFigures>,
}

impl LinkReport {
    /// A pair and its paths.
    #[must_use]
    pub fn new(from: DeviceId, to: DeviceId, paths: Vec<PathReport>) -> Self {
        let health = paths
            .iter()
            .map(|path| path.health)
            .max()
            .unwrap_or(Health::Inconclusive);
        Self {
            from,
            to,
            health,
            driver_says: None,
            paths,
        }
    }

    /// `sim:0 -> sim:1`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} -> {}", self.from, self.to)
    }

    /// One of its paths.
    #[must_use]
    pub fn path(&self, transfer: Transfer) -> Option<&PathReport> {
        self.paths.iter().find(|path| path.transfer == transfer)
    }

    /// How fast a placement can use it: directly if that is sound, else through the host.
    #[must_use]
    pub fn usable_rates(&self) -> Option<LinkRates> {
        [Transfer::Direct, Transfer::Host]
            .into_iter()
            .find_map(|transfer| self.path(transfer).filter(|path| path.health == Health::Ok)?.rates)
    }
}

impl PathReport {
    /// A path whose copies were compared.
    #[must_use]
    pub fn compared(transfer: Transfer, copies: Vec<CopyFigures>, rates: Option<LinkRates>) -> Self {
        let worst = copies.iter().max_by_key(|copy| copy.wrong_bytes);
        let message = worst.filter(|copy| copy.wrong_bytes.0 > 0).map(|copy| {
            let arrived = copy
                .arrived
                .map_or("other data arrived", super::probe::Arrived::in_words);
            format!(
                "{} of {} bytes wrong in a copy of {}: {arrived}",
                copy.wrong_bytes.0, copy.bytes.0, copy.bytes
            )
        });
        let health = match (&message, copies.is_empty()) {
            (Some(_), _) => Health::Corrupt,
            (None, true) => Health::Inconclusive,
            (None, false) => Health::Ok,
        };
        Self {
            transfer,
            health,
            message,
            rates: rates.filter(|_| health == Health::Ok),
            copies,
        }
    }

    /// A path of which nothing was heard.
    #[must_use]
    pub fn unheard(transfer: Transfer, health: Health, message: String) -> Self {
        Self {
            transfer,
            health,
            message: Some(message),
            rates: None,
            copies: Vec::new(),
        }
    }
}

/// What planners reckon with. Devices that were not measured get the rates of the slowest that was, and pairs without a
/// sound path those of the slowest link: nothing unknown looks attractive.
#[must_use]
pub fn rates_of(devices: &[DeviceReport], links: &[LinkReport]) -> Rates<DeviceId> {
    let measured: Vec<(DeviceId, DeviceRates)> = devices
        .iter()
        .filter_map(|device| Some((device.id.clone(), device.rates?)))
        .collect();
    let sound: Vec<Link<DeviceId>> = links
        .iter()
        .filter_map(|link| {
            Some(Link {
                from: link.from.clone(),
                to: link.to.clone(),
                rates: link.usable_rates()?,
            })
        })
        .collect();
    let otherwise: Rates<DeviceId> = Rates::default();
    let slowest_device = measured.iter().map(|(_, rates)| *rates).reduce(|a, b| DeviceRates {
        memory_bytes_per_s: a.memory_bytes_per_s.min(b.memory_bytes_per_s),
        flops_per_s: a.flops_per_s.min(b.flops_per_s),
        step_overhead_s: a.step_overhead_s.max(b.step_overhead_s),
        layer_overhead_s: a.layer_overhead_s.max(b.layer_overhead_s),
    });
    let slowest_link = sound.iter().map(|link| link.rates).reduce(|a, b| LinkRates {
        latency_s: a.latency_s.max(b.latency_s),
        bytes_per_s: a.bytes_per_s.min(b.bytes_per_s),
    });
    Rates {
        devices: measured,
        default_device: slowest_device.unwrap_or(otherwise.default_device),
        links: sound,
        default_link: slowest_link.unwrap_or(otherwise.default_link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::probe::Arrived;

    fn copy(wrong: u64) -> CopyFigures {
        CopyFigures {
            bytes: Bytes(4096),
            compared: 3,
            wrong_bytes: Bytes(wrong),
            first_wrong_byte: None,
            arrived: (wrong > 0).then_some(Arrived::Zeros),
            median_s: None,
        }
    }

    fn rates(latency_s: f64, bytes_per_s: f64) -> Option<LinkRates> {
        Some(LinkRates { latency_s, bytes_per_s })
    }

    fn link(to: &str, direct: PathReport, host: PathReport) -> LinkReport {
        LinkReport::new(DeviceId::cpu(), DeviceId::new(to).unwrap(), vec![direct, host])
    }

    #[test]
    fn one_wrong_byte_is_corruption_and_its_speed_is_not_told() {
        let path = PathReport::compared(Transfer::Direct, vec![copy(0), copy(1)], rates(1.0, 1.0));
        assert_eq!((path.health, path.rates), (Health::Corrupt, None));
        assert_eq!(
            path.message.as_deref(),
            Some("1 of 4096 bytes wrong in a copy of 4.00 KiB: zeros arrived")
        );
        let path = PathReport::compared(Transfer::Direct, vec![copy(0)], rates(1.0, 1.0));
        assert_eq!((path.health, path.message), (Health::Ok, None));
        let path = PathReport::compared(Transfer::Direct, vec![], None);
        assert_eq!(path.health, Health::Inconclusive);
    }

    #[test]
    fn a_link_with_one_sound_path_is_used_by_it_and_one_without_is_the_slowest() {
        let good = |transfer, speed| PathReport::compared(transfer, vec![copy(0)], rates(1e-6, speed));
        let bad = |transfer| PathReport::compared(transfer, vec![copy(9)], None);
        let links = [
            link("cuda:0", good(Transfer::Direct, 4.0), good(Transfer::Host, 2.0)),
            link("cuda:1", bad(Transfer::Direct), good(Transfer::Host, 3.0)),
            link("cuda:2", bad(Transfer::Direct), bad(Transfer::Host)),
        ];
        let rates = rates_of(&[], &links);
        let speed = |to: &str| rates.link(&DeviceId::cpu(), &DeviceId::new(to).unwrap()).bytes_per_s;
        assert_eq!([speed("cuda:0"), speed("cuda:1"), speed("cuda:2")], [4.0, 3.0, 3.0]);
        assert_eq!(links[1].health, Health::Corrupt, "also where the host path works");
        assert_eq!(rates.check(), Ok(()));
    }

    #[test]
    fn the_worst_decides_the_exit_code() {
        let worst = [Health::Inconclusive, Health::Ok, Health::Stalled].into_iter().max();
        assert_eq!(worst.map(Health::exit_code), Some(ExitCode::CaseFailed));
        let worst = [Health::Inconclusive, Health::Ok].into_iter().max();
        assert_eq!(worst.map(Health::exit_code), Some(ExitCode::NoVerdict));
        assert_eq!(Health::Ok.exit_code(), ExitCode::Passed);
    }
}
