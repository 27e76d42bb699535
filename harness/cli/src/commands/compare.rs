//! `placebench compare`: what has changed between two stored runs.

use std::path::{Path, PathBuf};

use placebench_core::compare::{Arrangement, GateSpec};
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{RunInfo, RunRecord};
use placebench_report::format::github::{Place, summary};

use crate::args::{CompareArgs, CompareFormat};
use crate::baseline::folder::{self, Stored};
use crate::baseline::hold::beside;
use crate::baseline::request::unknown;
use crate::compare::document::Document;
use crate::compare::stored::ComparedSide;
use crate::compare::words::words;
use crate::compare::{self, document, human, markdown, noise, page, placements, stored};
use crate::error::CliError;
use crate::{browser, gate, github, page_file, terminal};

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode, CliError> {
    // The run that is asked about: with one name alone, that run.
    let (record, folder) = stored::record(&args.output_dir, args.new.as_ref().unwrap_or(&args.base))?;
    refuse_page_flags(args)?;
    let compared = compared_of(args, &record, folder)?;
    show(args, &record, &compared)?;
    let document = &compared.document;
    Ok(match document.gates {
        true => document.exit,
        false => ExitCode::Passed,
    })
}

/// A comparison with the two sides it was made of; the same side twice where the placements of one run are compared.
struct Compared {
    document: Document,
    base: Option<ComparedSide>,
    new: ComparedSide,
}

fn refuse_page_flags(args: &CompareArgs) -> Result<(), CliError> {
    match args.output.is_some() && args.format != CompareFormat::Html {
        true => {
            let message = "--output is the page of --format html; the others go to standard output";
            Err(CliError::with_code(ExitCode::Usage, message))
        }
        false => Ok(()),
    }
}

fn compared_of(args: &CompareArgs, record: &RunRecord, folder: PathBuf) -> Result<Compared, CliError> {
    let noise = args.noise.as_deref().map(noise::read).transpose()?;
    if args.new.is_none() {
        let run = stored::of_record(record, folder);
        let reference = args.reference.as_deref();
        let document = placements::document(record, &run, reference, noise, &GateSpec::placements())?;
        return Ok(Compared {
            document: Document {
                gates: args.gate,
                ..document
            },
            base: None,
            new: run,
        });
    }
    if let Some((name, files)) = baseline_of(args)? {
        let held = beside(record, &folder, &files, &name, baseline_spec(args, &record.info));
        let document = document::document(&held.base, &held.new, noise, &held.spec)?;
        return Ok(Compared {
            document: document.without_files(held.unknown),
            base: Some(held.base),
            new: held.new,
        });
    }
    let (base, base_folder) = stored::record(&args.output_dir, &args.base)?;
    let took_turns = is_other_side(&base.info, &record.info);
    let base = stored::of_record(&base, base_folder);
    let new = stored::of_record(record, folder);
    let document = document::document(&base, &new, noise, &spec(args, took_turns))?;
    Ok(Compared {
        document,
        base: Some(base),
        new,
    })
}

fn show(args: &CompareArgs, record: &RunRecord, compared: &Compared) -> Result<(), CliError> {
    let document = &compared.document;
    match args.format {
        CompareFormat::Human => {
            for line in human::lines(&words(document, args.all), human::width()) {
                terminal::out(&line);
            }
        }
        CompareFormat::Html => {
            let base = compared.base.as_ref().unwrap_or(&compared.new);
            let html = page::render(document, (base, &compared.new), args.output.as_deref())?;
            match &args.output {
                None => terminal::out(terminal::page(&html).trim_end()),
                Some(file) => {
                    page_file::write(file, &html)?;
                    terminal::out(&terminal::printable(&file.display().to_string()));
                    if args.open {
                        browser::open_page(file);
                    }
                }
            }
        }
        CompareFormat::Markdown => {
            let text = markdown::render(&words(document, args.all));
            terminal::out(text.trim_end());
        }
        CompareFormat::Github => {
            let locate = github::locate()?;
            let place = |case: &str| {
                let spec = record.info.cases.iter().find(|spec| spec.case == case)?;
                Some(Place {
                    file: locate(&spec.file)?,
                    line: spec.line,
                })
            };
            let table = markdown::render(&words(document, args.all));
            let page = format!("## placebench compare\n\n{}\n", table.trim_end());
            github::show(&compare::github::annotations(document, &place), |most| {
                summary::bounded(&page, most)
            })?;
        }
        CompareFormat::Json => {
            let value = serde_json::to_value(document)
                .map_err(|error| CliError::setup(format!("the comparison cannot be put into JSON: {error}")))?;
            terminal::out(&terminal::pretty_json(&value));
        }
    }
    Ok(())
}

/// Whether the base is the other side of the new run, so that their attempts took turns.
fn is_other_side(base: &RunInfo, new: &RunInfo) -> bool {
    base.control.base_of.as_ref() == Some(&new.run_id)
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
fn baseline_spec(args: &CompareArgs, info: &RunInfo) -> GateSpec {
    let gate = gate::spec(info);
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
