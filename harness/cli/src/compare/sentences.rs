//! What is said of a comparison as a whole: what was not compared and why, by what it was judged, and the answer.

use placebench_core::compare::{Arrangement, NoVerdictReason};
use placebench_report::view::changes::{meaning, named, percent, tally, without_verdict};

use super::document::Document;
use super::matching::{Absence, NotCompared};

/// What holds for more than one row, and what is not compared.
pub(crate) fn sentences(document: &Document) -> Vec<String> {
    let left_out = document.not_compared.iter().map(not_compared);
    left_out.chain(about_the_whole(document)).collect()
}

/// What holds for more than one row.
pub(crate) fn about_the_whole(document: &Document) -> Vec<String> {
    let mut sentences = Vec::new();
    if document.same_run {
        sentences.push("both sides are the same run".to_owned());
    }
    sentences.extend(document.unknown_machines.iter().cloned());
    if !document.unfinished.is_empty() {
        sentences.push(unfinished(&document.unfinished));
    }
    sentences.extend(without_verdict(&document.comparison, &hint));
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
        if document.base.baseline.is_some() && !spec.separate_timings_gate {
            sentences
                .push("times are shown and do not fail the gate: the baseline was timed in another session".to_owned());
        }
    }
    sentences
}

/// Why a case is not compared.
pub(crate) fn not_compared(case: &NotCompared) -> String {
    let what = match case.absence {
        Absence::MissingInNew => "missing",
        Absence::NewOnly => "nothing to compare with",
        Absence::Neither => "left out",
    };
    format!("{what}: {}: {}", case.case, case.reason)
}

/// Which cases were not made as often as they were to be.
pub(crate) fn unfinished(cases: &[String]) -> String {
    format!("attempts were never made: {}", named(cases))
}

/// What of a case was asked otherwise.
pub(crate) fn asked_otherwise(parts: &[String]) -> String {
    format!("the new run asked something else: its {} changed", parts.join(", "))
}

fn hint(reason: &NoVerdictReason) -> String {
    let NoVerdictReason::OtherMachine { differences } = reason else {
        return String::new();
    };
    let names: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
    let names = names.join(",");
    format!("; if that is what you test: --expect-difference {names}; counters compare all the same: --counters-only")
}

/// The answer in one line.
pub(super) fn closing(document: &Document) -> String {
    let is_missing = |case: &&NotCompared| case.absence == Absence::MissingInNew;
    let missing = document.not_compared.iter().filter(is_missing).count();
    let is_compared = |name: &str| document.comparison.cases.iter().any(|case| case.case == name);
    let broken = document.status_changes.iter().filter(|change| change.is_broken);
    let broken = broken.filter(|change| !is_compared(&change.case)).count();
    let what = tally(
        &document.standings(),
        &[(missing, "missing"), (broken, "broken without figures")],
    );
    match document.gates {
        true => format!("{what}; exit code {}: {}", document.exit_code, meaning(document.exit)),
        false => what,
    }
}
