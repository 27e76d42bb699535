//! `placebench compare`: what has changed between two stored runs.

use placebench_core::compare::{Arrangement, GateSpec};
use placebench_core::exit_code::ExitCode;

use crate::args::{CompareArgs, CompareFormat};
use crate::compare::document::Document;
use crate::compare::stored::StoredRun;
use crate::compare::words::words;
use crate::compare::{document, human, markdown, noise, placements, stored};
use crate::error::CliError;
use crate::terminal;

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode, CliError> {
    let noise = args.noise.as_deref().map(noise::read).transpose()?;
    let base = stored::read(&args.output_dir, &args.base)?;
    let document = match &args.new {
        Some(new) => {
            let new = stored::read(&args.output_dir, new)?;
            document::document(&base, &new, noise, &spec(args, is_other_side(&base, &new)))?
        }
        None => {
            let document = placements::document(&base, args.reference.as_deref(), noise, &GateSpec::placements())?;
            Document {
                gates: args.gate,
                ..document
            }
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
    Ok(match document.gates {
        true => document.exit,
        false => ExitCode::Passed,
    })
}

/// Whether the base is the other side of the new run, so that their attempts took turns.
fn is_other_side(base: &StoredRun, new: &StoredRun) -> bool {
    base.info.control.base_of.as_ref() == Some(&new.info.run_id)
}

/// Two stored runs are two sessions, so that the wider floor holds for their times. Whoever asks about them wants to know
/// whether they are slower all the same, unless told otherwise.
fn spec(args: &CompareArgs, took_turns: bool) -> GateSpec {
    let spec = GateSpec {
        arrangement: match took_turns {
            true => Arrangement::Interleaved,
            false => Arrangement::Separate,
        },
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
