//! Where the modules go, what must be true there, and what goes wrong on purpose.

use toml::Spanned;

use super::DEFAULT_MAX_GAP;
use super::launch::resolve_launch;
use crate::device::{DeviceId, LogicalDevice};
use crate::fault::{Fault, FaultPoint};
use crate::placement::{Concurrency, DeviceMapRequest, PlacementRequest, StrategyName};
use crate::planner::{Dialect, Objective};
use crate::record::{AgreementSpec, Expectation};
use crate::scenario::fault_rules;
use crate::scenario::file::{ExpectTable, PlacementTable, ScenarioFile};
use crate::scenario::limits::resolve_limits;
use crate::scenario::problem::{Problem, suggestion};
use crate::scenario::rules;
use crate::scenario::value::{DeviceMapValue, DevicesUsed, SnapshotValue};

/// The device map that asks for the placement that is predicted to be fastest.
pub(super) const OPTIMAL: &str = "optimal";

pub(super) fn resolve_placement(
    table: &PlacementTable,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> PlacementRequest {
    let device_map = resolve_device_map(table, devices, problems);
    if let Some(key) = &table.objective
        && !matches!(device_map, DeviceMapRequest::Optimal(_))
    {
        problems.push(Problem::at(
            key.span(),
            "objective goes with device_map = \"optimal\": only that minimises a time",
        ));
    }
    let max_memory = table
        .max_memory
        .as_ref()
        .map(|budgets| rules::max_memory(budgets, devices, problems));
    PlacementRequest {
        device_map,
        max_memory,
        transfer: table.transfer.unwrap_or_default(),
        offload: table.offload.unwrap_or_default(),
        planner: table.planner.map_or_else(Dialect::default, Dialect::from),
        concurrency: concurrency(table, problems),
    }
}

/// Exactly one of a device map, ranks, and what an engine does by itself.
fn resolve_device_map(
    table: &PlacementTable,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> DeviceMapRequest {
    match (&table.device_map, &table.launch, &table.stated) {
        (Some(written), None, None) => written_map(written, table, devices, problems),
        (None, Some(launch), None) => DeviceMapRequest::Ranks(resolve_launch(launch, problems)),
        (None, None, Some(stated)) => DeviceMapRequest::Stated(stated.get_ref().clone()),
        (None, None, None) => {
            problems.push(
                Problem::general("a placement says neither where the modules go nor who decides it")
                    .hint("give each a device_map, a launch, or for engine = \"openai\" what is stated"),
            );
            DeviceMapRequest::Single(DeviceId::cpu())
        }
        (Some(_), Some(launch), _) => {
            problems.push(
                Problem::at(launch.span(), "device_map and launch exclude each other: each rank would spread its copy over the devices of the others")
                    .hint("that combination hangs, asserts on the device or computes nonsense; keep launch for one device a rank, or device_map for one process"),
            );
            DeviceMapRequest::Single(DeviceId::cpu())
        }
        (_, _, Some(stated)) => {
            problems.push(Problem::at(
                stated.span(),
                "stated stands instead of device_map and launch: keep one of them",
            ));
            DeviceMapRequest::Single(DeviceId::cpu())
        }
    }
}

fn written_map(
    written: &Spanned<DeviceMapValue>,
    table: &PlacementTable,
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> DeviceMapRequest {
    let span = written.span();
    match written.get_ref() {
        DeviceMapValue::Word(word) if word == OPTIMAL => DeviceMapRequest::Optimal(
            table
                .objective
                .as_ref()
                .map_or_else(Objective::default, |key| *key.get_ref()),
        ),
        DeviceMapValue::Word(word) => match (StrategyName::from_name(word), DeviceId::new(word)) {
            (Some(strategy), _) => DeviceMapRequest::Strategy(strategy),
            (None, Ok(device)) => {
                rules::device_exists(&device, &span, devices, problems);
                if device == DeviceId::disk() {
                    problems.push(Problem::at(
                        span,
                        "a model cannot be on disk as a whole: something must compute",
                    ));
                }
                DeviceMapRequest::Single(device)
            }
            (None, Err(_)) => {
                let mut known: Vec<&str> = StrategyName::ALL.iter().map(|strategy| strategy.as_str()).collect();
                known.push(OPTIMAL);
                known.extend(devices.iter().map(|device| device.id.as_str()));
                known.push("cpu");
                problems.push(
                    Problem::at(span, format!("`{word}` is neither a strategy nor a device"))
                        .hint(suggestion(word, &known)),
                );
                DeviceMapRequest::Single(DeviceId::cpu())
            }
        },
        DeviceMapValue::Table(map) => {
            if map.0.is_empty() {
                problems.push(Problem::at(span, "the device map is empty"));
            }
            for (module, device) in map.iter() {
                rules::device_exists(&device.0, &module.span(), devices, problems);
            }
            DeviceMapRequest::Manual(
                map.iter()
                    .map(|(module, device)| (module.get_ref().clone(), device.0.clone()))
                    .collect(),
            )
        }
    }
}

/// Far above what is measured, far below what would be a slip of the pen for bytes or milliseconds.
const MOST_SEQUENCES: u32 = 1024;

fn concurrency(table: &PlacementTable, problems: &mut Vec<Problem>) -> Concurrency {
    for (key, name) in [(&table.batch, "batch"), (&table.in_flight, "in_flight")] {
        if let Some(number) = key
            && !(1..=MOST_SEQUENCES).contains(number.get_ref())
        {
            let message = format!("{name} is a number of sequences, from 1 to {MOST_SEQUENCES}");
            problems.push(Problem::at(number.span(), message));
        }
    }
    let number = |key: &Option<Spanned<u32>>| key.as_ref().map_or(1, |number| *number.get_ref());
    match (number(&table.batch), number(&table.in_flight)) {
        (0 | 1, 0 | 1) => Concurrency::Single,
        (batch, 0 | 1) => Concurrency::Batch(batch),
        (0 | 1, in_flight) => Concurrency::InFlight(in_flight),
        (_, in_flight) => {
            if let Some(key) = &table.in_flight {
                problems.push(Problem::at(
                    key.span(),
                    "batch and in_flight are two ways to generate several sequences together: give one of them",
                ));
            }
            Concurrency::InFlight(in_flight)
        }
    }
}

/// The placement's own expectations win over the scenario's, key by key.
pub(super) fn resolve_expect(
    general: Option<&ExpectTable>,
    own: Option<&ExpectTable>,
    (placement, placements): (&str, &[&str]),
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> Expectation {
    if let Some(own) = own {
        rules::expectation(own, placements, problems);
    }
    let empty = ExpectTable::default();
    let (general, own) = (general.unwrap_or(&empty), own.unwrap_or(&empty));
    let used = |table: &ExpectTable| match &table.min_devices_used {
        Some(DevicesUsed::All(number)) => Some(*number),
        Some(DevicesUsed::ByPlacement(map)) => map
            .iter()
            .find(|(name, _)| name.get_ref() == placement)
            .map(|(_, number)| *number),
        None => None,
    };
    let agreement = own
        .agreement
        .as_ref()
        .or(general.agreement.as_ref())
        .map(|table| AgreementSpec {
            reference: table.reference.get_ref().clone(),
            rule: table.rule.unwrap_or_default(),
            max_gap: table.max_gap.as_ref().map_or(DEFAULT_MAX_GAP, |gap| *gap.get_ref()),
        });
    let snapshot = own.snapshot.or(general.snapshot).and_then(SnapshotValue::rule);
    let plain = |list: &Vec<Spanned<String>>| list.iter().map(|item| item.get_ref().clone()).collect::<Vec<_>>();
    Expectation {
        outcome: own.outcome.or(general.outcome).unwrap_or_default(),
        phase: own.phase.or(general.phase),
        at: own.at.clone().or_else(|| general.at.clone()),
        snapshot: snapshot.is_some(),
        agreement,
        forbid_devices: own
            .forbid_devices
            .as_ref()
            .or(general.forbid_devices.as_ref())
            .map(plain)
            .unwrap_or_default(),
        min_devices_used: used(own).or_else(|| used(general)),
        contains: own
            .contains
            .clone()
            .or_else(|| general.contains.clone())
            .unwrap_or_default(),
        fails: own
            .fails
            .as_ref()
            .or(general.fails.as_ref())
            .map(plain)
            .unwrap_or_default(),
        limits: own
            .limits
            .as_ref()
            .or(general.limits.as_ref())
            .map(|table| resolve_limits(table, devices, problems)),
        killed: own
            .killed
            .as_ref()
            .or(general.killed.as_ref())
            .map(|key| *key.get_ref()),
        snapshot_rule: snapshot.unwrap_or_default(),
    }
}

pub(super) fn resolve_faults(
    file: &ScenarioFile,
    placements: &[&str],
    devices: &[LogicalDevice],
    problems: &mut Vec<Problem>,
) -> Vec<(Fault, Vec<String>)> {
    let mut faults = Vec::new();
    for table in file.fault.iter().flatten() {
        let fault = table.get_ref();
        fault_rules::fault(table, placements, devices, problems);
        let at = fault.at.clone().unwrap_or_default();
        let narrowed = fault
            .placements
            .iter()
            .flatten()
            .map(|name| name.get_ref().clone())
            .collect();
        faults.push((
            Fault {
                kind: fault.kind,
                at: FaultPoint {
                    hop: at.hop.map(Spanned::into_inner),
                    module: at.module.map(Spanned::into_inner),
                    phase: at.phase.map(Spanned::into_inner),
                    token: at.token.map(Spanned::into_inner),
                    bytes: at.bytes.map(|size| size.into_inner().0),
                    link: at.link.map(Spanned::into_inner),
                    device: at.device.map(|device| device.into_inner().0),
                    generation: at.generation.map(Spanned::into_inner),
                    rank: at.rank.map(Spanned::into_inner),
                },
                factor: fault.factor.as_ref().map(|factor| *factor.get_ref()),
                delay_s: fault.delay.as_ref().map(|period| period.get_ref().0.as_secs_f64()),
                signal: fault.signal.as_ref().map(|signal| *signal.get_ref()),
            },
            narrowed,
        ));
    }
    faults
}
