//! The placements of a prompt as rows of plain cells: what a terminal and Markdown show of [`ComparedView`].

use super::compared::{ComparedCell, ComparedRow, ComparedView, PEAK, THROUGHPUT, TPOT, TTFT};

/// What stands for nothing.
const NONE: &str = "–";

/// What a narrow table leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// The interval of the ratio, or its number of pairs.
    pub interval: bool,
    /// Where the peak is, and its share of the budget.
    pub device: bool,
    /// Tokens per second.
    pub rate: bool,
    /// The peak.
    pub peak: bool,
    /// The judgement on the text.
    pub text: bool,
}

impl Detail {
    /// Everything.
    pub const FULL: Self = Self {
        interval: true,
        device: true,
        rate: true,
        peak: true,
        text: true,
    };
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub heading: String,
    /// Whether its cells end at the same place.
    pub is_number: bool,
    /// A cell for each placement.
    pub cells: Vec<String>,
}

/// The columns: the first holds the names, the second how they ended, the last the ratio to the reference or why there is
/// none. Nothing is escaped for any format.
#[must_use]
pub fn columns(view: &ComparedView, detail: Detail) -> Vec<Column> {
    let lead = view.lead();
    let lead_name = if lead == TTFT { "TTFT" } else { "TPOT" };
    let column = |heading: &str, is_number: bool, cell: &dyn Fn(&ComparedRow) -> String| Column {
        heading: heading.to_owned(),
        is_number,
        cells: view.rows.iter().map(cell).collect(),
    };
    let value = |row: &ComparedRow, index: usize| -> Option<String> {
        let cell: &ComparedCell = row.cells.get(index)?;
        cell.value.measured().map(str::to_owned)
    };
    let or_none = |value: Option<String>| value.unwrap_or_else(|| NONE.to_owned());
    let mut columns = vec![
        column("placement", false, &|row| row.placement.clone()),
        column("outcome", false, &|row| row.status_words.clone()),
    ];
    if detail.text {
        columns.push(column("text", false, &|row| row.text_words.clone()));
    }
    columns.push(column("TTFT", true, &|row| or_none(value(row, TTFT))));
    columns.push(column("TPOT", true, &|row| or_none(value(row, TPOT))));
    if detail.rate {
        columns.push(column("tokens/s", true, &|row| {
            let rate = value(row, THROUGHPUT);
            or_none(rate.map(|rate| rate.trim_end_matches(" tokens/s").to_owned()))
        }));
    }
    if detail.peak {
        columns.push(column("peak memory", !detail.device, &|row| {
            let remark = row.cells.get(PEAK).map_or("", |cell| cell.remark.as_str());
            match value(row, PEAK) {
                Some(bytes) if detail.device && !remark.is_empty() => format!("{bytes}, {remark}"),
                bytes => or_none(bytes),
            }
        }));
    }
    let heading = format!("{lead_name} vs {}", view.reference);
    columns.push(column(&heading, false, &|row| ratio(row, lead, detail)));
    columns
}

fn ratio(row: &ComparedRow, lead: usize, detail: Detail) -> String {
    if !row.trouble.is_empty() {
        return row.trouble.clone();
    }
    if row.is_reference {
        return "reference".to_owned();
    }
    let Some(cell) = row.cells.get(lead).filter(|cell| cell.against.is_some()) else {
        return "not compared".to_owned();
    };
    let ratio = match detail.interval {
        true => cell.ratio_words.clone(),
        false => format!("{} ×", cell.ratio),
    };
    // That few pairs decide nothing is said by their number.
    let is_few = cell.against.is_some_and(|against| against.interval.is_none());
    match cell.verdict {
        "" => ratio,
        "no verdict" if is_few => ratio,
        verdict => format!("{ratio} {verdict}"),
    }
}
