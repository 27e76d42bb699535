//! A table for issues, pull requests and step summaries.

use crate::view::answer::AnswerView;
use crate::view::compared_table::{Column, Detail, columns};
use crate::view::titles::cell;
use crate::view::{CaseView, GateView, PromptView, ReportView, changes};

/// The columns.
pub const COLUMNS: [&str; 7] = ["case", "status", "TTFT", "TPOT", "peak memory", "text", "note"];

/// The columns of the table of injected faults.
const FAULT_COLUMNS: [&str; 5] = [
    "injected fault",
    "case",
    "detected as",
    "where named",
    "time to verdict",
];

/// The rows before any escaping: what the terminal's summary shows too.
#[must_use]
pub fn rows(view: &ReportView) -> Vec<[String; 7]> {
    view.cases().map(row).collect()
}

/// The verdict, what failed, the placements of each prompt against its reference, the other cases, what must be known about
/// the figures, the machine and the command: in GitHub's Markdown, to be pasted into an issue.
#[must_use]
pub fn render(view: &ReportView) -> String {
    let mut text = format!("**{}**\n\n", escape(&view.headline));
    let problems = view.cases().filter(|case| is_problem(case));
    let problems: String = problems.map(problem).collect();
    if !problems.is_empty() {
        text.push_str(&format!("{problems}\n"));
    }
    text.push_str(&answers(view.blame.iter()));
    let prompts = || view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    let is_compared = |prompt: &&PromptView| prompt.compared.has_data();
    prompts()
        .filter(is_compared)
        .for_each(|prompt| text.push_str(&compared(prompt)));
    let unsaid = prompts()
        .filter(|prompt| !is_compared(prompt))
        .filter_map(|prompt| prompt.answer.as_ref());
    text.push_str(&answers(unsaid.filter(|answer| !answer.is_leading)));
    let others: Vec<&CaseView> = prompts()
        .filter(|prompt| !is_compared(prompt))
        .flat_map(|prompt| &prompt.cases)
        .collect();
    if !others.is_empty() {
        let rows = others.into_iter().map(|case| row(case).to_vec());
        text.push_str(&table(&COLUMNS.map(str::to_owned), rows));
    }
    for case in view.cases() {
        let audit = case.audit.as_ref().map_or("", |audit| audit.sentence.as_str());
        let evidence = case.evidence.as_ref().map_or("", |evidence| evidence.sentence.as_str());
        for sentence in [evidence, audit, case.not_recovered.as_str()] {
            if !sentence.is_empty() {
                text.push_str(&format!("\n{}: {}\n", escape(&case.case), escape(sentence)));
            }
        }
    }
    text.push_str(&faults(view));
    text.push_str(&view.gate.as_ref().map(gate).unwrap_or_default());
    for note in &view.notes {
        text.push_str(&format!("\n{}\n", escape(note)));
    }
    text.push_str(&format!("\n{} Run {}.\n", escape(&view.summary), escape(&view.run_id)));
    text.push_str(&format!("\n```sh\n{}\n```\n", without_commands(&view.command)));
    text
}

/// A command line in a block of code, which it cannot end: its words are on one line, and quoted where they are not plain. The
/// log of a build would still take some of it for commands of its own.
fn without_commands(line: &str) -> String {
    let line = line.replace("##[", "##\\[").replace("##vso[", "##vso\\[");
    match line.starts_with("::") {
        true => format!("\\{line}"),
        false => line,
    }
}

fn is_problem(case: &CaseView) -> bool {
    matches!(case.status, "failed" | "setup" | "flaky")
}

/// A failure as an item of a list: where it is written, what is wrong, and what to do.
fn problem(case: &CaseView) -> String {
    let mut item = format!(
        "- **{}** ({}), {}",
        escape(&case.case),
        escape(&case.source),
        escape(&case.status_words)
    );
    let told = note(case);
    if !told.is_empty() {
        item.push_str(&format!(": {}", escape(&told)));
    }
    if let Some(finding) = case.findings.first().filter(|finding| !finding.hint.is_empty()) {
        item.push_str(&format!("; help: {}", escape(&finding.hint)));
    }
    item.push('\n');
    item
}

/// What is to blame, a prompt an item, with what would decide what is open.
pub(super) fn answers<'v>(answers: impl Iterator<Item = &'v AnswerView>) -> String {
    let mut text = String::new();
    for answer in answers {
        text.push_str(&format!(
            "- **{}**, {}/{}: {}",
            escape(&answer.word),
            escape(&answer.scenario),
            escape(&answer.prompt),
            escape(&answer.sentence)
        ));
        if !answer.next.is_empty() {
            text.push_str(&format!(" What would decide: {}", escape(&answer.next)));
        }
        text.push('\n');
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The placements of a prompt: what they show, their figures, and what cannot be said.
fn compared(prompt: &PromptView) -> String {
    let name = format!("{}/{}", prompt.scenario, prompt.name);
    let mut text = format!("**{}**: {}\n\n", escape(&name), escape(&prompt.compared.title));
    text.push_str(&answers(prompt.answer.iter().filter(|answer| !answer.is_leading)));
    let mut columns = columns(&prompt.compared, Detail::FULL);
    // Failures stand above with their reasons.
    let notes = prompt.cases.iter().zip(&prompt.compared.rows).map(|(case, row)| {
        let told = note(case);
        match is_problem(case) || told == row.trouble {
            true => String::new(),
            false => told,
        }
    });
    let notes: Vec<String> = notes.collect();
    if notes.iter().any(|note| !note.is_empty()) {
        columns.push(Column {
            heading: "note".to_owned(),
            is_number: false,
            cells: notes,
        });
    }
    let headings: Vec<String> = columns.iter().map(|column| escape(&column.heading)).collect();
    let rows = (0..prompt.cases.len()).map(|index| {
        let cells = columns.iter().filter_map(|column| column.cells.get(index));
        cells.cloned().collect()
    });
    text.push_str(&table(&headings, rows));
    for note in &prompt.compared.notes {
        text.push_str(&format!("\n{}\n", escape(note)));
    }
    text.push('\n');
    text
}

/// A table; its headings are written as they are, its cells escaped.
fn table(headings: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", headings.join(" | "), " --- |".repeat(headings.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// What the run was held against, what has changed, and the answer.
fn gate(gate: &GateView) -> String {
    let mut text = format!(
        "\n**{}**\n",
        escape(&format!("Held against {}: {}", gate.base, gate.closing))
    );
    if !gate.rows.is_empty() {
        let columns = changes::COLUMNS;
        text.push_str(&format!(
            "\n| case | {} |\n|{}\n",
            columns.join(" | "),
            " --- |".repeat(columns.len() + 1)
        ));
    }
    for row in &gate.rows {
        let cells: Vec<String> = row.cells.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} | {} |\n", escape(&row.case), cells.join(" | ")));
    }
    if gate.more > 0 {
        text.push_str(&format!("\nand {} more rows\n", gate.more));
    }
    for sentence in &gate.sentences {
        text.push_str(&format!("\n{}\n", escape(sentence)));
    }
    text
}

/// What injected faults were detected as.
fn faults(view: &ReportView) -> String {
    let rows = view.faults.iter().map(|row| {
        let cells = [&row.faults, &row.case, &row.detected_as, &row.named, &row.time].map(|cell| escape(cell));
        format!("| {} |\n", cells.join(" | "))
    });
    let rows: String = rows.collect();
    match rows.as_str() {
        "" => rows,
        rows => format!(
            "\n| {} |\n|{}\n{rows}",
            FAULT_COLUMNS.join(" | "),
            " --- |".repeat(FAULT_COLUMNS.len())
        ),
    }
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
    if let (Some(earlier), "flaky") = (case.earlier_tries.first(), case.status) {
        return earlier.clone();
    }
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
#[must_use]
pub fn escape(text: &str) -> String {
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
    // The log of a build would take `::name::` at the start of a line for a command.
    let escaped = escaped.replace("://", ":<!-- -->//").replace("www.", "www<!-- -->.");
    match escaped.trim_start().starts_with("::") {
        true => escaped.replacen("::", ":<!-- -->:", 1),
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_no_command_of_a_build() {
        let shown = ["placebench run a", "::error::x", "'##[error]y' ##vso[z]"].map(without_commands);
        assert_eq!(shown, ["placebench run a", "\\::error::x", "'##\\[error]y' ##vso\\[z]"]);
    }

    #[test]
    fn untrusted_text_stays_in_its_cell() {
        let hostile = "a|b <img src=x> [l](http://x) @all #1 `c` \\ www.x.y\n# h";
        insta::assert_snapshot!(escape(hostile), @r"a\|b &lt;img src=x&gt; \[l\](http:<!-- -->//x) @<!-- -->all #<!-- -->1 \`c\` \\ www<!-- -->.x.y #<!-- --> h");
    }
}
