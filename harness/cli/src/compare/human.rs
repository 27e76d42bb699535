//! A comparison on the terminal: what has changed, the worst first, then why something cannot be said, then the answer.

use console::{Style, Term};
use placebench_report::view::changes::CaseWords;

use super::table;
use super::words::Words;
use crate::terminal::printable;

/// The width of the terminal; nothing where the output goes elsewhere, and is to be whole.
pub(crate) fn width() -> Option<usize> {
    Term::stdout()
        .size_checked()
        .map(|(_, columns)| usize::from(columns))
        .filter(|columns| *columns > 0)
}

/// All lines.
pub(crate) fn lines(words: &Words, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = words.runs.iter().map(|run| printable(run)).collect();
    lines.extend(case_lines(&words.cases, width));
    lines.push(String::new());
    lines.extend(words.sentences.iter().map(|sentence| printable(sentence)));
    if !words.sentences.is_empty() {
        lines.push(String::new());
    }
    lines.push(Style::new().bold().apply_to(printable(&words.closing)).to_string());
    lines
}

/// What is to be said of cases.
pub(crate) fn case_lines(cases: &[CaseWords], width: Option<usize>) -> Vec<String> {
    table::lines(cases, width)
}
