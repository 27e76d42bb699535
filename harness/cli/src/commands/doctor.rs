//! `placebench doctor`: is this machine sound, and how fast is it.

use placebench_core::device::LogicalDevice;
use placebench_core::doctor::report::DoctorReport;
use placebench_core::exit_code::ExitCode;
use placebench_core::scenario::value::Period;
use placebench_runner::cancel::Cancel;
use placebench_runner::supervisor::WorkerCommand;

use super::generate::parse_device;
use crate::args::{DoctorArgs, Format};
use crate::doctor::ask::{Asker, bar};
use crate::doctor::{calibrate, examine, injected, show};
use crate::error::CliError;
use crate::{suite, terminal};

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let usage = |message: String| CliError::with_code(ExitCode::Usage, message);
    let timeout: Period =
        serde_json::from_value(args.timeout.clone().into()).map_err(|error| usage(format!("--timeout: {error}")))?;
    let faults = args.inject.iter().map(|text| injected::parse(text));
    let faults = faults.collect::<Result<Vec<_>, _>>()?;
    let devices = devices(args)?;
    let case = args
        .calibrate
        .then(|| calibrate::case(args.scenario.as_deref()))
        .transpose()?;
    let program =
        std::env::current_exe().map_err(|error| CliError::setup(format!("cannot find the own program: {error}")))?;
    let asker = Asker {
        command: WorkerCommand::new(program.clone(), ["probe"]),
        silence: timeout.0,
        cancel: cancel_on_signals()?,
        quick: args.quick,
        devices,
        faults,
        bar: bar(),
    };
    let examined = examine::examine(&asker).and_then(|mut report| {
        if let Some(case) = &case {
            let worker = WorkerCommand::new(program, ["worker"]);
            report.noise_floor = Some(calibrate::calibrate(&asker, &worker, case, args.pairs)?);
        }
        Ok(report)
    });
    asker.bar.finish_and_clear();
    let report = examined?;
    let document = serde_json::to_string_pretty(&report)
        .map_err(|error| CliError::setup(format!("the document cannot be made: {error}")))?;
    if let Some(path) = &args.output {
        std::fs::write(path, format!("{document}\n"))
            .map_err(|error| CliError::setup(format!("{}: {error}", path.display())))?;
    }
    print(&report, &document, args);
    Ok(report.verdict.exit_code())
}

fn print(report: &DoctorReport, document: &str, args: &DoctorArgs) {
    match args.format {
        Format::Json => terminal::out(&terminal::plain_json(document)),
        Format::Human => {
            for line in show::lines(report) {
                terminal::out(&line);
            }
            if let Some(path) = &args.output {
                let path = terminal::printable(&path.display().to_string());
                terminal::out(&format!(
                    "\nwritten to {path}: give it to run, plan and generate with --rates"
                ));
            }
        }
    }
}

/// The logical devices of the command line and of the scenarios, each once.
fn devices(args: &DoctorArgs) -> Result<Vec<LogicalDevice>, CliError> {
    let mut devices = args
        .devices
        .iter()
        .map(|text| parse_device(text))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &args.scenario {
        for device in suite::load(std::slice::from_ref(path))?
            .into_iter()
            .flat_map(|scenario| scenario.devices)
        {
            match devices.iter().find(|known| known.id == device.id) {
                None => devices.push(device),
                Some(known) if known.on == device.on => {}
                Some(known) => {
                    return Err(CliError::setup(format!(
                        "{} lies on {} in one place and on {} in another: examine them apart",
                        device.id, known.on, device.on
                    )));
                }
            }
        }
    }
    Ok(devices)
}

/// Ctrl-C ends the running probe and with it the examination.
fn cancel_on_signals() -> Result<Cancel, CliError> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    ctrlc::set_handler(move || flag.cancel())
        .map_err(|error| CliError::setup(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(cancel)
}
