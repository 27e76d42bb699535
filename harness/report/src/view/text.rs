//! Prompts and outputs: bounded, visible, in their tokens, and parted where they part from the reference.

use placebench_core::protocol::{FinishReason, Generation, Prompt};
use placebench_core::record::{CaseSpec, IndexedRun};
use serde::Serialize;

use super::tokens::{Passage, Tokens, end_of, head};
use super::words::{count, line};

/// An output, beside the output it is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutputView {
    /// What both outputs begin with; all of it where nothing is compared.
    pub same: Passage,
    /// The first token that differs; of a text without boundaries everything from the first difference on.
    pub first: String,
    /// What follows it.
    pub after: Passage,
    /// The output has a text in which something differs.
    pub parts: bool,
    /// It says nothing.
    pub is_empty: bool,
    /// The boundaries of its tokens are known.
    pub has_tokens: bool,
    /// How many tokens it has and why it ended.
    pub length: String,
    /// How it compares, in words.
    pub note: String,
    /// Why there is no output; empty where there is one.
    pub missing: String,
}

/// What a model was asked to continue.
#[must_use]
pub fn prompt(input: &Prompt) -> String {
    match input {
        Prompt::Text(text) => head(text),
        Prompt::Messages(messages) => {
            let turns: Vec<String> = messages
                .iter()
                .map(|turn| format!("{}: {}", turn.role, turn.content))
                .collect();
            head(&turns.join("\n"))
        }
        Prompt::InputIds(ids) => ids_words(ids),
    }
}

/// The placement a case's text is held against: the one its scenario says it must agree with, else the one the others of its
/// prompt are compared with, if that runs the same model in the same way.
fn compared_with<'a>(
    record: &'a IndexedRun<'a>,
    spec: &CaseSpec,
    reference: Option<&'a CaseSpec>,
) -> Option<&'a CaseSpec> {
    let Some(agreement) = &spec.expect.agreement else {
        // Without one of its own engine, the text of the engine that sets the measure.
        if let Some(engines) = &spec.expect.engines {
            return sibling(record, spec, &engines.reference).or(reference);
        }
        return reference
            .filter(|other| (&other.engine, &other.model, other.dtype) == (&spec.engine, &spec.model, spec.dtype));
    };
    sibling(record, spec, &agreement.reference).or(reference)
}

/// Another placement of the same prompt.
pub(super) fn sibling<'a>(record: &'a IndexedRun<'a>, spec: &CaseSpec, placement: &str) -> Option<&'a CaseSpec> {
    record
        .info
        .cases
        .iter()
        .find(|other| other.placement == placement && other.prompt == spec.prompt && other.scenario == spec.scenario)
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
    let mut view = match compared_with(record, spec, reference) {
        Some(reference) if reference.case != spec.case => match self::generations(record, reference).next() {
            Some(other) => compared(own, other, &line(&reference.placement)),
            None => alone(
                own,
                &format!("{} has no output to compare with", line(&reference.placement)),
            ),
        },
        Some(_) => alone(own, "the others are compared with this one"),
        None => alone(own, ""),
    };
    let mut distinct: Vec<&Generation> = Vec::new();
    for generation in &generations {
        if !distinct.iter().any(|known| is_same(known, generation)) {
            distinct.push(generation);
        }
    }
    if distinct.len() > 1 {
        let repetitions = count(generations.len(), "repetition", "repetitions");
        let more = format!(
            "{repetitions} gave {} different outputs, the first is shown",
            distinct.len()
        );
        view.note = [view.note, more]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    view
}

/// The same tokens; the same text where they are not known.
fn is_same(one: &Generation, other: &Generation) -> bool {
    match one.has_ids() && other.has_ids() {
        true => one.output_ids == other.output_ids,
        false => one.text == other.text,
    }
}

/// The measured generations of the try that decided.
pub(super) fn generations<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> impl Iterator<Item = &'a Generation> {
    record.deciding_attempts(spec).flat_map(|attempt| &attempt.generations)
}

/// An output of which nothing differs.
fn alone(own: &Generation, note: &str) -> OutputView {
    let tokens = Tokens::of(own);
    let same = match tokens {
        Some(tokens) => tokens.from(0),
        None if own.text.is_empty() => Passage::plain(ids_words(&own.output_ids)),
        None => Passage::plain(head(&own.text)),
    };
    OutputView {
        is_empty: same.is_empty(),
        has_tokens: tokens.is_some(),
        same,
        length: length_words(own),
        note: note.to_owned(),
        ..OutputView::default()
    }
}

fn compared(own: &Generation, other: &Generation, name: &str) -> OutputView {
    if !(own.has_ids() && other.has_ids()) {
        return compared_by_text(own, other, name);
    }
    let shared = own
        .output_ids
        .iter()
        .zip(&other.output_ids)
        .take_while(|(a, b)| a == b)
        .count();
    let same_tokens = shared == own.output_ids.len() && shared == other.output_ids.len();
    if same_tokens && own.text == other.text {
        return alone(
            own,
            &format!("the same as {name}, all {}", count(shared, "token", "tokens")),
        );
    }
    let note = match own.output_ids.get(shared) {
        _ if same_tokens => format!("has the tokens of {name}, but another text made of them"),
        Some(_) if shared == other.output_ids.len() => {
            format!("goes on where {name} ends, after {}", count(shared, "token", "tokens"))
        }
        Some(_) => format!("parts from {name} at token {shared} (counted from 0)"),
        None => format!("ends where {name} goes on, after {}", count(shared, "token", "tokens")),
    };
    let tokens = Tokens::of(own).filter(|_| !same_tokens);
    let (same, first, after) = match tokens {
        Some(tokens) => parted(tokens, own, shared),
        None if own.text.is_empty() || other.text.is_empty() => (
            Passage::plain(ids_words(&own.output_ids[..shared])),
            ids_words(&own.output_ids[shared..]),
            Passage::default(),
        ),
        None => {
            let (same, different) = part(&own.text, &other.text);
            (Passage::plain(same), different, Passage::default())
        }
    };
    OutputView {
        is_empty: same.is_empty() && first.is_empty() && after.is_empty(),
        has_tokens: tokens.is_some(),
        same,
        first,
        after,
        parts: true,
        length: length_words(own),
        note,
        missing: String::new(),
    }
}

/// The same where of one of them no tokens are known.
fn compared_by_text(own: &Generation, other: &Generation, name: &str) -> OutputView {
    const ALONE: &str = "by text alone: the tokens of one of them are not known";
    if own.text == other.text {
        return alone(own, &format!("the same as {name}, {ALONE}"));
    }
    let (same, different) = part(&own.text, &other.text);
    let note = match different.is_empty() {
        true => format!("ends where {name} goes on, {ALONE}"),
        false if own.text.starts_with(&other.text) => format!("goes on where {name} ends, {ALONE}"),
        false => format!("parts from {name}, {ALONE}"),
    };
    OutputView {
        is_empty: own.text.is_empty(),
        has_tokens: false,
        same: Passage::plain(same),
        first: different,
        parts: true,
        length: length_words(own),
        note,
        ..OutputView::default()
    }
}

/// What comes before a token, the token, and what follows.
fn parted(tokens: Tokens<'_>, own: &Generation, index: usize) -> (Passage, String, Passage) {
    let first = match (tokens.shown(index), own.output_ids.get(index)) {
        // A token without a text, such as an end token, is still the one that differs.
        (text, Some(id)) if text.is_empty() => format!("⟨token {id}⟩"),
        (text, _) => text,
    };
    (tokens.before(index), first, tokens.from(index + 1))
}

/// `12 tokens, ended by the limit of tokens`.
fn length_words(generation: &Generation) -> String {
    // Arrivals that nobody counted the tokens of are what is known.
    let is_counted = generation.has_ids() || generation.output_tokens.is_some();
    let tokens = match is_counted {
        true => count(generation.output_count(), "token", "tokens"),
        false => count(generation.output_count(), "piece of text", "pieces of text"),
    };
    format!("{tokens}, ended by {}", finish_words(generation.finish_reason))
}

/// Why a generation ended, as people say it.
pub(super) fn finish_words(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos => "an end token",
        FinishReason::Length => "the limit of tokens",
        FinishReason::Stop => "a stop text",
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
    (end_of(same), head(different))
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
