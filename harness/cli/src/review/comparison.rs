//! A pending snapshot beside what is approved: where they part, and how far apart the two tokens were.

use placebench_core::judge::compare::{Logits, Parting, Side, TextComparison, compare};
use placebench_runner::snapshot::{Pending, SnapshotContent};

/// A token of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its number.
    pub(crate) id: u32,
    /// Its text, where the snapshot tells where that ends.
    pub(crate) text: Option<&'a str>,
}

/// Whether there is something to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing is approved yet.
    New,
    /// Something else is approved.
    Changed,
    /// The approved file is no snapshot.
    Malformed,
}

/// The first token that differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FirstDifference<'a> {
    /// Its position.
    pub(crate) index: usize,
    /// The approved token; absent where that text had ended.
    pub(crate) old: Option<Token<'a>>,
    /// The new token; absent where that text had ended.
    pub(crate) new: Option<Token<'a>>,
    /// The logit gap between the two, where it is known.
    pub(crate) gap: Option<f32>,
    /// Whether the gap is small enough for a near-tie.
    pub(crate) is_near_tie: bool,
}

/// What differs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison<'a> {
    pub(crate) change: Change,
    /// In words.
    pub(crate) sentence: String,
    /// Where the texts part; absent where they do not, and of a new one.
    pub(crate) first: Option<FirstDifference<'a>>,
}

impl Change {
    /// In one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Malformed => "malformed",
        }
    }
}

/// Compares a pending snapshot with what is approved.
pub(crate) fn of(pending: &Pending, max_gap: f32) -> Comparison<'_> {
    let new = &pending.new;
    let Some(old) = &pending.old else {
        let (change, sentence) = match pending.old_is_malformed {
            None => (Change::New, "nothing is approved yet".to_owned()),
            Some(why) => (
                Change::Malformed,
                format!("the approved file is no text snapshot: {why}"),
            ),
        };
        return Comparison {
            change,
            sentence,
            first: None,
        };
    };
    let compared = compare(&side(new), &side(old), max_gap);
    let (index, gap) = match compared {
        TextComparison::Exact => {
            let sentence = match old.finish_reason == new.finish_reason {
                true => "text and tokens are the same as what is approved".to_owned(),
                false => format!(
                    "text and tokens are the same, but the new one ended by {} and not by {}",
                    new.finish_reason.as_str(),
                    old.finish_reason.as_str()
                ),
            };
            return Comparison {
                change: Change::Changed,
                sentence,
                first: None,
            };
        }
        TextComparison::NearTie { index, gap } => (index, Some(gap)),
        TextComparison::Diverged { index, why } => match why {
            Parting::Wide(gap) => (index, Some(gap)),
            Parting::Unlikely | Parting::Ended | Parting::Untold | Parting::OtherText => (index, None),
        },
    };
    Comparison {
        change: Change::Changed,
        sentence: format!("the new text {}", compared.words("what is approved")),
        first: Some(FirstDifference {
            index,
            old: token(old, index),
            new: token(new, index),
            gap,
            is_near_tie: matches!(compared, TextComparison::NearTie { .. }),
        }),
    }
}

/// A token of a snapshot by its position.
pub(crate) fn token(content: &SnapshotContent, index: usize) -> Option<Token<'_>> {
    let end_of = |index: usize| usize::try_from(*content.text_offsets.get(index)?).ok();
    let text = || {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => end_of(before)?,
        };
        content.text.get(start..end_of(index)?)
    };
    Some(Token {
        id: *content.token_ids.get(index)?,
        text: text(),
    })
}

fn side(content: &SnapshotContent) -> Side<'_> {
    Side {
        ids: &content.token_ids,
        text: &content.text,
        text_offsets: &content.text_offsets,
        logits: content.near_ties.as_deref().map_or(Logits::Unknown, Logits::NearTies),
    }
}
