//! The planners agree with the libraries they follow, on golden cases made by running those libraries.
//!
//! `tests/data/accelerate/README.md` describes the cases.

mod planner_cases;

use std::path::Path;

/// Kinds of cases, and how many there are at least: a folder read in vain would agree as well.
const KINDS: [(&str, usize); 4] = [("manual", 59), ("plan", 580), ("plan5", 202), ("size", 31)];

#[test]
fn all_golden_cases_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accelerate");
    let tallies = planner_cases::run_folder(&folder).unwrap();
    let disagreements: Vec<String> = tallies
        .values()
        .flat_map(|tally| &tally.disagreements)
        .map(ToString::to_string)
        .collect();
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    for (kind, at_least) in KINDS {
        assert!(
            tallies.get(kind).is_some_and(|tally| tally.cases >= at_least),
            "too few cases of kind {kind}"
        );
    }
}
