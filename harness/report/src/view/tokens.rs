//! A generated text in its tokens, bounded: what is shown around the place that matters, and how much is left out.

use std::ops::Range;

use placebench_core::protocol::Generation;
use serde::Serialize;

use super::words::{Lines, visible};

/// Characters of an output that are shown on each side of the place that matters; the rest is in the record.
const LONGEST: usize = 4000;
/// Tokens whose boundaries are shown on each side of it.
const MOST_TOKENS: usize = 300;
/// Characters of one token that are shown.
const LONGEST_TOKEN: usize = 200;

/// A part of a text: its tokens where their boundaries are known, and plain text before or after them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// What comes before the tokens, without boundaries.
    pub lead: String,
    /// The tokens, each as it reads; empty where boundaries are not known.
    pub tokens: Vec<String>,
    /// What comes after the tokens, without boundaries.
    pub rest: String,
}

impl Passage {
    /// Text without boundaries.
    pub(super) fn plain(text: String) -> Self {
        Self {
            lead: text,
            ..Self::default()
        }
    }

    /// There is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lead.is_empty() && self.tokens.is_empty() && self.rest.is_empty()
    }

    /// All of it, as it reads.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}{}", self.lead, self.tokens.concat(), self.rest)
    }
}

/// A text with the places at which its tokens end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    ends: &'a [u32],
}

impl<'a> Tokens<'a> {
    /// The tokens of a generation; `None` where their boundaries are not on record, or are none.
    pub(super) fn of(generation: &'a Generation) -> Option<Self> {
        let (text, ends) = (generation.text.as_str(), generation.text_offsets.as_slice());
        let fits = |end: &u32| usize::try_from(*end).is_ok_and(|end| text.is_char_boundary(end));
        // Of an engine that tells texts only, what came at a time is shown as one.
        let pieces = match generation.has_ids() {
            true => generation.output_ids.len(),
            false => generation.token_stamps_s.len(),
        };
        let is_whole = !ends.is_empty() && ends.len() == pieces;
        (is_whole && !text.is_empty() && ends.is_sorted() && ends.iter().all(fits)).then_some(Self { text, ends })
    }

    /// Where the text of a token ends; that of all tokens for one that is not there.
    fn end(self, index: usize) -> usize {
        let end = self.ends.get(index).or(self.ends.last());
        end.and_then(|end| usize::try_from(*end).ok()).unwrap_or_default()
    }

    fn start(self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.end(before))
    }

    /// The text of a token; empty for one that shows nothing or is not there.
    pub(super) fn token(self, index: usize) -> &'a str {
        if index >= self.ends.len() {
            return "";
        }
        self.text.get(self.start(index)..self.end(index)).unwrap_or_default()
    }

    /// A token as it reads.
    pub(super) fn shown(self, index: usize) -> String {
        visible(self.token(index), Lines::Keep, LONGEST_TOKEN)
    }

    /// The tokens before one: the last of them with boundaries, what comes before as plain text.
    pub(super) fn before(self, index: usize) -> Passage {
        let index = index.min(self.ends.len());
        let mut room = LONGEST;
        let mut first = index;
        while first > 0 && index - first < MOST_TOKENS {
            let length = self.shown_length(first - 1);
            if length > room {
                break;
            }
            room -= length;
            first -= 1;
        }
        Passage {
            lead: tail(self.text.get(..self.start(first)).unwrap_or_default(), room),
            tokens: self.shown_all(first..index),
            rest: String::new(),
        }
    }

    /// The tokens from one on: the first of them with boundaries, what follows as plain text.
    pub(super) fn from(self, index: usize) -> Passage {
        let index = index.min(self.ends.len());
        let mut room = LONGEST;
        let mut end = index;
        while end < self.ends.len() && end - index < MOST_TOKENS {
            let length = self.shown_length(end);
            if length > room {
                break;
            }
            room -= length;
            end += 1;
        }
        Passage {
            lead: String::new(),
            tokens: self.shown_all(index..end),
            rest: visible(self.text.get(self.start(end)..).unwrap_or_default(), Lines::Keep, room),
        }
    }

    /// Characters of a token that are shown.
    fn shown_length(self, index: usize) -> usize {
        self.token(index).chars().take(LONGEST_TOKEN).count()
    }

    fn shown_all(self, range: Range<usize>) -> Vec<String> {
        range.map(|index| self.shown(index)).collect()
    }
}

/// A text without boundaries, from its beginning.
pub(super) fn head(text: &str) -> String {
    visible(text, Lines::Keep, LONGEST)
}

/// The end of a text without boundaries: a long one loses its beginning.
pub(super) fn end_of(text: &str) -> String {
    tail(text, LONGEST)
}

fn tail(text: &str, longest: usize) -> String {
    let length = text.chars().count();
    if length <= longest {
        return visible(text, Lines::Keep, longest);
    }
    let end: String = text.chars().skip(length - longest).collect();
    format!(
        "({} characters left out) … {}",
        length - longest,
        visible(&end, Lines::Keep, longest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::protocol::FinishReason;
    use proptest::prelude::*;

    fn generation(tokens: &[&str]) -> Generation {
        let mut text = String::new();
        let mut text_offsets = Vec::new();
        for token in tokens {
            text.push_str(token);
            text_offsets.push(u32::try_from(text.len()).unwrap());
        }
        Generation {
            input_ids: Vec::new(),
            output_ids: (0..tokens.len()).map(|id| u32::try_from(id).unwrap()).collect(),
            text,
            finish_reason: FinishReason::Length,
            start_s: 0.0,
            token_stamps_s: Vec::new(),
            top2_gaps: Vec::new(),
            top5: Vec::new(),
            hops: Vec::new(),
            transfer_bytes: Vec::new(),
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets,
            companions: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        }
    }

    #[test]
    fn a_text_comes_apart_at_its_tokens() {
        let made = generation(&["Once", " upon", "", " a", " tïme"]);
        let tokens = Tokens::of(&made).unwrap();
        assert_eq!(tokens.before(3).tokens, ["Once", " upon", ""]);
        assert_eq!(tokens.from(3).tokens, [" a", " tïme"]);
        assert_eq!((tokens.token(2), tokens.token(9)), ("", ""));
        assert_eq!(tokens.from(9), Passage::default());
    }

    #[test]
    fn boundaries_that_are_none_are_not_shown() {
        let whole = generation(&["aé", "b"]);
        let broken = |text_offsets: Vec<u32>| Generation {
            text_offsets,
            ..whole.clone()
        };
        assert!(Tokens::of(&whole).is_some());
        for offsets in [vec![], vec![3], vec![2, 4], vec![4, 3], vec![3, 99]] {
            assert!(Tokens::of(&broken(offsets.clone())).is_none(), "{offsets:?}");
        }
    }

    #[test]
    fn only_what_is_near_has_boundaries_and_only_so_much_is_shown() {
        let many = vec![" word"; 2000];
        let made = generation(&many);
        let tokens = Tokens::of(&made).unwrap();
        let (before, from) = (tokens.before(1000), tokens.from(1000));
        assert_eq!((before.tokens.len(), from.tokens.len()), (MOST_TOKENS, MOST_TOKENS));
        assert!(
            before.lead.starts_with("(1000 characters left out) … "),
            "{}",
            &before.lead[..40]
        );
        assert!(from.rest.ends_with(" … (1000 more characters)"));
    }

    #[test]
    fn a_huge_token_is_cut() {
        let huge = "x".repeat(100_000);
        let made = generation(&["a", &huge, "b"]);
        let tokens = Tokens::of(&made).unwrap();
        let (shown, from, before) = (tokens.shown(1), tokens.from(0), tokens.before(3));
        assert!(
            shown.len() < 300 && shown.ends_with("(99800 more characters)"),
            "{}",
            shown.len()
        );
        assert!(from.tokens == ["a", shown.as_str(), "b"] && before == from, "{from:?}");
    }

    proptest! {
        #[test]
        fn whatever_was_said_is_bounded(pieces in proptest::collection::vec(".{0,40}", 0..50), index in 0_usize..60) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let made = generation(&pieces);
            if let Some(tokens) = Tokens::of(&made) {
                let (before, from) = (tokens.before(index), tokens.from(index));
                prop_assert_eq!(before.tokens.len() + from.tokens.len(), made.output_ids.len());
            }
        }
    }
}
