//! The judgement on the texts of a case.

use super::SnapshotState;
use super::companions::Known;
use super::compare::{Logits, NearTie, Side};
use super::repeats::{Repeats, is_same, sequences};
use crate::outcome::{FailureClass, Outcome};
use crate::protocol::{Generation, ModelSource, Prompt};
use crate::record::{AgreementRule, Attempt, CaseSpec, ComparedWith, Divergence, Finding, TextVerdict};
use crate::scenario::resolve::DEFAULT_MAX_GAP;

pub use super::compare::{TextComparison, compare};
pub use super::garbage::{Repeated, Repetition, garbage, no_text, repetition};

/// An approved text.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// The tokens that might nearly have been chosen when it was made; absent from snapshots that do not have them.
    pub near_ties: Option<Vec<NearTie>>,
    /// The device class it was approved for; absent for one that serves all.
    pub class: Option<String>,
    /// The device class of the case. Where it is another one, only the rule `near_tie` applies.
    pub own_class: String,
}

impl Approved {
    fn side(&self) -> Side<'_> {
        Side {
            ids: &self.token_ids,
            // An engine that tells texts only has no tokens to approve.
            has_ids: !self.token_ids.is_empty() || self.text.is_empty(),
            text: &self.text,
            text_offsets: &[],
            logits: self.near_ties.as_deref().map_or(Logits::Unknown, Logits::NearTies),
        }
    }

    fn with(&self) -> ComparedWith {
        let class = self.class.clone();
        ComparedWith::Snapshot { class }
    }
}

pub(super) struct JudgedText {
    pub(super) verdict: TextVerdict,
    pub(super) findings: Vec<Finding>,
    pub(super) divergences: Vec<Divergence>,
    pub(super) notes: Vec<String>,
    pub(super) snapshot_missing: bool,
    /// It was held to the text of another engine.
    pub(super) is_compared_with_engine: bool,
}

/// What the texts of a case are held to besides its snapshot.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    /// The attempts of the reference placement from the same prompt.
    pub(super) reference: Option<Vec<&'a Attempt>>,
    /// What the reference placement generated from any prompt.
    pub(super) references: Vec<Known<'a>>,
    /// The attempts of the engine that sets the measure.
    pub(super) engine: Option<Vec<&'a Attempt>>,
}

/// All judgements on the texts of a case.
pub(super) fn judge(
    case: &CaseSpec,
    attempts: &[&Attempt],
    beside: &Beside<'_>,
    snapshot: Option<&SnapshotState>,
) -> JudgedText {
    let reference = beside.reference.as_deref();
    let mut judged = JudgedText {
        verdict: TextVerdict::Unchecked,
        findings: Vec::new(),
        divergences: Vec::new(),
        notes: Vec::new(),
        snapshot_missing: false,
        is_compared_with_engine: false,
    };
    if attempts.iter().any(|attempt| ended_without_numbers(attempt)) {
        // How the attempt ended is a finding already.
        judged.worsen(TextVerdict::Garbage);
    }
    let Some(ours) = first_generation(attempts) else {
        return judged;
    };
    readable(case, attempts, reference, snapshot, &mut judged);
    repeatable(case, attempts, ours, &mut judged);
    if let Some(snapshot) = snapshot {
        against_snapshot(case, ours, snapshot, &mut judged);
    }
    against_reference(case, ours, reference, &mut judged);
    super::companions::judge(case, attempts, &beside.references, &mut judged);
    super::engines::judge(case, ours, beside.engine.as_deref(), &mut judged);
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
    pub(super) fn worsen(&mut self, verdict: TextVerdict) {
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

    /// Says of a comparison of texts alone that it was one.
    pub(super) fn note_text_alone(&mut self, comparison: &TextComparison, with: &ComparedWith) {
        if comparison.is_by_text() {
            let note = format!("compared with {with} by text alone: the tokens of one of them are not known");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    pub(super) fn find(&mut self, check: &str, message: String, hint: &str) {
        self.findings.push(Finding {
            check: check.into(),
            message,
            hint: Some(hint.into()),
        });
    }
}

fn ended_without_numbers(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Failed { failure } if failure.class == FailureClass::NonFinite)
}

/// Whether anything in the case is a text at all.
fn readable(
    case: &CaseSpec,
    attempts: &[&Attempt],
    reference: Option<&[&Attempt]>,
    snapshot: Option<&SnapshotState>,
    judged: &mut JudgedText,
) {
    let mut others: Vec<Side<'_>> = Vec::new();
    if let Some(SnapshotState::Approved(approved)) = snapshot {
        others.push(approved.side());
    }
    let is_own_reference = is_reference_itself(case);
    let theirs = reference.filter(|_| !is_own_reference).and_then(first_generation);
    others.extend(theirs.map(Side::of));
    let all = attempts.iter().flat_map(|attempt| &attempt.generations);
    if let Some(why) = all
        .into_iter()
        .find_map(|made| garbage_of(case, made, &case.input, &others))
    {
        judged.worsen(TextVerdict::Garbage);
        judged.find(
            "garbage",
            format!("the text is garbage: {why}"),
            "`placebench run --audit` names the module or hop where it goes wrong; if the model really says this, approve it \
             as a snapshot",
        );
    }
}

/// Why a sequence of the case is garbage, if it is.
pub(super) fn garbage_of(case: &CaseSpec, made: &Generation, input: &Prompt, others: &[Side<'_>]) -> Option<String> {
    let has_tokenizer = !matches!(input, Prompt::InputIds(_));
    // Random weights often end in a loop; only a text beside it can say that this one should not.
    let may_loop = matches!(case.model, ModelSource::Dummy { .. }) && others.is_empty();
    if may_loop && repetition(&Side::of(made)).is_some_and(|found| !found.is_all) {
        return no_text(made, has_tokenizer);
    }
    garbage(made, has_tokenizer, others)
}

/// The same placement on the same machine must say the same thing every time: a race shows up as a rate.
fn repeatable(case: &CaseSpec, attempts: &[&Attempt], ours: &Generation, judged: &mut JudgedText) {
    let all: Vec<&Generation> = attempts.iter().flat_map(|attempt| &attempt.generations).collect();
    let Some(repeats) = Repeats::of(&all).filter(|repeats| repeats.distinct > 1) else {
        return;
    };
    let max_gap = max_gap(case);
    for (number, other) in all.iter().enumerate().filter(|(_, other)| !is_same(ours, other)) {
        for (sequence, (first, made)) in sequences(ours).zip(sequences(other)).enumerate() {
            let (made, first) = (Side::of(made), Side::of(first));
            let comparison = compare(&made, &first, max_gap);
            judged.worsen(comparison.verdict());
            let is_told = judged
                .divergences
                .iter()
                .any(|known| known.with == ComparedWith::FirstGeneration);
            if let Some(divergence) = comparison
                .divergence(&made, &first, ComparedWith::FirstGeneration)
                .filter(|_| !is_told)
            {
                judged.divergences.push(Divergence {
                    generation: numbered(number),
                    sequence: numbered(sequence),
                    ..divergence
                });
            }
        }
    }
    judged.find(
        "repeatable",
        format!(
            "{} generations of this case gave {} different texts; the most common one came {} times, an exact-match rate of \
             {:.2}: the placement is not deterministic",
            repeats.total,
            repeats.distinct,
            repeats.matching,
            repeats.exact_match_rate(),
        ),
        if case.generation.sampling.is_some() {
            "sampling is seeded, so this is not chance"
        } else {
            "greedy text that changes from run to run points at a race between devices"
        },
    );
}

fn against_snapshot(case: &CaseSpec, ours: &Generation, snapshot: &SnapshotState, judged: &mut JudgedText) {
    let approved = match snapshot {
        SnapshotState::Missing => {
            judged.snapshot_missing = true;
            return;
        }
        SnapshotState::Unreadable(error) => {
            judged.find(
                "snapshot",
                format!("the approved snapshot cannot be read: {error}"),
                "restore the file, or delete it and approve the text again",
            );
            return;
        }
        SnapshotState::Approved(approved) => approved,
    };
    let is_own = approved.class.as_ref() == Some(&approved.own_class);
    if !is_own {
        let (with, own) = (approved.with(), &approved.own_class);
        judged
            .notes
            .push(format!("compared with {with}: there is none for {own}"));
    }
    let rule = if is_own {
        case.expect.snapshot_rule
    } else {
        AgreementRule::NearTie
    };
    let (ours, theirs) = (Side::of(ours), approved.side());
    let comparison = compare(&ours, &theirs, max_gap(case));
    judged.worsen(comparison.verdict());
    judged.note_text_alone(&comparison, &approved.with());
    judged
        .divergences
        .extend(comparison.divergence(&ours, &theirs, approved.with()));
    if !comparison.agrees(rule) {
        let hint = if is_own {
            "review the pending snapshot (`placebench review`): approve it only if the new text is \
             right"
        } else {
            "the snapshot is that of another device class: if this text is right too, approve the pending snapshot, which is \
             for this class alone"
        };
        judged.find(
            "snapshot",
            format!("the text {}", comparison.words(&approved.with().to_string())),
            hint,
        );
    }
}

fn against_reference(case: &CaseSpec, ours: &Generation, reference: Option<&[&Attempt]>, judged: &mut JudgedText) {
    let Some(agreement) = &case.expect.agreement else {
        return;
    };
    if is_reference_itself(case) {
        return;
    }
    let Some(theirs) = reference.and_then(first_generation) else {
        judged.find(
            "agreement",
            format!(
                "nothing to agree with: the reference placement `{}` did not complete",
                agreement.reference
            ),
            "look at the reference first: if it fails too, the placement is not to blame",
        );
        return;
    };
    let with = ComparedWith::Reference {
        placement: agreement.reference.clone(),
    };
    let (ours, theirs) = (Side::of(ours), Side::of(theirs));
    let comparison = compare(&ours, &theirs, agreement.max_gap);
    judged.worsen(comparison.verdict());
    judged.note_text_alone(&comparison, &with);
    if !comparison.agrees(agreement.rule) {
        judged.find(
            "agreement",
            format!("the text {}", comparison.words(&with.to_string())),
            "the same model and prompt on other devices gave another text: `placebench run --audit` names the first module or \
             hop where they part, `placebench bisect` the smallest change that mends it",
        );
    }
    judged.divergences.extend(comparison.divergence(&ours, &theirs, with));
}

fn is_reference_itself(case: &CaseSpec) -> bool {
    let agreement = case.expect.agreement.as_ref();
    agreement.is_some_and(|agreement| agreement.reference == case.placement)
}

/// The largest logit gap that counts as a tie in a case.
fn max_gap(case: &CaseSpec) -> f32 {
    let agreement = case.expect.agreement.as_ref();
    agreement.map_or(DEFAULT_MAX_GAP, |agreement| agreement.max_gap)
}

pub(super) fn numbered(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn first_generation<'a>(attempts: &[&'a Attempt]) -> Option<&'a Generation> {
    attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Completed))
        .find_map(|attempt| attempt.generations.first())
}
