//! From all cases of some scenarios to those that are asked for.

use placebench_core::exit_code::ExitCode;
use placebench_core::record::CaseSpec;
use placebench_core::selection::{Filterset, Partition, groups_of, parse, select};

use crate::args::NoCases;
use crate::error::CliError;
use crate::settings::Effective;
use crate::terminal::{self, counted, printable};

/// The cases that are asked for.
#[derive(Debug)]
pub(crate) struct Selection {
    /// They themselves.
    pub(crate) cases: Vec<CaseSpec>,
    /// Names of those that come along only because others must agree with them.
    pub(crate) references: Vec<String>,
    /// The filter.
    pub(crate) filterset: Option<Filterset>,
    /// With a partition: names of the cases of all shards.
    pub(crate) of_all_shards: Vec<String>,
}

/// Applies filter and partition. What a person may have meant otherwise is said; nothing left is an error of its own.
pub(crate) fn apply(cases: Vec<CaseSpec>, effective: &Effective) -> Result<Selection, CliError> {
    let filterset = match &effective.settings.filterset.value {
        // It was read before, and complained about where it stands.
        Some(text) => Some(parse(text).map_err(|problem| crate::diagnostics::bad_filter("filterset", text, problem))?),
        None => None,
    };
    let all = filterset.clone().unwrap_or(Filterset::All);
    warn_of_slips(&all, &cases);
    let known = cases.len();
    let selected = select(cases, &all);
    if selected.cases.is_empty() {
        return Err(nothing(format!(
            "the filter selects none of {}",
            counted(known, "case")
        )));
    }
    let (cases, of_all_shards) = match effective.partition {
        Some(partition) => share(selected.cases, partition)?,
        None => (selected.cases, Vec::new()),
    };
    let references = selected
        .references
        .into_iter()
        .filter(|name| cases.iter().any(|case| case.case == *name));
    Ok(Selection {
        references: references.collect(),
        cases,
        filterset,
        of_all_shards,
    })
}

/// The cases a filter selects, without those that would only be run beside them.
pub(crate) fn only(mut cases: Vec<CaseSpec>, filterset: &Filterset) -> Result<Vec<CaseSpec>, CliError> {
    warn_of_slips(filterset, &cases);
    let known = cases.len();
    cases.retain(|case| filterset.selects(case));
    if cases.is_empty() {
        return Err(nothing(format!(
            "the filter selects none of {}",
            counted(known, "case")
        )));
    }
    Ok(cases)
}

/// A condition that no case fulfils is most likely misspelt.
fn warn_of_slips(filterset: &Filterset, cases: &[CaseSpec]) {
    for (predicate, near) in filterset.without_effect(cases) {
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        terminal::warning(&format!("no case has {predicate}{near}"));
    }
}

fn share(cases: Vec<CaseSpec>, partition: Partition) -> Result<(Vec<CaseSpec>, Vec<String>), CliError> {
    let names = cases.iter().map(|case| case.case.clone()).collect();
    let mut groups = groups_of(&cases);
    groups.sort();
    groups.dedup();
    let taken = partition.takes(&cases);
    let own: Vec<CaseSpec> = cases
        .into_iter()
        .zip(taken)
        .filter(|(_, taken)| *taken)
        .map(|(case, _)| case)
        .collect();
    if own.is_empty() {
        return Err(nothing(format!(
            "the shard {partition} is empty: there {} to deal out",
            match groups.len() {
                1 => "is 1 comparison group".to_owned(),
                groups => format!("are {groups} comparison groups"),
            }
        ))
        .hint("fewer shards, or --no-cases pass"));
    }
    Ok((own, names))
}

fn nothing(message: String) -> CliError {
    CliError::with_code(ExitCode::NothingSelected, format!("{message}: nothing to run"))
}

/// An empty selection may be what was wanted.
pub(crate) fn unless_empty<T>(found: Result<T, CliError>, no_cases: NoCases) -> Result<Option<T>, CliError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if no_cases == NoCases::Pass && error.code() == ExitCode::NothingSelected => {
            terminal::warning(error.message());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Says which cases are run although the filter does not select them.
pub(crate) fn tell_references(references: &[String]) {
    const SHOWN: usize = 3;
    if references.is_empty() {
        return;
    }
    let shown: Vec<String> = references.iter().take(SHOWN).map(|name| printable(name)).collect();
    let more = match references.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    terminal::err(&format!(
        "also run, because selected cases must agree with them: {}{more}",
        shown.join(", ")
    ));
}
