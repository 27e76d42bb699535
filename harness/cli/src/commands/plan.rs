//! `placebench plan`: where modules would go, what that needs, and what to watch for. Nothing is loaded or run.

use std::path::Path;

use placebench_core::device::DeviceId;
use placebench_core::exit_code::ExitCode;
use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::planner::Flow;
use placebench_core::protocol::{Dtype, ModelSource, Prompt};
use placebench_core::record::CaseSpec;
use placebench_core::units::Bytes;

use crate::args::{Format, PlanArgs};
use crate::error::CliError;
use crate::plan::answer::{Answer, answer};
use crate::plan::request::{Asked, Budgets, Placing, budgets, device, dtype, limits, objective, placing, usage};
use crate::plan::{show, source};
use crate::{engines, selection, settings, suite, terminal};

pub(crate) fn run(args: &PlanArgs) -> Result<ExitCode, CliError> {
    let plans = if args.paths.is_empty() {
        let tree = tree(args)?;
        let title = format!("{}, {}", tree.id(), args.strategy);
        vec![(title, answer(&tree, &asked(args)?, args.explain.as_deref())?)]
    } else {
        of_scenarios(args)?
    };
    match args.format {
        Format::Json => {
            let shown: Vec<serde_json::Value> = plans.iter().map(|(_, answer)| show::as_json(answer)).collect();
            match shown.as_slice() {
                [one] => terminal::out(&terminal::pretty_json(one)),
                _ => terminal::out(&terminal::pretty_json(&serde_json::Value::from(shown))),
            }
        }
        Format::Human => {
            for (number, (title, answer)) in plans.iter().enumerate() {
                if number > 0 {
                    terminal::out("");
                }
                show::as_text(title, answer).iter().for_each(|line| terminal::out(line));
            }
        }
    }
    Ok(ExitCode::Passed)
}

fn tree(args: &PlanArgs) -> Result<ModuleTree, CliError> {
    match (&args.module_tree, &args.model, &args.config) {
        (Some(path), None, None) => source::tree_file(path),
        (None, Some(path), None) => source::model(path, args.dtype.as_deref()),
        (None, None, Some(path)) => source::config_file(path),
        _ => Err(usage(
            "name one of --module-tree, --model, --config, or scenario files".to_owned(),
        )),
    }
}

fn asked(args: &PlanArgs) -> Result<Asked, CliError> {
    let device_map = placing(&args.strategy)?;
    let budgets = match (&args.max_memory, &device_map) {
        (Some(text), _) => Some(budgets(text)?),
        (None, Placing::Map(_)) => None,
        (None, strategy) => Budgets::of_this_machine(strategy),
    };
    Ok(Asked {
        device_map,
        budgets,
        dialect: args
            .planner
            .parse()
            .map_err(|error| usage(format!("--planner: {error}")))?,
        flow: args.flow.parse().map_err(|error| usage(format!("--flow: {error}")))?,
        dtype: args.dtype.as_deref().map(dtype).transpose()?,
        prompt_tokens: args.seq_len.map(|tokens| tokens.div_ceil(2)),
        output_tokens: args.seq_len.map(|tokens| tokens / 2),
        batch: args.batch,
        rates: args.rates.as_deref().map(crate::rates::read).transpose()?,
        objective: objective(&args.objective)?,
        input: args.input_device.as_deref().map(device).transpose()?,
    })
}

/// A plan for every placement of every scenario; prompts do not matter to a plan.
fn of_scenarios(args: &PlanArgs) -> Result<Vec<(String, Answer)>, CliError> {
    let mut plans: Vec<(String, Answer)> = Vec::new();
    let mut cases = suite::cases(&suite::load(&args.paths)?)?;
    if let Some(filterset) = settings::filter_of_flags(&args.filterset)? {
        cases = selection::only(cases, &filterset)?;
    }
    for case in &cases {
        let title = format!("{} / {}", case.scenario, case.placement);
        if plans.iter().any(|(known, _)| *known == title) {
            continue;
        }
        let Some(path) = case.model.path().map(Path::new) else {
            terminal::warning(&format!(
                "{title}: not planned, because its model is on the hub; plan its config.json with --config"
            ));
            continue;
        };
        if case.model_fetch.is_some() && !path.exists() {
            terminal::warning(&format!("{title}: not planned, because its model is not here"));
            continue;
        }
        let tree = match &case.model {
            ModelSource::Dummy { .. } if path.is_dir() => source::config_file(&path.join("config.json"))?,
            ModelSource::Dummy { .. } => source::config_file(path)?,
            _ => source::model(path, case.dtype.map(Dtype::as_str))?,
        };
        plans.push((title, answer(&tree, &asked_by(case, args)?, None)?));
    }
    Ok(plans)
}

fn asked_by(case: &CaseSpec, args: &PlanArgs) -> Result<Asked, CliError> {
    let stated = match &args.rates {
        Some(path) => Some(crate::rates::read(path)?),
        None => case.rates.clone(),
    };
    let device_map = match &case.request.device_map {
        DeviceMapRequest::Strategy(strategy) => Placing::Strategy(*strategy),
        DeviceMapRequest::Optimal(_) => Placing::Optimal,
        DeviceMapRequest::Single(device) => Placing::Map(vec![(String::new(), device.clone())]),
        DeviceMapRequest::Manual(map) => {
            Placing::Map(map.iter().flat_map(|(key, device)| written_out(key, device)).collect())
        }
        DeviceMapRequest::Ranks(_) | DeviceMapRequest::Stated(_) => {
            return Err(CliError::setup(format!(
                "{} has no device map to plan: its engine places the model by itself",
                crate::terminal::printable(&case.case)
            )));
        }
    };
    Ok(Asked {
        budgets: budgets_of(case, &device_map),
        device_map,
        dialect: case.request.planner,
        flow: Flow::default(),
        dtype: case.dtype.and_then(|element| dtype(element.as_str()).ok()),
        prompt_tokens: Some(
            args.seq_len
                .map_or_else(|| estimated_tokens(&case.input), |tokens| tokens.div_ceil(2)),
        ),
        output_tokens: Some(
            args.seq_len
                .map_or(u64::from(case.generation.max_new_tokens), |tokens| tokens / 2),
        ),
        batch: args.batch,
        rates: stated.map(|rates| rates.with_logical(&case.devices)),
        objective: match case.request.device_map {
            DeviceMapRequest::Optimal(objective) => objective,
            _ => objective(&args.objective)?,
        },
        input: args.input_device.as_deref().map(device).transpose()?,
    })
}

/// `max_memory`, else what the logical devices declare, beside the host for planners that may use it unasked; else what
/// is free here. The same as a worker does.
fn budgets_of(case: &CaseSpec, device_map: &Placing) -> Option<Budgets> {
    if let Some(bytes) = &case.request.max_memory {
        return Some(Budgets {
            limits: limits(bytes),
            bytes: bytes.clone(),
            ..Budgets::default()
        });
    }
    if case.devices.is_empty() {
        return match device_map {
            Placing::Map(_) => None,
            strategy => Budgets::of_this_machine(strategy),
        };
    }
    let host = engines::free_memory().host;
    let declared = case.devices.iter();
    let mut bytes: Vec<(DeviceId, Bytes)> = declared
        .filter_map(|device| Some((device.id.clone(), device.memory_bytes.or(host)?)))
        .collect();
    if matches!(device_map, Placing::Strategy(_)) {
        bytes.extend(host.map(|host| (DeviceId::cpu(), host)));
    }
    Some(Budgets {
        limits: limits(&bytes),
        bytes,
        is_free_memory: true,
        ..Budgets::default()
    })
}

/// Planning reads no tokenizer: English has about four letters a token, which is counted here as three to be safe.
fn estimated_tokens(prompt: &Prompt) -> u64 {
    let letters = |text: &str| text.chars().count() as u64;
    match prompt {
        Prompt::Text(text) => letters(text).div_ceil(3),
        Prompt::Messages(messages) => messages
            .iter()
            .map(|message| letters(&message.content).div_ceil(3) + 8)
            .sum(),
        Prompt::InputIds(ids) => ids.len() as u64,
    }
}

/// `model.layers.0-3` as four keys; anything else is one. A range that makes no sense stays as it is, and is refused as an
/// unknown module.
fn written_out(key: &str, device: &DeviceId) -> Vec<(String, DeviceId)> {
    const MOST_LAYERS: usize = 10_000;
    let range = || -> Option<(usize, usize)> {
        let (first, last) = key.strip_prefix("model.layers.")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    match range() {
        Some((first, last)) if first <= last && last < MOST_LAYERS => (first..=last)
            .map(|layer| (format!("model.layers.{layer}"), device.clone()))
            .collect(),
        _ => vec![(key.to_owned(), device.clone())],
    }
}
