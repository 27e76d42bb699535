//! A comparison of two runs in words. Nothing here is escaped: names and reasons hold words of scenarios, machines and
//! workers.

use std::collections::HashMap;

use placebench_core::compare::Relation;
use placebench_report::view::changes::{CaseWords, Row, Standing, Tone, case_name, case_words};

use super::document::{Document, RunName};
use super::sentences::{asked_otherwise, closing, sentences};

/// What is to be said of a comparison.
pub(crate) struct Words {
    /// The two runs, or the one that holds both sides.
    pub(crate) runs: Vec<String>,
    /// The cases that something is to be said of.
    pub(crate) cases: Vec<CaseWords>,
    /// What was not compared, what has no verdict, and by what it was judged.
    pub(crate) sentences: Vec<String>,
    /// The answer in one line.
    pub(crate) closing: String,
}

/// Puts a comparison into words; with `all`, of what has not changed too.
pub(crate) fn words(document: &Document, all: bool) -> Words {
    let mut cases: Vec<CaseWords> = Vec::new();
    // What broke may have no figures, so that it is no case of the comparison.
    for change in &document.status_changes {
        if !document.comparison.cases.iter().any(|case| case.case == change.case) {
            cases.push(CaseWords {
                case: change.case.clone(),
                rows: Vec::new(),
                remarks: Vec::new(),
            });
        }
    }
    cases.extend(document.comparison.cases.iter().map(|case| case_words(case, all)));
    for asked in &document.asked_otherwise {
        if let Some(case) = cases.iter_mut().find(|case| case.case == asked.case) {
            case.remarks.push(asked_otherwise(&asked.asked_otherwise));
        }
    }
    for change in &document.status_changes {
        if let Some(case) = cases.iter_mut().find(|case| case.case == change.case) {
            case.rows.insert(0, status_row(change));
            case.remarks.insert(0, change.reason.clone());
        }
    }
    cases.retain(|case| !case.rows.is_empty() || !case.remarks.is_empty());
    worst_first(&mut cases, document);
    Words {
        runs: match document.comparison.spec.relation {
            Relation::Versions => vec![run_words("base", &document.base), run_words("new", &document.new)],
            Relation::Placements => vec![run_words("placements", &document.new)],
        },
        cases,
        sentences: sentences(document),
        closing: closing(document),
    }
}

/// What broke without figures, then the others as bad as they are; what is equally bad stays in its order.
fn worst_first(cases: &mut [CaseWords], document: &Document) {
    let standings = document.standings();
    let named: HashMap<String, Standing> = (document.comparison.cases.iter().zip(standings))
        .map(|(case, standing)| (case_name(case), standing))
        .collect();
    cases.sort_by_key(|case| named.get(&case.case).copied().unwrap_or(Standing::Worse));
}

fn run_words(side: &str, run: &RunName) -> String {
    let tool = &run.tool;
    let what = match &run.baseline {
        Some(key) => format!("baseline {} of {key}, newest part", run.run_id),
        None => run.run_id.clone(),
    };
    format!(
        "{side}: {what}, started {} by {} {} ({})",
        run.started_at, tool.name, tool.version, tool.profile
    )
}

fn status_row(change: &super::matching::StatusChange) -> Row {
    let (word, tone) = if change.is_broken {
        ("worse", Tone::Bad)
    } else {
        ("differs", Tone::Plain)
    };
    let (base, new) = (change.base.as_str().to_owned(), change.new.as_str().to_owned());
    Row {
        cells: ["status".into(), base, new, String::new(), String::new(), word.into()],
        floor: String::new(),
        tone,
    }
}
