//! The verdict on a comparison in one line.

use placebench_core::compare::Relation;
use placebench_core::exit_code::ExitCode;

use super::Input;
use crate::view::changes::Standing;
use crate::view::words::{count, list};

/// The line and its tone: `good`, `bad` or `open`.
pub(super) fn of(input: &Input<'_>) -> (String, &'static str) {
    let number = |wanted: Standing| input.standings.iter().filter(|standing| **standing == wanted).count();
    let (one, many) = match input.comparison.spec.relation {
        Relation::Versions => ("case", "cases"),
        Relation::Placements => ("placement", "placements"),
    };
    let is_compared = |case: &str| input.comparison.cases.iter().any(|known| known.case == case);
    let broken = input.statuses.iter().filter(|status| status.is_broken);
    // Those with figures are among the worse ones already.
    let broken = broken.filter(|status| !is_compared(status.case)).count();
    let worse = number(Standing::Worse) + broken;
    let (slower, better) = (number(Standing::Slower), number(Standing::Better));
    let mut parts = Vec::new();
    if worse > 0 {
        parts.push(format!("{} worse or different", count(worse, one, many)));
    }
    if slower > 0 {
        parts.push(format!("{} slower", count(slower, one, many)));
    }
    if input.missing > 0 {
        parts.push(format!("{} missing", count(input.missing, one, many)));
    }
    if !parts.is_empty() {
        let tone = if worse + slower > 0 { "bad" } else { "open" };
        return (list(&parts), tone);
    }
    if input.comparison.cases.is_empty() {
        return ("Nothing was compared".to_owned(), "open");
    }
    let open = number(Standing::NoVerdict) + number(Standing::Unclear);
    let rest = match better {
        0 => String::new(),
        better => format!("{} better, ", count(better, one, many)),
    };
    if open > 0 {
        let no = if rest.is_empty() { "No" } else { "no" };
        return (format!("{rest}{no} answer on {}", count(open, one, many)), "open");
    }
    match input.exit {
        Some(ExitCode::NoVerdict) if better == 0 => {
            ("Nothing got worse, but not all could be compared".to_owned(), "open")
        }
        Some(ExitCode::NoVerdict) => (
            format!("{rest}nothing got worse, but not all could be compared"),
            "open",
        ),
        _ if better > 0 => (format!("{rest}nothing got worse"), "good"),
        _ => ("Nothing changed".to_owned(), "good"),
    }
}
