//! The placements of a prompt against the reference: for each figure a column of ratios with intervals, the values beside them.
//!
//! A ratio has a logarithmic scale, so that twice and half are equally far from 1, and every column has its own: a placement
//! that needs ten times as long for the prompt would otherwise hide the five per cent of the tokens.

use crate::view::Figure;
use crate::view::compared::{Against, ComparedCell, ComparedRow, ComparedView, PEAK};
use crate::view::words::capital;

use super::Frame;
use super::palette::Paint;
use super::scene::{Mark, Scene, Style};

/// From this width on the four columns stand beside each other.
const SIDE_BY_SIDE: f64 = 640.0;
/// The largest share of the width that names may take beside the columns; longer ones get a line of their own.
const NAMES: f64 = 0.22;
/// Between two columns.
const GUTTER: f64 = 24.0;
/// A row: value, strip, ratio, each at its baseline or middle below the row's top.
const ROW: f64 = 60.0;
const VALUE: f64 = 18.0;
const STRIP: f64 = 31.0;
const RATIO: f64 = 51.0;
const STRIP_HEIGHT: f64 = 14.0;
const NAME_LINE: f64 = 20.0;
/// Room for a mark at either end of a strip.
const PADDING: f64 = 6.0;

/// Draws the first `most` placements.
pub(super) fn draw(scene: &mut Scene, view: &ComparedView, most: usize, frame: Frame) -> f64 {
    let rows = view.rows.get(..most.min(view.rows.len())).unwrap_or_default();
    match frame.width >= SIDE_BY_SIDE {
        true => beside(scene, view, rows, frame),
        false => below(scene, view, rows, frame),
    }
}

/// Names at the left, or where they are long above their row; then four columns.
fn beside(scene: &mut Scene, view: &ComparedView, rows: &[ComparedRow], frame: Frame) -> f64 {
    let widest = rows.iter().map(|row| Style::LABEL.width(&row.placement) * 1.1);
    let widest = widest.fold(Style::NOTE.width("reference") * 1.1, f64::max) + GUTTER;
    let (names, name_line) = match widest <= frame.width * NAMES {
        true => (widest, 0.0),
        false => (0.0, NAME_LINE),
    };
    let cell = (frame.width - names + GUTTER) / 4.0;
    let column = |index: usize| Frame {
        x: frame.x + names + cell * index as f64,
        width: cell - GUTTER,
        ..frame
    };
    let top = frame.y + 36.0;
    let bottom = top + rows.len() as f64 * (ROW + name_line);
    let axes: Vec<Option<RatioAxis>> = (0..view.headings().len())
        .map(|index| RatioAxis::of(cells(rows, index)))
        .collect();
    for (index, (what, better)) in view.headings().into_iter().enumerate() {
        let at = column(index);
        let style = Style::NOTE.paint(Paint::Ink);
        scene.text((at.x, frame.y + 12.0), &capital(what), style, at.width);
        scene.text((at.x, frame.y + 27.0), better, Style::NOTE, at.width);
        if let Some(axis) = axes.get(index).and_then(Option::as_ref) {
            ticks(scene, axis, Frame { y: bottom, ..at });
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let y = top + number as f64 * (ROW + name_line);
        scene.line((frame.x, y), (frame.right(), y), Paint::Grid, 1.0);
        name(scene, row, (names, name_line), Frame { y, ..frame });
        let y = y + name_line;
        let has_speed = row.trouble.is_empty();
        if !has_speed {
            let across = column(PEAK).x - GUTTER - column(0).x;
            let style = if row.is_invalid { Style::ALARM } else { Style::NOTE };
            scene.text((column(0).x, y + VALUE), &row.trouble, style, across);
        }
        let shown = row.cells.iter().zip(&axes).enumerate();
        for (index, (cell, axis)) in shown.skip(if has_speed { 0 } else { PEAK }) {
            let at = Frame { y, ..column(index) };
            words(scene, row, cell, at);
            strip(scene, axis.as_ref(), (row, cell), band(view, index), at);
        }
    }
    scene.line((frame.x, bottom), (frame.right(), bottom), Paint::Grid, 1.0);
    bottom + 20.0
}

fn name(scene: &mut Scene, row: &ComparedRow, (names, line): (f64, f64), frame: Frame) {
    let remark = match (row.is_reference, row.status) {
        (true, _) => "reference",
        (false, "passed") => "",
        (false, status) => status,
    };
    if line > 0.0 {
        let room = (Style::NOTE.width(remark) * 1.2).min(frame.width * 0.4);
        let at = (frame.right(), frame.y + VALUE);
        let taken = scene.text(at, remark, Style::NOTE.end(), room) * 1.1;
        let at = (frame.x, frame.y + VALUE);
        scene.text(at, &row.placement, Style::LABEL, frame.width - taken - 12.0);
    } else {
        let room = names - GUTTER / 2.0;
        scene.text((frame.x, frame.y + VALUE), &row.placement, Style::LABEL, room);
        scene.text((frame.x, frame.y + VALUE + 17.0), remark, Style::NOTE, room);
    }
}

/// A panel for each figure, below each other, with the names on the rows.
fn below(scene: &mut Scene, view: &ComparedView, rows: &[ComparedRow], frame: Frame) -> f64 {
    let mut y = frame.y;
    for (index, (what, better)) in view.headings().into_iter().enumerate() {
        let heading = format!("{}, {better}", capital(what));
        scene.text((frame.x, y + 12.0), &heading, Style::NOTE, frame.width);
        y += 20.0;
        let axis = RatioAxis::of(cells(rows, index));
        for row in rows {
            let Some(cell) = row.cells.get(index) else { continue };
            scene.line((frame.x, y), (frame.right(), y), Paint::Grid, 1.0);
            let at = Frame { y, ..frame };
            let is_drawn = strip(scene, axis.as_ref(), (row, cell), band(view, index), at);
            named_words(scene, (row, cell), is_drawn, at);
            // What has nothing to draw needs no more than its line.
            y += if is_drawn { ROW } else { 28.0 };
        }
        scene.line((frame.x, y), (frame.right(), y), Paint::Grid, 1.0);
        if let Some(axis) = &axis {
            ticks(scene, axis, Frame { y, ..frame });
            y += 18.0;
        }
        y += 18.0;
    }
    y - 14.0
}

fn cells(rows: &[ComparedRow], index: usize) -> impl Iterator<Item = &ComparedCell> {
    rows.iter().filter_map(move |row| row.cells.get(index))
}

/// The floor of a figure, if it has one: bytes are counted.
fn band(view: &ComparedView, index: usize) -> Option<f64> {
    (index != PEAK).then_some(view.floor)
}

/// The strip of a cell: the floor around 1, the interval, the ratio. False where there is nothing to draw.
fn strip(
    scene: &mut Scene,
    axis: Option<&RatioAxis>,
    (row, cell): (&ComparedRow, &ComparedCell),
    floor: Option<f64>,
    frame: Frame,
) -> bool {
    let Some(axis) = axis.filter(|_| cell.against.is_some() || row.is_reference) else {
        return false;
    };
    if cell.value.measured().is_none() {
        return false;
    }
    let x_of = |ratio: f64| frame.x + PADDING + axis.position(ratio) * (frame.width - 2.0 * PADDING);
    let middle = frame.y + STRIP;
    let (top, bottom) = (middle - STRIP_HEIGHT / 2.0, middle + STRIP_HEIGHT / 2.0);
    scene.rect((frame.x, top), (frame.width, STRIP_HEIGHT), Paint::Band);
    if let Some(floor) = floor {
        let (left, right) = (x_of(1.0 / floor), x_of(floor));
        scene.rect((left, top), (right - left, STRIP_HEIGHT), Paint::Grid);
    }
    let reference = if row.is_reference { 3.0 } else { 1.0 };
    scene.line((x_of(1.0), top), (x_of(1.0), bottom), Paint::Muted, reference);
    if let Some(against) = cell.against {
        let x = x_of(against.ratio);
        match (against.interval, against.pairs) {
            (Some(interval), _) => {
                scene.line(
                    (x_of(interval.low), middle),
                    (x_of(interval.high), middle),
                    Paint::Point,
                    4.0,
                );
                scene.line((x, top), (x, bottom), Paint::Ink, 2.5);
            }
            // What is counted needs no interval.
            (None, 0) => scene.line((x, top), (x, bottom), Paint::Ink, 2.5),
            (None, _) => scene.marks.push(Mark::Dots {
                at: vec![(x, middle)],
                radius: 4.0,
                paint: Paint::Point,
            }),
        }
    }
    true
}

/// The value above the strip with the verdict at its right; below the strip the ratio.
fn words(scene: &mut Scene, row: &ComparedRow, cell: &ComparedCell, frame: Frame) {
    let baseline = frame.y + VALUE;
    let Some(value) = cell.value.measured() else {
        scene.text((frame.x, baseline), cell.value.words(), Style::NOTE, frame.width);
        return;
    };
    let verdict = (Style::NOTE.width(cell.verdict) * 1.2).min(frame.width * 0.5);
    let style = Style::NOTE.paint(Paint::Ink).end();
    let taken = scene.text((frame.right(), baseline), cell.verdict, style, verdict);
    scene.text(
        (frame.x, baseline),
        value,
        Style::VALUE,
        frame.width - taken * 1.1 - 6.0,
    );
    let below = below_words(row, cell);
    scene.text((frame.x, frame.y + RATIO), &below, Style::NOTE, frame.width);
}

/// What stands below a strip: the ratio, and of bytes where they are.
fn below_words(row: &ComparedRow, cell: &ComparedCell) -> String {
    let first = match (row.is_reference, cell.against.is_some()) {
        (true, _) => "",
        (false, true) => cell.ratio_words.as_str(),
        (false, false) => "not compared",
    };
    let parts = [first, cell.remark.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

/// The same with the name, where a column has the whole width.
fn named_words(scene: &mut Scene, (row, cell): (&ComparedRow, &ComparedCell), has_strip: bool, frame: Frame) {
    let value = cell.value.words();
    let is_measured = cell.value.measured().is_some();
    let style = match (is_measured, &cell.value) {
        (true, _) => Style::VALUE,
        (false, Figure::Invalid(_)) => Style::ALARM,
        (false, _) => Style::NOTE,
    };
    let room = (style.width(value) * 1.2).min(frame.width * 0.66);
    let taken = scene.text((frame.right(), frame.y + VALUE), value, style.end(), room) * 1.1;
    let room = frame.width - taken - 12.0;
    scene.text((frame.x, frame.y + VALUE), &row.placement, Style::LABEL, room);
    if !has_strip {
        return;
    }
    let verdict = match (row.is_reference, cell.verdict) {
        (true, _) => "reference",
        (false, verdict) => verdict,
    };
    let style = Style::NOTE.paint(Paint::Ink).end();
    let taken = scene.text((frame.right(), frame.y + RATIO), verdict, style, frame.width * 0.4) * 1.1;
    let room = frame.width - taken - 12.0;
    scene.text((frame.x, frame.y + RATIO), &below_words(row, cell), Style::NOTE, room);
}

/// Labels below a column: 1 always, others where there is room.
fn ticks(scene: &mut Scene, axis: &RatioAxis, frame: Frame) {
    let x_of = |ratio: f64| frame.x + PADDING + axis.position(ratio) * (frame.width - 2.0 * PADDING);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut by_weight: Vec<&(f64, String)> = axis.ticks.iter().collect();
    by_weight.sort_by_key(|(ratio, _)| *ratio != 1.0);
    for (ratio, words) in by_weight {
        let half = Style::NOTE.width(words) * 1.1 / 2.0;
        let x = x_of(*ratio).max(frame.x + half).min(frame.right() - half);
        // A reader's letters may be wider than ours: at an end the words begin or end there.
        let (at, style) = match x_of(*ratio) {
            wanted if wanted < x => (frame.x, Style::NOTE),
            wanted if wanted > x => (frame.right(), Style::NOTE.end()),
            _ => (x, Style::NOTE.middle()),
        };
        let is_free = taken
            .iter()
            .all(|(from, to)| x + half + 6.0 < *from || x - half - 6.0 > *to);
        if is_free {
            scene.text((at, frame.y + 14.0), words, style, half * 2.4);
            taken.push((x - half, x + half));
        }
    }
}

/// A logarithmic scale of ratios that holds 1.
#[derive(Debug, Clone, PartialEq)]
struct RatioAxis {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl RatioAxis {
    /// Nothing is drawn further away than this; words say what it is.
    const FARTHEST: f64 = 1e4;
    /// At least so far to both sides, so that the band of the floor is a band.
    const NEAREST: f64 = 1.1;

    /// Nothing where there is no ratio.
    fn of<'a>(cells: impl Iterator<Item = &'a ComparedCell>) -> Option<Self> {
        let ratios: Vec<Against> = cells.filter_map(|cell| cell.against).collect();
        if ratios.is_empty() {
            return None;
        }
        let (mut low, mut high) = (1.0 / Self::NEAREST, Self::NEAREST);
        for against in ratios {
            let ends = against
                .interval
                .map_or([against.ratio; 2], |ends| [ends.low, ends.high]);
            for ratio in ends.into_iter().chain([against.ratio]) {
                let ratio = ratio.clamp(1.0 / Self::FARTHEST, Self::FARTHEST);
                (low, high) = (low.min(ratio), high.max(ratio));
            }
        }
        let round = [
            0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0,
        ];
        let far = [1e-3, 1e-2, 20.0, 50.0, 1e2, 1e3];
        let is_shown = |ratio: &f64| *ratio >= low * 0.999 && *ratio <= high * 1.001;
        let shown: Vec<f64> = round.into_iter().chain(far).filter(is_shown).collect();
        // The ends tell how far it goes; what lies between them only crowds a narrow column.
        let ends = [
            shown.iter().copied().reduce(f64::min),
            shown.iter().copied().reduce(f64::max),
        ];
        let mut ticks: Vec<f64> = ends.into_iter().flatten().chain([1.0]).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        Some(Self {
            low,
            high,
            ticks: ticks.into_iter().map(|ratio| (ratio, format!("{ratio} ×"))).collect(),
        })
    }

    /// From 0 to 1.
    fn position(&self, ratio: f64) -> f64 {
        let share = (ratio / self.low).ln() / (self.high / self.low).ln();
        share.clamp(0.0, 1.0)
    }
}
