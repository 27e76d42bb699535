//! Where the time of a step goes: stages and hops in order of execution, to scale, as measured and as predicted.

use crate::view::steps::{Part, Segment, StepView};
use crate::view::words::fine_seconds;
use crate::view::{CaseView, Figure, ReportView};

use super::axis::Axis;
use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend, scale_below};

const BAR: f64 = 20.0;
const PREDICTED_BAR: f64 = 10.0;
/// Thickness of an outline.
const OUTLINE: f64 = 1.5;
const GAP: f64 = 40.0;
/// Below this width the two panels stand below each other.
const SIDE_BY_SIDE: f64 = 640.0;
/// Room for both times beside a name.
const VALUE_ROOM: f64 = 190.0;

pub(super) fn draw(scene: &mut Scene, view: &ReportView, cases: &[CaseView], frame: Frame) -> f64 {
    let y = legend(scene, frame, &names(view, cases));
    let frame = Frame { y, ..frame };
    let width = (frame.width - GAP) / 2.0;
    let widest = cases.iter().map(|case| Style::LABEL.width(&case.placement) * 1.1);
    if frame.width >= SIDE_BY_SIDE && widest.fold(0.0, f64::max) + VALUE_ROOM <= width {
        let left = panel(scene, "First token", cases, 0, Frame { width, ..frame });
        let x = frame.x + width + GAP;
        let right = panel(scene, "Each token after it", cases, 1, Frame { x, width, ..frame });
        left.max(right)
    } else {
        let y = panel(scene, "First token", cases, 0, frame) + 20.0;
        panel(scene, "Each token after it", cases, 1, Frame { y, ..frame })
    }
}

/// What the colours mean, as far as they are used.
fn names(view: &ReportView, cases: &[CaseView]) -> Vec<(Paint, String)> {
    let all = || cases.iter().flat_map(|case| &case.steps);
    let used = |wanted: &dyn Fn(&Part) -> bool| {
        all()
            .flat_map(|step| step.measured.iter().chain(&step.predicted))
            .any(|segment| wanted(&segment.part) && segment.seconds > 0.0)
    };
    let mut names: Vec<(Paint, String)> = Vec::new();
    for name in &view.devices {
        if used(&|part| matches!(part, Part::Stage { device, .. } if device == name)) {
            names.push((Paint::Device(view.colour_of(name)), name.clone()));
        }
    }
    if used(&|part| matches!(part, Part::Hop { .. })) {
        names.push((Paint::Ink, "hop".into()));
    }
    if used(&|part| matches!(part, Part::Rest)) {
        names.push((Paint::Rest, "the rest".into()));
    }
    if used(&|part| *part == Part::Whole) {
        names.push((Paint::Grid, "stages not measured".into()));
    }
    names
}

fn panel(scene: &mut Scene, title: &str, cases: &[CaseView], step: usize, frame: Frame) -> f64 {
    let steps: Vec<(&CaseView, &StepView)> = cases
        .iter()
        .filter_map(|case| Some((case, case.steps.get(step)?)))
        .collect();
    let lengths = steps
        .iter()
        .flat_map(|(_, step)| [length(&step.measured), length(&step.predicted)]);
    let longest = lengths.fold(0.0, f64::max);
    // One value gives a scale from zero, which is the only honest one for lengths.
    let axis = Axis::seconds(std::iter::once(longest), if frame.width > 300.0 { 4 } else { 3 });
    scene.text((frame.x, frame.y + 12.0), title, Style::NOTE, frame.width);
    let mut y = frame.y + 24.0;
    for (case, step) in steps {
        y = row(scene, &case.placement, step, axis.as_ref(), Frame { y, ..frame }) + 14.0;
    }
    match &axis {
        Some(axis) => scale_below(scene, axis, Frame { y: y - 4.0, ..frame }, 0.0),
        None => y,
    }
}

fn length(segments: &[Segment]) -> f64 {
    let seconds = segments.iter().map(|segment| segment.seconds);
    seconds.filter(|seconds| seconds.is_finite()).sum()
}

fn row(scene: &mut Scene, name: &str, step: &StepView, axis: Option<&Axis>, frame: Frame) -> f64 {
    let predicted = step
        .predicted_s
        .map(|seconds| format!("predicted {}", fine_seconds(seconds)));
    let measured = step.measured_s.map(fine_seconds);
    let words: Vec<String> = measured.into_iter().chain(predicted).collect();
    label(scene, frame, frame.y + 13.0, name, (&words.join(" · "), Style::NOTE));
    let top = frame.y + 20.0;
    scene.rect((frame.x, top), (frame.width, BAR), Paint::Band);
    match (&step.figure, axis) {
        (Figure::Measured(_), Some(axis)) => bar(scene, &step.measured, axis, Frame { y: top, ..frame }, Shape::Filled),
        (Figure::Measured(_), None) => {}
        (Figure::Invalid(why), _) => {
            scene.text((frame.x + 10.0, top + 14.0), why, Style::ALARM, frame.width - 20.0);
        }
        (Figure::Missing(why), _) => {
            scene.text((frame.x + 10.0, top + 14.0), why, Style::NOTE, frame.width - 20.0);
        }
    }
    let below = Frame {
        y: top + BAR + 3.0,
        ..frame
    };
    match axis.filter(|_| !step.predicted.is_empty()) {
        Some(axis) => {
            bar(scene, &step.predicted, axis, below, Shape::Outline);
            below.y + PREDICTED_BAR
        }
        None => top + BAR,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// What was measured.
    Filled,
    /// What was predicted.
    Outline,
}

fn bar(scene: &mut Scene, segments: &[Segment], axis: &Axis, frame: Frame, shape: Shape) {
    let mut until = 0.0;
    let x_of = |seconds: f64| frame.x + axis.position(seconds) * frame.width;
    for segment in segments {
        let from = until;
        if segment.seconds.is_finite() {
            until += segment.seconds.max(0.0);
        }
        let (left, right) = (x_of(from), x_of(until));
        let paint = match &segment.part {
            Part::Stage { colour, .. } => Paint::Device(*colour),
            Part::Hop { .. } => Paint::Ink,
            Part::Rest => Paint::Rest,
            Part::Whole => Paint::Grid,
        };
        match shape {
            Shape::Filled => {
                scene.rect((left, frame.y), (right - left, BAR), paint);
                inside(scene, &segment.part, (left, right), frame.y);
            }
            Shape::Outline => {
                scene.rect((left, frame.y), (right - left, PREDICTED_BAR), paint);
                let hollow = (right - left - 2.0 * OUTLINE, PREDICTED_BAR - 2.0 * OUTLINE);
                scene.rect((left + OUTLINE, frame.y + OUTLINE), hollow, Paint::Surface);
            }
        }
    }
    // Two stages of one colour, with a hop between them that is too short to see, are still two.
    if shape == Shape::Filled {
        let mut at = 0.0;
        for segment in segments {
            if matches!(segment.part, Part::Hop { .. }) && x_of(at + segment.seconds) - x_of(at) < 1.0 {
                scene.line((x_of(at), frame.y), (x_of(at), frame.y + BAR), Paint::Ink, 1.0);
            }
            at += segment.seconds;
        }
    }
}

/// The device's name, where there is room for it.
fn inside(scene: &mut Scene, part: &Part, (left, right): (f64, f64), top: f64) {
    let Part::Stage { device, colour } = part else { return };
    let style = Style::NOTE.paint(Paint::OnDevice(*colour));
    if style.width(device) * 1.15 + 8.0 <= right - left {
        scene.text(
            ((left + right) / 2.0, top + 14.0),
            device,
            style.middle(),
            right - left - 8.0,
        );
    }
}
