//! Where a text parts from another one, with both texts around that token.

use placebench_core::record::{Divergence, DivergentText, TextPlacing, TextVerdict};
use serde::Serialize;

use super::words::{Lines, line, message, visible};

/// Longest quotation before or after the token.
const LONGEST: usize = 60;

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
            None => "end".to_owned(),
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
    let gap = match gap {
        Some(gap) => format!("{gap:.4} apart in logits"),
        None => "no gap known".to_owned(),
    };
    let kind = match divergence.verdict {
        TextVerdict::NearTie => "a near-tie",
        TextVerdict::Exact | TextVerdict::Diverged | TextVerdict::Garbage | TextVerdict::Unchecked => "no near-tie",
    };
    let placed = match divergence.placed_by {
        TextPlacing::Offsets => "",
        TextPlacing::Characters => "; quoted from the first character that differs, which may belong to a later token",
    };
    let with = line(&divergence.with.to_string());
    DivergenceView {
        sentence: message(&format!(
            "{whose}parts from {with} at token {index} (counted from 0){ids}; {gap}, {kind}{placed}"
        )),
        ours: QuoteView::of(&divergence.ours),
        theirs: QuoteView::of(&divergence.theirs),
    }
}

/// The lines of a divergence for a report without markup.
#[must_use]
pub fn lines(divergence: &Divergence) -> [String; 3] {
    let view = view(divergence);
    [
        view.sentence.clone(),
        format!("here:  {}", view.ours.line()),
        format!("there: {}", view.theirs.line()),
    ]
}
