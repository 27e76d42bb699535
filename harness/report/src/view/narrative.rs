//! What is told of a case in words besides its figures: where its text parts, how it ended, how to do it again.

use placebench_core::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, IndexedRun};
use serde::Serialize;

use super::details::{self, FactGroup};
use super::figures::NamedFigure;
use super::modules::PlacementView;
use super::parting::{self, PartingView};
use super::reproduce::{self, ReproduceView};
use super::status;
use super::story::{self, StoryView};
use super::words::message;

/// What is told of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Narrative {
    /// Where its text parts from others.
    pub partings: Vec<PartingView>,
    /// What has to be known of the comparison.
    pub notes: Vec<String>,
    /// How it went, where it did not complete.
    pub story: Option<StoryView>,
    /// Everything else there is to know, by subject.
    pub details: Vec<FactGroup>,
    /// How to do it again.
    pub reproduce: ReproduceView,
    /// There is so much to say of it that it takes the whole width.
    pub is_wide: bool,
    /// Something is wrong that nobody expected: what explains it is shown at once.
    pub is_news: bool,
}

/// What it is made from.
pub(super) struct Source<'a> {
    pub(super) record: &'a IndexedRun<'a>,
    pub(super) spec: &'a CaseSpec,
    pub(super) verdict: Option<&'a CaseVerdict>,
    /// The attempt the verdict speaks of.
    pub(super) attempt: Option<&'a Attempt>,
    pub(super) placed: &'a PlacementView,
    pub(super) figures: &'a [NamedFigure],
    /// Why a figure is missing.
    pub(super) why_missing: &'a str,
    /// Its times are speeds.
    pub(super) is_timed: bool,
}

/// The words for it.
pub(super) fn view(source: &Source<'_>) -> Narrative {
    let Source {
        record,
        spec,
        verdict,
        attempt,
        ..
    } = *source;
    let faults = details::fault_words(spec);
    let partings = verdict
        .map(|verdict| parting::all(record, spec, verdict))
        .unwrap_or_default();
    let story =
        attempt.and_then(|attempt| story::view(spec, attempt, &source.placed.request, &faults, source.is_timed));
    let phases = attempt
        .filter(|_| source.is_timed)
        .map(details::phases)
        .unwrap_or_default();
    let details = details::groups(&details::Source {
        spec,
        attempt,
        request: &source.placed.request,
        warnings: &source.placed.warnings,
        faults: &faults,
        ended: &status::ended_words(attempt),
        figures: source.figures,
        // The story tells them.
        phases: if story.is_some() { &[] } else { &phases },
        why_missing: source.why_missing,
    });
    let is_news = verdict.is_some_and(|verdict| matches!(verdict.status, CaseStatus::Failed | CaseStatus::Setup));
    Narrative {
        notes: verdict
            .map(|verdict| verdict.notes.iter().map(|note| message(note)).collect())
            .unwrap_or_default(),
        details,
        reproduce: reproduce::view(&record.info, spec, verdict),
        is_wide: is_news || story.is_some() || !partings.is_empty(),
        is_news,
        partings,
        story,
    }
}
