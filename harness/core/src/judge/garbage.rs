//! What is no text at all.

use crate::protocol::Generation;

/// One token again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition {
    /// The token.
    pub id: u32,
    /// How often it came, one after the other, at the end.
    pub count: usize,
    /// There is nothing else.
    pub is_all: bool,
}

/// So often the same token with nothing else is the signature of activations that are zero or not a number (`!!!!!!!!`).
/// Short answers may repeat a token honestly.
const SUSPICIOUS: usize = 8;

/// A text that begins well may run into the same: the cache holds what a broken copy left there. Rulers and indents of
/// tables and code are shorter, because tokenizers have tokens for runs.
const SUSPICIOUS_AT_END: usize = 16;

impl Repetition {
    /// What it is, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { id, count, is_all } = self;
        if *is_all {
            format!("one token ({id}) repeated {count} times")
        } else {
            format!("it ends in one token ({id}) repeated {count} times")
        }
    }
}

/// The repetition that tokens end in, where it is long enough to be suspicious. A model can do that honestly: whoever
/// judges looks at what the same model says elsewhere.
#[must_use]
pub fn repetition(ids: &[u32]) -> Option<Repetition> {
    let id = *ids.last()?;
    let count = ids.iter().rev().take_while(|other| **other == id).count();
    let is_all = count == ids.len();
    let suspicious = if is_all { SUSPICIOUS } else { SUSPICIOUS_AT_END };
    (count >= suspicious).then_some(Repetition { id, count, is_all })
}

/// Why a generation is no text whatever the model is like, if it is none: nothing at all, nothing to see, or logits that
/// are not finite.
#[must_use]
pub fn no_text(generation: &Generation, has_tokenizer: bool) -> Option<String> {
    let ids = &generation.output_ids;
    if ids.is_empty() {
        return Some("nothing was generated".into());
    }
    let is_finite = |step: &Vec<crate::protocol::TokenLogit>| step.iter().all(|entry| entry.logit.is_finite());
    let not_finite = generation
        .top2_gaps
        .iter()
        .position(|gap| !gap.is_finite())
        .or_else(|| generation.top5.iter().position(|step| !is_finite(step)));
    if let Some(step) = not_finite {
        return Some(format!("the logits of step {step} are not finite"));
    }
    if has_tokenizer && ids.len() > 1 && generation.text.trim().is_empty() {
        return Some(format!("{} tokens, but no visible text", ids.len()));
    }
    None
}

/// Why a generation is garbage, if it is. `others` are the tokens that the same model is known to say here (its approved
/// snapshot, the reference placement): a repetition that they end in too is the model's own.
#[must_use]
pub fn garbage(generation: &Generation, has_tokenizer: bool, others: &[&[u32]]) -> Option<String> {
    if let Some(why) = no_text(generation, has_tokenizer) {
        return Some(why);
    }
    let found = repetition(&generation.output_ids)?;
    let is_excused = others
        .iter()
        .any(|ids| **ids == *generation.output_ids || repetition(ids).is_some_and(|other| other.id == found.id));
    (!is_excused).then(|| found.words())
}

#[cfg(test)]
mod tests {
    use super::super::testing::generation;
    use super::*;

    #[test]
    fn garbage_is_recognised_and_text_is_not() {
        let is_garbage = |ids: &[u32]| garbage(&generation(ids), true, &[]).is_some();
        assert!(is_garbage(&[]));
        assert!(is_garbage(&[3; 8]));
        assert!(!is_garbage(&[3; 7]), "a short answer may repeat a token");
        assert!(!is_garbage(&[3, 4, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_text_that_ends_in_one_token_is_garbage_and_one_that_gets_over_it_is_not() {
        let text = |run: usize, after: &[u32]| [&[1, 2][..], &vec![9; run], after].concat();
        let words = garbage(&generation(&text(16, &[])), true, &[]).unwrap();
        assert_eq!(words, "it ends in one token (9) repeated 16 times");
        assert_eq!(garbage(&generation(&text(15, &[])), true, &[]), None);
        assert_eq!(
            garbage(&generation(&text(40, &[5])), true, &[]),
            None,
            "an indent, a ruler"
        );
    }

    #[test]
    fn a_repetition_of_the_model_itself_is_no_garbage_and_of_another_token_is() {
        let ours = generation(&[9; 20]);
        assert_eq!(garbage(&ours, true, &[&[9; 20]]), None, "the approved text");
        assert_eq!(garbage(&ours, true, &[&[9; 12]]), None, "it repeats as well");
        assert!(garbage(&ours, true, &[&[8; 20]]).is_some());
        assert!(garbage(&ours, true, &[&[9, 8, 7]]).is_some());
    }

    #[test]
    fn nothing_excuses_what_is_not_finite_or_cannot_be_seen() {
        let mut silent = generation(&[1, 2]);
        silent.text = "  ".into();
        let own = silent.output_ids.clone();
        assert!(garbage(&silent, true, &[&own]).is_some());
        assert_eq!(garbage(&silent, false, &[]), None, "there is no tokenizer");
        let mut not_finite = generation(&[1, 2]);
        not_finite.top2_gaps = vec![1.0, f32::NAN];
        assert!(garbage(&not_finite, true, &[&own]).unwrap().contains("step 1"));
    }
}
