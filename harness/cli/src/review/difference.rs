//! What differs between two sequences: runs that are the same, and runs that are not.

use std::hash::Hash;
use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Beyond so many elements that differ on a side, they are not matched with each other: it would take long, and after it
/// nobody reads them side by side.
const MOST: usize = 2000;

/// A run of elements of the approved sequence and of the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Elements of the approved sequence.
    pub(crate) old: Range<usize>,
    /// Elements of the new sequence.
    pub(crate) new: Range<usize>,
    /// Whether they are the same.
    pub(crate) is_same: bool,
}

/// Both sequences as runs, which differ and are the same in turn. What is the same between two differences and shorter than
/// `shortest` belongs to them: crumbs of agreement say nothing.
pub(crate) fn runs<T: Eq + Hash>(old: &[T], new: &[T], shortest: usize) -> Vec<Run> {
    let before = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[before..], &new[before..]);
    let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
    let after = ends.take_while(|(a, b)| a == b).count();
    let old_middle = &old_rest[..old_rest.len() - after];
    let new_middle = &new_rest[..new_rest.len() - after];
    let mut runs = Runs {
        runs: Vec::new(),
        at: (0, 0),
    };
    runs.push(before, before, true);
    if old_middle.len().max(new_middle.len()) > MOST {
        runs.push(old_middle.len(), new_middle.len(), false);
    } else {
        let changes = capture_diff_slices(Algorithm::Myers, old_middle, new_middle);
        for change in changes {
            let (tag, old, new) = change.as_tag_tuple();
            let is_same = tag == DiffTag::Equal && old.len() >= shortest;
            runs.push(old.len(), new.len(), is_same);
        }
    }
    runs.push(after, after, true);
    runs.runs
}

struct Runs {
    runs: Vec<Run>,
    at: (usize, usize),
}

impl Runs {
    fn push(&mut self, old: usize, new: usize, is_same: bool) {
        if old == 0 && new == 0 {
            return;
        }
        let run = Run {
            old: self.at.0..self.at.0 + old,
            new: self.at.1..self.at.1 + new,
            is_same,
        };
        self.at = (run.old.end, run.new.end);
        match self.runs.last_mut() {
            Some(last) if last.is_same == is_same => {
                last.old.end = run.old.end;
                last.new.end = run.new.end;
            }
            _ => self.runs.push(run),
        }
    }
}

/// A text as words, blanks, line breaks and signs: what is compared as a whole. Writing without blanks is compared by
/// characters.
pub(crate) fn words(text: &str) -> Vec<&str> {
    #[derive(PartialEq)]
    enum Kind {
        Word,
        Blank,
        Sign,
    }
    let kind = |c: char| match c {
        c if c.is_alphanumeric() && u32::from(c) < 0x2e80 => Kind::Word,
        ' ' => Kind::Blank,
        _ => Kind::Sign,
    };
    let mut words = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let mut end = start + c.len_utf8();
        while let Some((at, next)) = chars.next_if(|(_, next)| kind(c) != Kind::Sign && kind(*next) == kind(c)) {
            end = at + next.len_utf8();
        }
        words.extend(text.get(start..end));
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(old: Range<usize>, new: Range<usize>, is_same: bool) -> Run {
        Run { old, new, is_same }
    }

    #[test]
    fn runs_take_turns() {
        assert_eq!(runs::<u32>(&[], &[], 1), []);
        assert_eq!(runs(&[1, 2], &[1, 2], 1), [run(0..2, 0..2, true)]);
        assert_eq!(
            runs(&[1, 2, 3], &[1, 9, 8, 3], 1),
            [run(0..1, 0..1, true), run(1..2, 1..3, false), run(2..3, 3..4, true)]
        );
        let (old, new) = ([0, 1, 5, 2, 0], [0, 3, 5, 4, 0]);
        assert_eq!(runs(&old, &new, 1).len(), 5);
        assert_eq!(
            runs(&old, &new, 2),
            [run(0..1, 0..1, true), run(1..4, 1..4, false), run(4..5, 4..5, true)]
        );
    }

    #[test]
    fn what_differs_all_over_is_not_matched() {
        let old: Vec<usize> = (0..MOST + 1).collect();
        let new: Vec<usize> = old.iter().map(|i| i + 7).rev().collect();
        assert_eq!(runs(&old, &new, 1), [run(0..MOST + 1, 0..MOST + 1, false)]);
    }

    #[test]
    fn words_are_what_people_compare() {
        assert_eq!(
            words("It's  9 GPUs.\n日本"),
            ["It", "'", "s", "  ", "9", " ", "GPUs", ".", "\n", "日", "本"]
        );
    }

    proptest! {
        #[test]
        fn both_sides_are_covered_in_order(
            old in proptest::collection::vec(0_u8..4, 0..30), new in proptest::collection::vec(0_u8..4, 0..30), shortest in 1_usize..4,
        ) {
            let runs = runs(&old, &new, shortest);
            let mut at = (0, 0);
            for (index, run) in runs.iter().enumerate() {
                prop_assert_eq!((run.old.start, run.new.start), at);
                at = (run.old.end, run.new.end);
                prop_assert_eq!(run.is_same, run.is_same && old[run.old.clone()] == new[run.new.clone()]);
                prop_assert!(index == 0 || runs[index - 1].is_same != run.is_same);
            }
            prop_assert_eq!(at, (old.len(), new.len()));
        }

        #[test]
        fn words_make_up_the_text(text in "[a-c \n.é日]{0,30}") {
            prop_assert_eq!(words(&text).concat(), text);
        }
    }
}
