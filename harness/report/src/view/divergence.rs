//! Where a text parts from another one, with both texts around that token.

use placebench_core::protocol::TokenLogit;
use placebench_core::record::{ComparedBy, Divergence, DivergentText, LikelyToken, TextPlacing, TextVerdict};
use serde::Serialize;

use super::words::{Lines, line, message, visible};

/// Longest quotation before or after the token.
const LONGEST: usize = 60;
/// Longest text of a token among the likeliest.
const LONGEST_TOKEN: usize = 24;

/// One of the two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuoteView {
    /// The end of what comes before.
    pub before: String,
    /// The token: its text, its number where it shows nothing, or that the text had ended.
    pub token: String,
    /// The beginning of what comes after.
    pub after: String,
}

impl QuoteView {
    pub(super) fn of(text: &DivergentText) -> Self {
        let shown = |text: &str| visible(text, Lines::Join, LONGEST);
        let token = match text.id {
            None if text.token.is_empty() => "end".to_owned(),
            None => shown(&text.token),
            Some(id) if text.token.is_empty() => format!("token {id}"),
            Some(_) => shown(&text.token),
        };
        Self {
            before: shown(&text.before),
            token,
            after: shown(&text.after),
        }
    }

    /// On one line, the token between brackets.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}⟦{}⟧{}", self.before, self.token, self.after)
    }
}

/// A place where texts part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DivergenceView {
    /// Where, from what, and how far apart the two tokens were.
    pub sentence: String,
    /// What this case says there.
    pub ours: QuoteView,
    /// What the other text says there.
    pub theirs: QuoteView,
}

/// The view of a divergence.
#[must_use]
pub fn view(divergence: &Divergence) -> DivergenceView {
    let Divergence { index, gap, .. } = divergence;
    let whose = match (divergence.generation, divergence.sequence) {
        (0, 0) => String::new(),
        (generation, 0) => format!("generation {generation} "),
        (0, sequence) => format!("sequence {sequence} "),
        (generation, sequence) => format!("sequence {sequence} of generation {generation} "),
    };
    let ids = match (divergence.ours.id, divergence.theirs.id) {
        (Some(ours), Some(theirs)) => format!(": {ours} instead of {theirs}"),
        (Some(ours), None) => format!(": {ours} where the other had ended"),
        (None, Some(theirs)) => format!(": ended where the other has {theirs}"),
        (None, None) => String::new(),
    };
    let by_text = divergence.by != ComparedBy::Tokens;
    let gap = match gap {
        None if by_text => "by text alone, for the tokens of one of them are not known".to_owned(),
        Some(gap) => format!("{gap:.4} apart in logits"),
        None => "no gap known".to_owned(),
    };
    let kind = match divergence.verdict {
        _ if by_text => "",
        TextVerdict::NearTie => ", a near-tie",
        TextVerdict::Exact | TextVerdict::Diverged | TextVerdict::Garbage | TextVerdict::Unchecked => ", no near-tie",
    };
    let placed = match divergence.placed_by {
        TextPlacing::Offsets => "",
        TextPlacing::Characters if by_text => "",
        TextPlacing::Characters => "; quoted from the first character that differs, which may belong to a later token",
    };
    let with = line(&divergence.with.to_string());
    let unit = divergence.by.unit();
    DivergenceView {
        sentence: message(&format!(
            "{whose}parts from {with} at {unit} {index} (counted from 0){ids}; {gap}{kind}{placed}"
        )),
        ours: QuoteView::of(&divergence.ours),
        theirs: QuoteView::of(&divergence.theirs),
    }
}

/// The lines of a divergence for a report without markup.
#[must_use]
pub fn lines(divergence: &Divergence) -> Vec<String> {
    let view = view(divergence);
    let mut lines = vec![
        view.sentence.clone(),
        format!("here:  {}", view.ours.line()),
        format!("there: {}", view.theirs.line()),
    ];
    for (whose, side) in [("here:  ", &divergence.ours), ("there: ", &divergence.theirs)] {
        if let Some(words) = likeliest(&side.top5) {
            lines.push(format!("{whose}likeliest {words}"));
        }
    }
    lines
}

/// `“ the” (id 262) 9.0000, “ a” (id 257) 8.7500`: the likeliest tokens of a step with their logits.
fn likeliest(top5: &[LikelyToken]) -> Option<String> {
    let one = |likely: &LikelyToken| {
        let TokenLogit { id, logit } = likely.token;
        match &likely.text {
            Some(text) => format!("“{}” (id {id}) {logit:.4}", visible(text, Lines::Join, LONGEST_TOKEN)),
            None => format!("id {id} {logit:.4}"),
        }
    };
    let words: Vec<String> = top5.iter().map(one).collect();
    (!words.is_empty()).then(|| words.join(", "))
}
