//! Cases of one fate told once: forty failures of one cause are one entry with forty links.

use serde::Serialize;

use crate::view::CaseView;

/// A case as a list names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named<'a> {
    /// Where the page speaks of it.
    pub anchor: &'a str,
    /// Its whole name.
    pub case: &'a str,
}

impl<'a> Named<'a> {
    fn new(case: &'a CaseView) -> Self {
        Self {
            anchor: &case.anchor,
            case: &case.case,
        }
    }
}

/// Cases with the same status, cause and hint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry<'a> {
    /// The first of them, which is told of.
    #[serde(flatten)]
    pub named: Named<'a>,
    /// Its judgement as a word of the record.
    pub status: &'a str,
    /// The same, as a reader wants it.
    pub status_words: &'a str,
    /// What happened to it, as a word of the record.
    pub outcome: &'a str,
    /// What was wrong with its earlier tries.
    pub earlier_tries: &'a [String],
    /// Where it is written.
    pub source: &'a str,
    /// The others.
    pub others: Vec<Named<'a>>,
    /// Name of the check that noticed it; empty where the sentence is what happened.
    pub check: &'a str,
    /// What happened, in one sentence.
    pub sentence: &'a str,
    /// What to do about it; empty where nobody knows.
    pub hint: &'a str,
    /// Findings of the first case that the entry leaves to the case itself.
    pub more: usize,
}

/// Groups cases, in the order in which their causes are met.
#[must_use]
pub fn entries<'a>(cases: impl Iterator<Item = &'a CaseView>) -> Vec<Entry<'a>> {
    let mut entries: Vec<(String, Entry<'a>)> = Vec::new();
    for case in cases {
        let entry = entry(case);
        let cause = format!(
            "{}\n{}\n{}\n{}\n{}",
            case.status,
            case.outcome,
            entry.check,
            without_figures(entry.sentence),
            without_figures(entry.hint)
        );
        match entries.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, known)) => known.others.push(Named::new(case)),
            None => entries.push((cause, entry)),
        }
    }
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn entry(case: &CaseView) -> Entry<'_> {
    let findings = || case.findings.iter().chain(&case.expected_findings);
    let first = findings().next();
    // What a process said when it ended says more than that it was not to end so.
    let is_outcome = !matches!(case.outcome, "completed" | "") && !case.sentence.is_empty() && case.says_more;
    let (check, sentence) = match first {
        Some(finding) if !is_outcome => (finding.check.as_str(), finding.message.as_str()),
        _ => ("", case.sentence.as_str()),
    };
    let hint = findings()
        .map(|finding| finding.hint.as_str())
        .chain([case.skip_hint.as_str()])
        .find(|hint| !hint.is_empty())
        .unwrap_or_default();
    Entry {
        named: Named::new(case),
        status: case.status,
        status_words: &case.status_words,
        outcome: case.outcome,
        earlier_tries: &case.earlier_tries,
        source: &case.source,
        others: Vec::new(),
        check,
        sentence,
        hint,
        more: findings().count().saturating_sub(1),
    }
}

/// Words that are numbers differ from attempt to attempt; numbers within names of modules and devices tell causes apart.
fn without_figures(sentence: &str) -> String {
    let words = sentence.split(' ').map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        match bare.parse::<f64>().is_ok() {
            true => "#",
            false => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_figures;

    #[test]
    fn figures_do_not_tell_causes_apart_but_places_do() {
        let cause = |sentence| without_figures(sentence);
        assert_eq!(
            cause("stalled: in decode, token 3, for 2.01 s"),
            cause("stalled: in decode, token 5, for 2.10 s")
        );
        assert_ne!(cause("stalled at model.layers.3"), cause("stalled at model.layers.4"));
        assert_ne!(cause("no copy to sim:0"), cause("no copy to sim:1"));
    }
}
