//! `run --against PROGRAM`: the same cases by another placebench program, in turns with this one, and what has changed.
//!
//! [`program`] finds that program and asks it whether it speaks the worker protocol, [`cases`] says which cases both run and how
//! often, [`side`] keeps the other side's run in the folder `base` of the run, and [`gate`] judges, also from the store alone.

pub(crate) mod cases;
pub(crate) mod gate;
mod program;
pub(crate) mod shards;
pub(crate) mod side;

use placebench_core::record::{AgainstSpec, CaseSpec};

use self::cases::{Comparable, left_out, repeat};
use crate::args::AgainstArgs;
use crate::compare::noise;
use crate::error::CliError;
use crate::settings::Effective;
use crate::terminal::{self, counted, printable};

/// Checks the other program, and lets the cases that both run have the attempts a comparison needs. Nothing where nobody asks
/// for another program.
pub(crate) fn prepare(
    args: &AgainstArgs,
    effective: &Effective,
    cases: &mut [CaseSpec],
    of_all_shards: &[String],
) -> Result<Option<AgainstSpec>, CliError> {
    let Some(asked) = &args.against else {
        return Ok(None);
    };
    let gate = &effective.settings.gate;
    let noise = noise::of_gate(gate)?;
    let left_out = left_out(cases);
    let both = Comparable::new(cases, &left_out);
    if both.is_empty() {
        let why = left_out.first().map_or_else(String::new, |first| {
            format!(": {} {}", printable(&first.case), printable(&first.reason))
        });
        return Err(
            CliError::setup(format!("no case can be compared with another program{why}"))
                .hint("nothing was run; leave out --against, or select cases that are expected to complete"),
        );
    }
    let found = program::find(asked)?;
    let answer = program::ask(&found, &both.one_of_each_engine())?;
    let sha256 = program::sha256(&found)?;
    tell_if_same(&found, &sha256);
    // Cases of other shards are known by name only, so that some may be counted that are left out there.
    let family = both.len().max(of_all_shards.len());
    let spec = cases::planned(gate.spec(), family);
    if !left_out.is_empty() {
        terminal::note(&format!(
            "{} by this program only; comparison.json says why",
            match left_out.len() {
                1 => "1 case is run".to_owned(),
                number => format!("{number} cases are run"),
            }
        ));
    }
    let number = both.len();
    repeat(cases, &left_out, &spec);
    terminal::note(&format!(
        "held against {}: {} in at least {} of attempts",
        printable(&found.display().to_string()),
        counted(number, "case"),
        counted(spec.pairs as usize, "pair"),
    ));
    Ok(Some(AgainstSpec {
        program: found.to_string_lossy().into_owned(),
        sha256,
        version: answer.version,
        profile: answer.profile,
        spec,
        cases: u32::try_from(family).unwrap_or(u32::MAX),
        noise,
        left_out,
    }))
}

fn tell_if_same(found: &std::path::Path, sha256: &str) {
    let own = std::env::current_exe().ok().and_then(|own| program::sha256(&own).ok());
    if own.as_deref() == Some(sha256) {
        terminal::note(&format!(
            "{} is this very program: any change that is found is none",
            printable(&found.display().to_string())
        ));
    }
}
