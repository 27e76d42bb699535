//! `placebench engine-check`: does a program keep to the worker protocol.

use std::path::Path;

use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::exit_code::ExitCode;
use placebench_core::protocol::ModelSource;
use placebench_core::scenario::value::Period;
use placebench_runner::cancel::Cancel;
use serde_json::Map;

use super::generate::parse_device;
use crate::args::{EngineCheckArgs, Format};
use crate::engine_check::lab::{Devices, Lab, Setup};
use crate::engine_check::{battery, show};
use crate::error::CliError;
use crate::terminal;

/// Random weights are made from this.
const SEED: u64 = 7;

/// Makes the checks. The program needs no permission: who names it on the command line wants it run.
pub(crate) fn run(args: &EngineCheckArgs) -> Result<ExitCode, CliError> {
    let checks = battery::selected(&args.only).map_err(|name| {
        usage(format!("--only: there is no check `{name}`")).hint("engine-check --list names them all")
    })?;
    if args.list {
        match args.format {
            Format::Human => show::list(&checks).iter().for_each(|line| terminal::out(line)),
            Format::Json => terminal::out(&terminal::pretty_json(&show::list_document(&checks))),
        }
        return Ok(ExitCode::Passed);
    }
    let folder =
        tempfile::tempdir().map_err(|error| CliError::setup(format!("no temporary folder can be made: {error}")))?;
    let mut lab = Lab::new(setup(args, folder.path())?);
    let is_human = args.format == Format::Human;
    let done = battery::run(&checks, &mut lab, &mut |checked| {
        if is_human {
            terminal::out(&show::line(checked));
        }
    })?;
    if is_human {
        show::summary(&done).iter().for_each(|line| terminal::out(line));
    } else {
        let program: Vec<String> = args
            .program
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        terminal::out(&terminal::pretty_json(&show::document(&program, &done)));
    }
    match done.iter().any(|checked| checked.answer.is_failure()) {
        true => Ok(ExitCode::CaseFailed),
        false => Ok(ExitCode::Passed),
    }
}

fn setup(args: &EngineCheckArgs, folder: &Path) -> Result<Setup, CliError> {
    let Some((program, words)) = args.program.split_first() else {
        return Err(usage("name the engine after --".to_owned()));
    };
    let timeout: Period =
        serde_json::from_value(args.timeout.clone().into()).map_err(|error| usage(format!("--timeout: {error}")))?;
    let with = match &args.with {
        None => Map::new(),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| usage(format!("--with is no JSON object: {error}")))?
        }
    };
    Ok(Setup {
        program: program.into(),
        args: words.to_vec(),
        engine: args.engine.clone(),
        is_dummy: args.model.is_none() && !with.contains_key("prompt"),
        model: model(args)?,
        devices: devices(args)?,
        with,
        timeout: timeout.0,
        folder: folder.to_owned(),
        cancel: cancel_on_signals()?,
    })
}

fn model(args: &EngineCheckArgs) -> Result<Option<ModelSource>, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map(|path| ModelSource::Path(path.to_string_lossy().into_owned()))
            .map_err(|error| CliError::setup(format!("{}: {error}", path.display())))
    };
    match (&args.model, &args.config) {
        (Some(path), _) => absolute(path).map(Some),
        (None, Some(path)) => Ok(Some(ModelSource::Dummy {
            config: Box::new(absolute(path)?),
            seed: SEED,
        })),
        (None, None) => Ok(None),
    }
}

fn devices(args: &EngineCheckArgs) -> Result<Option<Devices>, CliError> {
    if args.on.is_empty() {
        return Ok(None);
    }
    let logical: Result<Vec<LogicalDevice>, CliError> = args.devices.iter().map(|text| parse_device(text)).collect();
    let on: Result<Vec<DeviceId>, CliError> = args
        .on
        .iter()
        .map(|text| DeviceId::new(text).map_err(|error| usage(format!("--on: {error}"))))
        .collect();
    Ok(Some((logical?, on?)))
}

fn usage(message: String) -> CliError {
    CliError::with_code(ExitCode::Usage, message)
}

fn cancel_on_signals() -> Result<Cancel, CliError> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    ctrlc::set_handler(move || flag.cancel())
        .map_err(|error| CliError::setup(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(cancel)
}
