//! Two sides compared, as a page shows them: the verdict in words, what differs around the figures, what can be counted, and
//! the times from the worst on. What is said of a figure is said by [`changes`](super::changes), as everywhere.

pub mod cases;
mod headline;
pub mod moved;
pub mod sides;
mod table;
pub mod timings;

use placebench_core::compare::{Comparison, Relation};
use placebench_core::exit_code::ExitCode;
use serde::Serialize;

use super::changes::Standing;
use super::words::{line, message};
pub use cases::CaseSection;
pub use moved::{Maps, ModulePlace};
pub use sides::{Difference, SideInput, SideMachine};
pub use table::TableRow;
pub use timings::TimingView;

/// What a page is made of: a comparison, and what is known besides its figures.
#[derive(Debug)]
pub struct Input<'a> {
    /// The figures.
    pub comparison: &'a Comparison,
    /// What has become of each case of the comparison, in its order.
    pub standings: &'a [Standing],
    /// The answer; absent where nobody asked for one.
    pub exit: Option<ExitCode>,
    /// The answer in one line.
    pub closing: &'a str,
    /// Base and new, or the one run whose placements are compared.
    pub sides: Vec<SideInput>,
    /// What is not the same around the figures.
    pub differences: Vec<Difference>,
    /// Cases that ended another way.
    pub statuses: Vec<StatusInput<'a>>,
    /// Cases that are not compared, and why: a sentence each.
    pub not_compared: Vec<String>,
    /// How many of them the new side lacks.
    pub missing: usize,
    /// What else must be known of a case: its name and a sentence.
    pub remarks: Vec<(&'a str, String)>,
    /// What must be known of the whole.
    pub sentences: Vec<String>,
    /// Where modules are on both sides; between placements they are meant to differ, so that there is none.
    pub maps: Vec<Maps<'a>>,
}

/// A case that ended another way than before.
#[derive(Debug, Clone, Copy)]
pub struct StatusInput<'a> {
    /// Its name.
    pub case: &'a str,
    /// How it ended.
    pub base: &'static str,
    /// How it ends now.
    pub new: &'static str,
    /// What is wrong with it now, or was before.
    pub reason: &'a str,
    /// It was as expected, and is no longer.
    pub is_broken: bool,
}

/// A comparison, ready to be laid out. Nothing in it needs more than the escaping of a format.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonView {
    /// The verdict in words.
    pub headline: String,
    /// `good`, `bad` or `open`.
    pub tone: &'static str,
    /// How much was compared, and the answer.
    pub closing: String,
    /// The placements of one run are compared.
    pub is_of_placements: bool,
    /// Base and new, or one run.
    pub sides: Vec<SideInput>,
    /// What is not the same around the figures.
    pub differences: Vec<Difference>,
    /// What broke, and what can be counted and is not the same, by case.
    pub facts: Vec<FactView>,
    /// Cases of which something changed, the worst first.
    pub cases: Vec<CaseSection>,
    /// Times that changed, might have changed or cannot be judged, the worst first.
    pub loud: Vec<TimingView>,
    /// Times that are the same.
    pub quiet: Vec<TimingView>,
    /// Why times have no verdict: each reason with how many it holds for.
    pub whys: Vec<(String, usize)>,
    /// Every figure.
    pub table: Vec<TableRow>,
    /// What was not compared.
    pub not_compared: Vec<String>,
    /// What must be known of the whole.
    pub sentences: Vec<String>,
}

/// Hard facts of a case that are not as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactView {
    /// The case.
    pub case: String,
    /// Where the page says more.
    pub anchor: String,
    /// `worse`, `better` or `other`.
    pub sense: &'static str,
    /// What they are, the gravest first.
    pub sentences: Vec<String>,
}

impl ComparisonView {
    /// The words of a comparison.
    #[must_use]
    pub fn new(input: &Input<'_>) -> Self {
        let comparison = input.comparison;
        let cases = cases::sections(input);
        let (loud, quiet) = timings::of(comparison, &cases);
        let (headline, tone) = headline::of(input);
        Self {
            headline,
            tone,
            closing: message(input.closing),
            is_of_placements: comparison.spec.relation == Relation::Placements,
            sides: input.sides.iter().map(SideInput::visible).collect(),
            differences: input.differences.iter().map(Difference::visible).collect(),
            facts: cases::facts(&cases),
            table: table::rows(comparison, &cases),
            cases,
            whys: timings::whys(&loud),
            loud,
            quiet,
            not_compared: input.not_compared.iter().map(|sentence| message(sentence)).collect(),
            sentences: input.sentences.iter().map(|sentence| message(sentence)).collect(),
        }
    }
}

/// A case by the name it has in a comparison: with the other placement where it is held against one.
pub(super) fn case_name(case: &str, base: &str) -> String {
    match case == base {
        true => line(case),
        false => line(&format!("{case} against {}", base.rsplit('/').next().unwrap_or(base))),
    }
}
