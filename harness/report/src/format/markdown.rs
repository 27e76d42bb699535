//! A table for issues, pull requests and step summaries.

use crate::view::titles::cell;
use crate::view::{CaseView, ReportView};

/// The columns.
pub const COLUMNS: [&str; 7] = ["case", "status", "TTFT", "TPOT", "peak memory", "text", "note"];

/// The rows before any escaping: what the terminal's summary shows too.
#[must_use]
pub fn rows(view: &ReportView) -> Vec<[String; 7]> {
    view.cases().map(row).collect()
}

/// The verdict, the table and what must be known about its figures, in GitHub's Markdown.
#[must_use]
pub fn render(view: &ReportView) -> String {
    let mut text = format!("**{}**\n\n", escape(&view.headline));
    if view.cases().next().is_some() {
        text.push_str(&format!(
            "| {} |\n|{}\n",
            COLUMNS.join(" | "),
            " --- |".repeat(COLUMNS.len())
        ));
    }
    for row in rows(view) {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for case in view.cases() {
        if let Some(evidence) = &case.evidence {
            text.push_str(&format!("\n{}: {}\n", escape(&case.case), escape(&evidence.sentence)));
        }
        if let Some(audit) = &case.audit {
            text.push_str(&format!("\n{}: {}\n", escape(&case.case), escape(&audit.sentence)));
        }
        if !case.not_recovered.is_empty() {
            text.push_str(&format!("\n{}: {}\n", escape(&case.case), escape(&case.not_recovered)));
        }
    }
    for note in &view.notes {
        text.push_str(&format!("\n{}\n", escape(note)));
    }
    text.push_str(&format!("\n{} Run {}.\n", escape(&view.summary), escape(&view.run_id)));
    text
}

fn row(case: &CaseView) -> [String; 7] {
    [
        case.case.clone(),
        case.status_words.clone(),
        cell(&case.ttft).into(),
        cell(&case.tpot).into(),
        cell(&case.peak).into(),
        case.text_words.clone(),
        note(case),
    ]
}

/// The first thing that is wrong, else why figures are missing, else nothing.
fn note(case: &CaseView) -> String {
    if let Some(finding) = case.findings.first() {
        return format!("{}: {}", finding.check, finding.message);
    }
    if !case.skip_hint.is_empty() {
        return format!("{}; {}", case.sentence, case.skip_hint);
    }
    if case.status == "passed" && case.outcome == "completed" {
        return (case.expected_findings.first())
            .map(|finding| finding.message.clone())
            .unwrap_or_default();
    }
    case.sentence.clone()
}

/// Untrusted text inside a cell: no table, markup, link, mention or reference comes out of it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // Mentions and references are found after entities are decoded; a comment keeps the sign from its word.
            '@' | '#' | '$' => {
                escaped.push(c);
                escaped.push_str("<!-- -->");
            }
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped.replace("://", ":<!-- -->//").replace("www.", "www<!-- -->.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_stays_in_its_cell() {
        let hostile = "a|b <img src=x> [l](http://x) @all #1 `c` \\ www.x.y\n# h";
        insta::assert_snapshot!(escape(hostile), @r"a\|b &lt;img src=x&gt; \[l\](http:<!-- -->//x) @<!-- -->all #<!-- -->1 \`c\` \\ www<!-- -->.x.y #<!-- --> h");
    }
}
