//! Every judgement on a text: once where it must be made, once where it must not.

use proptest::prelude::*;

use super::compare::{Logits, NearTie, Parting, STORED_GAP, Side, TextComparison, compare, near_ties};
use super::testing::{generation, with_logits};
use crate::protocol::{Generation, TokenLogit};
use crate::record::{AgreementRule, ComparedWith, TextPlacing, TextVerdict};

fn compared(ours: &Generation, theirs: &Generation) -> TextComparison {
    compare(&Side::of(ours), &Side::of(theirs), 0.05)
}

const STEPS: &[&[(u32, f32)]] = &[&[(5, 9.0), (6, 1.0)], &[(7, 3.00), (8, 2.99)], &[(9, 5.0), (1, 0.0)]];

#[test]
fn the_first_difference_decides() {
    let ours = with_logits(&[5, 7, 9], STEPS);
    let against = |ids: &[u32]| compared(&ours, &generation(ids));
    assert_eq!(against(&[5, 7, 9]), TextComparison::Exact);
    assert!(matches!(against(&[5, 8, 1]), TextComparison::NearTie { index: 1, .. }));
    for (ids, index, expected) in [
        (&[6, 7, 9][..], 0, Parting::Wide(8.0)),
        (&[5, 99, 9], 1, Parting::Unlikely),
        (&[5, 7], 2, Parting::Ended),
        (&[5, 7, 9, 9], 3, Parting::Ended),
    ] {
        let why = expected;
        assert_eq!(against(ids), TextComparison::Diverged { index, why }, "{ids:?}");
    }
    let untold = compared(&generation(&[1]), &generation(&[2]));
    assert!(matches!(
        untold,
        TextComparison::Diverged {
            index: 0,
            why: Parting::Untold
        }
    ));
}

#[test]
fn both_sides_must_see_the_tie() {
    let ours = with_logits(&[7], &[&[(7, 3.00), (8, 2.99)]]);
    for (theirs, why) in [
        (&[(8, 9.0), (7, 2.0)][..], Parting::Wide(7.0)),
        (&[(8, 9.0), (6, 2.0)], Parting::Unlikely),
    ] {
        let theirs = with_logits(&[8], &[theirs]);
        let expected = TextComparison::Diverged { index: 0, why };
        assert_eq!(compared(&ours, &theirs), expected);
        assert_eq!(compared(&theirs, &ours), expected, "the same from both sides");
    }
    let agrees = with_logits(&[8], &[&[(8, 3.00), (7, 2.98)]]);
    assert!(matches!(
        compared(&ours, &agrees),
        TextComparison::NearTie { index: 0, .. }
    ));
}

#[test]
fn rules_ask_for_what_they_say() {
    let near = TextComparison::NearTie { index: 0, gap: 0.01 };
    assert!(near.agrees(AgreementRule::NearTie) && !near.agrees(AgreementRule::Exact));
    assert!(TextComparison::Exact.agrees(AgreementRule::Exact));
    let why = Parting::Wide(0.1);
    let diverged = TextComparison::Diverged { index: 0, why };
    assert!(!diverged.agrees(AgreementRule::NearTie) && !diverged.agrees(AgreementRule::Exact));
}

/// What a snapshot knows of a generation.
fn approved<'a>(generation: &'a Generation, ties: &'a [NearTie]) -> Side<'a> {
    Side {
        text_offsets: &[],
        logits: Logits::NearTies(ties),
        ..Side::of(generation)
    }
}

#[test]
fn a_snapshot_is_the_second_side() {
    let then = with_logits(&[5, 8, 9], &[STEPS[0], &[(8, 3.0), (7, 2.98)], STEPS[2]]);
    let ties = near_ties(&then).unwrap();
    assert_eq!(ties.len(), 1, "only what might have been chosen is kept: {ties:?}");
    let now = with_logits(&[5, 7, 9], STEPS);
    assert!(matches!(
        compare(&Side::of(&now), &approved(&then, &ties), 0.05),
        TextComparison::NearTie { index: 1, gap } if (gap - 0.02).abs() < 1e-3
    ));
    // It was sure when the snapshot was made: what is a tie now is none.
    let sure = with_logits(&[5, 8, 9], &[STEPS[0], &[(8, 9.0), (7, 2.0)], STEPS[2]]);
    let ties = near_ties(&sure).unwrap();
    assert_eq!(
        compare(&Side::of(&now), &approved(&sure, &ties), 0.05).verdict(),
        TextVerdict::Diverged
    );
    // A threshold beyond what was kept: the own side decides.
    let wide = compare(&Side::of(&now), &approved(&sure, &ties), STORED_GAP + 0.1);
    assert_eq!(wide.verdict(), TextVerdict::NearTie);
    assert_eq!(near_ties(&generation(&[1])), None, "without logits nothing is known");
}

/// Three words, with the offsets of their ends.
fn spoken(words: [&str; 3], ids: [u32; 3], offsets: bool) -> Generation {
    let mut made = with_logits(&ids, STEPS);
    made.text = words.concat();
    let mut end = 0;
    for word in words.iter().filter(|_| offsets) {
        end += u32::try_from(word.len()).unwrap();
        made.text_offsets.push(end);
    }
    made
}

fn parted(ours: &Generation, theirs: &Generation) -> crate::record::Divergence {
    let with = ComparedWith::FirstGeneration;
    compared(ours, theirs)
        .divergence(&Side::of(ours), &Side::of(theirs), with)
        .unwrap()
}

#[test]
fn the_texts_around_the_token_are_quoted_by_offsets() {
    let ours = spoken(["Über", " the", " moon"], [5, 7, 9], true);
    let theirs = spoken(["Über", " their", " heads"], [5, 8, 3], true);
    let parting = parted(&ours, &theirs);
    assert_eq!((parting.index, parting.verdict), (1, TextVerdict::NearTie));
    assert_eq!(parting.placed_by, TextPlacing::Offsets);
    let quoted =
        |text: &crate::record::DivergentText| (text.id, text.before.clone(), text.token.clone(), text.after.clone());
    let of = |id, token: &str, after: &str| (Some(id), "Über".to_owned(), token.to_owned(), after.to_owned());
    assert_eq!(quoted(&parting.ours), of(7, " the", " moon"));
    assert_eq!(quoted(&parting.theirs), of(8, " their", " heads"));
    // A snapshot has no offsets: where its token begins is known from ours, where it ends is not.
    let theirs = spoken(["Über", " their", " heads"], [5, 8, 3], false);
    let parting = parted(&ours, &theirs);
    assert_eq!(parting.placed_by, TextPlacing::Offsets);
    assert_eq!(quoted(&parting.theirs), of(8, "", " their heads"));
}

#[test]
fn without_offsets_the_first_other_character_is_where_texts_part() {
    let ours = spoken(["Über", " the", " moon"], [5, 7, 9], false);
    let theirs = spoken(["Über", " their", " heads"], [5, 8, 3], false);
    let parting = parted(&ours, &theirs);
    assert_eq!(parting.placed_by, TextPlacing::Characters);
    assert_eq!(
        (parting.ours.before.as_str(), parting.ours.after.as_str()),
        ("Über the", " moon")
    );
    assert_eq!(parting.theirs.after, "ir heads");
}

#[test]
fn a_text_that_ended_has_no_token() {
    let ours = spoken(["a", "b", "c"], [5, 7, 9], true);
    let mut theirs = spoken(["a", "b", ""], [5, 7, 9], true);
    theirs.output_ids.pop();
    theirs.text_offsets.pop();
    let parting = parted(&ours, &theirs);
    assert_eq!((parting.index, parting.gap), (2, None));
    assert_eq!((parting.ours.id, parting.theirs.id), (Some(9), None));
    assert_eq!(
        (parting.ours.token.as_str(), parting.theirs.before.as_str()),
        ("c", "ab")
    );
}

#[test]
fn another_text_of_the_same_tokens_is_noticed() {
    let ours = spoken(["a", "b", "c"], [5, 7, 9], true);
    let theirs = spoken(["a", "x", "c"], [5, 7, 9], true);
    let why = Parting::OtherText;
    assert_eq!(compared(&ours, &theirs), TextComparison::Diverged { index: 1, why });
    let mut silent = theirs.clone();
    silent.text.clear();
    assert_eq!(
        compared(&ours, &silent),
        TextComparison::Exact,
        "a side without a tokenizer"
    );
}

#[test]
fn offsets_that_lie_hurt_nobody() {
    let mut ours = spoken(["é", "é", "é"], [5, 7, 9], true);
    ours.text_offsets = vec![3, 1, u32::MAX];
    let theirs = spoken(["é", "ê", ""], [5, 8, 3], true);
    let parting = parted(&ours, &theirs);
    assert_eq!(parting.index, 1);
}

/// Logits of a step in which the first two tokens are that close to each other, and all others far away.
fn tie(gap: f32, first: u32, second: u32) -> Vec<TokenLogit> {
    let entry = |id, logit| TokenLogit { id, logit };
    vec![
        entry(first, 10.0),
        entry(second, 10.0 - gap),
        entry(900, 1.0),
        entry(901, 0.5),
    ]
}

proptest! {
    /// Whatever came before and whatever comes after: where each side's token is nearly as likely on the other side, the
    /// text is no other one.
    #[test]
    fn a_legal_near_tie_is_never_called_diverged(
        shared in prop::collection::vec(0_u32..50, 0..12),
        (ours_after, theirs_after) in (prop::collection::vec(0_u32..50, 0..12), prop::collection::vec(0_u32..50, 0..12)),
        (a, b) in (100_u32..200, 200_u32..300),
        (our_gap, their_gap) in (0.0_f32..=0.0499, 0.0_f32..=0.0499),
        offsets in any::<bool>(),
    ) {
        let made = |own: u32, other: u32, gap: f32, after: &[u32]| {
            let ids = [&shared[..], &[own], after].concat();
            let mut made = generation(&ids);
            made.top5 = ids.iter().map(|&id| tie(9.0, id, 999)).collect();
            made.top5[shared.len()] = tie(gap, own, other);
            made.text = ids.iter().map(|id| format!(" w{id}")).collect();
            let mut end = 0;
            for id in ids.iter().filter(|_| offsets) {
                end += u32::try_from(format!(" w{id}").len()).unwrap();
                made.text_offsets.push(end);
            }
            made
        };
        let ours = made(a, b, our_gap, &ours_after);
        let theirs = made(b, a, their_gap, &theirs_after);
        let ties = near_ties(&theirs).unwrap();
        for other in [Side::of(&theirs), approved(&theirs, &ties)] {
            for (one, two) in [(Side::of(&ours), other), (other, Side::of(&ours))] {
                let comparison = compare(&one, &two, 0.05);
                prop_assert_eq!(comparison.verdict(), TextVerdict::NearTie);
                prop_assert!(comparison.agrees(AgreementRule::NearTie));
                let parting = comparison.divergence(&one, &two, ComparedWith::FirstGeneration).unwrap();
                prop_assert_eq!(parting.index as usize, shared.len());
                let quoted = [parting.ours.before, parting.ours.token].concat();
                prop_assert!(one.text.contains(&quoted), "{quoted:?}");
            }
        }
        // And one side beyond the threshold is enough to be another text.
        let sure = made(b, a, our_gap + 0.06, &theirs_after);
        prop_assert_eq!(compare(&Side::of(&ours), &Side::of(&sure), 0.05).verdict(), TextVerdict::Diverged);
    }

    #[test]
    fn comparing_is_total_and_symmetrical(
        (a, b) in (prop::collection::vec(0_u32..4, 0..8), prop::collection::vec(0_u32..4, 0..8)),
        (logits_a, logits_b) in (
            prop::collection::vec(prop::collection::vec((0_u32..5, -3.0_f32..3.0), 0..5), 0..9),
            prop::collection::vec(prop::collection::vec((0_u32..5, -3.0_f32..3.0), 0..5), 0..9),
        ),
        text in "\\PC{0,12}",
        offsets in prop::collection::vec(any::<u32>(), 0..9),
    ) {
        let made = |ids: &[u32], steps: &[Vec<(u32, f32)>]| {
            let steps: Vec<&[(u32, f32)]> = steps.iter().map(Vec::as_slice).collect();
            Generation { text: text.clone(), text_offsets: offsets.clone(), ..with_logits(ids, &steps) }
        };
        let (ours, theirs) = (made(&a, &logits_a), made(&b, &logits_b));
        let comparison = compared(&ours, &theirs);
        prop_assert_eq!(comparison, compared(&theirs, &ours));
        prop_assert_eq!(comparison == TextComparison::Exact, a == b);
        let with = ComparedWith::FirstGeneration;
        let parting = comparison.divergence(&Side::of(&ours), &Side::of(&theirs), with);
        prop_assert_eq!(parting.is_none(), a == b);
    }
}
