//! Which of the cases are run: by a filter, and by this machine's share of them.
//!
//! [`parse()`] reads a [`Filterset`], [`select`] applies it, [`Partition`] deals what is left out to several machines.

mod filterset;
mod matcher;
mod parse;
mod partition;
mod subject;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use filterset::{Field, Filterset, Narrowing, Predicate};
pub use matcher::{MatcherKind, NameMatcher};
pub use parse::parse;
pub use partition::{Partition, PartitionKind};
pub use subject::{devices_of, groups_of, is_compared_with};

use std::collections::HashMap;

use crate::record::CaseSpec;

/// What a filter makes of some cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The cases to run, in their order.
    pub cases: Vec<CaseSpec>,
    /// Names of those the filter does not select, which are run because a selected one must agree with them.
    pub references: Vec<String>,
}

/// The cases a filter selects, with the reference placements they are compared with: a text with nothing to agree with could
/// only fail.
#[must_use]
pub fn select(cases: Vec<CaseSpec>, filterset: &Filterset) -> Selected {
    let chosen: Vec<bool> = cases.iter().map(|case| filterset.selects(case)).collect();
    let mut wanted = chosen.clone();
    // A reference may itself have one, by an expectation of its own.
    let mut open: Vec<usize> = (0..cases.len()).filter(|&index| chosen[index]).collect();
    let mut siblings: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, case) in cases.iter().enumerate() {
        siblings.entry(&case.scenario).or_default().push(index);
    }
    while let Some(index) = open.pop() {
        for &other in &siblings[cases[index].scenario.as_str()] {
            if !wanted[other] && is_compared_with(&cases[index], &cases[other]) {
                wanted[other] = true;
                open.push(other);
            }
        }
    }
    let mut selected = Selected {
        cases: Vec::new(),
        references: Vec::new(),
    };
    for ((case, wanted), chosen) in cases.into_iter().zip(wanted).zip(chosen) {
        if wanted && !chosen {
            selected.references.push(case.case.clone());
        }
        if wanted {
            selected.cases.push(case);
        }
    }
    selected
}
