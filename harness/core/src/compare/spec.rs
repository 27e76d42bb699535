//! What is compared, and how sure an answer has to be.

use serde::{Deserialize, Serialize};

use super::fingerprint::FingerprintField;
use super::metric::TimingMetric;
use crate::record::AgreementRule;
use crate::scenario::resolve::DEFAULT_MAX_GAP;
use crate::statistics::fewest_pairs;

/// Pairs below which nothing is said, however clear it looks: the exact two-sided signed-rank test of five pairs cannot go
/// below 0.0625.
pub const FEWEST_PAIRS: u32 = 6;

/// How the two sides of a comparison are related.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same case before and after a change: of the program, a driver, a machine's settings. Whatever can be counted
    /// must not have got worse, and the text must be the same.
    Versions,
    /// Two placements of the same prompt. They are meant to differ in plan, hops and bytes; only the number of tokens must
    /// be the same. Agreement of their texts is judged by [`judge`](crate::judge).
    Placements,
}

/// How the attempts of the two sides lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrangement {
    /// In turns within one session, A B B A: attempts with the same number are neighbours in time.
    Interleaved,
    /// In two sessions, as with a stored baseline. What changed between them falls on one side only, so timings are shown
    /// and judged by a wider floor, but fail no gate unless [`GateSpec::separate_timings_gate`] says so. Counters do.
    Separate,
}

/// What it means for a gate that timings are unclear, or cannot be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnclearResult {
    /// It is no pass: `no_verdict`.
    #[default]
    Fail,
    /// It is told, and no more. Counters that cannot be judged fail the gate all the same, and so does what is slower.
    Warn,
}

impl UnclearResult {
    /// The name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

/// How far token ids may differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenTolerance {
    /// `exact`, or `near_tie`: up to a step where both picks were nearly equally likely.
    pub rule: AgreementRule,
    /// `near_tie`: the largest gap between two logits that counts as a tie.
    pub max_gap: f32,
}

/// What is compared, and how sure an answer has to be. On record with every comparison. Effects and floors are natural
/// logarithms of ratios: 0.02 is about 2 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GateSpec {
    /// How the sides are related.
    pub relation: Relation,
    /// How their attempts lie in time.
    pub arrangement: Arrangement,
    /// The gated timings: each is one question more for Holm's correction, so none should follow from others.
    pub metrics: Vec<TimingMetric>,
    /// Changes no larger than this do not matter to anyone, however certain they are.
    pub min_effect: f64,
    /// The floor of [`Arrangement::Separate`], if it is the largest.
    pub separate_floor: f64,
    /// The chance of calling anything slower although nothing is slower by more than its floor, over all gated timings and
    /// all looks together; the same again for faster.
    pub alpha: f64,
    /// Confidence of the bootstrap interval.
    pub confidence: f64,
    /// Share of the pairs that must each show the change on their own.
    pub agreement: f64,
    /// Timings that change by more than this factor, either way, are not believed; nor are counters that fall by more.
    pub implausible_factor: f64,
    /// Pairs of the first look.
    pub pairs: u32,
    /// Pairs at which an unclear answer stays one.
    pub max_pairs: u32,
    /// Relative tolerance of peak bytes. 0 is exact.
    pub peak_tolerance: f64,
    /// Tolerance of token ids.
    pub tokens: TokenTolerance,
    /// What is under test itself, so that it may differ between the machines of the two sides.
    #[serde(default)]
    pub expected_differences: Vec<FingerprintField>,
    /// Whether timings of [`Arrangement::Separate`] fail the gate too: for whoever asks about two stored runs, and knows that
    /// what changed between the sessions is part of the answer.
    #[serde(default)]
    pub separate_timings_gate: bool,
    /// What unclear timings mean.
    #[serde(default)]
    pub unclear: UnclearResult,
    /// Whether a counter that the base lacks is passed over. Otherwise nothing can be said of the whole.
    #[serde(default)]
    pub base_may_lack: bool,
}

impl GateSpec {
    /// The defaults for a case before and after a change.
    #[must_use]
    pub fn versions() -> Self {
        Self {
            relation: Relation::Versions,
            arrangement: Arrangement::Interleaved,
            // e2e_s follows from the two of the generation, and rates are their reciprocals.
            metrics: vec![TimingMetric::LoadS, TimingMetric::TtftS, TimingMetric::TpotS],
            min_effect: 0.02,
            // Two sessions of the same build of an engine were seen to differ by 4 to 6 % (kekzl/imp#1918).
            separate_floor: 0.06,
            alpha: 0.05,
            confidence: 0.95,
            agreement: 0.8,
            implausible_factor: 2.0,
            pairs: 10,
            max_pairs: 20,
            // Allocators round up; a layer or a cache more is far beyond one per cent.
            peak_tolerance: 0.01,
            tokens: TokenTolerance {
                rule: AgreementRule::NearTie,
                max_gap: DEFAULT_MAX_GAP,
            },
            expected_differences: Vec::new(),
            separate_timings_gate: false,
            unclear: UnclearResult::Fail,
            base_may_lack: false,
        }
    }

    /// The defaults for two placements.
    #[must_use]
    pub fn placements() -> Self {
        Self {
            relation: Relation::Placements,
            // A placement that streams weights over a bus takes ten or a hundred times as long as one that need not, and that
            // is the very news. Beyond this a clock or a generation is broken.
            implausible_factor: 1000.0,
            ..Self::versions()
        }
    }

    /// Why nobody can be judged by this, if so.
    ///
    /// # Errors
    /// The first setting that makes no sense, with what it must be.
    pub fn check(&self) -> Result<(), SpecError> {
        let range = |name, value: f64, low: f64, high: f64| {
            let error = SpecError::OutOfRange { name, value, low, high };
            if value > low && value < high {
                Ok(())
            } else {
                Err(error)
            }
        };
        range("alpha", self.alpha, 0.0, 0.5)?;
        range("confidence", self.confidence, 0.5, 1.0)?;
        range("implausible_factor", self.implausible_factor, 1.0, f64::INFINITY)?;
        let at_least_zero = |name, value: f64| range(name, value, -f64::MIN_POSITIVE, 1.0);
        at_least_zero("min_effect", self.min_effect)?;
        at_least_zero("separate_floor", self.separate_floor)?;
        at_least_zero("peak_tolerance", self.peak_tolerance)?;
        // Half of the pairs beyond the floor in one direction and half in the other is no agreement.
        let agreement = SpecError::OutOfRange {
            name: "agreement",
            value: self.agreement,
            low: 0.5,
            high: 1.0,
        };
        if !(self.agreement > 0.5 && self.agreement <= 1.0) {
            return Err(agreement);
        }
        if self.pairs < FEWEST_PAIRS {
            return Err(SpecError::TooFewPairs(self.pairs));
        }
        if self.max_pairs < self.pairs {
            return Err(SpecError::CapBelowPairs {
                pairs: self.pairs,
                max_pairs: self.max_pairs,
            });
        }
        Ok(())
    }

    /// How often the data may be looked at: once at [`pairs`](Self::pairs), and once for each step of
    /// [`next_pairs`](Self::next_pairs) up to the cap.
    #[must_use]
    pub fn looks(&self) -> u32 {
        let steps = std::iter::successors(Some(self.pairs.max(1)), |pairs| self.next_pairs(*pairs));
        u32::try_from(steps.count()).unwrap_or(u32::MAX)
    }

    /// How many pairs there should be before an answer that is unclear at `pairs` is looked at again: twice as many, up to the
    /// cap. `None` at the cap.
    #[must_use]
    pub fn next_pairs(&self, pairs: u32) -> Option<u32> {
        (pairs < self.max_pairs).then(|| pairs.max(1).saturating_mul(2).min(self.max_pairs))
    }

    /// The level of a single look. Looking again while the answer is unclear gives chance another try, so the looks share
    /// `alpha` in equal parts.
    #[must_use]
    pub fn alpha_per_look(&self) -> f64 {
        self.alpha / f64::from(self.looks())
    }

    /// Pairs below which a comparison of that many cases has no verdict: the six of [`FEWEST_PAIRS`], or as many as it takes for
    /// the smallest p-value there is to hold after Holm's correction over all gated timings. Ask it before measuring.
    #[must_use]
    pub fn fewest_pairs(&self, cases: usize) -> u32 {
        let family = cases.saturating_mul(self.metrics.len());
        fewest_pairs(family, self.alpha_per_look()).max(FEWEST_PAIRS)
    }
}

/// A setting of the gate that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A number outside its range.
    #[error("{name} is {value}, but must be between {low} and {high}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it must be above.
        low: f64,
        /// What it must be below.
        high: f64,
    },
    /// Too few pairs for any test.
    #[error("{0} pairs cannot tell a change from chance: at least {FEWEST_PAIRS} are needed, 10 are usual")]
    TooFewPairs(u32),
    /// The cap is below the start.
    #[error("max_pairs is {max_pairs}, below the {pairs} pairs of the first look")]
    CapBelowPairs {
        /// Pairs of the first look.
        pairs: u32,
        /// The cap.
        max_pairs: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_double_up_to_the_cap_and_share_alpha() {
        let spec = |pairs, max_pairs| GateSpec {
            pairs,
            max_pairs,
            ..GateSpec::versions()
        };
        assert_eq!(spec(10, 10).looks(), 1);
        assert_eq!(spec(10, 20).looks(), 2);
        assert_eq!(spec(10, 50).looks(), 4);
        assert_eq!(spec(10, 50).next_pairs(40), Some(50));
        assert_eq!(spec(10, 50).next_pairs(50), None);
        assert_eq!(spec(10, 20).alpha_per_look(), 0.025);
    }

    #[test]
    fn many_questions_need_many_pairs() {
        let once = GateSpec {
            max_pairs: 10,
            ..GateSpec::versions()
        };
        assert_eq!(once.fewest_pairs(1), 6);
        assert_eq!(GateSpec::versions().fewest_pairs(1), 7);
        assert_eq!(GateSpec::versions().fewest_pairs(20), 12);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_and_the_defaults_are_not() {
        assert_eq!(GateSpec::versions().check(), Ok(()));
        assert_eq!(GateSpec::placements().check(), Ok(()));
        type Change = fn(&mut GateSpec);
        let wrong: [Change; 9] = [
            |spec| spec.alpha = 0.0,
            |spec| spec.alpha = f64::NAN,
            |spec| spec.confidence = 1.0,
            |spec| spec.agreement = 0.5,
            |spec| spec.min_effect = -0.01,
            |spec| spec.peak_tolerance = 1.0,
            |spec| spec.implausible_factor = 1.0,
            |spec| spec.pairs = 5,
            |spec| spec.max_pairs = 9,
        ];
        for change in wrong {
            let mut spec = GateSpec::versions();
            change(&mut spec);
            assert!(spec.check().is_err(), "{spec:?}");
        }
        let mut unanimous = GateSpec::versions();
        unanimous.agreement = 1.0;
        unanimous.min_effect = 0.0;
        assert_eq!(unanimous.check(), Ok(()));
    }
}
