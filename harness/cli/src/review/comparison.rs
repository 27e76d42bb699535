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
        TextComparison::Exact | TextComparison::SameText => {
            let what = match compared.is_by_text() {
                true => "the text is the same (the tokens of one are not known)",
                false => "text and tokens are the same",
            };
            let sentence = match old.finish_reason == new.finish_reason {
                true if compared.is_by_text() => format!("{what}; what is approved changes in its tokens"),
                true => format!("{what} as what is approved"),
                false => format!(
                    "{what}, but the new one ended by {} and not by {}",
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
        // Of one of them no tokens are known, so that none can be shown.
        TextComparison::OtherText { .. } => {
            return Comparison {
                change: Change::Changed,
                sentence: format!("the new text {}", compared.words("what is approved")),
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
        has_ids: content.has_ids(),
        text: &content.text,
        text_offsets: &content.text_offsets,
        logits: content.near_ties.as_deref().map_or(Logits::Unknown, Logits::NearTies),
    }
}

#[cfg(test)]
mod tests {
    use placebench_core::judge::compare::NearTie;
    use placebench_core::protocol::FinishReason;
    use placebench_runner::snapshot::{
        SnapshotKey, SnapshotOrigin, SnapshotPolicy, accept, read_pending, write_pending,
    };
    use tempfile::TempDir;

    use super::*;

    fn content(words: &[(u32, &str)], near_ties: &[(u32, u32, f32)]) -> SnapshotContent {
        let tie = |&(index, id, gap): &(u32, u32, f32)| NearTie { index, id, gap };
        let mut text = String::new();
        let mut text_offsets = Vec::new();
        for (_, word) in words {
            text.push_str(word);
            text_offsets.push(text.len().try_into().unwrap());
        }
        SnapshotContent {
            text,
            token_ids: words.iter().map(|(id, _)| *id).collect(),
            finish_reason: FinishReason::Length,
            near_ties: Some(near_ties.iter().map(tie).collect()),
            text_offsets,
        }
    }

    fn pend(dir: &TempDir, content: &SnapshotContent) -> Pending {
        let key = SnapshotKey {
            scenario: "s",
            prompt: "p",
            device_class: "cpu",
        };
        let origin = SnapshotOrigin {
            source: "",
            case: "",
            model: "",
            run: "",
        };
        let policy = SnapshotPolicy::WritePending;
        let path = write_pending(dir.path(), &key, content, &origin, policy).unwrap();
        read_pending(&path.unwrap()).unwrap()
    }

    /// What is pending once something was approved.
    fn pending(old: &SnapshotContent, new: &SnapshotContent) -> Pending {
        let dir = tempfile::tempdir().unwrap();
        accept(&pend(&dir, old)).unwrap();
        pend(&dir, new)
    }

    const OLD: &[(u32, &str)] = &[(1, "the "), (2, "cat "), (3, "sat")];
    const NEW: &[(u32, &str)] = &[(1, "the "), (7, "dog "), (3, "sat")];

    #[test]
    fn a_near_tie_is_told_with_both_tokens_and_the_gap() {
        let pending = pending(&content(OLD, &[(1, 7, 0.01)]), &content(NEW, &[(1, 2, 0.03)]));
        let told = of(&pending, 0.05);
        let first = told.first.unwrap();
        assert_eq!((first.index, first.is_near_tie, first.gap), (1, true, Some(0.03)));
        let token = |id, text| Some(Token { id, text: Some(text) });
        assert_eq!((first.old, first.new), (token(2, "cat "), token(7, "dog ")));
        assert!(
            told.sentence.contains("at token 1, a near-tie (gap 0.0300)"),
            "{}",
            told.sentence
        );
        // The case may ask for less.
        let told = of(&pending, 0.02);
        assert!(!told.first.unwrap().is_near_tie && told.sentence.contains("diverges"));
        assert_eq!(told.first.unwrap().gap, Some(0.03));
    }

    #[test]
    fn one_text_may_have_ended() {
        let pending = pending(&content(OLD, &[]), &content(&OLD[..2], &[]));
        let first = of(&pending, 0.05).first.unwrap();
        assert_eq!((first.index, first.new, first.gap), (2, None, None));
        assert_eq!(first.old.unwrap().text, Some("sat"));
    }

    #[test]
    fn the_same_tokens_may_end_for_another_reason() {
        let mut new = content(OLD, &[]);
        new.finish_reason = FinishReason::Eos;
        let pending = pending(&content(OLD, &[]), &new);
        let told = of(&pending, 0.05);
        assert!(told.first.is_none() && told.sentence.contains("ended by eos and not by length"));
    }

    #[test]
    fn new_ones_and_those_beside_a_broken_file_have_nothing_to_part_from() {
        let dir = tempfile::tempdir().unwrap();
        let pending = pend(&dir, &content(OLD, &[]));
        assert_eq!(of(&pending, 0.05).change, Change::New);
        std::fs::write(&pending.approved_path, "<<<<<<< HEAD\n").unwrap();
        let pending = read_pending(&pending.path).unwrap();
        let told = of(&pending, 0.05);
        assert!(told.change == Change::Malformed && told.sentence.contains("no text snapshot"));
    }

    #[test]
    fn without_offsets_a_token_is_its_number() {
        let mut old = content(OLD, &[]);
        old.text_offsets.clear();
        let pending = pending(&old, &content(NEW, &[]));
        let first = of(&pending, 0.05).first.unwrap();
        assert_eq!((first.old.unwrap().id, first.old.unwrap().text), (2, None));
    }
}
