//! The four questions over a whole run, answered as far as the record carries an answer.

use super::answer::breakage;
use crate::view::fastest::Standing;
use crate::view::words::{count, list};
use crate::view::{CaseView, Fact, PromptView};

/// Breakages that are named.
const NAMED: usize = 3;

/// Placement, text, memory, failures; a question that nothing answers is left out.
pub(in crate::view) fn answers(prompts: &[&PromptView]) -> Vec<Fact> {
    let cases = || prompts.iter().flat_map(|prompt| &prompt.cases);
    if cases().next().is_none() {
        return Vec::new();
    }
    let answers = [
        ("What broke", Some(broke(prompts))),
        ("Text", text(cases())),
        ("Speed", speed(prompts)),
        ("Memory", memory(prompts)),
    ];
    let given = answers
        .into_iter()
        .filter_map(|(name, answer)| Some(Fact::new(name, answer?)));
    given.collect()
}

/// Names with how often each is met, most often first; equals in the order they are met.
fn ranked<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut ranked: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match ranked.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => *times += 1,
            None => ranked.push((name, 1)),
        }
    }
    ranked.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    ranked
}

fn fastest(prompt: &PromptView) -> Option<&str> {
    let first = prompt.compared.speeds().fastest()?;
    Some(prompt.cases.get(first)?.placement.as_str())
}

fn speed(prompts: &[&PromptView]) -> Option<String> {
    let asked: Vec<&&PromptView> = (prompts.iter())
        .filter(|prompt| !matches!(prompt.compared.speeds().standing, Standing::Alone | Standing::Unrelated))
        .collect();
    if asked.is_empty() {
        return None;
    }
    let of = |standing| {
        asked
            .iter()
            .filter(move |prompt| prompt.compared.speeds().standing == standing)
    };
    let all = count(asked.len(), "comparable prompt", "comparable prompts");
    let known = ranked(asked.iter().filter_map(|prompt| fastest(prompt)));
    let too_few = of(Standing::TooFew).count();
    if too_few == asked.len() {
        return Some(format!(
            "no placement can be called faster: too few repetitions in {all}"
        ));
    }
    let mut words: Vec<String> = (known.iter().take(NAMED))
        .map(|(name, times)| format!("{name} is fastest in {times} of {all}"))
        .collect();
    if words.is_empty() {
        words.push(format!("no placement is certainly the fastest in any of {all}"));
    }
    let rest = [
        (of(Standing::Close).count(), "within noise"),
        (of(Standing::Unclear).count(), "unclear"),
        (too_few, "with too few repetitions to tell"),
    ];
    words.extend(
        rest.iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}")),
    );
    Some(words.join(", "))
}

fn text<'a>(cases: impl Iterator<Item = &'a CaseView>) -> Option<String> {
    let completed: Vec<&CaseView> = cases.filter(|case| case.outcome == "completed").collect();
    let of = |verdict: &str, is_expected: bool| {
        let meant = |case: &&&CaseView| case.text_verdict == verdict && case.goes_wrong_as_expected == is_expected;
        completed.iter().filter(meant).count()
    };
    let both = |verdict: &str| of(verdict, false) + of(verdict, true);
    let checked = completed.len() - both("unchecked");
    if checked == 0 {
        return None;
    }
    let mut words = vec![format!("exact in {} of {checked} checked", both("exact"))];
    let parts = [
        (both("near_tie"), "a near tie in"),
        (of("diverged", false), "diverged in"),
        (of("garbage", false), "garbage in"),
        (of("diverged", true) + of("garbage", true), "wrong as expected in"),
    ];
    words.extend(
        parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{what} {n}")),
    );
    Some(words.join(", "))
}

fn memory(prompts: &[&PromptView]) -> Option<String> {
    let known = ranked(
        prompts
            .iter()
            .filter_map(|prompt| prompt.overview.least_peak.as_deref()),
    );
    let all = known.iter().map(|(_, times)| times).sum::<usize>();
    let mut words: Vec<String> = (known.iter().take(NAMED))
        .map(|(name, times)| format!("{name} in {times}"))
        .collect();
    if known.len() > NAMED {
        words.push("others in the rest".to_owned());
    }
    let prompts = count(all, "prompt", "prompts");
    (!words.is_empty()).then(|| format!("lowest peak in the {prompts} where peaks differ: {}", words.join(", ")))
}

fn broke(prompts: &[&PromptView]) -> String {
    let cases = || prompts.iter().flat_map(|prompt| &prompt.cases);
    let broken: Vec<&CaseView> = cases()
        .filter(|case| matches!(case.status, "failed" | "setup"))
        .collect();
    let expected = cases().filter(|case| case.goes_wrong_as_expected).count();
    let mut words = match broken.len() {
        0 => vec!["nothing that was not expected to".to_owned()],
        n => {
            let mut named: Vec<String> = broken.iter().take(NAMED).map(|case| breakage(case)).collect();
            if n > NAMED {
                named.push(format!("{} more", n - NAMED));
            }
            vec![list(&named)]
        }
    };
    if broken.is_empty() && expected == 0 {
        words = vec!["nothing".to_owned()];
    }
    if expected > 0 {
        words.push(format!(
            "{} wrong as expected",
            count(expected, "case goes", "cases go")
        ));
    }
    words.join("; ")
}
