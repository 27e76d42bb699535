//! How long tokens take: raw points in the order they were measured, and their medians.

use placebench_core::judge::median;
use placebench_core::units::human_seconds;

use crate::view::CaseView;
use crate::view::timing::Timing;

use super::axis::Axis;
use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, scale_below};

const BAND: f64 = 30.0;
const GAP: f64 = 40.0;
/// Room below the tallest and above the lowest point of a band.
const PADDING: f64 = 5.0;
/// What a median with its number of points takes beside a name.
const VALUE_ROOM: f64 = 170.0;
/// Below this width the two panels stand below each other.
const SIDE_BY_SIDE: f64 = 640.0;

/// One row of a panel.
struct Row<'a> {
    name: &'a str,
    points: Result<&'a [f64], &'a str>,
}

pub(super) fn draw(scene: &mut Scene, cases: &[CaseView], frame: Frame) -> f64 {
    let first: Vec<Row<'_>> = cases.iter().map(|case| row(case, Quantity::FirstToken)).collect();
    let gaps: Vec<Row<'_>> = cases.iter().map(|case| row(case, Quantity::Gaps)).collect();
    let width = (frame.width - GAP) / 2.0;
    // A name that must be cut may lose the very part that tells it from the others.
    let names = cases.iter().map(|case| Style::LABEL.width(&case.placement) * 1.1);
    let names_fit = names.fold(0.0, f64::max) + VALUE_ROOM <= width;
    if frame.width >= SIDE_BY_SIDE && names_fit {
        let left = panel(scene, "Time to first token", &first, Frame { width, ..frame });
        let right = panel(
            scene,
            "Time between tokens",
            &gaps,
            Frame {
                x: frame.x + width + GAP,
                width,
                ..frame
            },
        );
        left.max(right)
    } else {
        let middle = panel(scene, "Time to first token", &first, frame);
        panel(
            scene,
            "Time between tokens",
            &gaps,
            Frame {
                y: middle + 20.0,
                ..frame
            },
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantity {
    FirstToken,
    Gaps,
}

fn row(case: &CaseView, quantity: Quantity) -> Row<'_> {
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
        name: &case.placement,
        points,
    }
}

fn panel(scene: &mut Scene, title: &str, rows: &[Row<'_>], frame: Frame) -> f64 {
    let values = rows.iter().filter_map(|row| row.points.ok()).flatten().copied();
    let axis = Axis::seconds(values, if frame.width > 300.0 { 4 } else { 3 });
    let scale = match &axis {
        Some(axis) if axis.is_logarithmic() => "logarithmic scale",
        _ => "",
    };
    let heading = if scale.is_empty() {
        title.to_owned()
    } else {
        format!("{title}, {scale}")
    };
    scene.text((frame.x, frame.y + 12.0), &heading, Style::NOTE, frame.width);
    let mut y = frame.y + 24.0;
    for row in rows {
        draw_row(scene, row, axis.as_ref(), Frame { y, ..frame });
        y += 20.0 + BAND + 10.0;
    }
    match &axis {
        Some(axis) => scale_below(scene, axis, Frame { y: y - 4.0, ..frame }, PADDING),
        None => y,
    }
}

fn draw_row(scene: &mut Scene, row: &Row<'_>, axis: Option<&Axis>, frame: Frame) {
    let words = match row.points {
        Ok(points) => {
            let middle = median(points).map(human_seconds).unwrap_or_default();
            format!("{middle} · n = {}", points.len())
        }
        Err(_) => String::new(),
    };
    label(scene, frame, frame.y + 13.0, row.name, (&words, Style::VALUE));
    let top = frame.y + 20.0;
    scene.rect((frame.x, top), (frame.width, BAND), Paint::Band);
    match (row.points, axis) {
        (Ok(points), Some(axis)) => points_of(scene, points, axis, Frame { y: top, ..frame }),
        // Points without a scale are all zero.
        (Ok(_), None) => {
            scene.text(
                (frame.x + 10.0, top + 19.0),
                "all zero",
                Style::NOTE,
                frame.width - 20.0,
            );
        }
        (Err(why), _) => {
            let style = if why.starts_with("invalid") {
                Style::ALARM
            } else {
                Style::NOTE
            };
            scene.text((frame.x + 10.0, top + 19.0), why, style, frame.width - 20.0);
        }
    }
}

fn points_of(scene: &mut Scene, points: &[f64], axis: &Axis, frame: Frame) {
    let x_of = |value: f64| frame.x + PADDING + axis.position(value) * (frame.width - 2.0 * PADDING);
    for (value, _) in &axis.ticks {
        scene.line(
            (x_of(*value), frame.y),
            (x_of(*value), frame.y + BAND),
            Paint::Grid,
            1.0,
        );
    }
    let last = points.len().saturating_sub(1).max(1) as f64;
    // Downwards in the order of measurement, so that drift shows as a slope; a lone point sits in the middle.
    let y_of = |index: usize| match points.len() {
        1 => frame.y + BAND / 2.0,
        _ => frame.y + PADDING + (BAND - 2.0 * PADDING) * index as f64 / last,
    };
    let at = points
        .iter()
        .enumerate()
        .map(|(index, value)| (x_of(*value), y_of(index)))
        .collect();
    let radius = if points.len() > 200 { 1.5 } else { 2.5 };
    scene.marks.push(super::Mark::Dots {
        at,
        radius,
        paint: Paint::Point,
    });
    if let Some(middle) = median(points) {
        let x = x_of(middle);
        scene.line((x, frame.y), (x, frame.y + BAND), Paint::Ink, 2.0);
    }
}
