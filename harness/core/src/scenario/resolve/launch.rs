//! Several processes instead of a device map.

use toml::Spanned;

use crate::breadcrumb::MOST_RANKS;
use crate::placement::{DeviceMapRequest, RanksSpec};
use crate::scenario::TRANSFORMERS;
use crate::scenario::engine_tables::LaunchTable;
use crate::scenario::file::{PlacementTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::resolve::NamedPlacement;
use crate::scenario::value::Named;

/// What a launcher tells each process it starts: a process that has them believes to be one of several.
const RANK_VARIABLES: [&str; 9] = [
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
];

/// Beginnings of others that do the same.
const LAUNCHER_PREFIXES: [&str; 3] = ["ACCELERATE_", "TORCHELASTIC_", "FSDP_"];

pub(super) fn resolve_launch(table: &Spanned<LaunchTable>, problems: &mut Vec<Problem>) -> RanksSpec {
    let span = table.span();
    let table = table.get_ref();
    let processes = table.processes.as_ref().map_or(2, |number| *number.get_ref());
    if !(2..=MOST_RANKS).contains(&processes) {
        problems.push(Problem::at(
            table.processes.as_ref().map_or(span, Spanned::span),
            format!("processes is a number from 2 to {MOST_RANKS}: one process is device_map = a device"),
        ));
    }
    if let Some(backend) = &table.backend
        && !is_word(backend.get_ref())
    {
        problems.push(
            Problem::at(backend.span(), format!("`{}` is no backend", backend.get_ref()))
                .hint("a word that torch.distributed knows: gloo on processors, nccl on NVIDIA's GPUs"),
        );
    }
    RanksSpec {
        launcher: table.with.unwrap_or_default(),
        processes,
        backend: table.backend.as_ref().map(|backend| backend.get_ref().clone()),
        parallel: table.parallel.unwrap_or_default(),
    }
}

fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What only the whole scenario tells: whether its engine can start ranks, and whether faults name ranks that will be there.
pub(super) fn check_launches(
    file: &ScenarioFile,
    placements: &[NamedPlacement],
    (engine, axis): (&str, &[String]),
    problems: &mut Vec<Problem>,
) {
    let tables = file.placement.iter().flat_map(Named::iter);
    for ((name, table), placement) in tables.zip(placements) {
        let Some(launch) = &table.launch else { continue };
        let of_scenario = if axis.is_empty() { &[engine.to_owned()] } else { axis };
        let others: Vec<&str> = of_scenario
            .iter()
            .filter(|engine| placement.engines.is_empty() || placement.engines.contains(engine))
            .map(String::as_str)
            .filter(|engine| *engine != TRANSFORMERS)
            .collect();
        if let Some(other) = others.first() {
            let problem = Problem::at(
                launch.span(),
                format!("launch is for engine = \"{TRANSFORMERS}\": {other} runs in one process"),
            );
            problems.push(if of_scenario.len() > 1 {
                problem.hint(format!(
                    "add to placement {}: engines = [\"{TRANSFORMERS}\"]",
                    name.get_ref()
                ))
            } else {
                problem.hint("write a device_map: it is what spreads one process over several devices")
            });
        }
        check_companions(table, problems);
    }
    check_environment(file, (engine, axis), problems);
    check_ranks_of_faults(file, placements, problems);
}

/// Keys of a placement that speak of one process with several devices.
fn check_companions(table: &PlacementTable, problems: &mut Vec<Problem>) {
    let Some(launch) = &table.launch else { return };
    let keys = [
        ("max_memory", table.max_memory.is_some()),
        ("planner", table.planner.is_some()),
        ("transfer", table.transfer.is_some()),
        ("offload", table.offload.is_some()),
        ("batch", table.batch.is_some()),
        ("in_flight", table.in_flight.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
        problems.push(Problem::at(
            launch.span(),
            format!("{key} goes with device_map, not with launch: each rank has one device and makes one sequence"),
        ));
    }
}

fn check_environment(file: &ScenarioFile, (engine, axis): (&str, &[String]), problems: &mut Vec<Problem>) {
    if engine != TRANSFORMERS && !axis.iter().any(|engine| engine == TRANSFORMERS) {
        return;
    }
    for (name, _) in file.env.iter().flat_map(Named::iter) {
        let upper = name.get_ref().to_ascii_uppercase();
        if RANK_VARIABLES.contains(&upper.as_str()) || LAUNCHER_PREFIXES.iter().any(|start| upper.starts_with(start)) {
            problems.push(
                Problem::at(
                    name.span(),
                    format!(
                        "`{}` tells a process that it is one rank of several, which waits for others that nobody starts",
                        name.get_ref()
                    ),
                )
                .hint("write [placement.NAME] with launch = { processes = 2 }: the launcher sets what ranks need"),
            );
        }
    }
}

/// A rank that is not there is never struck.
fn check_ranks_of_faults(file: &ScenarioFile, placements: &[NamedPlacement], problems: &mut Vec<Problem>) {
    for table in file.fault.iter().flatten() {
        let fault = table.get_ref();
        let Some(rank) = fault.at.as_ref().and_then(|at| at.rank.as_ref()) else {
            continue;
        };
        let is_named = |placement: &&NamedPlacement| match &fault.placements {
            None => true,
            Some(names) => names.iter().any(|name| *name.get_ref() == placement.name),
        };
        for placement in placements.iter().filter(is_named) {
            match &placement.request.device_map {
                DeviceMapRequest::Ranks(ranks) if *rank.get_ref() < ranks.processes => {}
                DeviceMapRequest::Ranks(ranks) => problems.push(Problem::at(
                    rank.span(),
                    format!(
                        "placement {} has the ranks 0 to {}: this fault would never strike",
                        placement.name,
                        ranks.processes.saturating_sub(1)
                    ),
                )),
                _ => problems.push(
                    Problem::at(
                        rank.span(),
                        format!("placement {} has no launch, so it has no ranks", placement.name),
                    )
                    .hint("name the placements the fault is for: placements = [\"…\"]"),
                ),
            }
        }
    }
}
