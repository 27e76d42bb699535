//! `placebench compare`: what has changed between two stored runs.

use std::path::Path;

use placebench_core::compare::{Arrangement, GateSpec};
use placebench_core::exit_code::ExitCode;

use crate::args::{CompareArgs, CompareFormat};
use crate::baseline::folder::{self, Stored};
use crate::baseline::hold::beside;
use crate::baseline::request::unknown;
use crate::compare::words::words;
use crate::compare::{document, human, markdown, noise, stored};
use crate::error::CliError;
use crate::{gate, terminal};

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode, CliError> {
    let noise = args.noise.as_deref().map(noise::read).transpose()?;
    let (new, folder) = stored::record(&args.output_dir, &args.new)?;
    let document = match baseline_of(args)? {
        Some((name, files)) => {
            let held = beside(&new, &folder, &files, &name, baseline_spec(args));
            let document = document::document(&held.base, &held.new, noise, &held.spec)?;
            document.without_files(held.unknown)
        }
        None => {
            let base = stored::read(&args.output_dir, &args.base)?;
            document::document(&base, &stored::of_record(&new, folder), noise, &spec(args))?
        }
    };
    match args.format {
        CompareFormat::Human => {
            for line in human::lines(&words(&document, args.all)) {
                terminal::out(&line);
            }
        }
        CompareFormat::Markdown => {
            let text = markdown::render(&words(&document, args.all));
            terminal::out(text.trim_end());
        }
        CompareFormat::Json => {
            let value = serde_json::to_value(&document)
                .map_err(|error| CliError::setup(format!("the comparison cannot be put into JSON: {error}")))?;
            terminal::out(&terminal::pretty_json(&value));
        }
    }
    Ok(document.exit)
}

/// The baseline that is to be compared with, if it is one: its name and its files.
fn baseline_of(args: &CompareArgs) -> Result<Option<(String, Vec<Stored>)>, CliError> {
    if let Some(name) = args.base.strip_prefix("baseline:") {
        let files = folder::read_all(&args.baseline_dir, name)?;
        return match files.is_empty() {
            true => Err(unknown(&args.baseline_dir, name)),
            false => Ok(Some((name.to_owned(), files))),
        };
    }
    let path = Path::new(&args.base);
    if !path.is_file() {
        return Ok(None);
    }
    let file = folder::read(path)?;
    Ok(Some((args.base.clone(), vec![file])))
}

/// The rules by which `run --baseline` judges, so that a merged run is judged like its shards.
fn baseline_spec(args: &CompareArgs) -> GateSpec {
    let gate = gate::spec();
    GateSpec {
        expected_differences: args.expected_differences.clone(),
        metrics: if args.counters_only {
            Vec::new()
        } else {
            gate.metrics.clone()
        },
        ..gate
    }
}

/// Two stored runs are two sessions, so that the wider floor holds for their times. Whoever asks about them wants to know
/// whether they are slower all the same, unless told otherwise.
fn spec(args: &CompareArgs) -> GateSpec {
    let spec = GateSpec {
        arrangement: Arrangement::Separate,
        expected_differences: args.expected_differences.clone(),
        separate_timings_gate: !args.counters_only,
        ..GateSpec::versions()
    };
    match args.counters_only {
        true => GateSpec {
            metrics: Vec::new(),
            ..spec
        },
        false => spec,
    }
}
