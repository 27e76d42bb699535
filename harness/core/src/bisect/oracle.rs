//! What is known of a configuration: from the history, from what fits, or not yet.

use std::cell::Cell;

use super::space::{Configuration, Space};
use super::{Pair, Probe, ProbeResult, Probed};

/// Why a search cannot go on by itself.
#[derive(Debug)]
pub(super) enum Halt {
    /// This must be tried first.
    Probe(Box<Probe>),
    /// It must be tried, but no more probes are allowed.
    Exhausted,
    /// Nothing to search.
    NoDifference,
}

/// Answers from what is on record. The search runs from its beginning each time and asks the same questions again.
pub(super) struct Oracle<'a> {
    /// What is searched.
    pub(super) space: &'a Space,
    known: Vec<(Configuration, ProbeResult)>,
    probes_left: u32,
    turns: Cell<u32>,
}

/// How often a search may find that a module is blamed for a hop and look at the hop. More turns than this come only from
/// answers that contradict each other: a fault that comes and goes.
const MOST_TURNS: u32 = 3;

impl<'a> Oracle<'a> {
    pub(super) fn new(space: &'a Space, history: &[Probed], probes_left: u32) -> Self {
        let begun = [
            (space.failing.canonical(), ProbeResult::Fails),
            (space.passing.canonical(), ProbeResult::Passes),
        ];
        let tried = history
            .iter()
            .map(|probed| (probed.configuration.canonical(), probed.result));
        Self {
            space,
            known: begun.into_iter().chain(tried).collect(),
            probes_left,
            turns: Cell::new(0),
        }
    }

    /// Takes a turn; false where the search would go round in circles.
    pub(super) fn may_turn(&self) -> bool {
        self.turns.set(self.turns.get() + 1);
        self.turns.get() <= MOST_TURNS
    }

    /// What is known already.
    pub(super) fn known(&self, configuration: &Configuration) -> Option<ProbeResult> {
        let same = configuration.canonical();
        let found = self.known.iter().find(|(known, _)| *known == same);
        let found = found.map(|(_, result)| *result);
        // A probe that would run out of memory for its weights alone is as good as made.
        found.or_else(|| (!self.space.fits(configuration)).then_some(ProbeResult::Unresolved))
    }

    /// What came out for a configuration; the search halts where it was not tried yet.
    pub(super) fn ask(
        &self,
        configuration: &Configuration,
        candidates: usize,
        tried: impl FnOnce() -> String,
    ) -> Result<ProbeResult, Halt> {
        match self.known(configuration) {
            Some(result) => Ok(result),
            None if self.probes_left == 0 => Err(Halt::Exhausted),
            None => Err(Halt::Probe(Box::new(Probe {
                configuration: configuration.clone(),
                tried: tried(),
                candidates,
            }))),
        }
    }

    /// The same for what would be good to know: `None` where no more probes are allowed.
    pub(super) fn ask_if_allowed(
        &self,
        configuration: &Configuration,
        tried: impl FnOnce() -> String,
    ) -> Result<Option<ProbeResult>, Halt> {
        match self.ask(configuration, 0, tried) {
            Ok(result) => Ok(Some(result)),
            Err(Halt::Exhausted) => Ok(None),
            Err(halt) => Err(halt),
        }
    }

    /// The failing configuration that was found last, which is the smallest so far, and the passing one nearest to it.
    pub(super) fn nearest_pair(&self) -> Pair {
        let with = |result: ProbeResult| self.known.iter().filter(move |(_, known)| *known == result);
        let failing = with(ProbeResult::Fails).next_back();
        let failing = failing.map_or(&self.space.failing, |(failing, _)| failing);
        let passing = with(ProbeResult::Passes).min_by_key(|(passing, _)| failing.differences(passing).len());
        Pair {
            failing: failing.clone(),
            passing: passing.map_or(&self.space.passing, |(passing, _)| passing).clone(),
        }
    }
}
