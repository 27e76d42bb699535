//! What is no text at all.

use super::compare::Side;
use crate::protocol::Generation;

/// What is said again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated<'a> {
    /// A token.
    Token(u32),
    /// A piece of text, of an engine of which no tokens are known.
    Piece(&'a str),
}

/// One token again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition<'a> {
    /// What it is.
    pub what: Repeated<'a>,
    /// How often it came, one after the other, at the end.
    pub count: usize,
    /// There is nothing else.
    pub is_all: bool,
}

/// So often the same token with nothing else is the signature of activations that are zero or not a number (`!!!!!!!!`).
/// Short answers may repeat a token honestly.
const SUSPICIOUS: usize = 8;

/// A text that begins well may run into the same: the cache holds what a broken copy left there. Rulers and indents of
/// tables and code are shorter, because tokenizers have tokens for runs.
const SUSPICIOUS_AT_END: usize = 16;

/// Where no tokens are known, a character that is repeated may be a run of which a tokenizer makes a few tokens: so many of
/// them count as one.
const RUN: usize = 4;

/// Where no tokens are known, the most bytes of a word that is taken for a token.
const LONGEST_PIECE: usize = 24;

impl Repetition<'_> {
    /// What it is, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { what, count, is_all } = self;
        let what = match what {
            Repeated::Token(id) => format!("one token ({id})"),
            Repeated::Piece(piece) => format!("one piece of text ({piece:?})"),
        };
        if *is_all {
            format!("{what} repeated {count} times")
        } else {
            format!("it ends in {what} repeated {count} times")
        }
    }
}

/// The repetition that a text ends in, where it is long enough to be suspicious. A model can do that honestly: whoever
/// judges looks at what the same model says elsewhere.
#[must_use]
pub fn repetition<'a>(said: &Side<'a>) -> Option<Repetition<'a>> {
    if !said.has_ids {
        return repeated_piece(said.text);
    }
    let id = *said.ids.last()?;
    let count = said.ids.iter().rev().take_while(|other| **other == id).count();
    let is_all = count == said.ids.len();
    suspicious(Repeated::Token(id), count, is_all, 1)
}

fn suspicious(what: Repeated<'_>, count: usize, is_all: bool, weight: usize) -> Option<Repetition<'_>> {
    let fewest = if is_all { SUSPICIOUS } else { SUSPICIOUS_AT_END };
    (count >= fewest * weight).then_some(Repetition { what, count, is_all })
}

/// The same for a text of which no tokens are known: a word, or a character, again and again. The shortest is meant, for
/// `aaaa` is also `aa` twice.
fn repeated_piece(text: &str) -> Option<Repetition<'_>> {
    let lengths = 1..=LONGEST_PIECE.min(text.len());
    let repeated = |length: usize| {
        let piece = text.get(text.len() - length..).filter(|piece| is_one_word(piece))?;
        let mut rest = text;
        let mut count = 0;
        while let Some(before) = rest.strip_suffix(piece) {
            rest = before;
            count += 1;
        }
        // The first may lack the blank before it, or be cut off by the beginning of the text.
        let is_all = piece.ends_with(rest);
        let weight = if piece.chars().count() == 1 { RUN } else { 1 };
        suspicious(Repeated::Piece(piece), count, is_all, weight)
    };
    lengths.into_iter().find_map(repeated)
}

/// Blanks, then characters that are none, or the other way round: what a token may be. Several words are a refrain, and several
/// times the same character is looked at as that character.
fn is_one_word(piece: &str) -> bool {
    let mut characters = piece.chars();
    let first = characters.next();
    let second = characters.next();
    if second.is_some() && second == first && characters.all(|other| Some(other) == first) {
        return false;
    }
    let mut words = piece.split_whitespace();
    match (words.next(), words.next()) {
        (Some(word), None) => piece.starts_with(word) || piece.ends_with(word),
        (None, None) => true,
        _ => false,
    }
}

/// Why a generation is no text whatever the model is like, if it is none: nothing at all, nothing to see, or logits that
/// are not finite.
#[must_use]
pub fn no_text(generation: &Generation, has_tokenizer: bool) -> Option<String> {
    let count = generation.output_count();
    if count == 0 {
        return Some("nothing was generated".into());
    }
    let is_finite = |step: &Vec<crate::protocol::TokenLogit>| step.iter().all(|entry| entry.logit.is_finite());
    let not_finite = generation
        .top2_gaps
        .iter()
        .position(|gap| !gap.is_finite())
        .or_else(|| generation.top5.iter().position(|step| !is_finite(step)));
    if let Some(step) = not_finite {
        return Some(format!("the logits of step {step} are not finite"));
    }
    if has_tokenizer && count > 1 && generation.text.trim().is_empty() {
        return Some(format!("{count} tokens, but no visible text"));
    }
    None
}

/// Why a generation is garbage, if it is. `others` are the texts that the same model is known to say here (its approved
/// snapshot, the reference placement): a repetition that they end in too is the model's own.
#[must_use]
pub fn garbage(generation: &Generation, has_tokenizer: bool, others: &[Side<'_>]) -> Option<String> {
    if let Some(why) = no_text(generation, has_tokenizer) {
        return Some(why);
    }
    let own = Side::of(generation);
    let found = repetition(&own)?;
    let is_excused = others.iter().any(|other| excuses(other, &own, found));
    (!is_excused).then(|| found.words())
}

fn excuses(other: &Side<'_>, own: &Side<'_>, found: Repetition<'_>) -> bool {
    let is_same = match other.has_ids && own.has_ids {
        true => other.ids == own.ids,
        false => other.text == own.text,
    };
    // Of a side without tokens only its text can tell, and then the other's text must.
    let repeats = |repetition: Option<Repetition<'_>>| repetition.is_some_and(|other| other.what == found.what);
    is_same
        || match (other.has_ids, own.has_ids) {
            (true, true) | (false, false) => repeats(repetition(other)),
            (true, false) => repeats(repeated_piece(other.text)),
            (false, true) => {
                let (ours, theirs) = (repeated_piece(own.text), repeated_piece(other.text));
                ours.zip(theirs).is_some_and(|(ours, theirs)| ours.what == theirs.what)
            }
        }
}

#[cfg(test)]
mod tests {
    use super::super::testing::generation;
    use super::*;

    #[test]
    fn garbage_is_recognised_and_text_is_not() {
        let is_garbage = |ids: &[u32]| garbage(&generation(ids), true, &[]).is_some();
        assert!(is_garbage(&[]));
        assert!(is_garbage(&[3; 8]));
        assert!(!is_garbage(&[3; 7]), "a short answer may repeat a token");
        assert!(!is_garbage(&[3, 4, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_text_that_ends_in_one_token_is_garbage_and_one_that_gets_over_it_is_not() {
        let text = |run: usize, after: &[u32]| [&[1, 2][..], &vec![9; run], after].concat();
        let words = garbage(&generation(&text(16, &[])), true, &[]).unwrap();
        assert_eq!(words, "it ends in one token (9) repeated 16 times");
        assert_eq!(garbage(&generation(&text(15, &[])), true, &[]), None);
        assert_eq!(
            garbage(&generation(&text(40, &[5])), true, &[]),
            None,
            "an indent, a ruler"
        );
    }

    #[test]
    fn a_repetition_of_the_model_itself_is_no_garbage_and_of_another_token_is() {
        let ours = generation(&[9; 20]);
        assert_eq!(
            garbage(&ours, true, &[Side::of(&generation(&[9; 20]))]),
            None,
            "the approved text"
        );
        assert_eq!(
            garbage(&ours, true, &[Side::of(&generation(&[9; 12]))]),
            None,
            "it repeats as well"
        );
        assert!(garbage(&ours, true, &[Side::of(&generation(&[8; 20]))]).is_some());
        assert!(garbage(&ours, true, &[Side::of(&generation(&[9, 8, 7]))]).is_some());
    }

    #[test]
    fn nothing_excuses_what_is_not_finite_or_cannot_be_seen() {
        let mut silent = generation(&[1, 2]);
        silent.text = "  ".into();
        let known = silent.clone();
        let own = Side::of(&known);
        assert!(garbage(&silent, true, &[own]).is_some());
        assert_eq!(garbage(&silent, false, &[]), None, "there is no tokenizer");
        let mut not_finite = generation(&[1, 2]);
        not_finite.top2_gaps = vec![1.0, f32::NAN];
        assert!(garbage(&not_finite, true, &[own]).unwrap().contains("step 1"));
    }
}
