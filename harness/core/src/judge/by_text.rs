//! Two texts side by side where of one of them no tokens are known: a server that tells only what it says.
//!
//! What follows from tokens and logits cannot be told of them. That the texts are the same is as much as can be asked for, and
//! a difference is one: whether it is a near-tie nobody knows.

use super::compare::{Side, TextComparison, TextPosition, boundary, common_prefix};
use crate::record::{ComparedBy, DivergentText, TextPlacing};

/// Stands at the end of a text for the first bytes of a character. Some engines show it, others hold such bytes back.
const UNFINISHED: char = '\u{fffd}';

/// Compares two texts as texts.
pub(super) fn compare(ours: &Side<'_>, theirs: &Side<'_>) -> TextComparison {
    let (own, other) = (whole(ours.text), whole(theirs.text));
    if own == other {
        return TextComparison::SameText;
    }
    let shared = common_prefix(own, other);
    TextComparison::OtherText {
        at: position(ours, theirs, shared),
        has_ended: shared == own.len() || shared == other.len(),
    }
}

fn whole(text: &str) -> &str {
    text.trim_end_matches(UNFINISHED)
}

/// The place of the first byte that differs: the token it belongs to on a side that knows where its tokens end, best on one
/// that knows the tokens themselves.
fn position(ours: &Side<'_>, theirs: &Side<'_>, shared: usize) -> TextPosition {
    let mut sides = [ours, theirs];
    sides.sort_by_key(|side| !side.has_ids);
    match sides.into_iter().find(|side| !side.text_offsets.is_empty()) {
        Some(side) => TextPosition::Token(tokens_before(side, shared)),
        None => TextPosition::Character(ours.text.get(..shared).unwrap_or_default().chars().count()),
    }
}

/// How many of a side's tokens end within the first bytes of its text. Those that show nothing and follow are among them.
fn tokens_before(side: &Side<'_>, bytes: usize) -> usize {
    let is_before = |offset: &&u32| usize::try_from(**offset).is_ok_and(|offset| offset <= bytes);
    side.text_offsets.iter().take_while(is_before).count()
}

/// What is quoted of the two: a token of each side from the place on at which they part, or the one character there.
pub(super) fn around(
    ours: &Side<'_>,
    theirs: &Side<'_>,
    at: TextPosition,
) -> (DivergentText, DivergentText, TextPlacing) {
    let shared = common_prefix(whole(ours.text), whole(theirs.text));
    let mut starts = [ours, theirs].map(|side| start_of_token(side, shared));
    if !ours.has_ids {
        starts.reverse();
    }
    let known = match at {
        TextPosition::Token(_) => starts.into_iter().flatten().next(),
        TextPosition::Character(_) => None,
    };
    let start = known.unwrap_or(shared);
    let quoted = |side: &Side<'_>| side.quote(None, start, Some(end_of_token(side, start, known.is_some())));
    let placing = match known {
        Some(_) => TextPlacing::Offsets,
        None => TextPlacing::Characters,
    };
    (quoted(ours), quoted(theirs), placing)
}

/// Where the token begins that holds a byte.
fn start_of_token(side: &Side<'_>, byte: usize) -> Option<usize> {
    let before = tokens_before(side, byte);
    let last = before.checked_sub(1).and_then(|last| side.text_offsets.get(last));
    match (side.text_offsets.is_empty(), last) {
        (true, _) => None,
        (false, None) => Some(0),
        (false, Some(end)) => usize::try_from(*end).ok().map(|end| boundary(side.text, end)),
    }
}

/// Where the token ends that begins at a byte; where tokens are not known, the next character.
fn end_of_token(side: &Side<'_>, start: usize, by_tokens: bool) -> usize {
    let rest = side.text.get(start..).unwrap_or_default();
    let character = start + rest.chars().next().map_or(0, char::len_utf8);
    let ends = side.text_offsets.iter().filter_map(|end| usize::try_from(*end).ok());
    let token = ends.map(|end| boundary(side.text, end)).find(|end| *end > start);
    token.filter(|_| by_tokens).unwrap_or(character)
}

impl TextPosition {
    /// For the record: the number, and what it counts.
    pub(super) fn counted(self) -> (usize, ComparedBy) {
        match self {
            Self::Token(index) => (index, ComparedBy::Text),
            Self::Character(index) => (index, ComparedBy::Characters),
        }
    }
}
