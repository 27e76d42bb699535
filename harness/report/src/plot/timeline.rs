//! Who works while a token is made: a lane for each device, time from left to right, hops from lane to lane.
//!
//! What was measured is filled, what was predicted is outlined below it. A device that waits is an empty lane, with its
//! share of the time in words.

use placebench_core::units::human_seconds;

use crate::view::steps::{Part, Segment, StepView};
use crate::view::words::count;
use crate::view::work::percent;
use crate::view::{CaseView, Figure, ReportView};

use super::extent::Extent;
use super::lanes::{self, Lanes, PITCH, Shape};
use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend};

const GAP: f64 = 44.0;
/// Below this width the two panels stand below each other.
const SIDE_BY_SIDE: f64 = 700.0;
/// Devices that the legend names.
const MOST_COLOURS: usize = 8;
/// From this ratio of the longest step to the shortest on, each placement has its own scale: on one scale the short ones
/// would be lines without lanes.
const OWN_SCALE_FROM: f64 = 8.0;

pub(super) fn draw(scene: &mut Scene, view: &ReportView, cases: &[CaseView], frame: Frame) -> f64 {
    let y = legend(scene, frame, &names(view, cases));
    let frame = Frame { y, ..frame };
    let width = (frame.width - GAP) / 2.0;
    if frame.width >= SIDE_BY_SIDE {
        let left = panel(scene, "First token", cases, 0, Frame { width, ..frame });
        let x = frame.x + width + GAP;
        let right = panel(scene, "Each token after it", cases, 1, Frame { x, width, ..frame });
        left.max(right)
    } else {
        let y = panel(scene, "First token", cases, 0, frame) + 20.0;
        panel(scene, "Each token after it", cases, 1, Frame { y, ..frame })
    }
}

/// What the colours mean, as far as they are used; devices are named at their lanes.
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
            names.push((Paint::Device(view.colour_of(name)), format!("{name} works")));
        }
    }
    // Colours come again after so many, and lanes have names.
    if names.len() > MOST_COLOURS {
        names.clear();
    }
    if used(&|part| matches!(part, Part::Hop { .. })) {
        names.push((Paint::Ink, "hop".into()));
    }
    if used(&|part| matches!(part, Part::Rest)) {
        let words = match cases.iter().any(|case| case.in_flight > 1) {
            true => "choosing the token, waiting for a turn",
            false => "choosing the token",
        };
        names.push((Paint::Rest, words.into()));
    }
    if used(&|part| *part == Part::Whole) {
        names.push((Paint::Grid, "stages not measured".into()));
    }
    names
}

/// What a panel has of each placement.
type Rows<'a> = Vec<(&'a CaseView, &'a StepView)>;

fn panel(scene: &mut Scene, title: &str, cases: &[CaseView], step: usize, frame: Frame) -> f64 {
    let steps: Rows<'_> = cases
        .iter()
        .filter_map(|case| Some((case, case.steps.get(step)?)))
        .collect();
    let lengths = || {
        let lengths = steps.iter().map(|(_, step)| lanes::length(step));
        lengths.filter(|seconds| seconds.is_finite() && *seconds > 0.0)
    };
    let longest = lengths().fold(0.0, f64::max);
    let shortest = lengths().fold(f64::INFINITY, f64::min);
    let has_own_scales = longest / shortest >= OWN_SCALE_FROM;
    let heading = match has_own_scales {
        true => format!("{title}, each placement on its own scale"),
        false => title.to_owned(),
    };
    let heading = match step == 1 && steps.iter().any(|(case, _)| case.in_flight > 1) {
        true => format!("{heading}; in flight, idle shares count all sequences"),
        false => heading,
    };
    let most = if frame.width > 300.0 { 4 } else { 3 };
    let shared = Extent::seconds(longest, most);
    let names = lane_names(&steps, frame.width);
    scene.text((frame.x, frame.y + 12.0), &heading, Style::NOTE, frame.width);
    let mut y = frame.y + 26.0;
    for (case, step) in &steps {
        let own = has_own_scales.then(|| lanes::length(step));
        let own = own.and_then(|length| Extent::seconds(length, most));
        let extent = if has_own_scales { own } else { shared.clone() };
        y = row(scene, case, step, (extent.as_ref(), names), Frame { y, ..frame }) + 12.0;
    }
    let (name, idle) = names;
    let scale = Frame {
        x: frame.x + name,
        y: y - 8.0,
        width: frame.width - name - idle,
    };
    match shared.filter(|_| !has_own_scales) {
        Some(extent) => extent.below(scene, scale),
        None => y,
    }
}

/// Room for the names of lanes, and for their idle shares.
fn lane_names(steps: &Rows<'_>, width: f64) -> (f64, f64) {
    let devices = steps
        .iter()
        .flat_map(|(_, step)| step.measured.iter().chain(&step.predicted));
    let widths = devices.map(|segment| match &segment.part {
        Part::Stage { device, .. } => Style::NOTE.width(device) * 1.1 + 8.0,
        Part::Hop { .. } | Part::Rest | Part::Whole => 0.0,
    });
    let predicted = match steps.iter().any(|(_, step)| !step.predicted.is_empty()) {
        true => Style::NOTE.width("predicted") * 1.1 + 8.0,
        false => 0.0,
    };
    let idle = match steps.iter().any(|(_, step)| !step.work.is_empty()) {
        true => Style::NOTE.width("idle > 99 %") * 1.1 + 6.0,
        false => 0.0,
    };
    (widths.fold(predicted, f64::max).min(width * 0.3), idle)
}

fn row(
    scene: &mut Scene,
    case: &CaseView,
    step: &StepView,
    (extent, (name, idle)): (Option<&Extent>, (f64, f64)),
    frame: Frame,
) -> f64 {
    let predicted = step
        .predicted_s
        .map(|seconds| format!("predicted {}", human_seconds(seconds)));
    let measured = step.measured_s.map(human_seconds);
    let flight = (case.in_flight > 1).then(|| format!("one of {} in flight", case.in_flight));
    let words: Vec<String> = measured.into_iter().chain(predicted).chain(flight).collect();
    label(
        scene,
        frame,
        frame.y + 13.0,
        &case.placement,
        (&words.join(" · "), Style::NOTE),
    );
    let mut y = frame.y + 22.0;
    match &step.figure {
        Figure::Measured(_) => {}
        Figure::Invalid(why) => {
            scene.text((frame.x, y + 10.0), why, Style::ALARM, frame.width);
            y += 16.0;
        }
        Figure::Missing(why) => {
            scene.text((frame.x, y + 10.0), why, Style::NOTE, frame.width);
            y += 16.0;
        }
    }
    if !step.why_whole.is_empty() {
        let words = format!("stages not measured: {}", step.why_whole);
        scene.text((frame.x, y + 10.0), &words, Style::NOTE, frame.width);
        y += 16.0;
    }
    let Some(extent) = extent else { return y };
    let plot = Frame {
        x: frame.x + name,
        y,
        width: frame.width - name - idle,
    };
    let lanes = Lanes::of(step);
    let ink = Style::NOTE.paint(Paint::Ink);
    for (number, device) in lanes.names().iter().enumerate() {
        let baseline = y + PITCH * number as f64 + 10.0;
        scene.text((frame.x, baseline), device, ink, name - 6.0);
        if let Some(work) = step.work.iter().find(|work| work.device == *device) {
            let words = percent(work.idle).replace("less than", "<").replace("more than", ">");
            scene.text(
                (frame.right(), baseline),
                &format!("idle {words}"),
                Style::NOTE.end(),
                idle,
            );
        }
    }
    if let Some(from) = lanes.predicted_from() {
        scene.text((frame.x, y + from + 9.0), "predicted", Style::NOTE, name - 6.0);
        lanes.paint(scene, &step.predicted, extent, plot, Shape::Outline);
    }
    lanes.tracks(scene, step, extent, plot);
    lanes.paint(scene, &step.measured, extent, plot, Shape::Filled);
    lanes.hovers(scene, step, extent, plot);
    let hidden = lanes.hidden();
    y += lanes.height();
    if hidden > 0 {
        let words = format!("… and {}: see the table", count(hidden, "more device", "more devices"));
        scene.text((frame.x, y + 11.0), &words, Style::NOTE, frame.width);
        y += 16.0;
    }
    y
}

/// Sum of what has a length.
pub(super) fn sum(segments: &[Segment]) -> f64 {
    let seconds = segments.iter().map(|segment| segment.seconds);
    seconds
        .filter(|seconds| seconds.is_finite())
        .map(|seconds| seconds.max(0.0))
        .sum()
}
