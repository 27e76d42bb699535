//! What a person sees of a snapshot: rows that fold on narrow terminals, and in which nothing but us moves or colours.

use console::Style;
use placebench_runner::snapshot::{Pending, SnapshotContent};

use super::comparison::{Comparison, Token, token};
use super::difference::{Run, runs, words};
use crate::terminal::{block, counted, printable};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What differs, with a little around it.
    Short,
    /// Everything.
    Whole,
    /// The new text alone.
    NewText,
}

impl View {
    /// The one after it.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Short => Self::Whole,
            Self::Whole => Self::NewText,
            Self::NewText => Self::Short,
        }
    }
}

/// What a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing in particular.
    Plain,
    /// A heading.
    Head,
    /// What is approved.
    Old,
    /// What is new.
    New,
    /// Said by us between what is shown.
    Aside,
}

/// A row, as long as it needs to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) mark: Mark,
    pub(crate) text: String,
}

/// Characters around a difference.
const AROUND: usize = 60;
/// Characters of a text that stands alone, or of a part that differs.
const LONGEST: usize = 1200;
/// Tokens of a part that differs.
const MOST_TOKENS: usize = 6;
/// Parts of the tokens that differ: after the first, each side goes its own way.
const MOST_PARTS: usize = 2;

fn row(mark: Mark, text: impl Into<String>) -> Row {
    Row {
        mark,
        text: text.into(),
    }
}

/// Whose text this is: one line each.
pub(crate) fn heading(pending: &Pending, comparison: &Comparison<'_>, is_referenced: Option<bool>) -> Vec<Row> {
    let header = &pending.header;
    let case = header.case.as_deref().unwrap_or("a case it does not name");
    let mut rows = vec![row(
        Mark::Head,
        format!("{} ({})", printable(case), comparison.change.word()),
    )];
    let placement = header.case.as_deref().and_then(|case| case.rsplit_once('/'));
    let fields = [
        ("placement", placement.map(|(_, placement)| placement)),
        ("device class", device_class(pending)),
        (
            "model",
            header
                .description
                .as_deref()
                .map(|said| said.strip_prefix("model ").unwrap_or(said)),
        ),
        ("scenario", header.source.as_deref()),
        ("run", header.run.as_deref()),
    ];
    for (name, value) in fields {
        rows.extend(value.map(|value| row(Mark::Plain, format!("{name}: {}", printable(value)))));
    }
    rows.push(row(
        Mark::Plain,
        format!("file: {}", printable(&pending.path.display().to_string())),
    ));
    if is_referenced == Some(false) {
        rows.push(row(Mark::Aside, "no case refers to this snapshot any more: reject it"));
    }
    rows
}

/// The device class of a pending snapshot; it is part of its name.
pub(crate) fn device_class(pending: &Pending) -> Option<&str> {
    let name = pending.path.file_name()?.to_str()?;
    Some(name.strip_suffix(".snap.new")?.split_once('@')?.1)
}

/// What differs, or the text where there is nothing to compare it with.
pub(crate) fn body(pending: &Pending, comparison: &Comparison<'_>, view: View) -> Vec<Row> {
    let mut rows = vec![row(Mark::Head, comparison.sentence.clone())];
    if let Some(first) = &comparison.first {
        let side = |token: Option<Token<'_>>| token.map_or("the end".to_owned(), named);
        rows.push(row(Mark::Old, format!("{}: {}", first.index, side(first.old))));
        rows.push(row(Mark::New, format!("{}: {}", first.index, side(first.new))));
        if first.is_near_tie {
            rows.push(row(
                Mark::Aside,
                "a near-tie: on other hardware or another build either token may come first",
            ));
        }
    }
    rows.push(row(Mark::Plain, ""));
    match &pending.old {
        Some(old) if view != View::NewText => {
            rows.push(row(Mark::Aside, "text (- approved, + new)"));
            texts(&old.text, &pending.new.text, view, &mut rows);
            rows.push(row(Mark::Plain, ""));
            rows.push(row(
                Mark::Aside,
                format!("tokens (- approved: {}, + new: {})", ended(old), ended(&pending.new)),
            ));
            if old.has_ids() && pending.new.has_ids() {
                tokens(old, &pending.new, view, &mut rows);
            }
        }
        _ => {
            rows.push(row(Mark::Aside, format!("new text, {}", ended(&pending.new))));
            let longest = if view == View::Short { LONGEST } else { usize::MAX };
            push_folded(&mut rows, Mark::Plain, &pending.new.text, (longest / 2, longest / 2));
        }
    }
    rows
}

fn ended(content: &SnapshotContent) -> String {
    let made = match content.has_ids() {
        true => counted(content.token_ids.len() as u64, "token"),
        false => "text without its tokens".to_owned(),
    };
    format!("{made}, ended by {}", content.finish_reason.as_str())
}

fn texts(old: &str, new: &str, view: View, rows: &mut Vec<Row>) {
    /// Words, blanks and signs that stand alone in agreement between two differences.
    const CRUMBS: usize = 6;
    let (old_words, new_words) = (words(old), words(new));
    let all = runs(&old_words, &new_words, CRUMBS);
    let last = all.len().saturating_sub(1);
    let of = |words: &[&str], range: std::ops::Range<usize>| words.get(range).unwrap_or_default().concat();
    for (index, run) in all.iter().enumerate() {
        let kept = match view {
            View::Whole | View::NewText => (usize::MAX, usize::MAX),
            View::Short if !run.is_same => (LONGEST / 2, LONGEST / 2),
            View::Short => (
                if index == 0 { 0 } else { AROUND },
                if index == last { 0 } else { AROUND },
            ),
        };
        if run.is_same {
            if of(&old_words, run.old.clone()).trim_matches(' ').is_empty() {
                continue;
            }
            push_folded(rows, Mark::Plain, &of(&old_words, run.old.clone()), kept);
            continue;
        }
        for (mark, text) in [
            (Mark::Old, of(&old_words, run.old.clone())),
            (Mark::New, of(&new_words, run.new.clone())),
        ] {
            if !text.is_empty() {
                push_folded(rows, mark, &text, kept);
            }
        }
    }
    if all.iter().all(|run| run.is_same) {
        rows.push(row(Mark::Aside, "the same"));
    }
}

fn tokens(old: &SnapshotContent, new: &SnapshotContent, view: View, rows: &mut Vec<Row>) {
    let all = runs(&old.token_ids, &new.token_ids, 2);
    let most = if view == View::Short { MOST_TOKENS } else { usize::MAX };
    let parts = all.iter().filter(|run| !run.is_same).count();
    let mut shown = 0;
    for run in &all {
        if run.is_same {
            let Run { old: range, .. } = run;
            rows.push(row(
                Mark::Aside,
                format!(
                    "{} the same, from {}",
                    counted(range.len() as u64, "token"),
                    range.start
                ),
            ));
            continue;
        }
        if shown == MOST_PARTS && view == View::Short {
            let more = counted((parts - shown) as u64, "more part");
            rows.push(row(Mark::Aside, format!("{more} that differ; d shows all")));
            return;
        }
        shown += 1;
        for (mark, content, range) in [(Mark::Old, old, &run.old), (Mark::New, new, &run.new)] {
            for index in range.clone().take(most) {
                rows.extend(token(content, index).map(|token| row(mark, format!("{index}: {}", named(token)))));
            }
            if range.len() > most {
                let more = counted((range.len() - most) as u64, "more token");
                rows.push(row(mark, format!("… {more}")));
            }
        }
    }
}

/// `917 " the"`.
fn named(token: Token<'_>) -> String {
    match token.text {
        Some(text) => format!("{} {}", token.id, printable(&format!("{text:?}"))),
        None => token.id.to_string(),
    }
}

/// A text, without its middle where it is longer than `head` and `tail` characters.
fn push_folded(rows: &mut Vec<Row>, mark: Mark, text: &str, (head, tail): (usize, usize)) {
    /// What is left out must be longer than the words that say so.
    const SHORTEST: usize = 30;
    let kept = head.saturating_add(tail);
    let skipped = text.chars().count().saturating_sub(kept);
    if skipped <= SHORTEST {
        push_text(rows, mark, text);
        return;
    }
    let split = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let (start, end) = (text.split_at(split(head)).0, text.split_at(split(head + skipped)).1);
    if !start.is_empty() {
        push_text(rows, mark, start);
    }
    rows.push(row(Mark::Aside, format!("… {skipped} characters …")));
    if !end.is_empty() {
        push_text(rows, mark, end);
    }
}

fn push_text(rows: &mut Vec<Row>, mark: Mark, text: &str) {
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        // Where texts differ, a line break may be all that does.
        let end = match mark {
            Mark::Old | Mark::New if lines.peek().is_some() => "⏎",
            _ => "",
        };
        rows.push(row(mark, block(&line.replace('\t', "⇥")) + end));
    }
}

/// Rows as lines of a terminal of so many columns.
pub(crate) fn lines(rows: &[Row], columns: usize) -> Vec<String> {
    // Room for the sign, a blank, and what makes a line no command; below it nothing is readable.
    let width = columns.saturating_sub(4).max(16);
    let mut lines = Vec::new();
    for Row { mark, text } in rows {
        let (sign, style) = match mark {
            Mark::Plain => (" ", Style::new()),
            Mark::Head => (" ", Style::new().bold()),
            Mark::Old => ("-", Style::new().red()),
            Mark::New => ("+", Style::new().green()),
            Mark::Aside => (" ", Style::new().cyan()),
        };
        for part in wrapped(text, width) {
            let line = format!("{sign} {}", printable(&part));
            lines.push(style.apply_to(line.trim_end()).to_string());
        }
    }
    lines
}

/// Folds a line at blanks where there are some. Characters of East Asian writing take two columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let columns_of = |c: char| console::measure_text_width(c.encode_utf8(&mut [0; 4]));
    let mut lines = Vec::new();
    let (mut line, mut columns) = (String::new(), 0);
    for c in text.chars() {
        let wide = columns_of(c);
        if columns + wide > width {
            // A blank far from the end would leave the line half empty.
            let rest = match line.rfind(' ') {
                Some(at) if at + 1 > line.len() / 2 => line.split_off(at + 1),
                _ => String::new(),
            };
            lines.push(std::mem::replace(&mut line, rest));
            columns = line.chars().map(columns_of).sum();
        }
        line.push(c);
        columns += wide;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use placebench_report::view::words::hides_or_reorders;
    use proptest::prelude::*;

    use super::*;

    fn shown(old: &str, new: &str, view: View) -> Vec<String> {
        let mut rows = Vec::new();
        texts(old, new, view, &mut rows);
        lines(&rows, 60)
    }

    #[test]
    fn a_text_is_shown_where_it_differs() {
        let same = "It was a bright cold day in April, and the clocks were striking thirteen. ".repeat(3);
        let (old, new) = (format!("{same}Winston ran."), format!("{same}Julia slept.\n"));
        assert_eq!(
            shown(&old, &new, View::Short),
            [
                "  … 162 characters …",
                "  t cold day in April, and the clocks were striking",
                "  thirteen.",
                "- Winston ran.",
                "+ Julia slept.⏎",
                "+",
            ]
        );
        assert!(shown(&old, &new, View::Whole).len() > 6);
        assert_eq!(shown("a", "a", View::Short), ["  a", "  the same"]);
    }

    #[test]
    fn lines_fold_at_blanks_and_by_columns() {
        assert_eq!(wrapped("one two three", 9), ["one two ", "three"]);
        assert_eq!(wrapped("日本語日本語", 4), ["日本", "語日", "本語"]);
        assert_eq!(wrapped("", 9), [""]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }

    #[test]
    fn the_middle_goes() {
        let text = "a".repeat(50) + &"b".repeat(100) + &"c".repeat(50);
        let rows_of = |kept| {
            let mut rows = Vec::new();
            push_folded(&mut rows, Mark::New, &text, kept);
            rows
        };
        let ends = [row(Mark::New, "a".repeat(50)), row(Mark::New, "c".repeat(50))];
        let [start, end] = ends.clone();
        assert_eq!(rows_of((50, 50)), [start, row(Mark::Aside, "… 100 characters …"), end]);
        assert_eq!(rows_of((0, 50)).len(), 2);
        assert_eq!(
            rows_of((90, 90)),
            [row(Mark::New, text.clone())],
            "too little to leave out"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_plain_and_narrow(
            old in "(\\PC|[\n\t\r\u{1b}\u{202e}:#\\[]){0,60}", new in "(\\PC|[\n\t\u{9b}\u{200b}: ]){0,60}", columns in 1_usize..100,
        ) {
            let mut rows = Vec::new();
            texts(&old, &new, View::Whole, &mut rows);
            for line in lines(&rows, columns) {
                prop_assert!(!line.contains(|c: char| c.is_control() || hides_or_reorders(c)), "{line:?}");
                prop_assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{line:?}");
                prop_assert!(console::measure_text_width(&line) <= columns.max(20) + 1, "{line:?}");
            }
        }
    }
}
