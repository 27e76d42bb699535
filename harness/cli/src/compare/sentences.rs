//! What is said of a comparison as a whole: what was not compared and why, by what it was judged, and the answer.

use placebench_core::compare::{Arrangement, NoVerdictReason};
use placebench_core::exit_code::ExitCode;

use super::document::{Document, Standing};
use super::matching::{Absence, NotCompared};
use super::words::percent;
use crate::terminal::counted;

/// Cases that a sentence about several names.
const NAMED: usize = 3;

/// What holds for more than one row.
pub(crate) fn sentences(document: &Document) -> Vec<String> {
    let mut sentences = Vec::new();
    if document.same_run {
        sentences.push("both sides are the same run".to_owned());
    }
    for case in &document.not_compared {
        let what = match case.absence {
            Absence::MissingInNew => "missing",
            Absence::NewOnly => "nothing to compare with",
            Absence::Neither => "left out",
        };
        sentences.push(format!("{what}: {}: {}", case.case, case.reason));
    }
    if !document.unfinished.is_empty() {
        sentences.push(format!("attempts were never made: {}", named(&document.unfinished)));
    }
    sentences.extend(without_verdict(document));
    let spec = &document.comparison.spec;
    if !spec.metrics.is_empty() && !document.comparison.cases.is_empty() {
        let (floor, why) = match spec.arrangement {
            Arrangement::Interleaved => (spec.min_effect, "the two sides took turns, and less matters to nobody"),
            Arrangement::Separate => (
                spec.min_effect.max(spec.separate_floor),
                "runs made one after the other may differ by that much without a cause",
            ),
        };
        sentences.push(format!(
            "a time counts as changed where it certainly did by more than {}: {why}",
            percent(floor.exp()).trim_start_matches('+')
        ));
        if document.noise.is_none() {
            sentences.push(
                "the noise of this machine is not known: measure it with `placebench doctor --calibrate --output FILE`, \
                 and name the file with --noise"
                    .to_owned(),
            );
        }
    }
    sentences
}

/// Why timings have no verdict: each reason once, however many cases it holds for.
fn without_verdict(document: &Document) -> Vec<String> {
    struct Open<'a> {
        reason: &'a NoVerdictReason,
        metrics: Vec<&'static str>,
        cases: Vec<String>,
    }
    let mut open: Vec<Open<'_>> = Vec::new();
    for case in &document.comparison.cases {
        for timing in &case.timings {
            let Some(reason) = &timing.reason else { continue };
            let metric = timing.metric.as_str();
            let at = open.iter().position(|known| known.reason == reason);
            let known = match at.and_then(|at| open.get_mut(at)) {
                Some(known) => known,
                None => {
                    let (metrics, cases) = (Vec::new(), Vec::new());
                    open.push(Open { reason, metrics, cases });
                    let Some(last) = open.last_mut() else { continue };
                    last
                }
            };
            if !known.metrics.contains(&metric) {
                known.metrics.push(metric);
            }
            if known.cases.last() != Some(&case.case) {
                known.cases.push(case.case.clone());
            }
        }
    }
    let sentence = |open: Open<'_>| {
        let hint = match open.reason {
            NoVerdictReason::OtherMachine { differences } => {
                let names: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
                let names = names.join(",");
                format!(
                    "; if that is what you test: --expect-difference {names}; counters compare all the same: --counters-only"
                )
            }
            _ => String::new(),
        };
        format!(
            "no verdict on {} of {}: {}{hint}",
            open.metrics.join(", "),
            named(&open.cases),
            open.reason.sentence()
        )
    };
    open.into_iter().map(sentence).collect()
}

/// `a, b, c and 4 more`.
fn named(cases: &[String]) -> String {
    let first = cases.get(..NAMED.min(cases.len())).unwrap_or_default().join(", ");
    match cases.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The answer in one line.
pub(super) fn closing(document: &Document) -> String {
    let standings = document.standings();
    let count = |wanted: Standing| standings.iter().filter(|standing| **standing == wanted).count();
    let mut parts = Vec::new();
    for (standing, word) in [
        (Standing::Worse, "worse or different"),
        (Standing::Slower, "slower"),
        (Standing::NoVerdict, "without a verdict"),
        (Standing::Unclear, "unclear"),
        (Standing::Better, "better"),
        (Standing::Same, "the same"),
    ] {
        match count(standing) {
            0 => {}
            number => parts.push(format!("{number} {word}")),
        }
    }
    let is_missing = |case: &&NotCompared| case.absence == Absence::MissingInNew;
    match document.not_compared.iter().filter(is_missing).count() {
        0 => {}
        missing => parts.push(format!("{missing} missing")),
    }
    let is_compared = |name: &str| document.comparison.cases.iter().any(|case| case.case == name);
    let broken = document.status_changes.iter().filter(|change| change.is_broken);
    match broken.filter(|change| !is_compared(&change.case)).count() {
        0 => {}
        number => parts.push(format!("{number} broken without figures")),
    }
    let what = match parts.is_empty() {
        true => "nothing was compared".to_owned(),
        false => format!("{} compared: {}", counted(standings.len(), "case"), parts.join(", ")),
    };
    match document.gates {
        true => format!("{what}; exit code {}: {}", document.exit_code, meaning(document.exit)),
        false => what,
    }
}

fn meaning(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Passed => "nothing got worse",
        ExitCode::CaseFailed => "something that can be counted got worse or is another, or a case broke",
        ExitCode::Slower => "everything is right but slower",
        _ => "nothing can be said of the whole",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_cases_are_named_and_the_rest_counted() {
        let cases: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(named(&cases), "a, b, c and 2 more");
        assert_eq!(named(&cases[..3]), "a, b, c");
        assert_eq!(named(&[]), "");
    }
}
