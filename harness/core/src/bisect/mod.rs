//! Which difference between a failing placement and a passing one makes it fail.
//!
//! Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over what a placement
//! consists of: the device of each module, how activations travel, how offloaded layers run. Each probe costs a process and
//! perhaps a deadline, so the probable is tried first: the place where the failure was seen, then the hops of the failing
//! placement by halves, and only then sets of single modules.
//!
//! [`next_step`] is a function of the history alone: a search that was interrupted goes on by being asked again with what is
//! on record. [`space`] says what a placement is made of, [`search`](self) decides, [`answer`] puts it into words,
//! [`symptom`] tells failures apart, [`case`] and [`reproducer`] make cases and a scenario file of it, [`record`] is what is kept.

pub mod answer;
pub mod case;
mod characterise;
mod ddmin;
mod oracle;
pub mod record;
pub mod reproducer;
#[cfg(test)]
mod reproducer_tests;
mod search;
pub mod space;
pub mod symptom;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::answer::{Answer, Culprit, Observation, ObservationKind};
use self::oracle::{Halt, Oracle};
pub use self::space::{Configuration, Space, Suspect};

/// What a probe said about a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// It fails as the case did.
    Fails,
    /// It passes.
    Passes,
    /// It fails in another way, or could not be run.
    Unresolved,
}

impl ProbeResult {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::Passes => "passes",
            Self::Unresolved => "unresolved",
        }
    }
}

/// A configuration that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What was tried.
    pub configuration: Configuration,
    /// What came out.
    pub result: ProbeResult,
}

/// A configuration to be tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What to run.
    pub configuration: Configuration,
    /// What is tried, in words: `hops 1 to 13 of 26 alone`.
    pub tried: String,
    /// How many hops or modules it can be if this fails; 0 where that is known and only looked at more closely.
    pub candidates: usize,
}

/// A failing and a passing configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// It fails.
    pub failing: Configuration,
    /// It passes.
    pub passing: Configuration,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Try this.
    Probe(Probe),
    /// The difference is found.
    Found(Box<Answer>),
    /// No more probes are allowed; the nearest failing and passing configurations so far.
    Exhausted(Box<Pair>),
    /// Nothing that can be varied is different between the two.
    NoDifference,
}

/// Decides on the next step from what was tried so far, in the order in which it was tried. `probes_left` is how many more
/// may be made.
///
/// The two configurations of the space need not be in the history: that they fail and pass is what the search begins with.
#[must_use]
pub fn next_step(space: &Space, history: &[Probed], probes_left: u32) -> Step {
    let mut oracle = Oracle::new(space, history, probes_left);
    match search::search(&mut oracle) {
        Ok(answer) => Step::Found(Box::new(answer)),
        Err(Halt::Probe(probe)) => Step::Probe(*probe),
        Err(Halt::Exhausted) => Step::Exhausted(Box::new(oracle.nearest_pair())),
        Err(Halt::NoDifference) => Step::NoDifference,
    }
}
