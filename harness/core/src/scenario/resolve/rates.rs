//! How fast the devices are, as a scenario states it.

use std::ops::Range;

use toml::Spanned;

use super::{Origin, ReadText};
use crate::device::{DeviceId, LogicalDevice};
use crate::planner::{DeviceRates, Link, LinkRates, Rates};
use crate::scenario::file::{RatesTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::rules;

/// The rates of a scenario; `None` where it states none.
pub(super) fn resolve_rates(
    file: &ScenarioFile,
    origin: &Origin,
    devices: &[LogicalDevice],
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Rates<DeviceId>> {
    let table = file.rates.as_ref()?;
    let mut rates = from_file(table, origin, read_text, problems);
    for (name, stated) in table.device.iter().flat_map(crate::scenario::value::Named::iter) {
        let Some(device) = device(name, devices, problems) else {
            continue;
        };
        let speed = DeviceRates {
            memory_bytes_per_s: stated.memory_bytes_per_s,
            flops_per_s: stated.flops_per_s,
            step_overhead_s: stated.step_overhead_s.unwrap_or(0.0),
            layer_overhead_s: stated.layer_overhead_s.unwrap_or(0.0),
        };
        let alone = Rates {
            devices: vec![(device, speed)],
            ..Rates::default()
        };
        refuse_impossible(&alone, &name.span(), problems);
        rates.devices.extend(alone.devices);
    }
    for link in table.link.iter().flatten() {
        let stated = link.get_ref();
        let ends = (
            device(&stated.from, devices, problems),
            device(&stated.to, devices, problems),
        );
        let (Some(from), Some(to)) = ends else { continue };
        let speed = LinkRates {
            latency_s: stated.latency_s.unwrap_or(0.0),
            bytes_per_s: stated.bytes_per_s,
        };
        let alone = Rates {
            links: vec![Link { from, to, rates: speed }],
            ..Rates::default()
        };
        refuse_impossible(&alone, &link.span(), problems);
        rates.links.extend(alone.links);
    }
    Some(rates)
}

/// Reads what `placebench doctor --format json` writes: an object whose `rates` are the rates.
///
/// # Errors
/// When the text is no such object, in words.
pub fn rates_from_json(text: &str) -> Result<Rates<DeviceId>, String> {
    #[derive(serde::Deserialize)]
    struct Measured {
        rates: Rates<DeviceId>,
    }
    let measured: Measured = serde_json::from_str(text).map_err(|error| {
        format!("no rates can be read from it ({error}); write one with `placebench doctor --format json`")
    })?;
    measured.rates.check().map_err(|error| error.to_string())?;
    Ok(measured.rates)
}

fn from_file(
    table: &RatesTable,
    origin: &Origin,
    read_text: ReadText<'_>,
    problems: &mut Vec<Problem>,
) -> Rates<DeviceId> {
    let Some(path) = &table.file else {
        return Rates::default();
    };
    let read = rules::text_inside_suite(path, origin, problems).map(|absolute| {
        read_text(&absolute)
            .and_then(|text| rates_from_json(&text))
            .map_err(|error| {
                Problem::at(path.span(), format!("{}: {error}", absolute.display()))
                    .hint("measure this machine with: placebench doctor --format json")
            })
    });
    match read {
        Some(Ok(rates)) => rates,
        Some(Err(problem)) => {
            problems.push(problem);
            Rates::default()
        }
        None => Rates::default(),
    }
}

fn device(name: &Spanned<String>, devices: &[LogicalDevice], problems: &mut Vec<Problem>) -> Option<DeviceId> {
    match DeviceId::new(name.get_ref()) {
        Ok(device) => {
            rules::device_exists(&device, &name.span(), devices, problems);
            Some(device)
        }
        Err(error) => {
            problems.push(Problem::at(name.span(), error.to_string()));
            None
        }
    }
}

fn refuse_impossible(rates: &Rates<DeviceId>, span: &Range<usize>, problems: &mut Vec<Problem>) {
    if let Err(error) = rates.check() {
        problems.push(Problem::at(span.clone(), error.to_string()));
    }
}
