//! How latencies are spread: raw points in the order they were measured, with median, p90 and p99. What would squeeze the
//! scale lies behind a cut, counted and named.

use placebench_core::statistics::{median, quantile};
use placebench_core::units::human_seconds;

use crate::view::CaseView;
use crate::view::gaps::stand_apart;
use crate::view::latency_table::{FEWEST_FOR_P90, FEWEST_FOR_P99};
use crate::view::timing::Timing;

use super::axis::Axis;
use super::palette::Paint;
use super::points::thin;
use super::scene::{Mark, Scene, Style};
use super::{Frame, label, row_name, scale_below};

const BAND: f64 = 30.0;
const GAP: f64 = 40.0;
/// Room below the tallest and above the lowest point of a band.
const PADDING: f64 = 5.0;
/// What a median with its number of points takes beside a name.
const VALUE_ROOM: f64 = 170.0;
/// Below this width the two panels stand below each other.
const SIDE_BY_SIDE: f64 = 640.0;
/// Room behind the cut of a scale.
const BEYOND: f64 = 26.0;
/// A scale is cut where that makes the rest this many times longer.
const WORTH_A_CUT: f64 = 2.0;
/// Points of a row.
const MOST_POINTS: usize = 400;
/// Values behind the cut that are named.
const NAMED: usize = 3;

/// One row of a panel.
struct Row<'a> {
    name: String,
    points: Result<&'a [f64], &'a str>,
}

/// The scale of a panel, and the value it is cut at.
struct Scale {
    axis: Axis,
    cut: Option<f64>,
}

impl Scale {
    fn is_beyond(&self, value: f64) -> bool {
        self.cut.is_some_and(|cut| value > cut)
    }

    /// The part of a band that is to scale.
    fn width(&self, frame: Frame) -> f64 {
        match self.cut {
            Some(_) => frame.width - BEYOND,
            None => frame.width,
        }
    }
}

pub(super) fn draw(scene: &mut Scene, cases: &[CaseView], reference: &str, frame: Frame) -> f64 {
    let first: Vec<Row<'_>> = cases
        .iter()
        .map(|case| row(case, reference, Quantity::FirstToken))
        .collect();
    let gaps: Vec<Row<'_>> = cases.iter().map(|case| row(case, reference, Quantity::Gaps)).collect();
    let width = (frame.width - GAP) / 2.0;
    // A name that must be cut may lose the very part that tells it from the others.
    let names = first.iter().map(|row| Style::LABEL.width(&row.name) * 1.1);
    let names_fit = names.fold(0.0, f64::max) + VALUE_ROOM <= width;
    let is_side_by_side = frame.width >= SIDE_BY_SIDE && names_fit;
    let most_ticks = if is_side_by_side || frame.width > 300.0 { 4 } else { 3 };
    let (scale_of_first, scale_of_gaps) = (scale(&first, most_ticks), scale(&gaps, most_ticks));
    let is_cut = |scale: &Option<Scale>| scale.as_ref().is_some_and(|scale| scale.cut.is_some());
    let panel = |scene: &mut Scene, is_first: bool, frame: Frame| {
        let (title, rows, scale) = match is_first {
            true => ("Time to first token", &first, &scale_of_first),
            false => ("Time between tokens", &gaps, &scale_of_gaps),
        };
        // Rows of one placement stay level in both panels.
        let has_notes = is_cut(scale) || (is_side_by_side && (is_cut(&scale_of_first) || is_cut(&scale_of_gaps)));
        let pitch = 20.0 + BAND + if has_notes { 24.0 } else { 10.0 };
        draw_panel(scene, title, (rows, pitch), scale.as_ref(), frame)
    };
    if is_side_by_side {
        let left = panel(scene, true, Frame { width, ..frame });
        let x = frame.x + width + GAP;
        left.max(panel(scene, false, Frame { x, width, ..frame }))
    } else {
        let y = panel(scene, true, frame) + 20.0;
        panel(scene, false, Frame { y, ..frame })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantity {
    FirstToken,
    Gaps,
}

fn row<'a>(case: &'a CaseView, reference: &str, quantity: Quantity) -> Row<'a> {
    let points = match &case.timing {
        Timing::Valid { ttft_s, gaps_s } => {
            let points = if quantity == Quantity::FirstToken {
                ttft_s
            } else {
                gaps_s
            };
            if points.is_empty() {
                Err("a single token has no gap")
            } else {
                Ok(points.as_slice())
            }
        }
        Timing::Invalid(why) | Timing::Missing(why) => Err(why.as_str()),
    };
    Row {
        name: row_name(case, reference),
        points,
    }
}

/// To the largest value that does not stand apart in its own row, where that is worth it.
fn scale(rows: &[Row<'_>], most_ticks: usize) -> Option<Scale> {
    let values = rows.iter().filter_map(|row| row.points.ok()).flatten().copied();
    let whole = Axis::seconds(values.clone(), most_ticks)?;
    let usual = |points: &[f64]| -> Vec<f64> {
        let apart = stand_apart(points);
        points
            .iter()
            .zip(apart)
            .filter(|(_, apart)| !apart)
            .map(|(value, _)| *value)
            .collect()
    };
    let kept: Vec<f64> = rows.iter().filter_map(|row| row.points.ok()).flat_map(usual).collect();
    let (most, all) = (kept.iter().copied().fold(0.0, f64::max), values.fold(0.0, f64::max));
    let axis = Axis::seconds(kept.into_iter(), most_ticks)?;
    // A cut on a scale of magnitudes would save nothing.
    Some(match all >= WORTH_A_CUT * most && !axis.is_logarithmic() {
        true => Scale {
            cut: Some(axis.high()),
            axis,
        },
        false => Scale { axis: whole, cut: None },
    })
}

fn draw_panel(
    scene: &mut Scene,
    title: &str,
    (rows, pitch): (&[Row<'_>], f64),
    scale: Option<&Scale>,
    frame: Frame,
) -> f64 {
    let is = match scale {
        Some(scale) if scale.cut.is_some() => ", cut at the right",
        Some(scale) if scale.axis.is_logarithmic() => ", logarithmic scale",
        _ => "",
    };
    scene.text(
        (frame.x, frame.y + 12.0),
        &format!("{title}{is}"),
        Style::NOTE,
        frame.width,
    );
    let mut y = frame.y + 24.0;
    for row in rows {
        draw_row(scene, row, scale, Frame { y, ..frame });
        y += pitch;
    }
    match scale {
        Some(scale) => {
            let width = scale.width(frame);
            let frame = Frame {
                y: y - 4.0,
                width,
                ..frame
            };
            scale_below(scene, &scale.axis, frame, PADDING)
        }
        None => y,
    }
}

fn draw_row(scene: &mut Scene, row: &Row<'_>, scale: Option<&Scale>, frame: Frame) {
    let words = match row.points {
        Ok(points) => {
            let middle = median(points).map(human_seconds).unwrap_or_default();
            format!("{middle} · n = {}", points.len())
        }
        Err(_) => String::new(),
    };
    label(scene, frame, frame.y + 13.0, &row.name, (&words, Style::VALUE));
    let top = frame.y + 20.0;
    scene.rect((frame.x, top), (frame.width, BAND), Paint::Band);
    let inner = (frame.x + 10.0, top + 19.0);
    match (row.points, scale) {
        (Ok(points), Some(scale)) => points_of(scene, points, scale, Frame { y: top, ..frame }),
        // Points without a scale are all zero.
        (Ok(_), None) => {
            scene.text(inner, "all zero", Style::NOTE, frame.width - 20.0);
        }
        (Err(why), _) => {
            let style = if why.starts_with("invalid") {
                Style::ALARM
            } else {
                Style::NOTE
            };
            scene.text(inner, why, style, frame.width - 20.0);
        }
    }
}

fn points_of(scene: &mut Scene, points: &[f64], scale: &Scale, frame: Frame) {
    let axis = &scale.axis;
    let width = scale.width(frame);
    let x_of = |value: f64| frame.x + PADDING + axis.position(value) * (width - 2.0 * PADDING);
    let bottom = frame.y + BAND;
    for (value, _) in &axis.ticks {
        scene.line((x_of(*value), frame.y), (x_of(*value), bottom), Paint::Grid, 1.0);
    }
    if scale.cut.is_some() {
        // A gap in the band: what is behind it is not to scale.
        scene.rect((frame.x + width + 1.0, frame.y), (3.0, BAND), Paint::Surface);
    }
    let last = points.len().saturating_sub(1).max(1) as f64;
    // Downwards in the order of measurement, so that drift shows as a slope; a lone point sits in the middle.
    let y_of = |index: usize| match points.len() {
        1 => frame.y + BAND / 2.0,
        _ => frame.y + PADDING + (BAND - 2.0 * PADDING) * index as f64 / last,
    };
    let behind = frame.x + width + (BEYOND + 4.0) / 2.0;
    let at = points
        .iter()
        .enumerate()
        .map(|(index, value)| match scale.is_beyond(*value) {
            true => (behind, y_of(index)),
            false => (x_of(*value), y_of(index)),
        });
    let radius = if points.len() > 200 { 1.5 } else { 2.5 };
    scene.marks.push(Mark::Dots {
        at: thin(at, MOST_POINTS),
        radius,
        paint: Paint::Point,
    });
    let percentiles = [
        (0.5, 1, BAND, 2.0),
        (0.9, FEWEST_FOR_P90, 16.0, 2.0),
        (0.99, FEWEST_FOR_P99, 9.0, 2.0),
    ];
    for (share, fewest, height, thickness) in percentiles {
        let value = quantile(points, share).filter(|value| points.len() >= fewest && !scale.is_beyond(*value));
        if let Some(value) = value {
            let x = x_of(value);
            scene.line((x, bottom - height), (x, bottom), Paint::Ink, thickness);
        }
    }
    hover(scene, points, frame);
    let mut beyond: Vec<f64> = points.iter().copied().filter(|value| scale.is_beyond(*value)).collect();
    if beyond.is_empty() {
        return;
    }
    beyond.sort_by(|a, b| b.total_cmp(a));
    let named: Vec<String> = beyond.iter().take(NAMED).map(|value| human_seconds(*value)).collect();
    let more = if beyond.len() > NAMED { ", …" } else { "" };
    let words = format!("{} beyond: {}{more}", beyond.len(), named.join(", "));
    scene.text((frame.right(), bottom + 14.0), &words, Style::NOTE.end(), frame.width);
}

/// What a row's points are together.
fn hover(scene: &mut Scene, points: &[f64], frame: Frame) {
    let of = |share: f64, fewest: usize, name: &str| {
        let value = quantile(points, share).filter(|_| points.len() >= fewest)?;
        Some(format!("{name} {}", human_seconds(value)))
    };
    let parts = [
        of(0.0, 1, "least"),
        of(0.5, 1, "p50"),
        of(0.9, FEWEST_FOR_P90, "p90"),
        of(0.99, FEWEST_FOR_P99, "p99"),
        of(1.0, 1, "largest"),
    ];
    let words: Vec<String> = parts.into_iter().flatten().collect();
    let words = format!("{} of {}", words.join(", "), points.len());
    scene.hover((frame.x, frame.y), (frame.width, BAND), words);
}
