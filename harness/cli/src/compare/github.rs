//! A comparison for GitHub Actions: remarks beside the lines of the scenarios.

use placebench_report::format::github::{Annotation, Level, Place, changes};

use super::document::Document;
use super::matching::Absence;

/// All remarks, the worst first. `place` finds the line of a case of the new run.
pub(crate) fn annotations(document: &Document, place: &dyn Fn(&str) -> Option<Place>) -> Vec<Annotation> {
    let base = format!("run {}", document.base.run_id);
    let mut all: Vec<Annotation> = Vec::new();
    for change in document.status_changes.iter().filter(|change| change.is_broken) {
        all.push(Annotation {
            level: Level::Error,
            title: format!(
                "{}: {}, but {} in {base}",
                change.case,
                change.new.as_str(),
                change.base.as_str()
            ),
            message: change.reason.clone(),
            place: place(&change.case),
        });
    }
    all.extend(changes::of_comparison(&document.comparison, &base, place));
    let missing = document.not_compared.iter();
    for case in missing.filter(|case| case.absence == Absence::MissingInNew) {
        all.push(Annotation {
            level: Level::Warning,
            title: format!("{}: is missing, and is in {base}", case.case),
            message: case.reason.clone(),
            place: place(&case.case),
        });
    }
    if !document.unfinished.is_empty() {
        all.push(Annotation {
            level: Level::Warning,
            title: "placebench: nothing can be said of the whole comparison".to_owned(),
            message: format!("attempts were never made of:\n{}", document.unfinished.join("\n")),
            place: None,
        });
    }
    all
}
