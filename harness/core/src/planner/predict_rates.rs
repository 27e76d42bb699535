//! How fast devices and the links between them are.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::device::{DeviceId, LogicalDevice};

/// How fast a device is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeviceRates {
    /// Bytes it reads from its memory in a second.
    pub memory_bytes_per_s: f64,
    /// Floating-point operations in a second, a multiplication and an addition being two.
    pub flops_per_s: f64,
    /// Seconds that each stage takes in each step whatever it computes: launching, synchronising.
    pub step_overhead_s: f64,
    /// Seconds that each decoder layer takes in each step whatever it computes: launching its kernels.
    pub layer_overhead_s: f64,
}

/// How fast a hidden state moves between two devices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkRates {
    /// Seconds until a copy begins to arrive.
    pub latency_s: f64,
    /// Bytes in a second from then on.
    pub bytes_per_s: f64,
}

/// The rates of one ordered pair of devices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Link<D> {
    /// Where the hidden state comes from.
    pub from: D,
    /// Where it goes.
    pub to: D,
    /// How fast.
    pub rates: LinkRates,
}

/// The rates of a machine, measured or assumed. The last entry wins where a device or pair occurs twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates<D> {
    /// Devices.
    pub devices: Vec<(D, DeviceRates)>,
    /// For devices that are not listed.
    pub default_device: DeviceRates,
    /// Ordered pairs of devices.
    pub links: Vec<Link<D>>,
    /// For pairs that are not listed.
    pub default_link: LinkRates,
}

/// Why rates cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{of}: `{key}` = {value} is not {wanted}")]
pub struct RateError {
    /// The device or link, in words.
    pub of: String,
    /// The rate.
    pub key: &'static str,
    /// Its value.
    pub value: f64,
    /// What it has to be.
    pub wanted: &'static str,
}

/// Equal devices and equal links. Only comparisons between placements mean anything with these: the fewest hops win.
impl<D> Default for Rates<D> {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            default_device: DeviceRates {
                memory_bytes_per_s: 1e12,
                flops_per_s: 1e14,
                step_overhead_s: 0.0,
                layer_overhead_s: 0.0,
            },
            links: Vec::new(),
            default_link: LinkRates {
                latency_s: 1e-5,
                bytes_per_s: 1e10,
            },
        }
    }
}

impl<D: PartialEq> Rates<D> {
    /// The rates of a device.
    #[must_use]
    pub fn device(&self, device: &D) -> DeviceRates {
        let listed = self.devices.iter().rev().find(|(known, _)| known == device);
        listed.map_or(self.default_device, |&(_, rates)| rates)
    }

    /// True where the device has rates of its own.
    #[must_use]
    pub fn knows(&self, device: &D) -> bool {
        self.devices.iter().any(|(known, _)| known == device)
    }

    /// The rates from one device to another.
    #[must_use]
    pub fn link(&self, from: &D, to: &D) -> LinkRates {
        let listed = self
            .links
            .iter()
            .rev()
            .find(|link| link.from == *from && link.to == *to);
        listed.map_or(self.default_link, |link| link.rates)
    }
}

impl Rates<DeviceId> {
    /// Gives logical devices that are not listed the rates of what they lie on, and pairs of them the rates of the pair
    /// they lie on (two slices of one device: a copy within that device, if `from` and `to` are listed as the same).
    #[must_use]
    pub fn with_logical(mut self, devices: &[LogicalDevice]) -> Self {
        for logical in devices {
            if !self.knows(&logical.id) && self.knows(&logical.on) {
                self.devices.push((logical.id.clone(), self.device(&logical.on)));
            }
        }
        let below = |id: &DeviceId| {
            let logical = devices.iter().find(|logical| logical.id == *id);
            logical.map_or_else(|| id.clone(), |logical| logical.on.clone())
        };
        let mut ends: Vec<DeviceId> = devices.iter().map(|logical| logical.id.clone()).collect();
        for link in &self.links {
            for end in [&link.from, &link.to] {
                if !ends.contains(end) {
                    ends.push(end.clone());
                }
            }
        }
        let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to)));
        let mut added = Vec::new();
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let listed = |from: &DeviceId, to: &DeviceId| {
                let mut links = self.links.iter().rev();
                links.find(|link| link.from == *from && link.to == *to)
            };
            if listed(from, to).is_none()
                && let Some(link) = listed(&below(from), &below(to))
            {
                added.push(Link {
                    from: from.clone(),
                    to: to.clone(),
                    rates: link.rates,
                });
            }
        }
        self.links.extend(added);
        self
    }
}

impl<D: fmt::Display> Rates<D> {
    /// Checks that speeds are positive and durations finite.
    ///
    /// # Errors
    /// With the first rate that is impossible.
    pub fn check(&self) -> Result<(), RateError> {
        check_device(&self.default_device, || "devices that are not listed".into())?;
        check_link(&self.default_link, || "links that are not listed".into())?;
        for (device, rates) in &self.devices {
            check_device(rates, || format!("device {device}"))?;
        }
        for link in &self.links {
            check_link(&link.rates, || format!("link from {} to {}", link.from, link.to))?;
        }
        Ok(())
    }
}

fn check_device(rates: &DeviceRates, of: impl Fn() -> String) -> Result<(), RateError> {
    speed("memory_bytes_per_s", rates.memory_bytes_per_s, &of)?;
    speed("flops_per_s", rates.flops_per_s, &of)?;
    duration("step_overhead_s", rates.step_overhead_s, &of)?;
    duration("layer_overhead_s", rates.layer_overhead_s, &of)
}

fn check_link(rates: &LinkRates, of: impl Fn() -> String) -> Result<(), RateError> {
    speed("bytes_per_s", rates.bytes_per_s, &of)?;
    duration("latency_s", rates.latency_s, &of)
}

fn speed(key: &'static str, value: f64, of: impl Fn() -> String) -> Result<(), RateError> {
    if value > 0.0 {
        return Ok(());
    }
    Err(RateError {
        of: of(),
        key,
        value,
        wanted: "a positive number",
    })
}

fn duration(key: &'static str, value: f64, of: impl Fn() -> String) -> Result<(), RateError> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(RateError {
        of: of(),
        key,
        value,
        wanted: "a number of seconds, zero or more",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_rates_win_over_defaults() {
        let slow = LinkRates {
            latency_s: 1.0,
            bytes_per_s: 1.0,
        };
        let rates = Rates {
            links: vec![Link {
                from: "a",
                to: "b",
                rates: slow,
            }],
            ..Rates::default()
        };
        assert_eq!(rates.link(&"a", &"b"), slow);
        assert_eq!(rates.link(&"b", &"a"), rates.default_link, "a pair is ordered");
        assert!(!rates.knows(&"a"));
        assert_eq!(rates.check(), Ok(()));
    }

    #[test]
    fn logical_devices_are_as_fast_as_what_they_lie_on() {
        let id = |name: &str| DeviceId::new(name).unwrap();
        let logical = |name: &str, on: &str| LogicalDevice {
            id: id(name),
            on: id(on),
            memory_bytes: None,
        };
        let default: Rates<DeviceId> = Rates::default();
        let with = |flops_per_s: f64| DeviceRates {
            flops_per_s,
            ..default.default_device
        };
        let link = |from: &str, to: &str, latency_s: f64| Link {
            from: id(from),
            to: id(to),
            rates: LinkRates {
                latency_s,
                bytes_per_s: 1.0,
            },
        };
        let rates = Rates {
            devices: vec![
                (id("cpu"), with(1.0)),
                (id("cuda:0"), with(2.0)),
                (id("sim:1"), with(3.0)),
            ],
            links: vec![
                link("cpu", "cpu", 0.1),
                link("cpu", "cuda:0", 0.2),
                link("sim:1", "sim:0", 0.3),
            ],
            ..default.clone()
        };
        let rates = rates.with_logical(&[
            logical("sim:0", "cpu"),
            logical("sim:1", "cpu"),
            logical("half:0", "cuda:0"),
        ]);
        let flops = |name: &str| rates.device(&id(name)).flops_per_s;
        assert_eq!([flops("sim:0"), flops("sim:1"), flops("half:0")], [1.0, 3.0, 2.0]);
        let latency = |from: &str, to: &str| rates.link(&id(from), &id(to)).latency_s;
        assert_eq!(latency("sim:0", "sim:1"), 0.1);
        assert_eq!(latency("sim:1", "sim:0"), 0.3, "what is stated wins");
        assert_eq!(latency("sim:0", "half:0"), 0.2);
        assert_eq!(latency("cpu", "half:0"), 0.2);
        assert_eq!(
            latency("half:0", "sim:0"),
            default.default_link.latency_s,
            "a pair is ordered"
        );
    }

    #[test]
    fn impossible_rates_are_named() {
        let default: Rates<&str> = Rates::default();
        for wrong in [0.0, -1.0, f64::NAN] {
            let device = DeviceRates {
                flops_per_s: wrong,
                ..default.default_device
            };
            let rates = Rates {
                devices: vec![("gpu", device)],
                ..default.clone()
            };
            let message = rates.check().unwrap_err().to_string();
            assert!(message.starts_with("device gpu: `flops_per_s` = "), "{message}");
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            let link = LinkRates {
                latency_s: wrong,
                ..default.default_link
            };
            let rates = Rates {
                links: vec![Link {
                    from: "a",
                    to: "b",
                    rates: link,
                }],
                ..default.clone()
            };
            let message = rates.check().unwrap_err().to_string();
            assert!(message.starts_with("link from a to b: `latency_s` = "), "{message}");
        }
    }
}
