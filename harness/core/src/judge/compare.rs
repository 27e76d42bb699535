//! Two token sequences side by side, and the place where they part.
//!
//! Greedy text is exact on one backend; between backends the order of additions differs, and where two tokens are nearly
//! equally likely the choice may flip. So a difference is judged at the first token that differs, by the logits there:
//! each side's token must be among the likeliest of the other side, and the gap between the two below a threshold. After
//! it the texts have different contexts and are not compared.

use super::by_text;
use crate::protocol::{Generation, TokenLogit};
use crate::record::{
    AgreementRule, ComparedBy, ComparedWith, Divergence, DivergentText, LikelyToken, TextPlacing, TextVerdict,
};

/// Up to this logit gap a snapshot keeps the tokens that might have been chosen instead.
pub const STORED_GAP: f32 = 0.5;

/// Characters that are quoted before and after the token at which texts part.
const QUOTED: usize = 48;

/// A token that might nearly have been chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearTie {
    /// The step.
    pub index: u32,
    /// The token.
    pub id: u32,
    /// Its logit is that far from that of the token that was chosen.
    pub gap: f32,
}

/// What is known of the logits of a side.
#[derive(Debug, Clone, Copy)]
pub enum Logits<'a> {
    /// The likeliest tokens of each step; no entry for a step means that nothing is known of it.
    Top(&'a [Vec<TokenLogit>]),
    /// The tokens within [`STORED_GAP`] of the chosen one, of all steps.
    NearTies(&'a [NearTie]),
    /// Nothing.
    Unknown,
}

/// One of two texts.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its tokens.
    pub ids: &'a [u32],
    /// Whether they are known. Where they are not on one of two sides, the texts are compared.
    pub has_ids: bool,
    /// Its text; empty for models without a tokenizer.
    pub text: &'a str,
    /// Where each token's text ends; empty where that is not known.
    pub text_offsets: &'a [u32],
    /// Its logits.
    pub logits: Logits<'a>,
}

impl<'a> Side<'a> {
    /// A generation.
    #[must_use]
    pub fn of(generation: &'a Generation) -> Self {
        // What came in pieces of several tokens tells where those end, and not where tokens do.
        let is_by_token = generation.text_offsets.len() == generation.output_count();
        Self {
            ids: &generation.output_ids,
            has_ids: generation.has_ids(),
            text: &generation.text,
            text_offsets: if is_by_token { &generation.text_offsets } else { &[] },
            logits: Logits::Top(&generation.top5),
        }
    }

    /// The text around a place: what comes before it, the token up to `end`, and what follows.
    pub(super) fn quote(&self, id: Option<u32>, start: usize, end: Option<usize>) -> DivergentText {
        let (before, rest) = self.text.split_at(boundary(self.text, start));
        let token = end.map_or(0, |end| boundary(self.text, end).saturating_sub(before.len()));
        let (token, after) = rest.split_at(token);
        let first = before.char_indices().rev().nth(QUOTED - 1).map_or(0, |(at, _)| at);
        DivergentText {
            id,
            before: before.get(first..).unwrap_or_default().to_owned(),
            token: token.chars().take(QUOTED).collect(),
            after: after.chars().take(QUOTED).collect(),
            top5: Vec::new(),
        }
    }

    /// What a token reads as, where this text holds it.
    fn reads(&self, id: u32) -> Option<&'a str> {
        let mut held = self.ids.iter().enumerate().filter(|(_, held)| **held == id);
        held.find_map(|(index, _)| {
            let (start, end) = span(self, index)?;
            self.text.get(start..end?).filter(|text| !text.is_empty())
        })
    }

    /// How far the other side's token was from the own one at a step.
    fn gap(&self, index: usize, own: u32, other: u32, max_gap: f32) -> Gap {
        match self.logits {
            Logits::Unknown => Gap::Unknown,
            Logits::Top(steps) => {
                let Some(step) = steps.get(index).filter(|step| !step.is_empty()) else {
                    return Gap::Unknown;
                };
                let logit = |id: u32| step.iter().find(|entry| entry.id == id).map(|entry| entry.logit);
                match (logit(own), logit(other)) {
                    (Some(own), Some(other)) => Gap::Of((own - other).abs()),
                    _ => Gap::Unlikely,
                }
            }
            Logits::NearTies(ties) => {
                let tie = ties
                    .iter()
                    .find(|tie| usize::try_from(tie.index) == Ok(index) && tie.id == other);
                match tie {
                    Some(tie) => Gap::Of(tie.gap.abs()),
                    // What was farther away was not kept.
                    None if max_gap <= STORED_GAP => Gap::Unlikely,
                    None => Gap::Unknown,
                }
            }
        }
    }
}

/// The distance of two tokens as one side saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gap {
    Of(f32),
    Unlikely,
    Unknown,
}

/// Why two texts that part did so at no near-tie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parting {
    /// The two tokens were that far apart in logits.
    Wide(f32),
    /// On one side the other's token was not among the likeliest.
    Unlikely,
    /// One text had ended.
    Ended,
    /// No logits of that step are on record.
    Untold,
    /// The tokens are the same, the texts made of them are not.
    OtherText,
}

/// Where texts part that were compared as texts, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPosition {
    /// In that token.
    Token(usize),
    /// At that character: where the tokens end is not known.
    Character(usize),
}

/// How two texts compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TextComparison {
    /// The same tokens.
    Exact,
    /// The same text; of one of them the tokens are not known.
    SameText,
    /// Another text; of one of them the tokens are not known, so that nobody can say whether it is a near-tie.
    OtherText {
        /// Where they part.
        at: TextPosition,
        /// One of them goes on where the other ends.
        has_ended: bool,
    },
    /// They part at a near-tie.
    NearTie {
        /// Position of the first token that differs.
        index: usize,
        /// The logit gap between the two tokens there: the larger of the two sides.
        gap: f32,
    },
    /// They part where one token was clearly likelier, or one goes on where the other ends.
    Diverged {
        /// Position of the first token that differs.
        index: usize,
        /// Why it is no near-tie.
        why: Parting,
    },
}

/// Compares two texts. Where the logits of one side only are on record, that side decides. Where the tokens of one side are not
/// known, texts are compared.
#[must_use]
pub fn compare(ours: &Side<'_>, theirs: &Side<'_>, max_gap: f32) -> TextComparison {
    if !(ours.has_ids && theirs.has_ids) {
        return by_text::compare(ours, theirs);
    }
    let longest = ours.ids.len().max(theirs.ids.len());
    let Some(index) = (0..longest).find(|&index| ours.ids.get(index) != theirs.ids.get(index)) else {
        let has_text = !ours.text.is_empty() && !theirs.text.is_empty();
        if has_text && ours.text != theirs.text {
            let index = first_other_text(ours, theirs);
            let why = Parting::OtherText;
            return TextComparison::Diverged { index, why };
        }
        return TextComparison::Exact;
    };
    let (Some(&mine), Some(&other)) = (ours.ids.get(index), theirs.ids.get(index)) else {
        let why = Parting::Ended;
        return TextComparison::Diverged { index, why };
    };
    let seen = [
        ours.gap(index, mine, other, max_gap),
        theirs.gap(index, other, mine, max_gap),
    ];
    let why = match seen {
        [Gap::Unlikely, _] | [_, Gap::Unlikely] => Parting::Unlikely,
        [Gap::Unknown, Gap::Unknown] => Parting::Untold,
        [Gap::Of(a), Gap::Of(b)] => Parting::Wide(a.max(b)),
        [Gap::Of(gap), Gap::Unknown] | [Gap::Unknown, Gap::Of(gap)] => Parting::Wide(gap),
    };
    match why {
        Parting::Wide(gap) if gap <= max_gap => TextComparison::NearTie { index, gap },
        why => TextComparison::Diverged { index, why },
    }
}

impl TextComparison {
    /// The judgement.
    #[must_use]
    pub fn verdict(&self) -> TextVerdict {
        match self {
            Self::Exact | Self::SameText => TextVerdict::Exact,
            Self::NearTie { .. } => TextVerdict::NearTie,
            Self::Diverged { .. } | Self::OtherText { .. } => TextVerdict::Diverged,
        }
    }

    /// The texts were compared, for of one side the tokens are not known.
    #[must_use]
    pub fn is_by_text(&self) -> bool {
        matches!(self, Self::SameText | Self::OtherText { .. })
    }

    /// Whether that is what a rule asks for.
    #[must_use]
    pub fn agrees(&self, rule: AgreementRule) -> bool {
        match (self, rule) {
            (Self::Exact | Self::SameText, _) | (Self::NearTie { .. }, AgreementRule::NearTie) => true,
            (Self::NearTie { .. }, AgreementRule::Exact) | (Self::Diverged { .. } | Self::OtherText { .. }, _) => false,
        }
    }

    /// The comparison in words that follow the name of the first text.
    #[must_use]
    pub fn words(&self, with: &str) -> String {
        let (index, why) = match self {
            Self::Exact => return format!("is the same as {with}"),
            Self::SameText => return format!("is the same as {with}; the tokens of one of them are not known"),
            Self::OtherText { at, has_ended } => {
                let (index, by) = at.counted();
                let why = match has_ended {
                    true => "one goes on where the other ends",
                    false => "the tokens of one of them are not known, nor whether it is a near-tie",
                };
                return format!("diverges from {with} at {} {index}: {why}", by.unit());
            }
            Self::NearTie { index, gap } => {
                return format!("parts from {with} at token {index}, a near-tie (gap {gap:.4})");
            }
            Self::Diverged { index, why } => (index, why),
        };
        let why = match why {
            Parting::Wide(gap) => format!("there the two tokens were {gap:.3} apart in logits"),
            Parting::Unlikely => "the other token was not among the likeliest".to_owned(),
            Parting::Ended => "one goes on where the other ends".to_owned(),
            Parting::Untold => "no logits of that step are on record".to_owned(),
            Parting::OtherText => "the tokens are the same, the text made of them is not".to_owned(),
        };
        format!("diverges from {with} at token {index}: {why}")
    }

    /// The place for the record; `None` where the texts do not part.
    pub(super) fn divergence(&self, ours: &Side<'_>, theirs: &Side<'_>, with: ComparedWith) -> Option<Divergence> {
        let (index, gap) = match self {
            Self::Exact | Self::SameText => return None,
            Self::OtherText { at, .. } => (at.counted().0, None),
            Self::NearTie { index, gap } => (*index, Some(*gap)),
            Self::Diverged { index, why } => match why {
                Parting::Wide(gap) => (*index, Some(*gap)),
                Parting::Unlikely | Parting::Ended | Parting::Untold | Parting::OtherText => (*index, None),
            },
        };
        let (by, (ours, theirs, placed_by)) = match self {
            Self::OtherText { at, .. } => (at.counted().1, by_text::around(ours, theirs, *at)),
            _ => (ComparedBy::Tokens, around(ours, theirs, index)),
        };
        Some(Divergence {
            with,
            generation: 0,
            sequence: 0,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            verdict: self.verdict(),
            gap,
            ours,
            theirs,
            placed_by,
            by,
        })
    }
}

/// Where the text of a token begins, and where it ends if that is known. The text of the tokens before it is the same on
/// both sides, so that one side's beginning may stand for the other's.
fn span(side: &Side<'_>, index: usize) -> Option<(usize, Option<usize>)> {
    let offset = |index: usize| {
        let offset = usize::try_from(*side.text_offsets.get(index)?).ok()?;
        Some(boundary(side.text, offset))
    };
    let start = match index.checked_sub(1) {
        None => 0,
        Some(before) => offset(before)?,
    };
    Some((start, offset(index).map(|end| end.max(start))))
}

fn around(ours: &Side<'_>, theirs: &Side<'_>, index: usize) -> (DivergentText, DivergentText, TextPlacing) {
    let (our_span, their_span) = (span(ours, index), span(theirs, index));
    let start = our_span.or(their_span).map(|(start, _)| start);
    let shared = start.filter(|&start| match (ours.text.get(..start), theirs.text.get(..start)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    });
    let (start, ends, placed_by) = match shared {
        Some(start) => {
            let end = |span: Option<(usize, Option<usize>)>| span.and_then(|(_, end)| end);
            (start, [end(our_span), end(their_span)], TextPlacing::Offsets)
        }
        None => (
            common_prefix(ours.text, theirs.text),
            [None, None],
            TextPlacing::Characters,
        ),
    };
    let [our_end, their_end] = ends;
    let ours = ours.quote(ours.ids.get(index).copied(), start, our_end);
    let theirs = theirs.quote(theirs.ids.get(index).copied(), start, their_end);
    (ours, theirs, placed_by)
}

/// The likeliest tokens of a step on one of two sides, with what they read as.
pub(super) fn likeliest(side: &Side<'_>, other: &Side<'_>, index: usize) -> Vec<LikelyToken> {
    let Logits::Top(steps) = side.logits else {
        return Vec::new();
    };
    let reads = |id: u32| side.reads(id).or_else(|| other.reads(id));
    let step = steps.get(index).into_iter().flatten();
    step.map(|&token| LikelyToken {
        token,
        text: reads(token.id).map(|text| text.chars().take(QUOTED).collect()),
    })
    .collect()
}

/// The largest boundary between characters up to `at`.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Bytes that both texts begin with, in whole characters.
pub(super) fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// Of two texts of the same tokens: the first token whose text differs, else the number of tokens.
fn first_other_text(ours: &Side<'_>, theirs: &Side<'_>) -> usize {
    let shared = common_prefix(ours.text, theirs.text);
    let is_shared = |offset: &&u32| usize::try_from(**offset).is_ok_and(|offset| offset <= shared);
    match ours.text_offsets.iter().take_while(is_shared).count() {
        0 if ours.text_offsets.is_empty() => ours.ids.len(),
        index => index.min(ours.ids.len()),
    }
}

/// The tokens of a generation that might nearly have been chosen: what a snapshot keeps, so that a later text can be judged
/// from both sides. `None` where the engine told no logits.
#[must_use]
pub fn near_ties(generation: &Generation) -> Option<Vec<NearTie>> {
    let steps = generation.output_ids.iter().zip(&generation.top5);
    if generation.top5.len() != generation.output_ids.len() || generation.top5.iter().any(Vec::is_empty) {
        return None;
    }
    let of_step = |(index, (own, step)): (usize, (&u32, &Vec<TokenLogit>))| -> Vec<NearTie> {
        let chosen = step.iter().find(|entry| entry.id == *own);
        let others = step.iter().filter(|entry| entry.id != *own);
        let tie = |entry: &TokenLogit| {
            Some(NearTie {
                index: u32::try_from(index).ok()?,
                id: entry.id,
                gap: (entry.logit - chosen?.logit).abs(),
            })
        };
        others.filter_map(tie).filter(|tie| tie.gap <= STORED_GAP).collect()
    };
    Some(steps.enumerate().flat_map(of_step).collect())
}
