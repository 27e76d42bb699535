//! Prompts and outputs: bounded, visible, and parted where they part from the reference.

use placebench_core::protocol::{Generation, Prompt};
use placebench_core::record::{CaseSpec, IndexedRun};
use serde::Serialize;

use super::words::{Lines, count, line, visible};

/// Characters of an output that are shown; the rest is in the record.
const LONGEST: usize = 4000;

/// An output, beside the output it is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutputView {
    /// What both outputs begin with; all of it where nothing is compared.
    pub same: String,
    /// From the first difference on.
    pub different: String,
    /// How it compares, in words.
    pub note: String,
    /// Why there is no output; empty where there is one.
    pub missing: String,
}

/// What a model was asked to continue.
#[must_use]
pub fn prompt(input: &Prompt) -> String {
    match input {
        Prompt::Text(text) => visible(text, Lines::Keep, LONGEST),
        Prompt::Messages(messages) => {
            let turns: Vec<String> = messages
                .iter()
                .map(|turn| format!("{}: {}", turn.role, turn.content))
                .collect();
            visible(&turns.join("\n"), Lines::Keep, LONGEST)
        }
        Prompt::InputIds(ids) => ids_words(ids),
    }
}

/// The output of a case, compared with that of the reference placement.
#[must_use]
pub fn output(record: &IndexedRun<'_>, spec: &CaseSpec, reference: Option<&CaseSpec>, why_missing: &str) -> OutputView {
    let generations: Vec<&Generation> = generations(record, spec).collect();
    let Some(own) = generations.first() else {
        return OutputView {
            missing: why_missing.to_owned(),
            ..OutputView::default()
        };
    };
    let mut view = match reference {
        Some(reference) if reference.case != spec.case => match generations_first(record, reference) {
            Some(other) => compared(own, other, &line(&reference.placement)),
            None => alone(
                own,
                &format!("{} has no output to compare with", line(&reference.placement)),
            ),
        },
        Some(_) => alone(own, "the others are compared with this one"),
        None => alone(own, ""),
    };
    let mut distinct: Vec<&[u32]> = Vec::new();
    for generation in &generations {
        if !distinct.contains(&generation.output_ids.as_slice()) {
            distinct.push(&generation.output_ids);
        }
    }
    if distinct.len() > 1 {
        let repetitions = count(generations.len(), "repetition", "repetitions");
        view.note.push_str(&format!(
            "; {repetitions} gave {} different outputs, the first is shown",
            distinct.len()
        ));
    }
    view
}

fn generations<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> impl Iterator<Item = &'a Generation> {
    record.deciding_attempts(spec).flat_map(|attempt| &attempt.generations)
}

fn generations_first<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> Option<&'a Generation> {
    generations(record, spec).next()
}

fn alone(own: &Generation, note: &str) -> OutputView {
    OutputView {
        same: readable(own),
        note: note.to_owned(),
        ..OutputView::default()
    }
}

fn compared(own: &Generation, other: &Generation, name: &str) -> OutputView {
    let shared = own
        .output_ids
        .iter()
        .zip(&other.output_ids)
        .take_while(|(a, b)| a == b)
        .count();
    if shared == own.output_ids.len() && shared == other.output_ids.len() && own.text == other.text {
        return alone(
            own,
            &format!("the same as {name}, all {}", count(shared, "token", "tokens")),
        );
    }
    let gap = own
        .top2_gaps
        .get(shared)
        .map(|gap| format!(", where the two best logits were {gap:.4} apart"));
    let (same, different) = if own.text.is_empty() || other.text.is_empty() {
        (
            ids_words(&own.output_ids[..shared]),
            ids_words(&own.output_ids[shared..]),
        )
    } else {
        part(&own.text, &other.text)
    };
    OutputView {
        same,
        different,
        note: format!(
            "parts from {name} at token {shared} (counted from 0){}",
            gap.unwrap_or_default()
        ),
        missing: String::new(),
    }
}

/// Both parts of `own`, split at the first character that differs from `other`.
fn part(own: &str, other: &str) -> (String, String) {
    // Where no character differs one text begins with the other, so that the shorter length is a boundary of both.
    let at = own
        .char_indices()
        .zip(other.chars())
        .find(|((_, a), b)| a != b)
        .map_or_else(|| own.len().min(other.len()), |((at, _), _)| at);
    let (same, different) = own.split_at(at);
    (tail(same), visible(different, Lines::Keep, LONGEST))
}

/// The end of the common part matters most: a long one loses its beginning.
fn tail(same: &str) -> String {
    let length = same.chars().count();
    if length <= LONGEST {
        return visible(same, Lines::Keep, LONGEST);
    }
    let end: String = same.chars().skip(length - LONGEST).collect();
    format!(
        "({} characters left out) … {}",
        length - LONGEST,
        visible(&end, Lines::Keep, LONGEST)
    )
}

/// The text, or the tokens of a model without a tokenizer.
fn readable(generation: &Generation) -> String {
    if generation.text.is_empty() {
        ids_words(&generation.output_ids)
    } else {
        visible(&generation.text, Lines::Keep, LONGEST)
    }
}

fn ids_words(ids: &[u32]) -> String {
    const MOST: usize = 256;
    if ids.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = ids.iter().take(MOST).map(u32::to_string).collect();
    let rest = ids.len().saturating_sub(MOST);
    let more = if rest == 0 {
        String::new()
    } else {
        format!(" … ({rest} more)")
    };
    format!("tokens {}{more}", shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_part_between_characters() {
        assert_eq!(part("über x", "über y"), ("über ".into(), "x".into()));
        assert_eq!(part("ab", "abcd"), ("ab".into(), String::new()));
        assert_eq!(part("abcd", "ab"), ("ab".into(), "cd".into()));
        assert_eq!(part("é", "e"), (String::new(), "é".into()));
        assert_eq!(part("aé", "a"), ("a".into(), "é".into()));
    }

    #[test]
    fn a_long_common_part_keeps_its_end() {
        let (same, different) = part(&format!("{}x", "a".repeat(5000)), &"a".repeat(5000));
        assert!(same.starts_with("(1000 characters left out)"), "{}", &same[..40]);
        assert_eq!(different, "x");
    }
}
