//! One table of all cases that fits the terminal: columns stand under each other from the first case to the last, numbers end
//! where they end, and what is too wide is left out or cut rather than wrapped. Plain characters draw it, so that it can be
//! pasted anywhere.

use console::{Style, measure_text_width};
use placebench_report::view::changes::{CaseWords, Row, Tone};

use crate::terminal::printable;
use crate::text_table::{self, Cell, GAP, cut};

/// What is said of a figure is never cut to less: no terminal is narrower than some forty columns.
const LEAST: usize = 12;

/// Where something was cut out; three plain characters.
const CUT: &str = "...";

/// Names of the columns, in the order of the cells; the first is that of the case above it too.
const HEADER: [&str; 6] = ["case, what", "base", "new", "change", "interval", "verdict"];

/// Columns in the order in which they are left out where there is no room: the interval, then both figures, whose change stays.
const LEFT_OUT: [usize; 3] = [4, 1, 2];

/// The columns that hold numbers.
fn is_number(column: usize) -> bool {
    (1..=4).contains(&column)
}

/// The widths of the columns; 0 for one that is left out.
struct Columns {
    widths: [usize; 6],
}

impl Columns {
    fn new(rows: &[[String; 6]], room: Option<usize>) -> Self {
        let mut widths = [0; 6];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        // A column in which nothing stands says nothing.
        for (column, (width, name)) in widths.iter_mut().zip(HEADER).enumerate() {
            *width = match *width {
                0 if column > 0 => 0,
                width => width.max(name.len()),
            };
        }
        let mut columns = Self { widths };
        let Some(room) = room else {
            return columns;
        };
        for column in LEFT_OUT {
            if columns.total() <= room {
                break;
            }
            columns.widths[column] = 0;
        }
        // What is still too wide is cut: first the verdict, then what it is about.
        for column in [5, 0] {
            let excess = columns.total().saturating_sub(room);
            columns.widths[column] = columns.widths[column]
                .saturating_sub(excess)
                .max(LEAST.min(columns.widths[column]));
        }
        columns
    }

    fn total(&self) -> usize {
        self.widths
            .iter()
            .filter(|width| **width > 0)
            .map(|width| width + GAP.len())
            .sum()
    }

    fn line(&self, cells: &[String; 6], style: &Style) -> String {
        let shown = cells
            .iter()
            .zip(self.widths)
            .enumerate()
            .filter(|(_, (_, width))| *width > 0);
        let line = text_table::line(shown.map(|(column, (cell, width))| {
            let cell = cut(cell, width, CUT);
            Cell {
                text: match column == 5 {
                    true => style.apply_to(&cell).to_string(),
                    false => cell,
                },
                width,
                is_number: is_number(column),
            }
        }));
        format!("{GAP}{line}").trim_end().to_owned()
    }
}

/// The table with the remarks of each case below its figures. `room` is the width of the terminal; absent where nothing is cut.
pub(super) fn lines(cases: &[CaseWords], room: Option<usize>) -> Vec<String> {
    let shown: Vec<(&CaseWords, Vec<[String; 6]>)> = cases
        .iter()
        .map(|case| (case, case.rows.iter().map(cells).collect()))
        .collect();
    let all: Vec<[String; 6]> = shown.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let columns = Columns::new(&all, room);
    let mut lines = Vec::new();
    if !all.is_empty() {
        let header = columns.line(&HEADER.map(str::to_owned), &Style::new());
        lines.push(String::new());
        lines.push(Style::new().dim().apply_to(header).to_string());
    }
    for (index, (case, rows)) in shown.iter().enumerate() {
        if index > 0 || all.is_empty() {
            lines.push(String::new());
        }
        let name = printable(&case.case);
        let name = room.map_or_else(|| name.clone(), |room| cut(&name, room, CUT));
        lines.push(Style::new().bold().apply_to(name).to_string());
        lines.extend(
            rows.iter()
                .zip(&case.rows)
                .map(|(cells, row)| columns.line(cells, &style(row.tone))),
        );
        lines.extend(case.remarks.iter().map(|remark| format!("  - {}", printable(remark))));
    }
    lines
}

fn cells(row: &Row) -> [String; 6] {
    row.cells.each_ref().map(|cell| printable(cell))
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Bad => Style::new().red(),
        Tone::Good => Style::new().green(),
        Tone::Unknown => Style::new().yellow(),
        Tone::Plain => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, cells: [&str; 6]) -> CaseWords {
        CaseWords {
            case: name.into(),
            rows: vec![Row {
                cells: cells.map(str::to_owned),
                floor: String::new(),
                tone: Tone::Bad,
            }],
            remarks: Vec::new(),
        }
    }

    fn two() -> [CaseWords; 2] {
        let long = "scenario-with-a-name/prompt-with-a-name/placement-with-a-name-of-its-own";
        [
            case(
                long,
                [
                    "tpot_s",
                    "12.0 ms",
                    "13.9 ms",
                    "+16 %",
                    "+12 % to +20 %",
                    "slower, 10 of 10 pairs",
                ],
            ),
            case(
                "日本/p/x",
                ["transfer_bytes (prefill)", "512 B", "1.50 KiB", "+200 %", "", "worse"],
            ),
        ]
    }

    #[test]
    fn columns_stand_under_each_other() {
        let lines = lines(&two(), None);
        let at = |line: &str, words: &str| measure_text_width(&line[..line.find(words).unwrap()]);
        assert_eq!(at(&lines[3], "slower"), at(&lines[6], "worse"), "{lines:#?}");
        assert_eq!(at(&lines[3], "16 %") + 4, at(&lines[6], "200 %") + 5, "{lines:#?}");
        assert!(lines[2].starts_with("scenario-with") && lines[5] == "日本/p/x");
    }

    #[test]
    fn what_is_too_wide_is_left_out_or_cut() {
        for width in [40, 60, 80, 100] {
            let lines = lines(&two(), Some(width));
            assert!(
                lines.iter().all(|line| measure_text_width(line) <= width),
                "{width}: {lines:#?}"
            );
            assert!(lines.iter().any(|line| line.contains("+16 %")), "{width}: {lines:#?}");
        }
        let narrow = lines(&two(), Some(60)).join("\n");
        assert!(!narrow.contains("interval") && narrow.contains("slower"), "{narrow}");
        assert!(lines(&two(), Some(120)).join("\n").contains("+12 % to +20 %"));
        assert!(lines(&[], Some(60)).is_empty());
    }

    #[test]
    fn hostile_text_moves_nothing() {
        let evil = case("a\u{1b}[2J\n::error::b", ["x\ty\u{202e}", "", "", "", "", "\u{9b}31m"]);
        let lines = lines(&[evil], Some(80));
        assert!(
            lines
                .iter()
                .all(|line| !line.contains(['\n', '\u{202e}', '\u{9b}', '\t'])),
            "{lines:#?}"
        );
        assert!(
            lines
                .iter()
                .all(|line| !line.contains("[2J") || line.contains("\\u{1b}[2J")),
            "{lines:#?}"
        );
    }
}
