//! The placements of a prompt beside each other, as the tables at the end of a run: plain text that keeps its columns when it
//! is pasted, no wider than the terminal.

use console::{Style, measure_text_width};
use placebench_core::record::RunRecord;
use placebench_report::view::compared_table::{Column, Detail, columns};
use placebench_report::view::no_break::{NO_BREAK, unbroken};
use placebench_report::view::{PromptView, ReportView};

use crate::args::Tables;
use crate::terminal::{self, Charset, out, printable};
use crate::text_table::{self, Cell, GAP};

/// Prompts of which a run without a flag shows all, and failed ones it shows of more.
const FEW: usize = 3;
/// A name, an outcome or a reason is cut to this before a column is left out.
const ROOMY: usize = 32;
/// And to this where all that can be left out is.
const TIGHT: usize = 16;

/// Prints the tables of a run.
pub(crate) fn print(record: &RunRecord, tables: Tables) {
    let several = |case: &placebench_core::record::CaseSpec| {
        let mut others = record.info.cases.iter();
        others
            .any(|other| other.case != case.case && (&other.scenario, &other.prompt) == (&case.scenario, &case.prompt))
    };
    if tables == Tables::None || !record.info.cases.iter().any(several) {
        return;
    }
    let view = ReportView::new(record);
    let (shown, left_out) = chosen(&view, tables);
    let (width, charset) = (terminal::columns(), terminal::charset());
    for prompt in shown {
        out("");
        lines(prompt, width, charset).iter().for_each(|line| out(line));
    }
    if left_out > 0 {
        out("");
        let prompts = terminal::counted(left_out as u64, "more prompt");
        out(&format!(
            "{prompts} with a failed case: --table failed shows their placements too"
        ));
    }
}

/// The prompts to show, and how many that should be are left out.
fn chosen(view: &ReportView, tables: Tables) -> (Vec<&PromptView>, usize) {
    let prompts = view.scenarios.iter().flat_map(|scenario| &scenario.prompts);
    let all: Vec<&PromptView> = prompts.filter(|prompt| prompt.cases.len() > 1).collect();
    let has_failed = |prompt: &&PromptView| {
        prompt
            .cases
            .iter()
            .any(|case| matches!(case.status, "failed" | "setup"))
    };
    let with_figures = |prompt: &&PromptView| prompt.compared.has_data() || has_failed(prompt);
    let failed = || all.iter().copied().filter(has_failed).collect::<Vec<_>>();
    match tables {
        Tables::None => (Vec::new(), 0),
        Tables::All => (all, 0),
        Tables::Failed => (failed(), 0),
        Tables::Auto if all.len() <= FEW => (all.into_iter().filter(with_figures).collect(), 0),
        Tables::Auto => {
            let mut failed = failed();
            let left_out = failed.len().saturating_sub(FEW);
            failed.truncate(FEW);
            (failed, left_out)
        }
    }
}

/// The table of a prompt, with what it shows above it.
fn lines(prompt: &PromptView, width: Option<usize>, charset: Charset) -> Vec<String> {
    let shown = |text: &str| charset.write(&printable(text));
    let name = shown(&format!("{}/{}", prompt.scenario, prompt.name));
    let mut lines = vec![
        Style::new()
            .bold()
            .apply_to(cut(&name, width.unwrap_or(usize::MAX), charset))
            .to_string(),
    ];
    lines.extend(wrapped(&shown(&prompt.compared.title), width.unwrap_or(usize::MAX)));
    lines.extend(fitted(prompt, width, charset));
    lines
}

/// The rows, with as much as fits: long words are cut first, then columns are left out, the least telling first.
fn fitted(prompt: &PromptView, width: Option<usize>, charset: Charset) -> Vec<String> {
    let of = |detail: Detail, most: usize| -> Vec<Column> {
        let columns = columns(&prompt.compared, detail);
        let shown = |text: &str, most: usize| cut(&charset.write(&printable(text)), most, charset);
        let last = columns.len().saturating_sub(1);
        let column = |(position, column): (usize, Column)| {
            // What the last column says is cut with its line, at its end.
            let most = if position == last { usize::MAX } else { most };
            Column {
                heading: shown(&column.heading, most),
                cells: column.cells.iter().map(|cell| shown(cell, most)).collect(),
                ..column
            }
        };
        columns.into_iter().enumerate().map(column).collect()
    };
    let Some(width) = width else {
        return laid_out(&of(Detail::FULL, usize::MAX));
    };
    let full = Detail::FULL;
    let no_interval = Detail {
        interval: false,
        ..full
    };
    let no_device = Detail {
        device: false,
        ..no_interval
    };
    let no_rate = Detail {
        rate: false,
        ..no_device
    };
    let no_peak = Detail { peak: false, ..no_rate };
    let no_text = Detail { text: false, ..no_peak };
    let steps = [
        (full, usize::MAX),
        (full, ROOMY),
        (no_interval, ROOMY),
        (no_device, ROOMY),
        (no_rate, ROOMY),
        (no_peak, ROOMY),
        (no_text, ROOMY),
        (no_text, TIGHT),
    ];
    let tables = steps.map(|(detail, most)| of(detail, most));
    let fits = tables.iter().find(|columns| total(columns) <= width);
    let narrowest = fits.or(tables.last()).map(Vec::as_slice).unwrap_or_default();
    let lines = laid_out(narrowest).into_iter();
    lines
        .map(|line| console::truncate_str(&line, width, charset.ellipsis()).into_owned())
        .collect()
}

/// Width of a table.
fn total(columns: &[Column]) -> usize {
    let widths: usize = columns.iter().map(column_width).sum();
    widths + GAP.len() * columns.len().saturating_sub(1)
}

fn column_width(column: &Column) -> usize {
    text_table::widest(column.cells.iter().chain([&column.heading]))
}

/// The lines of a table: names at the left, numbers at the right of their column.
fn laid_out(columns: &[Column]) -> Vec<String> {
    let widths: Vec<usize> = columns.iter().map(column_width).collect();
    let line = |text: &dyn Fn(&Column) -> String| -> String {
        text_table::line(columns.iter().zip(&widths).map(|(column, width)| Cell {
            text: text(column),
            width: *width,
            is_number: column.is_number,
        }))
    };
    let heading = line(&|column| column.heading.clone());
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let body = (0..rows).map(|row| line(&|column| column.cells.get(row).cloned().unwrap_or_default()));
    std::iter::once(Style::new().dim().apply_to(heading).to_string())
        .chain(body)
        .collect()
}

/// The text, with its middle left out where it is wider than `most`.
fn cut(text: &str, most: usize, charset: Charset) -> String {
    text_table::cut(text, most, charset.ellipsis())
}

/// The text on lines of at most `width` columns; a longer word has a line of its own, and a number keeps its unit.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in unbroken(text).split(' ') {
        let word = word.replace(NO_BREAK, " ");
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_wrap_between_words() {
        assert_eq!(wrapped("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("a-word-that-is-long b", 5), ["a-word-that-is-long", "b"]);
        assert_eq!(wrapped("takes 12 % longer", 8), ["takes", "12 %", "longer"]);
        assert_eq!(wrapped("any", usize::MAX), ["any"]);
    }

    #[test]
    fn numbers_end_and_names_begin_at_the_same_place() {
        let column = |heading: &str, is_number, cells: &[&str]| Column {
            heading: heading.to_owned(),
            is_number,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        };
        let columns = [
            column("name", false, &["a", "配置"]),
            column("TTFT", true, &["1.00 ms", "1 s"]),
        ];
        let lines: Vec<String> = laid_out(&columns)
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect();
        assert_eq!(lines, ["name     TTFT", "a     1.00 ms", "配置      1 s"]);
        assert_eq!(total(&columns), 13);
    }

    /// The report crate's frozen run.
    fn sample() -> ReportView {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../report/tests/data/sample-run");
        let stored = placebench_runner::store::read(&folder).unwrap();
        let verdict = std::fs::read(folder.join("verdict.json")).unwrap();
        ReportView::new(&RunRecord {
            info: stored.info,
            attempts: stored.attempts,
            verdict: serde_json::from_slice(&verdict).unwrap(),
        })
    }

    fn shown(scenario: &str, width: usize, charset: Charset) -> String {
        let view = sample();
        let found = view
            .scenarios
            .iter()
            .find(|candidate| candidate.name.starts_with(scenario));
        let lines = lines(&found.unwrap().prompts[0], Some(width), charset);
        for line in &lines {
            assert!(measure_text_width(line) <= width, "{width}: {line}");
        }
        console::strip_ansi_codes(&lines.join("\n")).into_owned()
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        insta::assert_snapshot!(shown("placement/three-ways", 200, Charset::Unicode));
        insta::assert_snapshot!(shown("regressions/broken-hop", 200, Charset::Unicode));
    }

    #[test]
    fn a_narrow_terminal_shows_what_tells_most() {
        for width in [80, 60] {
            insta::assert_snapshot!(
                format!("three_ways_{width}"),
                shown("placement/three-ways", width, Charset::Unicode)
            );
            insta::assert_snapshot!(
                format!("broken_hop_{width}"),
                shown("regressions/broken-hop", width, Charset::Ascii)
            );
        }
    }

    #[test]
    fn hostile_names_stay_in_their_cells_at_every_width() {
        let view = sample();
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for width in [30, 40, 60, 80, 120, 200] {
                for charset in [Charset::Ascii, Charset::Unicode] {
                    let lines = lines(prompt, Some(width), charset);
                    for line in &lines {
                        let plain = console::strip_ansi_codes(line);
                        assert!(measure_text_width(line) <= width.max(60), "{width}: {line}");
                        assert!(plain.chars().all(|c| !c.is_control()), "{line:?}");
                        assert!(charset == Charset::Unicode || plain.is_ascii(), "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn wide_characters_keep_the_columns() {
        let mut view = sample();
        let prompt = &mut view.scenarios[0].prompts[0];
        prompt.compared.rows[1].placement = "配置の名前".repeat(6);
        for width in [60, 80, 200] {
            let lines = fitted(prompt, Some(width), Charset::Unicode);
            let starts = lines.iter().map(|line| {
                let plain = console::strip_ansi_codes(line);
                let at = plain.find("passed").or_else(|| plain.find("outcome")).unwrap();
                measure_text_width(&plain[..at])
            });
            let starts: Vec<usize> = starts.collect();
            assert!(starts.windows(2).all(|two| two[0] == two[1]), "{width}: {lines:?}");
            assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{lines:?}");
        }
        assert!(fitted(prompt, None, Charset::Ascii)[2].starts_with("\\u{914d}"));
    }

    #[test]
    fn few_prompts_are_all_shown_and_of_many_those_that_failed() {
        let mut view = sample();
        let names = |view: &ReportView, tables| -> (Vec<String>, usize) {
            let (prompts, left_out) = chosen(view, tables);
            (prompts.iter().map(|prompt| prompt.scenario.clone()).collect(), left_out)
        };
        let (all, _) = names(&view, Tables::All);
        let (failed, _) = names(&view, Tables::Failed);
        assert!(all.len() > failed.len() && failed.len() > FEW, "{all:?} {failed:?}");
        assert_eq!(names(&view, Tables::Auto), (failed[..FEW].to_vec(), failed.len() - FEW));
        assert_eq!(names(&view, Tables::None), (Vec::new(), 0));
        view.scenarios.truncate(1);
        assert_eq!(names(&view, Tables::Auto), (vec!["placement/three-ways".to_owned()], 0));
        assert_eq!(names(&view, Tables::Failed), (Vec::new(), 0));
    }
}
