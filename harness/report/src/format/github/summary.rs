//! The summary of a step, in GitHub's Markdown: the answer, what has changed against what the run was held against, the
//! table of cases, and the failures folded away.
//!
//! GitHub refuses a summary of more than 1 MiB altogether, so this one is cut before: at a whole row, saying how many rows
//! are left out.

use placebench_core::compare::{Change, CounterChange};
use placebench_core::record::GateVerdict;

use super::changes::{Undecided, base_words, counter_words, timing_words, undecided};
use crate::format::markdown::{COLUMNS, answers, escape, rows};
use crate::view::words::{count, line, message};
use crate::view::{CaseView, ReportView};

/// Most bytes of the summary of a step; the writer says what other commands of the step have taken of it
/// (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions#step-isolation-and-limits>).
pub const MOST_BYTES: usize = 1024 * 1024;

/// Room for a sentence on what was left out.
const CLOSING_BYTES: usize = 256;

/// The page, of at most `most` bytes.
#[must_use]
pub fn render(view: &ReportView, gate: Option<&GateVerdict>, most: usize) -> String {
    let mut page = Page {
        text: String::new(),
        most,
    };
    page.lines(&[format!("## placebench: {}", escape(&view.headline)), String::new()]);
    if let Some(gate) = gate {
        let base = escape(&base_words(&gate.base));
        page.lines(&[
            format!("**Compared with {base}: {}.**", gate_words(gate)),
            String::new(),
        ]);
    }
    page.lines(&[
        format!("{} Run {}.", escape(&view.summary), escape(&view.run_id)),
        String::new(),
    ]);
    for note in &view.notes {
        page.lines(&[escape(note), String::new()]);
    }
    for answer in &view.blame {
        page.lines(&[answers(std::iter::once(answer))]);
    }
    let failures: Vec<String> = view.cases().filter(|case| is_problem(case)).map(failure).collect();
    let table = table(view);
    // Whatever is long may not push out what comes after it.
    let half = most / 2;
    let folded: usize = failures.iter().map(|failure| failure.len() + 1).sum();
    if let Some(gate) = gate {
        let head = "| case | what has changed | verdict |\n| --- | --- | --- |";
        page.rows(head, &changes(gate), "change", half);
        page.rows("", &open_words(gate), "note", half);
    }
    let head = format!("| {} |\n|{}", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    page.rows(&head, &table, "case", folded.min(half));
    page.rows("", &failures, "failure", 0);
    page.text
}

/// A Markdown text without folded parts, cut at a whole line where it is longer than `most` bytes.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut page = Page {
        text: String::new(),
        most,
    };
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    page.rows("", &lines, "line", 0);
    page.text
}

/// A text that grows up to its limit.
struct Page {
    text: String,
    most: usize,
}

impl Page {
    fn fits(&self, text: &str, keep: usize) -> bool {
        self.text.len() + text.len() + 1 + keep <= self.most
    }

    /// Lines that are there or not, all of them.
    fn lines(&mut self, lines: &[String]) {
        let text = lines.join("\n");
        if self.fits(&text, 0) {
            self.text.push_str(&text);
            self.text.push('\n');
        }
    }

    /// A head and as many rows as leave `keep` bytes for what follows; then how many are left out.
    fn rows(&mut self, head: &str, rows: &[String], noun: &str, keep: usize) {
        let keep = keep + CLOSING_BYTES;
        if rows.is_empty() {
            return;
        }
        if !head.is_empty() && self.fits(head, keep) {
            self.text.push_str(head);
            self.text.push('\n');
        }
        let mut shown = 0;
        for row in rows {
            if !self.fits(row, keep) {
                break;
            }
            self.text.push_str(row);
            self.text.push('\n');
            shown += 1;
        }
        if shown < rows.len() {
            let left_out = count(rows.len() - shown, noun, &format!("{noun}s"));
            self.lines(&[format!(
                "\n{left_out} left out here, because the summary of a step holds 1 MiB: see the report of the run."
            )]);
        }
        self.lines(&[String::new()]);
    }
}

fn is_problem(case: &CaseView) -> bool {
    matches!(case.status, "failed" | "setup" | "flaky")
}

/// A row a case: those that someone has to look at come first.
fn table(view: &ReportView) -> Vec<String> {
    let row = |cells: &[String; 7]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rank = |case: &CaseView| match case.status {
        "failed" => 0,
        "setup" => 1,
        "flaky" => 2,
        "pending" => 3,
        "unjudged" => 4,
        "passed" => 5,
        _ => 6,
    };
    let mut ranked: Vec<(u8, String)> = view.cases().map(rank).zip(rows(view).iter().map(row)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, row)| row).collect()
}

/// A case folded to one line, which is HTML; what is inside is Markdown again.
fn failure(case: &CaseView) -> String {
    let mut text = format!(
        "<details><summary>{}: {}</summary>\n\n",
        html(&case.case),
        html(&case.status_words)
    );
    let mut items: Vec<String> = case.earlier_tries.clone();
    if case.says_more {
        items.push(case.sentence.clone());
    }
    for finding in &case.findings {
        items.push(format!("{}: {}", finding.check, finding.message));
        if !finding.hint.is_empty() {
            items.push(format!("help: {}", finding.hint));
        }
    }
    items.extend(case.evidence.as_ref().map(|evidence| evidence.sentence.clone()));
    items.push(format!("written in {}", case.source));
    for item in items {
        text.push_str(&format!("- {}\n", escape(&item)));
    }
    text.push_str("\n</details>");
    text
}

fn gate_words(gate: &GateVerdict) -> &'static str {
    use placebench_core::exit_code::ExitCode;
    match gate.exit {
        ExitCode::Passed => "nothing got worse",
        ExitCode::CaseFailed => "something that can be counted got worse or is another, or a case broke",
        ExitCode::Slower => "everything is right but slower",
        _ => "nothing can be said of the whole",
    }
}

/// What nothing can be said of and why, and what the figures do not say.
fn open_words(gate: &GateVerdict) -> Vec<String> {
    let of_reason = |open: &Undecided<'_>| {
        let first: Vec<String> = open.cases.iter().take(3).map(|case| line(case)).collect();
        let more = match open.cases.len().saturating_sub(first.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("no verdict on {}{more}: {}", first.join(", "), open.words())
    };
    let open = undecided(&gate.comparison);
    let all = open
        .iter()
        .map(of_reason)
        .chain(gate.notes.iter().map(|note| message(note)));
    all.map(|words| format!("- {}", escape(&words))).collect()
}

/// A row for everything that has changed, or may have.
fn changes(gate: &GateVerdict) -> Vec<String> {
    let mut rows: Vec<(u8, String)> = Vec::new();
    for case in &gate.comparison.cases {
        let name = escape(&line(&case.case));
        for row in &case.counters {
            let (rank, word) = match row.change {
                CounterChange::Same | CounterChange::NoVerdict => continue,
                CounterChange::Differs => (0, "differs"),
                CounterChange::Worse => (0, "worse"),
                CounterChange::Better => (3, "better"),
            };
            rows.push((rank, format!("| {name} | {} | {word} |", escape(&counter_words(row)))));
        }
        for row in &case.timings {
            let (rank, word) = match row.change {
                Change::Same | Change::NoVerdict => continue,
                Change::Slower => (1, "slower"),
                Change::Unclear => (2, "unclear"),
                Change::Faster => (3, "faster"),
            };
            rows.push((rank, format!("| {name} | {} | {word} |", escape(&timing_words(row)))));
        }
    }
    rows.sort_by_key(|(rank, _)| *rank);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Text inside an element of HTML. Signs of mentions and references are kept from their words by a comment.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
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
    fn a_long_text_is_cut_at_a_whole_line() {
        let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(bounded(&text, 100_000), text);
        let cut = bounded(&text, 1000);
        assert!(cut.len() <= 1000, "{}", cut.len());
        let lines: Vec<&str> = cut.lines().collect();
        let shown = lines.iter().filter(|line| line.starts_with("line ")).count();
        assert!(shown > 50 && lines[shown - 1] == format!("line {}", shown - 1));
        assert!(cut.contains(&format!("{} lines left out here", 1000 - shown)), "{cut}");
    }

    #[test]
    fn nothing_fits_into_nothing() {
        assert!(bounded("a\nb\n", 1).len() <= 1);
    }

    #[test]
    fn folded_lines_are_plain_html() {
        assert_eq!(html("a<b>&\n@all"), "a&lt;b&gt;&amp; @<!-- -->all");
    }
}
