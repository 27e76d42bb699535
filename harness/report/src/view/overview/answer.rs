//! What a prompt shows, in one sentence: what broke where, who is fastest and by how much, the text, the memory.

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::CaseStatus;

use crate::view::CaseView;
use crate::view::compared::{ComparedRow, ComparedView, TTFT};
use crate::view::fastest::Standing;
use crate::view::status::outcome_words;
use crate::view::words::{count, line, list, number, relation};

/// Broken placements, and slower ones, that are named.
const NAMED: usize = 3;

/// No slower than anybody would notice.
const AS_FAST: &str = "as fast";

/// The finding of a prompt.
pub(super) fn sentence(cases: &[CaseView], compared: &ComparedView, least_peak: Option<&str>) -> String {
    let parts = [
        broken(cases),
        speed(cases, compared),
        text(cases),
        memory(cases, least_peak),
        expected(cases),
        not_run(cases),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "nothing was measured".to_owned(),
        false => parts.join("; "),
    }
}

/// How a case broke, and where: `auto stalled at model.layers.3 → model.layers.4`.
pub(super) fn breakage(case: &CaseView) -> String {
    let name = &case.placement;
    match case.outcome_kind {
        Some(OutcomeKind::Completed) | None => match case.text_verdict {
            "diverged" => format!("{name}: the text diverged"),
            "garbage" => format!("{name}: the text is garbage"),
            _ => {
                let mut checks: Vec<String> = case.findings.iter().map(|finding| finding.check.clone()).collect();
                checks.dedup();
                match checks.is_empty() {
                    true => format!("{name} {}", case.status_words),
                    false => format!("{name} fails {}", list(&checks)),
                }
            }
        },
        Some(OutcomeKind::Skipped) => format!("{name} could not be set up"),
        Some(outcome) => {
            let verb = match outcome {
                OutcomeKind::OutOfMemory => "ran out of memory",
                OutcomeKind::Failed => "failed",
                other => outcome_words(other),
            };
            match (&case.place, case.ended.as_str()) {
                (Some(place), _) => format!("{name} {verb} at {place}"),
                (None, "") => format!("{name} {verb}"),
                (None, ended) => format!("{name} {verb} {ended}"),
            }
        }
    }
}

fn broken(cases: &[CaseView]) -> Option<String> {
    let broken: Vec<&CaseView> = (cases.iter())
        .filter(|case| matches!(case.status, "failed" | "setup"))
        .collect();
    let mut words: Vec<String> = broken.iter().take(NAMED).map(|case| breakage(case)).collect();
    if broken.len() > NAMED {
        words.push(format!("{} more failed", broken.len() - NAMED));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn speed(cases: &[CaseView], compared: &ComparedView) -> Option<String> {
    let lead = compared.lead();
    let unit = match lead {
        TTFT => "to the first token",
        _ => "a token",
    };
    let speeds = compared.speeds();
    let row = |index: usize| compared.rows.get(index);
    let time = |row: &ComparedRow| Some(row.cells.get(lead)?.value.measured()?.to_owned());
    let (&(position, least), others) = speeds.order.split_first()?;
    let first = row(position)?;
    let least_words = format!("{} {unit}", time(first)?);
    let Some(&(last, most)) = others.last() else {
        // What broke is the news of a case that broke.
        let status = cases.get(position)?.status_kind;
        return matches!(status, Some(CaseStatus::Passed | CaseStatus::Flaky))
            .then(|| format!("{}: {least_words}", first.placement));
    };
    let Some(least) = least else {
        return Some(unrelated(compared, &first.placement, &least_words, others.len() + 1));
    };
    let slower = match others.len() {
        0..=NAMED => {
            let relations = others.iter().filter_map(|(index, ratio)| {
                let name = &row(*index)?.placement;
                Some(format!("{name} {}", slower((*ratio)?, least)?))
            });
            list(&relations.collect::<Vec<_>>())
        }
        n => match slower(most?, least)? {
            words if words == AS_FAST => format!("{n} others {AS_FAST}"),
            words => format!("{n} others up to {words} ({})", row(last)?.placement),
        },
    };
    let doubt = match speeds.standing {
        Standing::Known => return Some(format!("{} is fastest, {least_words}: {slower}", first.placement)),
        Standing::Close => "within noise",
        Standing::Unclear => "unclear; more repetitions might tell",
        Standing::TooFew => "too few repetitions to be sure",
        Standing::Unrelated | Standing::Alone => "not certain",
    };
    Some(format!("{} {least_words}, {slower} ({doubt})", first.placement))
}

/// Several have a time, and none can be held against the reference.
fn unrelated(compared: &ComparedView, first: &str, least: &str, all: usize) -> String {
    let others = count(all - 1, "other has", "others have");
    format!(
        "{first} {least}, {others} a speed (none can be compared with {})",
        compared.reference
    )
}

/// `8 % slower`, `2.5 times as slow`, `as fast`.
fn slower(value: f64, least: f64) -> Option<String> {
    let words = relation(value, least)?;
    Some(match words.as_str() {
        "within 1 %" => AS_FAST.to_owned(),
        _ if value / least >= 2.0 => format!("{words} as slow"),
        // The number stays with its sign where the line ends.
        _ => words.replace(" %", "\u{a0}%").replace("above", "slower"),
    })
}

fn text(cases: &[CaseView]) -> Option<String> {
    let of = |verdict: &str| -> Vec<String> {
        let meant = cases
            .iter()
            .filter(|case| case.text_verdict == verdict && case.outcome == "completed" && !case.goes_wrong_as_expected);
        meant.map(|case| case.placement.clone()).collect()
    };
    let (exact, ties, diverged) = (of("exact"), of("near_tie"), of("diverged"));
    let ties = match ties.len() {
        0 => None,
        1..=NAMED => Some(format!("a near tie in {}", list(&ties))),
        n => Some(format!("near ties in {n} placements")),
    };
    match (exact.len(), ties, diverged.len()) {
        (0, None, _) => None,
        (0, Some(ties), _) => Some(format!("text: {ties}")),
        (_, None, 0) => Some("the same text".to_owned()),
        (1, None, _) => None,
        (n, None, _) => Some(format!("the same text in {n}")),
        (n, Some(ties), _) => Some(format!("the same text in {n}, {ties}")),
    }
}

fn memory(cases: &[CaseView], least_peak: Option<&str>) -> Option<String> {
    let name = least_peak?;
    let peak = cases
        .iter()
        .find(|case| case.placement == name)?
        .overview
        .peak
        .as_ref()?;
    Some(line(&format!(
        "{name} has the lowest peak, {} on {}",
        peak.words, peak.device
    )))
}

fn expected(cases: &[CaseView]) -> Option<String> {
    let expected: Vec<&CaseView> = cases.iter().filter(|case| case.goes_wrong_as_expected).collect();
    match expected.as_slice() {
        [] => None,
        [one] => Some(format!("{}, as expected", breakage_as_expected(one))),
        several => Some(format!(
            "{} of {} go wrong, as expected",
            number(several.len() as f64),
            count(cases.len(), "case", "cases")
        )),
    }
}

fn breakage_as_expected(case: &CaseView) -> String {
    if case.outcome_kind != Some(OutcomeKind::Completed) {
        return breakage(case);
    }
    let mut checks: Vec<String> = (case.expected_findings.iter())
        .map(|finding| finding.check.clone())
        .collect();
    checks.dedup();
    format!("{} fails {}", case.placement, list(&checks))
}

fn not_run(cases: &[CaseView]) -> Option<String> {
    let skipped = cases.iter().filter(|case| case.status == "skipped").count();
    let unjudged = cases.iter().filter(|case| case.status == "unjudged").count();
    let pending = cases.iter().filter(|case| case.status == "pending").count();
    let all = cases.len();
    let parts = [
        (skipped, "not run"),
        (unjudged, "not judged"),
        (pending, "waiting for review"),
    ];
    let words: Vec<String> = (parts.iter())
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| match *n == all {
            true => (*what).to_owned(),
            false => format!("{n} {what}"),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}
