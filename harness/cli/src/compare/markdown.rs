//! A comparison as a table for issues and pull requests.

use placebench_report::format::markdown::escape;
use placebench_report::view::changes::{COLUMNS, Row};

use super::words::Words;
use crate::terminal::printable;

/// The answer, the table and what must be known about it, in GitHub's Markdown.
pub(crate) fn render(words: &Words) -> String {
    let plain = |text: &str| escape(&printable(text));
    let mut text = format!("**{}**\n", plain(&words.closing));
    let rows = words.cases.iter().flat_map(|case| {
        let row = |row: &Row| {
            let cells: Vec<String> = row.cells.iter().map(|cell| plain(cell)).collect();
            format!("| {} | {} |\n", plain(&case.case), cells.join(" | "))
        };
        case.rows.iter().map(row)
    });
    let rows: String = rows.collect();
    if !rows.is_empty() {
        text.push_str(&format!(
            "\n| case | {} |\n|{}\n{rows}",
            COLUMNS.join(" | "),
            " --- |".repeat(COLUMNS.len() + 1)
        ));
    }
    for case in &words.cases {
        for remark in &case.remarks {
            text.push_str(&format!("\n{}: {}\n", plain(&case.case), plain(remark)));
        }
    }
    for sentence in words.sentences.iter().chain(&words.runs) {
        text.push_str(&format!("\n{}\n", plain(sentence)));
    }
    text
}
