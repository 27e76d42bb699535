//! Has it changed? Two sets of attempts at the same case, the rule they are compared by, and the answer.
//!
//! The unit is the attempt, a process of its own: generations within one are no independent samples. Attempts of the two
//! sides with the same number form a pair, since runs put them next to each other in time (A B B A).
//!
//! **First what can be counted** ([`counters`]): plan, realised map, hops, bytes moved, weights, peak bytes, token ids.
//! They need no quiet machine. Where one got worse or differs, the gate fails and timings are not judged: another text or
//! another placement is other work, and its speed is no news.
//!
//! **Then what was timed.** Per pair r = ln(new / base) of the attempts' medians, turned so that more is worse.
//! A timing is `slower` if all three hold:
//!
//! - *effect and interval*: the bootstrap interval of the median of r lies above the floor;
//! - *certainty*: a signed-rank test rejects "worse by no more than the floor", after Holm's correction over all gated
//!   timings of all cases, at the level of one look;
//! - *agreement*: four of five pairs are above the floor, each on its own.
//!
//! `faster` is the mirror image. `same` needs the whole interval within the margin on both sides, and not beyond the floor: to
//! see no significant change is not enough. The rest is `unclear`: then pairs are added, up to a cap. `no_verdict` means that
//! something is wrong with the data: too few pairs for the number of questions, another machine, a missing, impossible,
//! collapsed or implausible figure, an attempt that did not complete, a wrong text. It is never a pass.
//!
//! **The floor** is the largest of what matters to the user, the median difference of two equal sides on this machine, and,
//! for a baseline from another session, what sessions differ by. **The margin** is the floor, or what two equal *attempts*
//! differ by on this machine ([`doctor::noise`](crate::doctor::noise)) if that is more, up to a limit. The two are apart for a reason that
//! was measured: with the noise of single attempts for a floor, a 10 % change on a machine with 5 % noise is never found,
//! however many pairs there are; with the floor for a margin, nothing there is ever the same.
//!
//! **Warm-ups and outliers.** Warm-up generations are never among the figures. Outliers are named and kept: medians and ranks
//! bear them, and dropping them would be choosing the answer.
//!
//! `cargo run --release -p placebench-core --example gate_power` measures how often this is wrong and what it finds.

pub mod counters;
pub mod fingerprint;
pub mod metric;
pub mod placements;
pub mod reason;
pub mod record;
pub mod spec;
mod timing;
mod tokens;

pub use counters::{Counter, CounterChange, CounterRow};
pub use fingerprint::{Fingerprint, FingerprintDifference, FingerprintField};
pub use metric::{Direction, TimingMetric};
pub use placements::{PlacementComparison, compare_placements, compare_with, other_work};
pub use reason::{NoVerdictReason, SideName};
pub use record::{CaseComparison, Change, Comparison, Pair, Threshold, ThresholdSource, TimingRow, TimingWarning};
pub use spec::{Arrangement, FEWEST_PAIRS, GateSpec, Relation, SpecError, TokenTolerance, UnclearResult};

use self::timing::Question;
use crate::doctor::noise::NoiseFloor;
use crate::exit_code::ExitCode;
use crate::record::{Attempt, Environment, TextVerdict};
use crate::statistics::holm;

/// One side of a case.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The case.
    pub case: &'a str,
    /// Its attempts. Of several with the same number the first counts.
    pub attempts: &'a [&'a Attempt],
    /// The machine they were made on.
    pub environment: &'a Environment,
    /// The judgement on its text.
    pub text: TextVerdict,
}

/// The two sides of a case.
#[derive(Debug, Clone, Copy)]
pub struct CasePair<'a> {
    /// What is compared with.
    pub base: Side<'a>,
    /// What is compared.
    pub new: Side<'a>,
    /// The noise of the machine, where it was calibrated.
    pub noise: Option<&'a NoiseFloor>,
}

/// Compares all cases, as one family of questions: the level of `spec` holds for all of them together.
#[must_use]
pub fn compare(pairs: &[CasePair<'_>], spec: &GateSpec) -> Comparison {
    compare_as_part(pairs, spec, pairs.len())
}

/// The same while other cases of the family are not measured yet, or not looked at: `cases` is how many there are in all.
///
/// This is how a run decides case by case whether more pairs are worth making. The others are counted as if they could not be
/// called changed, so an adjusted p-value is never below what it will be in the comparison of all: what is called slower or
/// faster here, on these data, is called so there. `same` asks no p-value at all. So whoever stops at an answer keeps it, and
/// where this says `unclear` and the whole would not have, the price is a few pairs.
///
/// The promise of `alpha` holds for the whole although each case stops where its own data tell it to. With L looks the
/// smallest p-value a case shows at any of them is at most alpha / (L × family) with a probability of no more than
/// alpha / family, and there are `family` of them (Bonferroni over looks and questions; Holm is never worse).
#[must_use]
pub fn compare_as_part(pairs: &[CasePair<'_>], spec: &GateSpec, cases: usize) -> Comparison {
    let cases_of_family = cases.max(pairs.len());
    let counted: Vec<Vec<CounterRow>> = pairs
        .iter()
        .map(|pair| match spec.relation {
            Relation::Versions => counters::compare(pair.base.attempts, pair.new.attempts, spec),
            Relation::Placements => Vec::new(),
        })
        .collect();
    let fewest = spec.fewest_pairs(cases_of_family);
    let questions: Vec<Vec<Question>> = pairs
        .iter()
        .zip(&counted)
        .map(|(pair, counters)| timing::ask(pair, counters, spec, fewest))
        .collect();
    let family = cases_of_family * spec.metrics.len();
    let p_values = |read: fn(&Question) -> f64| -> Vec<f64> {
        let mut all: Vec<f64> = questions.iter().flatten().map(read).collect();
        all.resize(family, 1.0);
        holm(&all)
    };
    let mut slower = p_values(|question| question.p_slower).into_iter();
    let mut faster = p_values(|question| question.p_faster).into_iter();
    let mut cases = Vec::with_capacity(pairs.len());
    for ((pair, counters), questions) in pairs.iter().zip(counted).zip(questions) {
        let adjusted = questions.into_iter().zip(slower.by_ref().zip(faster.by_ref()));
        let timings = adjusted
            .map(|(question, (slower, faster))| question.answer(slower, faster, spec))
            .collect();
        cases.push(case_comparison(pair, counters, timings, spec));
    }
    let change = Change::of_all(cases.iter().filter_map(|case| case.change));
    Comparison {
        spec: spec.clone(),
        alpha: spec.alpha_per_look(),
        family: u32::try_from(family).unwrap_or(u32::MAX),
        exit: exit_of(&cases, spec),
        cases,
        change,
    }
}

fn case_comparison(
    pair: &CasePair<'_>,
    counters: Vec<CounterRow>,
    timings: Vec<TimingRow>,
    spec: &GateSpec,
) -> CaseComparison {
    let change = Change::of_all(timings.iter().map(|row| row.change));
    let unclear = timings.iter().filter(|row| row.change == Change::Unclear);
    // A single alarm or hole decides the case already, whatever more pairs would say of its other timings.
    let have = unclear
        .map(|row| row.pairs.len())
        .min()
        .filter(|_| change == Some(Change::Unclear));
    CaseComparison {
        case: pair.new.case.to_owned(),
        base_case: pair.base.case.to_owned(),
        counters,
        timings,
        change,
        pairs_wanted: have.and_then(|pairs| spec.next_pairs(u32::try_from(pairs).unwrap_or(u32::MAX))),
    }
}

/// What is certain outweighs what is not known, and of what is certain a wrong result outweighs a slow one: a profile that
/// lets `no_verdict` pass must not let an alarm pass with it.
fn exit_of(cases: &[CaseComparison], spec: &GateSpec) -> ExitCode {
    let any_counter = |wanted: &[CounterChange]| {
        let mut counters = cases.iter().flat_map(|case| &case.counters);
        let is_passed_over = |row: &CounterRow| {
            let side = SideName::Base;
            spec.base_may_lack && row.reason == Some(NoVerdictReason::Missing { side })
        };
        counters.any(|row| wanted.contains(&row.change) && !is_passed_over(row))
    };
    let timings_gate = spec.arrangement == Arrangement::Interleaved || spec.separate_timings_gate;
    let any_timing = |wanted: &[Change]| {
        let mut changes = cases.iter().filter_map(|case| case.change);
        timings_gate && changes.any(|change| wanted.contains(&change))
    };
    // A case of which nothing gates has passed nothing.
    let is_judged = |case: &CaseComparison| !case.counters.is_empty() || (timings_gate && case.change.is_some());
    if any_counter(&[CounterChange::Worse, CounterChange::Differs]) {
        ExitCode::CaseFailed
    } else if any_timing(&[Change::Slower]) {
        ExitCode::Slower
    } else if cases.is_empty()
        || !cases.iter().all(is_judged)
        || any_counter(&[CounterChange::NoVerdict])
        || (spec.unclear == UnclearResult::Fail && any_timing(&[Change::NoVerdict, Change::Unclear]))
    {
        ExitCode::NoVerdict
    } else {
        ExitCode::Passed
    }
}
