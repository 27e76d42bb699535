//! Sentences that state what was found: of a run, and of each picture.

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::RunRecord;
use placebench_core::units::human_seconds;

use super::case::CaseView;
use super::compared::ComparedView;
use super::compared_title;
use super::timing::Timing;
use super::words::{count, line, list, number};
use super::{Counts, Figure};

/// How many placements a title names before it speaks of extremes only.
pub(super) const NAMED: usize = 3;

/// `9 passed, 1 failed, 2 skipped`.
#[must_use]
pub fn headline(counts: &Counts) -> String {
    let parts = [
        (counts.flaky, "flaky"),
        (counts.failed, "failed"),
        (counts.setup, "could not be set up"),
        (
            counts.pending,
            if counts.pending == 1 {
                "waits for review"
            } else {
                "wait for review"
            },
        ),
        (counts.skipped, "skipped"),
        (counts.unjudged, "not judged"),
    ];
    let mut words = vec![format!("{} passed", counts.passed)];
    words.extend(
        parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}")),
    );
    let total = counts.passed + parts.iter().map(|(n, _)| n).sum::<usize>();
    if total == 0 {
        "No case was run".into()
    } else {
        words.join(", ")
    }
}

/// The colour of the headline.
#[must_use]
pub fn tone(counts: &Counts) -> &'static str {
    if counts.failed + counts.setup > 0 {
        "bad"
    } else if counts.pending + counts.unjudged + counts.flaky > 0 || counts.passed == 0 {
        "open"
    } else {
        "good"
    }
}

/// `Exit code 100. 12 cases on linux x86_64, …, release build, started 2026-…`.
#[must_use]
pub fn summary(record: &RunRecord) -> String {
    let info = &record.info;
    line(&format!(
        "{} on {} ({}), {} build of {} {}, started {}. Exit code {}.",
        count(info.cases.len(), "case", "cases"),
        info.environment.platform,
        info.environment.cpu,
        info.tool.profile,
        info.tool.name,
        info.tool.version,
        info.started_at,
        record.verdict.exit_code,
    ))
}

/// What a reader must know before believing a figure.
#[must_use]
pub fn notes(record: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if !record.verdict.complete {
        notes.push("The run was interrupted: cases without a judgement were not done.".to_owned());
    }
    if record.info.cases.iter().any(|case| case.audit.is_some()) {
        let audit = "An audit: every module was waited for and looked at, so nothing here is timed.";
        notes.push(audit.to_owned());
    }
    let debug = |profile: Option<&str>| profile.is_some_and(|profile| profile.eq_ignore_ascii_case("debug"));
    if debug(Some(&record.info.tool.profile)) || record.attempts.iter().any(|attempt| debug(attempt.profile.as_deref()))
    {
        notes.push("Figures of a debug build: compare them with nothing but figures of the same build.".to_owned());
    }
    let known = |case: &str| record.info.cases.iter().any(|spec| spec.case == case);
    let strangers = record
        .verdict
        .cases
        .iter()
        .filter(|verdict| !known(&verdict.case))
        .count()
        + record.attempts.iter().filter(|attempt| !known(&attempt.case)).count();
    if strangers > 0 {
        let entries = count(
            strangers,
            "attempt or judgement belongs",
            "attempts or judgements belong",
        );
        notes.push(format!("{entries} to no case of this run and cannot be shown."));
    }
    notes
}

/// What the placements show: a stall at a hop first, then a plan that was not kept, then hops.
#[must_use]
pub fn placement(cases: &[CaseView]) -> String {
    let stuck = cases.iter().find_map(|case| {
        let at = case.place.as_ref()?;
        let verb = match case.outcome_kind? {
            OutcomeKind::OutOfMemory => "ran out of memory",
            other => super::status::outcome_words(other),
        };
        Some(format!("{} {verb} at {at}", case.placement))
    });
    if let Some(stuck) = stuck {
        return stuck;
    }
    if let Some(unkept) = unkept(cases) {
        return unkept;
    }
    let mut hops: Vec<(&str, f64)> = (cases.iter())
        .filter_map(|case| Some((case.placement.as_str(), case.hops_per_token?)))
        .collect();
    hops.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (Some(most), Some(least)) = (hops.first(), hops.last()) else {
        return "No placement was measured".into();
    };
    let all = if hops.len() == cases.len() {
        "Every placement"
    } else {
        "Every measured placement"
    };
    if most.1 == 0.0 {
        return if cases.len() == 1 {
            format!("{} needs no hop", most.0)
        } else {
            "No placement needs a hop".into()
        };
    }
    if hops.len() > 1 && (most.1 - least.1).abs() < f64::EPSILON {
        return format!("{all} needs {} per token", hops_words(most.1));
    }
    if hops.len() > NAMED {
        return format!(
            "Hops per token: from {} ({}) to {} ({})",
            number(least.1),
            least.0,
            number(most.1),
            most.0
        );
    }
    let mut groups: Vec<(f64, Vec<String>)> = Vec::new();
    for (name, hops) in &hops {
        match groups
            .last_mut()
            .filter(|(known, _)| (known - hops).abs() < f64::EPSILON)
        {
            Some((_, names)) => names.push((*name).to_owned()),
            None => groups.push((*hops, vec![(*name).to_owned()])),
        }
    }
    let words: Vec<String> = groups
        .iter()
        .enumerate()
        .map(|(position, (hops, names))| match position {
            0 => format!(
                "{} {} {} per token",
                list(names),
                if names.len() == 1 { "needs" } else { "need" },
                hops_words(*hops)
            ),
            _ if *hops == 0.0 => format!("{} none", list(names)),
            _ => format!("{} {}", list(names), number(*hops)),
        })
        .collect();
    words.join(", ")
}

/// A placement that was not loaded as planned, or is too large for a device.
fn unkept(cases: &[CaseView]) -> Option<String> {
    let elsewhere = |case: &&CaseView| case.placed.modules.iter().any(|module| module.missed().is_some());
    if let Some(case) = cases.iter().find(elsewhere) {
        let mut parted = case.placed.modules.iter().filter(|module| module.missed().is_some());
        let first = parted.next().map(|module| {
            let loaded = module.realised.as_deref().unwrap_or_default();
            format!("{} is on {loaded}", super::modules::short(&module.module))
        });
        let others = match parted.count() {
            0 => String::new(),
            more => format!(" and {}", count(more, "other module", "other modules")),
        };
        return Some(format!(
            "{} is not where it was planned: {}{others}",
            case.placement,
            first.unwrap_or_default()
        ));
    }
    cases.iter().find_map(|case| {
        let over = case.placed.devices.iter().find(|device| device.is_over)?;
        Some(format!(
            "{} puts more on {} than it may hold",
            case.placement, over.device
        ))
    })
}

fn hops_words(hops: f64) -> String {
    let noun = if (hops - 1.0).abs() < f64::EPSILON {
        "hop"
    } else {
        "hops"
    };
    format!("{} {noun}", number(hops))
}

/// What the latencies show: the time to the first token against the reference, as it was judged; wrong texts are named.
#[must_use]
pub fn latency(cases: &[CaseView], compared: &ComparedView) -> String {
    let mut words = Vec::new();
    let measured: Vec<(&str, f64)> = (cases.iter())
        .filter_map(|case| Some((case.placement.as_str(), case.ttft_s?)))
        .collect();
    match (compared_title::first_token(compared), measured.as_slice()) {
        (Some(judged), _) => words.push(judged),
        (None, []) => words.push("No latency to show".to_owned()),
        (None, [(name, ttft)]) => words.push(format!("{name}: {} to the first token", human_seconds(*ttft))),
        (None, several) => words.extend(range(several)),
    }
    words.extend(invalid(cases));
    words.join("; ")
}

/// Whose text is wrong, so that it has no speed.
pub(super) fn invalid(cases: &[CaseView]) -> Option<String> {
    let invalid = cases.iter().filter(|case| matches!(case.timing, Timing::Invalid(_)));
    let invalid: Vec<String> = invalid.map(|case| case.placement.clone()).collect();
    match invalid.len() {
        0 => None,
        1..=NAMED => Some(format!("{} invalid, the text is wrong", list(&invalid))),
        n => Some(format!("{n} placements invalid, their text is wrong")),
    }
}

fn range(measured: &[(&str, f64)]) -> Option<String> {
    let (fastest, low) = measured.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let (slowest, high) = measured.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(format!(
        "Time to first token: from {} ({fastest}) to {} ({slowest})",
        human_seconds(*low),
        human_seconds(*high)
    ))
}

/// What the memory figures show: what ran out, else the device that comes closest to its budget, else the largest; and
/// the peak that is furthest from its plan.
#[must_use]
pub fn memory(cases: &[CaseView]) -> String {
    let full = |case: &&CaseView| case.outcome_kind == Some(OutcomeKind::OutOfMemory);
    if let Some(case) = cases.iter().find(full) {
        let mut refused = case
            .memory
            .iter()
            .filter_map(|device| Some((device, device.refusal.as_ref()?)));
        return match refused.next() {
            Some((device, refusal)) => {
                format!(
                    "{} ran out of memory on {}: {}",
                    case.placement, device.device, refusal.words
                )
            }
            None => format!("{} ran out of memory", case.placement),
        };
    }
    let devices = || {
        cases
            .iter()
            .flat_map(|case| case.memory.iter().map(move |device| (case, device)))
    };
    let tightest = devices()
        .filter_map(|(case, device)| Some((case, device, device.utilisation()?)))
        .max_by(|a, b| a.2.total_cmp(&b.2));
    let found = match tightest {
        Some((case, device, share)) if share > 1.0 => format!(
            "{} is over budget: {} of the {} that {} may hold",
            case.placement, device.share, device.words[3], device.device
        ),
        Some((case, device, _)) => format!(
            "{} comes closest to a budget: {} of {}'s {}",
            case.placement, device.share, device.device, device.words[3]
        ),
        None => match devices()
            .filter(|(_, device)| device.peak.is_some())
            .max_by_key(|(_, device)| device.peak)
        {
            Some((case, device)) => format!(
                "{} has the largest peak: {} on {}",
                case.placement, device.words[2], device.device
            ),
            None if devices().any(|(_, device)| device.weights.is_some()) => {
                "Weights only: no peak was measured".into()
            }
            None => return "No memory was measured".into(),
        },
    };
    let ratios = devices().filter_map(|(case, device)| Some((case, device, device.against_plan()?)));
    let furthest = ratios.max_by(|a, b| (a.2 - 1.0).abs().total_cmp(&(b.2 - 1.0).abs()));
    match furthest.map(|(case, device, _)| (case, device, device.off_plan())) {
        None => found,
        Some((_, _, None)) => format!("{found}; peaks are as planned"),
        Some((case, device, Some(words))) => format!(
            "{found}; furthest from plan is {} of {}: {words}",
            device.device, case.placement
        ),
    }
}

/// What a figure says in one cell of a table.
#[must_use]
pub fn cell(figure: &Figure) -> &str {
    figure.measured().unwrap_or("–")
}
