//! A comparison on the terminal: what has changed, case by case, then why something cannot be said, then the answer.

use console::Style;
use placebench_report::view::changes::{COLUMNS, CaseWords, Row, Tone};

use super::words::Words;
use crate::doctor::show::table;
use crate::terminal::printable;

/// All lines.
pub(crate) fn lines(words: &Words) -> Vec<String> {
    let mut lines: Vec<String> = words.runs.iter().map(|run| printable(run)).collect();
    for case in &words.cases {
        lines.extend(case_lines(case));
    }
    lines.push(String::new());
    lines.extend(words.sentences.iter().map(|sentence| printable(sentence)));
    if !words.sentences.is_empty() {
        lines.push(String::new());
    }
    lines.push(Style::new().bold().apply_to(printable(&words.closing)).to_string());
    lines
}

/// What is to be said of a case.
pub(crate) fn case_lines(case: &CaseWords) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        Style::new().bold().apply_to(printable(&case.case)).to_string(),
    ];
    if !case.rows.is_empty() {
        lines.extend(table(
            &COLUMNS.map(str::to_owned),
            case.rows.iter().map(cells).collect(),
        ));
    }
    lines.extend(case.remarks.iter().map(|remark| format!("  - {}", printable(remark))));
    lines
}

fn cells(row: &Row) -> Vec<String> {
    let style = match row.tone {
        Tone::Bad => Style::new().red(),
        Tone::Good => Style::new().green(),
        Tone::Unknown => Style::new().yellow(),
        Tone::Plain => Style::new(),
    };
    let mut cells: Vec<String> = row.cells.iter().map(|cell| printable(cell)).collect();
    if let Some(verdict) = cells.last_mut() {
        *verdict = style.apply_to(&*verdict).to_string();
    }
    cells
}
