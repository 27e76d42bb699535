//! The lanes of a step: where its stages, hops and waiting stand, to scale.

use crate::view::steps::{Part, Segment, StepView};
use crate::view::work::percent;
use placebench_core::units::human_seconds;

use super::Frame;
use super::extent::Extent;
use super::palette::Paint;
use super::scene::Scene;
use super::timeline::sum;

/// Height of what was measured.
const MEASURED: f64 = 12.0;
/// Height of what was predicted, below all that was measured.
const PREDICTED: f64 = 6.0;
/// Thickness of an outline.
const OUTLINE: f64 = 1.25;
/// Between lanes: hops are seen here.
const BETWEEN: f64 = 8.0;
const PREDICTED_BETWEEN: f64 = 5.0;
/// From the top of a lane to that of the next.
pub(super) const PITCH: f64 = MEASURED + BETWEEN;
const PREDICTED_PITCH: f64 = PREDICTED + PREDICTED_BETWEEN;
/// Lanes of one placement; the table has the others.
const MOST: usize = 16;
/// Regions that answer a pointer, in a chart.
const MOST_HOVERS: usize = 240;
/// A shorter segment is no target for a pointer.
const TARGET: f64 = 3.0;

/// How a bar looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// What was measured.
    Filled,
    /// What was predicted.
    Outline,
}

/// The devices of a step, a lane each, in order of first use.
pub(super) struct Lanes {
    /// Lanes of what was measured; one without a name for a step whose stages are not known.
    measured: Vec<String>,
    /// Lanes of what was predicted, where both can be in the order of the others.
    predicted: Vec<String>,
    hidden: usize,
}

/// The longer of what was measured and what was predicted.
pub(super) fn length(step: &StepView) -> f64 {
    sum(&step.measured).max(sum(&step.predicted))
}

impl Lanes {
    pub(super) fn of(step: &StepView) -> Self {
        let mut measured = devices_of(&step.measured);
        let mut predicted = devices_of(&step.predicted);
        let order = |name: &String| measured.iter().position(|known| known == name);
        predicted.sort_by_key(|name| order(name).unwrap_or(usize::MAX));
        let hidden = measured.len().max(predicted.len()).saturating_sub(MOST);
        if measured.is_empty() && !step.measured.is_empty() {
            measured.push(String::new());
        }
        measured.truncate(MOST);
        predicted.truncate(MOST);
        Self {
            measured,
            predicted,
            hidden,
        }
    }

    /// The names of the lanes of what was measured.
    pub(super) fn names(&self) -> &[String] {
        &self.measured
    }

    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Of the lanes of what was measured, without what is between the last and what follows.
    fn measured_height(&self) -> f64 {
        (self.measured.len() as f64 * PITCH - BETWEEN).max(0.0)
    }

    /// From the top to the lanes of what was predicted, where there are any.
    pub(super) fn predicted_from(&self) -> Option<f64> {
        let gap = if self.measured.is_empty() { 0.0 } else { BETWEEN };
        (!self.predicted.is_empty()).then(|| self.measured_height() + gap)
    }

    /// Of all lanes.
    pub(super) fn height(&self) -> f64 {
        let lanes = self.predicted.len() as f64 * PREDICTED_PITCH - PREDICTED_BETWEEN;
        // A line of words stands beside them.
        let lanes = lanes.max(MEASURED);
        self.predicted_from()
            .map_or(self.measured_height(), |from| from + lanes)
    }

    /// The top of a device's lane among those of a kind.
    fn top(&self, device: &str, shape: Shape) -> Option<f64> {
        let (lanes, pitch) = match shape {
            Shape::Filled => (&self.measured, PITCH),
            Shape::Outline => (&self.predicted, PREDICTED_PITCH),
        };
        let number = lanes.iter().position(|known| known == device)?;
        Some(number as f64 * pitch)
    }

    /// What waiting looks like, for as long as a step takes.
    pub(super) fn tracks(&self, scene: &mut Scene, step: &StepView, extent: &Extent, frame: Frame) {
        let width = extent.x(frame, sum(&step.measured)) - frame.x;
        for number in 0..self.measured.len() {
            let y = frame.y + number as f64 * PITCH;
            scene.rect((frame.x, y), (width, MEASURED), Paint::Band);
        }
    }

    /// Stages as bars on their lanes, hops as lines between them, what follows the last stage across all lanes.
    pub(super) fn paint(&self, scene: &mut Scene, segments: &[Segment], extent: &Extent, frame: Frame, shape: Shape) {
        let x_of = |seconds: f64| extent.x(frame, seconds);
        let (shift, height) = match shape {
            Shape::Filled => (0.0, MEASURED),
            Shape::Outline => (self.predicted_from().unwrap_or(0.0), PREDICTED),
        };
        for (segment, from, until) in placed(segments) {
            let (left, right) = (x_of(from), x_of(until));
            match &segment.part {
                Part::Stage { device, colour, .. } => {
                    let Some(top) = self.top(device, shape) else { continue };
                    bar(
                        scene,
                        (left, frame.y + top + shift),
                        (right - left, height),
                        *colour,
                        shape,
                    );
                }
                Part::Hop { from, to, .. } => {
                    let (Some(start), Some(end)) = (self.top(from, shape), self.top(to, shape)) else {
                        continue;
                    };
                    // From the near edge of one bar to that of the other.
                    let (leaves, arrives) = if start < end { (height, 0.0) } else { (0.0, height) };
                    let (start, end) = (frame.y + start + shift + leaves, frame.y + end + shift + arrives);
                    let width = if shape == Shape::Filled { 1.5 } else { 0.75 };
                    scene.line((left, start), (right, end), Paint::Ink, width);
                }
                Part::Rest if shape == Shape::Filled => {
                    let width = right - left;
                    scene.faded_rect((left, frame.y), (width, self.measured_height()), Paint::Rest, 0.75);
                }
                Part::Whole => scene.rect((left, frame.y), (right - left, MEASURED), Paint::Grid),
                Part::Rest => {}
            }
        }
    }

    /// What a pointer is told of each part that is wide enough for one.
    pub(super) fn hovers(&self, scene: &mut Scene, step: &StepView, extent: &Extent, frame: Frame) {
        let mut room = MOST_HOVERS.saturating_sub(scene.marks.iter().filter(|mark| mark.is_hover()).count());
        let x_of = |seconds: f64| extent.x(frame, seconds);
        let whole = step.measured_s.filter(|seconds| *seconds > 0.0);
        let is_alike = step
            .measured
            .iter()
            .filter(|segment| segment.part != Part::Rest)
            .count()
            == step.predicted.len();
        for (index, (segment, from, until)) in placed(&step.measured).enumerate() {
            let (left, right) = (x_of(from), x_of(until));
            if right - left < TARGET || room == 0 {
                continue;
            }
            let (name, top, height) = match &segment.part {
                Part::Stage { device, .. } => {
                    let Some(top) = self.top(device, Shape::Filled) else {
                        continue;
                    };
                    (format!("{device}, {}", segment.part.modules()), top, MEASURED)
                }
                Part::Hop { from, to, .. } => (format!("hop {from} → {to}"), 0.0, self.measured_height()),
                Part::Rest => (
                    "choosing and reporting the token".to_owned(),
                    0.0,
                    self.measured_height(),
                ),
                Part::Whole => continue,
            };
            let share = whole.map(|whole| format!(" ({})", percent(segment.seconds / whole)));
            let predicted = step.predicted.get(index).filter(|_| is_alike);
            let predicted = predicted.map(|segment| format!(", predicted {}", human_seconds(segment.seconds)));
            let words = format!(
                "{name}: {}{}{}",
                human_seconds(segment.seconds),
                share.unwrap_or_default(),
                predicted.unwrap_or_default()
            );
            scene.hover((left, frame.y + top), (right - left, height), words);
            room -= 1;
        }
    }
}

fn devices_of(segments: &[Segment]) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for segment in segments {
        if let Part::Stage { device, .. } = &segment.part
            && !devices.contains(device)
        {
            devices.push(device.clone());
        }
    }
    devices
}

/// Segments with the seconds at which they begin and end.
fn placed(segments: &[Segment]) -> impl Iterator<Item = (&Segment, f64, f64)> {
    let mut until = 0.0;
    segments.iter().map(move |segment| {
        let from = until;
        if segment.seconds.is_finite() {
            until += segment.seconds.max(0.0);
        }
        (segment, from, until)
    })
}

fn bar(scene: &mut Scene, (x, y): (f64, f64), (width, height): (f64, f64), colour: usize, shape: Shape) {
    // However short, a stage that ran is seen.
    let width = width.max(1.0);
    scene.rect((x, y), (width, height), Paint::Device(colour));
    if shape == Shape::Outline {
        let hollow = (width - 2.0 * OUTLINE, height - 2.0 * OUTLINE);
        scene.rect((x + OUTLINE, y + OUTLINE), hollow, Paint::Surface);
    }
}
