//! What an audit compared: for each placement a grid, a column for each module, a row for each token.

use placebench_core::audit::Cell;

use crate::view::audit::AuditView;
use crate::view::words::count;
use crate::view::{CaseView, ReportView};

use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend};

/// A row of one token, where there are few.
const TALLEST: f64 = 14.0;
/// The same, where there are many.
const LOWEST: f64 = 3.0;
/// All rows of a grid, where they fit.
const GRID: f64 = 150.0;
/// Rows of a grid; the sentence says where later ones part.
const MOST_ROWS: usize = 100;
/// The strip that shows on which device a module is.
const STRIP: f64 = 6.0;

pub(super) fn draw(scene: &mut Scene, view: &ReportView, cases: &[CaseView], frame: Frame) -> f64 {
    let mut y = legend(scene, frame, &names(view, cases));
    for case in cases {
        if let Some(audit) = shown(case) {
            y = grid(scene, &case.placement, audit, Frame { y, ..frame }) + 18.0;
        }
    }
    y - 10.0
}

fn shown(case: &CaseView) -> Option<&AuditView> {
    case.audit.as_ref().filter(|audit| audit.has_picture())
}

fn paint(cell: Cell) -> Option<(Paint, f64, &'static str)> {
    match cell {
        Cell::Same => Some((Paint::Rest, 1.0, "the same bits")),
        Cell::Near => Some((Paint::Cache, 1.0, "within rounding")),
        Cell::Other => Some((Paint::Alarm, 1.0, "another output")),
        Cell::Alone => Some((Paint::Grid, 0.6, "not compared")),
        Cell::Absent => None,
    }
}

fn names(view: &ReportView, cases: &[CaseView]) -> Vec<(Paint, String)> {
    let audits = || cases.iter().filter_map(shown);
    let mut names = Vec::new();
    for cell in [Cell::Same, Cell::Near, Cell::Other, Cell::Alone] {
        let is_used = audits()
            .flat_map(|audit| &audit.rows)
            .any(|(_, cells)| cells.contains(&cell));
        if let Some((paint, _, words)) = paint(cell).filter(|_| is_used) {
            names.push((paint, words.to_owned()));
        }
    }
    for (colour, device) in view.devices.iter().enumerate() {
        if audits()
            .flat_map(|audit| &audit.modules)
            .any(|module| module.colour == colour)
        {
            names.push((Paint::Device(colour), device.clone()));
        }
    }
    names
}

fn grid(scene: &mut Scene, placement: &str, audit: &AuditView, frame: Frame) -> f64 {
    let tokens = count(audit.rows.len(), "token", "tokens");
    let size = format!("{} × {tokens}", count(audit.modules.len(), "module", "modules"));
    let held = if audit.reference.is_empty() {
        size
    } else {
        format!("{size}, beside {}", audit.reference)
    };
    label(scene, frame, frame.y + 13.0, placement, (&held, Style::NOTE));
    let rows = &audit.rows[..audit.rows.len().min(MOST_ROWS)];
    let cell = frame.width / audit.modules.len().max(1) as f64;
    let height = (GRID / rows.len().max(1) as f64).clamp(LOWEST, TALLEST);
    let gap = if height > 6.0 { 1.0 } else { 0.0 };
    let mut y = frame.y + 22.0;
    devices(scene, audit, Frame { y, ..frame }, cell);
    y += STRIP + 3.0;
    let top = y;
    for (_, cells) in rows {
        runs(scene, cells, Frame { y, ..frame }, (cell, height - gap));
        y += height;
    }
    if let Some(mark) = &audit.mark {
        let x = frame.x + cell * (mark.column as f64 + if mark.is_hop { 0.0 } else { 0.5 });
        if mark.row < rows.len() {
            let at = top + height * mark.row as f64;
            scene.line((x, at - 3.0), (x, at + height + 2.0), Paint::Ink, 3.0);
        }
        scene.text(
            (frame.x, y + 16.0),
            &format!("parts at {}", mark.words),
            Style::ALARM,
            frame.width,
        );
        y += 18.0;
    }
    if audit.rows.len() > rows.len() {
        let more = count(audit.rows.len() - rows.len(), "more token", "more tokens");
        scene.text((frame.x, y + 16.0), &format!("… and {more}"), Style::NOTE, frame.width);
        y += 18.0;
    }
    y + 4.0
}

/// The device of each module, in runs.
fn devices(scene: &mut Scene, audit: &AuditView, frame: Frame, cell: f64) {
    let mut x = frame.x;
    for run in audit.modules.chunk_by(|a, b| a.colour == b.colour) {
        let width = cell * run.len() as f64;
        let paint = run.first().map_or(Paint::Band, |module| Paint::Device(module.colour));
        scene.rect((x, frame.y), (width, STRIP), paint);
        x += width;
    }
}

/// Equal cells of a row as one mark, so that a large model stays a small picture.
fn runs(scene: &mut Scene, cells: &[Cell], frame: Frame, (cell, height): (f64, f64)) {
    let mut x = frame.x;
    for run in cells.chunk_by(|a, b| a == b) {
        let width = cell * run.len() as f64;
        if let Some((paint, opacity, _)) = run.first().and_then(|cell| paint(*cell)) {
            scene.faded_rect((x, frame.y), (width, height), paint, opacity);
        }
        x += width;
    }
}
