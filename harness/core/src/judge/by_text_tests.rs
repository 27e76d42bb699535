//! Texts of which no tokens are known, beside others: what is told of them, and that tokens would have told the same.

use proptest::prelude::*;

use super::compare::{Side, TextComparison, TextPosition, compare};
use super::garbage::{garbage, repetition};
use super::metrics::metrics;
use super::repeats::Repeats;
use super::testing::{attempt, generation, with_logits};
use crate::protocol::{FinishReason, Generation};
use crate::record::{AgreementRule, ComparedBy, ComparedWith, Divergence, TextPlacing, TextVerdict};

/// Words as an engine tells them that knows its tokens: each word is one of its own number.
fn told(words: &[&str]) -> Generation {
    let number = |word: &&str| {
        word.bytes()
            .fold(7_u32, |hash, byte| hash.wrapping_mul(31) + u32::from(byte))
    };
    let ids: Vec<u32> = words.iter().map(number).collect();
    let mut end = 0;
    let ends = words.iter().map(|word| {
        end += u32::try_from(word.len()).unwrap();
        end
    });
    Generation {
        text: words.concat(),
        text_offsets: ends.collect(),
        token_stamps_s: (1..=words.len()).map(|step| step as f64).collect(),
        ..generation(&ids)
    }
}

/// The same from a server: the text, and how many tokens it counted.
fn served(words: &[&str]) -> Generation {
    let made = told(words);
    Generation {
        input_ids: Vec::new(),
        output_ids: Vec::new(),
        text_offsets: Vec::new(),
        input_tokens: Some(3),
        output_tokens: u32::try_from(words.len()).ok(),
        ..made
    }
}

fn compared(ours: &Generation, theirs: &Generation) -> TextComparison {
    compare(&Side::of(ours), &Side::of(theirs), 0.05)
}

fn parted(ours: &Generation, theirs: &Generation) -> Divergence {
    let comparison = compared(ours, theirs);
    let with = ComparedWith::FirstGeneration;
    comparison.divergence(&Side::of(ours), &Side::of(theirs), with).unwrap()
}

#[test]
fn the_same_text_is_as_much_as_can_be_asked_for() {
    let (ours, theirs) = (served(&["Once", " upon"]), told(&["On", "ce up", "on"]));
    for (one, two) in [(&ours, &theirs), (&theirs, &ours), (&ours, &ours)] {
        let same = compared(one, two);
        assert_eq!(same, TextComparison::SameText);
        assert_eq!(same.verdict(), TextVerdict::Exact);
        assert!(same.agrees(AgreementRule::Exact) && same.is_by_text());
        assert!(same.words("x").contains("tokens of one of them are not known"));
    }
    assert_eq!(compared(&theirs, &told(&["On", "ce up", "on"])), TextComparison::Exact);
    let other = compared(&theirs, &told(&["Once", " upon"]));
    assert!(!other.is_by_text(), "tokens that are known are compared: {other:?}");
}

#[test]
fn a_place_is_told_in_tokens_where_they_are_known_and_else_in_characters() {
    let (a, b) = (["Über", " the", " moon"], ["Über", " the", " heads"]);
    let by_tokens = parted(&served(&a), &told(&b));
    assert_eq!((by_tokens.index, by_tokens.by), (2, ComparedBy::Text));
    assert_eq!(by_tokens.verdict, TextVerdict::Diverged);
    assert_eq!(by_tokens.placed_by, TextPlacing::Offsets);
    assert_eq!(
        (by_tokens.ours.before.as_str(), by_tokens.theirs.before.as_str()),
        ("Über the", "Über the")
    );
    assert_eq!(by_tokens.theirs.token, " heads");
    assert_eq!((by_tokens.ours.id, by_tokens.theirs.id), (None, None));
    let by_characters = parted(&served(&a), &served(&b));
    assert_eq!(
        (by_characters.index, by_characters.by),
        (9, ComparedBy::Characters),
        "not bytes"
    );
    let quoted = |text: &crate::record::DivergentText| format!("{}|{}|{}", text.before, text.token, text.after);
    assert_eq!(quoted(&by_characters.ours), "Über the |m|oon");
    assert_eq!(quoted(&by_characters.theirs), "Über the |h|eads");
    let words = compared(&served(&a), &served(&b)).words("x");
    assert!(
        words.contains("at character 9") && words.contains("nor whether it is a near-tie"),
        "{words}"
    );
}

#[test]
fn pieces_of_several_tokens_are_no_tokens() {
    let mut pieces = served(&["ab", "cd"]);
    pieces.text_offsets = vec![2, 4];
    assert_eq!(
        parted(&pieces, &served(&["ab", "ce"])).by,
        ComparedBy::Text,
        "two pieces, two tokens"
    );
    pieces.output_tokens = Some(4);
    assert!(pieces.came_in_pieces());
    assert_eq!(parted(&pieces, &served(&["ab", "ce"])).by, ComparedBy::Characters);
}

#[test]
fn a_text_that_ends_sooner_is_another_one() {
    let (long, short) = (served(&["a", "b", "c"]), told(&["a", "b"]));
    let comparison = compared(&long, &short);
    assert!(matches!(
        comparison,
        TextComparison::OtherText {
            at: TextPosition::Token(2),
            has_ended: true
        }
    ));
    assert!(comparison.words("x").ends_with("one goes on where the other ends"));
    assert_eq!(parted(&short, &long).ours.token, "");
}

#[test]
fn the_first_bytes_of_a_character_are_no_difference() {
    let (mut shown, held_back) = (served(&["a", "b"]), served(&["a", "b"]));
    shown.text.push('\u{fffd}');
    assert_eq!(compared(&shown, &held_back), TextComparison::SameText);
    shown.text.push('c');
    assert_eq!(compared(&shown, &held_back).verdict(), TextVerdict::Diverged);
}

#[test]
fn a_near_tie_cannot_be_told_of_texts() {
    let mut tied = with_logits(&[7], &[&[(7, 3.00), (8, 2.99)]]);
    tied.text = "moon".into();
    assert_eq!(compared(&tied, &served(&["heads"])).verdict(), TextVerdict::Diverged);
}

#[test]
fn nothing_at_all_is_known_of_nothing() {
    let nothing = Generation {
        text: String::new(),
        ..generation(&[])
    };
    assert!(nothing.has_ids());
    assert_eq!(compared(&nothing, &nothing), TextComparison::Exact);
    assert_eq!(garbage(&served(&[]), true, &[]).unwrap(), "nothing was generated");
    assert!(
        garbage(&served(&[" ", "\n"]), true, &[])
            .unwrap()
            .contains("no visible text")
    );
}

#[test]
fn a_piece_of_text_again_and_again_is_garbage_and_text_is_not() {
    let why = |text: &str| {
        let mut made = served(&["x"; 40]);
        made.text = text.into();
        garbage(&made, true, &[])
    };
    for (text, words) in [
        (" the".repeat(8), "one piece of text (\" the\") repeated 8 times"),
        ("!".repeat(32), "one piece of text (\"!\") repeated 32 times"),
        (
            format!("So{}", " the".repeat(16)),
            "it ends in one piece of text (\" the\") repeated 16 times",
        ),
        ("\u{4e00}\u{4e01}".repeat(8), "one piece of text"),
    ] {
        let found = why(&text).unwrap_or_default();
        assert!(found.starts_with(words), "{text}: {found}");
    }
    for honest in [
        " the".repeat(7),
        "-".repeat(31),
        format!("A title\n{}", "=".repeat(60)),
        "one two ".repeat(20),
        "Once upon a time there was a ring".to_owned(),
    ] {
        assert_eq!(why(&honest), None, "{honest}");
    }
}

#[test]
fn a_repetition_of_the_model_itself_is_no_garbage_whoever_tells_it() {
    let (loop_of, other) = (vec![" so"; 20], vec![" no"; 20]);
    let (ours, with_ids) = (served(&loop_of), told(&loop_of[..12]));
    assert!(garbage(&ours, true, &[]).is_some());
    assert_eq!(garbage(&ours, true, &[Side::of(&with_ids)]), None);
    assert_eq!(
        garbage(&told(&loop_of), true, &[Side::of(&served(&loop_of[..9]))]),
        None
    );
    assert!(garbage(&ours, true, &[Side::of(&told(&other))]).is_some());
    assert!(garbage(&told(&loop_of), true, &[Side::of(&served(&other))]).is_some());
}

#[test]
fn texts_are_counted_as_tokens_are() {
    let (a, b) = (served(&["a"]), served(&["b"]));
    let repeats = Repeats::of(&[&a, &b, &a]).unwrap();
    assert_eq!((repeats.distinct, repeats.matching), (2, 2));
    assert_eq!(Repeats::of(&[&a, &told(&["a"])]).unwrap().distinct, 1);
}

#[test]
fn figures_count_what_the_server_counted() {
    // Nine tokens in three arrivals, a second apart.
    let made = Generation {
        output_tokens: Some(9),
        input_tokens: Some(4),
        token_stamps_s: vec![2.0, 3.0, 4.0],
        finish_reason: FinishReason::Length,
        ..served(&["a", "b", "c"])
    };
    let mut ran = attempt();
    ran.generations = vec![made];
    let figures = metrics(&[&ran]);
    assert_eq!((figures.input_tokens, figures.output_tokens), (Some(4), Some(9)));
    assert_eq!(figures.tpot_s, Some(0.25));
    assert_eq!(figures.prefill_tokens_per_s, Some(2.0));
    assert_eq!(figures.output_tokens_per_s, Some(2.25));
    ran.generations[0].input_tokens = None;
    ran.generations[0].token_stamps_s = vec![2.0];
    let figures = metrics(&[&ran]);
    assert_eq!((figures.input_tokens, figures.prefill_tokens_per_s), (None, None));
    assert_eq!(figures.tpot_s, None, "all at once: no time of each is known");
}

proptest! {
    /// Where the tokens of both are known, their texts alone tell the same verdict and the same place. No word is the beginning
    /// of another, as no token would be that differs in its text only.
    #[test]
    fn texts_tell_what_tokens_would(
        shared in proptest::collection::vec(0_usize..6, 0..12),
        ours in proptest::collection::vec(0_usize..6, 0..6),
        theirs in proptest::collection::vec(0_usize..6, 0..6),
        both_served: bool,
    ) {
        const WORDS: [&str; 6] = [" on", " of", "über", "ü!", "\u{4e00}\u{4e01}", "\u{4e00}?"];
        let said = |own: &[usize]| -> Vec<&str> { shared.iter().chain(own).map(|&word| WORDS[word]).collect() };
        let (ours, theirs) = (said(&ours), said(&theirs));
        prop_assume!(!ours.is_empty() && !theirs.is_empty());
        let by_tokens = compared(&told(&ours), &told(&theirs));
        let by_text = match both_served {
            true => compared(&served(&ours), &served(&theirs)),
            false => compared(&served(&ours), &told(&theirs)),
        };
        prop_assert_eq!(by_tokens.verdict(), by_text.verdict());
        prop_assert_eq!(by_text.is_by_text(), true);
        match (by_tokens, by_text) {
            (TextComparison::Diverged { index, why }, TextComparison::OtherText { at, has_ended }) => {
                prop_assert_eq!(has_ended, why == super::compare::Parting::Ended);
                match at {
                    TextPosition::Token(token) => prop_assert!(!both_served && token == index, "{token} {index}"),
                    TextPosition::Character(at) => {
                        let before: usize = ours[..index.min(ours.len())].iter().map(|word| word.chars().count()).sum();
                        prop_assert!(both_served && at >= before);
                    }
                }
            }
            (TextComparison::Exact, TextComparison::SameText) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// Whatever a server says, it is looked at without a panic, and compared with itself it is the same.
    #[test]
    fn any_text_is_looked_at(text in "(\\PC|[ \n!é]){0,60}", other in "(\\PC|[ \n!é]){0,60}", offsets in proptest::collection::vec(0_u32..80, 0..5)) {
        let of = |text: &str| Generation { text: text.to_owned(), text_offsets: offsets.clone(), output_tokens: u32::try_from(offsets.len().max(1)).ok(), ..served(&["x"]) };
        let (ours, theirs) = (of(&text), of(&other));
        prop_assert!(ours.text.is_empty() || compared(&ours, &ours) == TextComparison::SameText);
        let (left, right) = (Side::of(&ours), Side::of(&theirs));
        compare(&left, &right, 0.05).divergence(&left, &right, ComparedWith::FirstGeneration);
        prop_assert!(repetition(&left).is_none_or(|found| found.count >= 8));
    }
}
