//! The judgement on texts.
//!
//! Greedy text is exact on one backend; between backends the order of additions differs, and where two tokens are nearly
//! equally likely the choice may flip. So a difference is judged at the first token that differs, by the logits there;
//! after it the texts have different contexts and are not compared.

use super::SnapshotState;
use crate::outcome::Outcome;
use crate::protocol::{Generation, Prompt};
use crate::record::{AgreementRule, Attempt, CaseSpec, Finding, TextVerdict};
use crate::scenario::resolve::DEFAULT_MAX_GAP;

/// An approved text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
}

/// How two token sequences compare.
#[derive(Debug, Clone, PartialEq)]
pub enum TextComparison {
    /// The same tokens.
    Exact,
    /// They part at a near-tie.
    NearTie {
        /// Position of the first token that differs.
        index: usize,
        /// The logit gap between the two picks there.
        gap: f32,
    },
    /// They part where one token was clearly likelier, or one goes on where the other ends.
    Diverged {
        /// Position of the first token that differs.
        index: usize,
        /// The logit gap between the two picks, where both were among the five likeliest.
        gap: Option<f32>,
    },
}

/// Compares what was generated with other tokens; `other_top5` are the likeliest tokens the other side had at each step,
/// where they are known.
#[must_use]
pub fn compare(
    ours: &Generation,
    other: &[u32],
    other_top5: Option<&[Vec<crate::protocol::TokenLogit>]>,
    max_gap: f32,
) -> TextComparison {
    let ids = &ours.output_ids;
    let Some(index) = (0..ids.len().max(other.len())).find(|&i| ids.get(i) != other.get(i)) else {
        return TextComparison::Exact;
    };
    let (Some(&mine), Some(&theirs)) = (ids.get(index), other.get(index)) else {
        return TextComparison::Diverged { index, gap: None };
    };
    let gap_between = |top5: Option<&Vec<crate::protocol::TokenLogit>>| -> Option<f32> {
        let top5 = top5?;
        let logit = |id: u32| top5.iter().find(|entry| entry.id == id).map(|entry| entry.logit);
        Some((logit(mine)? - logit(theirs)?).abs())
    };
    let our_gap = gap_between(ours.top5.get(index));
    // Each side's pick must be nearly as likely on the other side; where only ours is known, ours decides.
    let gap = match (our_gap, other_top5) {
        (Some(ours), Some(top5)) => gap_between(top5.get(index)).map(|theirs| ours.max(theirs)),
        (ours, None) => ours,
        (None, Some(_)) => None,
    };
    match gap {
        Some(gap) if gap <= max_gap => TextComparison::NearTie { index, gap },
        gap => TextComparison::Diverged { index, gap },
    }
}

impl TextComparison {
    pub(super) fn verdict(&self) -> TextVerdict {
        match self {
            Self::Exact => TextVerdict::Exact,
            Self::NearTie { .. } => TextVerdict::NearTie,
            Self::Diverged { .. } => TextVerdict::Diverged,
        }
    }

    pub(crate) fn words(&self, with: &str) -> String {
        let gap_words = |gap: &Option<f32>| match gap {
            Some(gap) => format!("there the two tokens were {gap:.3} apart in logits"),
            None => "the other token was not among the five likeliest".to_owned(),
        };
        match self {
            Self::Exact => format!("the same as {with}"),
            Self::NearTie { index, gap } => format!("parts from {with} at token {index}, a near-tie (gap {gap:.4})"),
            Self::Diverged { index, gap } => format!("diverges from {with} at token {index}: {}", gap_words(gap)),
        }
    }
}

/// Why a generation is no text, if it is none.
#[must_use]
pub fn garbage(generation: &Generation, has_tokenizer: bool) -> Option<String> {
    let ids = &generation.output_ids;
    if ids.is_empty() {
        return Some("nothing was generated".into());
    }
    if let Some(step) = generation.top2_gaps.iter().position(|gap| !gap.is_finite()) {
        return Some(format!("the logits of step {step} are not finite"));
    }
    // Short answers may repeat a token honestly; eight times the same one in a row, with nothing else, is the signature
    // of zeroed or NaN activations ("!!!!!!!!").
    const SUSPICIOUS: usize = 8;
    if ids.len() >= SUSPICIOUS && ids.iter().all(|id| *id == ids[0]) {
        return Some(format!("one token ({}) repeated {} times", ids[0], ids.len()));
    }
    if has_tokenizer && ids.len() > 1 && generation.text.trim().is_empty() {
        return Some(format!("{} tokens, but no visible text", ids.len()));
    }
    None
}

pub(super) struct JudgedText {
    pub(super) verdict: TextVerdict,
    pub(super) findings: Vec<Finding>,
    pub(super) snapshot_missing: bool,
}

/// All judgements on the texts of a case.
pub(super) fn judge(
    case: &CaseSpec,
    attempts: &[&Attempt],
    reference: Option<&[&Attempt]>,
    references: &[&Generation],
    snapshot: Option<&SnapshotState>,
) -> JudgedText {
    let mut judged = JudgedText {
        verdict: TextVerdict::Unchecked,
        findings: Vec::new(),
        snapshot_missing: false,
    };
    let Some(ours) = first_generation(attempts) else {
        return judged;
    };
    let has_tokenizer = !matches!(case.input, Prompt::InputIds(_));
    if let Some(why) = attempts
        .iter()
        .flat_map(|a| &a.generations)
        .find_map(|g| garbage(g, has_tokenizer))
    {
        judged.note(
            TextVerdict::Garbage,
            "garbage",
            format!("the text is garbage: {why}"),
            "compare with the single placement: if that is right, a copy between devices is wrong",
        );
    }
    repeatable(case, attempts, ours, &mut judged);
    if let Some(snapshot) = snapshot {
        against_snapshot(ours, snapshot, &mut judged);
    }
    against_reference(case, ours, reference, &mut judged);
    for (verdict, finding) in super::companions::judge(case, attempts, references) {
        judged.worsen(verdict);
        judged.findings.extend(finding);
    }
    for text in &case.expect.contains {
        if !ours.text.contains(text) {
            judged.findings.push(Finding {
                check: "contains".into(),
                message: format!("the text does not contain {text:?}"),
                hint: None,
            });
        }
    }
    judged
}

impl JudgedText {
    /// The worst judgement stands.
    fn worsen(&mut self, verdict: TextVerdict) {
        let rank = |verdict: TextVerdict| match verdict {
            TextVerdict::Unchecked => 0,
            TextVerdict::Exact => 1,
            TextVerdict::NearTie => 2,
            TextVerdict::Diverged => 3,
            TextVerdict::Garbage => 4,
        };
        if rank(verdict) > rank(self.verdict) {
            self.verdict = verdict;
        }
    }

    fn note(&mut self, verdict: TextVerdict, check: &str, message: String, hint: &str) {
        self.worsen(verdict);
        self.findings.push(Finding {
            check: check.into(),
            message,
            hint: Some(hint.into()),
        });
    }
}

/// The same placement on the same machine must say the same thing every time: a race shows up as a rate.
fn repeatable(case: &CaseSpec, attempts: &[&Attempt], ours: &Generation, judged: &mut JudgedText) {
    let all: Vec<&Generation> = attempts.iter().flat_map(|attempt| &attempt.generations).collect();
    let same = all
        .iter()
        .filter(|generation| texts(generation).eq(texts(ours)))
        .count();
    if same < all.len() {
        judged.note(
            TextVerdict::Diverged,
            "repeatable",
            format!(
                "{same} of {} generations of this case agree with the first: the placement is not deterministic",
                all.len()
            ),
            if case.generation.sampling.is_some() {
                "sampling is seeded, so this is not chance"
            } else {
                "greedy text that changes from run to run points at a race between devices"
            },
        );
    }
}

/// The tokens of a generation and of its companions.
fn texts(generation: &Generation) -> impl Iterator<Item = &[u32]> {
    std::iter::once(generation)
        .chain(&generation.companions)
        .map(|sequence| sequence.output_ids.as_slice())
}

fn against_snapshot(ours: &Generation, snapshot: &SnapshotState, judged: &mut JudgedText) {
    match snapshot {
        SnapshotState::Missing => judged.snapshot_missing = true,
        SnapshotState::Unreadable(error) => judged.findings.push(Finding {
            check: "snapshot".into(),
            message: format!("the approved snapshot cannot be read: {error}"),
            hint: Some("restore the file, or delete it and approve the text again".into()),
        }),
        SnapshotState::Approved(approved) => {
            let comparison = compare(ours, &approved.token_ids, None, DEFAULT_MAX_GAP);
            judged.worsen(comparison.verdict());
            if comparison.verdict() == TextVerdict::Diverged {
                judged.findings.push(Finding {
                    check: "snapshot".into(),
                    message: format!("the text {}", comparison.words("the approved snapshot")),
                    hint: Some("review the pending snapshot (`placebench review`, or `cargo insta review`): approve it only if the new text is right".into()),
                });
            }
        }
    }
}

fn against_reference(case: &CaseSpec, ours: &Generation, reference: Option<&[&Attempt]>, judged: &mut JudgedText) {
    let Some(agreement) = &case.expect.agreement else {
        return;
    };
    if agreement.reference == case.placement {
        return;
    }
    let Some(theirs) = reference.and_then(first_generation) else {
        judged.findings.push(Finding {
            check: "agreement".into(),
            message: format!(
                "nothing to agree with: the reference placement `{}` did not complete",
                agreement.reference
            ),
            hint: Some("look at the reference first: if it fails too, the placement is not to blame".into()),
        });
        return;
    };
    let comparison = compare(ours, &theirs.output_ids, Some(&theirs.top5), agreement.max_gap);
    judged.worsen(comparison.verdict());
    let agrees = match (&comparison, agreement.rule) {
        (TextComparison::Exact, _) | (TextComparison::NearTie { .. }, AgreementRule::NearTie) => true,
        (TextComparison::NearTie { .. }, AgreementRule::Exact) | (TextComparison::Diverged { .. }, _) => false,
    };
    if !agrees {
        judged.findings.push(Finding {
            check: "agreement".into(),
            message: format!("the text {}", comparison.words(&format!("placement `{}`", agreement.reference))),
            hint: Some("the same model and prompt on other devices gave another text: repeat with transfer = \"host\" to tell a bad link from a bad device".into()),
        });
    }
}

pub(super) fn first_generation<'a>(attempts: &[&'a Attempt]) -> Option<&'a Generation> {
    attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Completed))
        .find_map(|attempt| attempt.generations.first())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{FinishReason, TokenLogit};

    fn generation(ids: &[u32], top5: Vec<Vec<(u32, f32)>>) -> Generation {
        Generation {
            input_ids: vec![1],
            output_ids: ids.to_vec(),
            text: "text".into(),
            finish_reason: FinishReason::Length,
            start_s: 0.0,
            token_stamps_s: vec![],
            top2_gaps: vec![],
            top5: top5
                .into_iter()
                .map(|step| step.into_iter().map(|(id, logit)| TokenLogit { id, logit }).collect())
                .collect(),
            hops: vec![],
            transfer_bytes: vec![],
            streamed_bytes: vec![],
            stage_times_s: vec![],
            companions: vec![],
        }
    }

    #[test]
    fn the_first_difference_decides() {
        let steps = || {
            vec![
                vec![(5, 9.0), (6, 1.0)],
                vec![(7, 3.00), (8, 2.99)],
                vec![(9, 5.0), (1, 0.0)],
            ]
        };
        let ours = generation(&[5, 7, 9], steps());
        assert_eq!(compare(&ours, &[5, 7, 9], None, 0.05), TextComparison::Exact);
        assert!(matches!(
            compare(&ours, &[5, 8, 1], None, 0.05),
            TextComparison::NearTie { index: 1, .. }
        ));
        assert!(matches!(
            compare(&ours, &[6, 7, 9], None, 0.05),
            TextComparison::Diverged { index: 0, gap: Some(_) }
        ));
        assert!(matches!(
            compare(&ours, &[5, 99, 9], None, 0.05),
            TextComparison::Diverged { index: 1, gap: None }
        ));
        assert!(matches!(
            compare(&ours, &[5, 7], None, 0.05),
            TextComparison::Diverged { index: 2, gap: None }
        ));
    }

    #[test]
    fn both_sides_must_see_the_tie() {
        let ours = generation(&[7], vec![vec![(7, 3.00), (8, 2.99)]]);
        let clear = generation(&[8], vec![vec![(8, 9.0), (7, 2.0)]]);
        let comparison = compare(&ours, &clear.output_ids, Some(&clear.top5), 0.05);
        assert!(matches!(
            comparison,
            TextComparison::Diverged { index: 0, gap: Some(_) }
        ));
    }

    #[test]
    fn garbage_is_recognised_and_text_is_not() {
        assert!(garbage(&generation(&[3; 8], vec![]), true).is_some());
        assert!(garbage(&generation(&[], vec![]), true).is_some());
        assert!(garbage(&generation(&[3, 3, 3], vec![]), true).is_none());
        assert!(garbage(&generation(&[3, 4, 3, 4, 5, 6, 7, 8], vec![]), true).is_none());
        let mut silent = generation(&[1, 2], vec![]);
        silent.text = "  ".into();
        assert!(garbage(&silent, true).is_some());
        assert!(garbage(&silent, false).is_none());
        let mut not_finite = generation(&[1, 2], vec![]);
        not_finite.top2_gaps = vec![1.0, f32::NAN];
        assert!(garbage(&not_finite, true).is_some());
    }
}
