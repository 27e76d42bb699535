//! The time until the first token, to scale: phases before the first generation, then the first step by stages and hops.

use placebench_core::outcome::Phase;
use placebench_core::units::human_seconds;

use crate::view::first_token::{drawn, part_words, phase_words};
use crate::view::steps::Part;
use crate::view::{CaseView, Figure, ReportView};

use super::axis::Axis;
use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend, row_name, scale_below};

const BAR: f64 = 22.0;
const GAP: f64 = 40.0;
/// Below this width the two panels stand below each other.
const SIDE_BY_SIDE: f64 = 640.0;
/// Room for a time beside a name.
const VALUE_ROOM: f64 = 100.0;
/// Thinner parts cannot be pointed at.
const POINTABLE: f64 = 3.0;

/// A part of a bar.
struct Piece {
    paint: Paint,
    seconds: f64,
    /// In the bar, where there is room; empty for none.
    short: String,
    /// On the bar's paint.
    ink: Paint,
    /// On pointing.
    words: String,
}

/// A bar with what stands beside it.
struct Bar<'a> {
    name: String,
    pieces: Vec<Piece>,
    words: String,
    /// Why there is no bar.
    why: (&'a str, Style),
}

pub(super) fn draw(scene: &mut Scene, view: &ReportView, (cases, reference): (&[CaseView], &str), frame: Frame) -> f64 {
    let before: Vec<Bar<'_>> = cases.iter().map(|case| before(case, reference)).collect();
    let first: Vec<Bar<'_>> = cases.iter().map(|case| first(case, reference)).collect();
    let before_panel = |scene: &mut Scene, frame: Frame| {
        let title = "Before the first generation, once for each process";
        let y = panel(scene, title, &before, frame) + 8.0;
        phase_legend(scene, cases, Frame { y, ..frame })
    };
    let first_panel = |scene: &mut Scene, frame: Frame| {
        let y = panel(scene, "Time to first token", &first, frame) + 8.0;
        part_legend(scene, view, cases, Frame { y, ..frame })
    };
    if before.iter().all(|bar| bar.pieces.is_empty()) {
        return first_panel(scene, frame);
    }
    let width = (frame.width - GAP) / 2.0;
    let widest = first.iter().map(|bar| Style::LABEL.width(&bar.name) * 1.1);
    if frame.width >= SIDE_BY_SIDE && widest.fold(0.0, f64::max) + VALUE_ROOM <= width {
        let left = before_panel(scene, Frame { width, ..frame });
        let x = frame.x + width + GAP;
        left.max(first_panel(scene, Frame { x, width, ..frame }))
    } else {
        let y = before_panel(scene, frame) + 10.0;
        first_panel(scene, Frame { y, ..frame })
    }
}

fn phase_paint(phase: Phase) -> (Paint, Paint) {
    match phase {
        Phase::Load => (Paint::Weights, Paint::Surface),
        Phase::Prepare => (Paint::Cache, Paint::Ink),
        Phase::Plan => (Paint::Rest, Paint::Ink),
        _ => (Paint::Grid, Paint::Ink),
    }
}

fn before<'a>(case: &'a CaseView, reference: &str) -> Bar<'a> {
    let piece = |phase: &crate::view::first_token::PhaseTime| {
        let (paint, _) = phase_paint(phase.phase);
        Piece {
            paint,
            seconds: phase.seconds,
            short: String::new(),
            ink: Paint::Ink,
            words: format!("{}: {}", phase_words(phase.phase), human_seconds(phase.seconds)),
        }
    };
    let style = if case.latency.first_token.why.starts_with("invalid") {
        Style::ALARM
    } else {
        Style::NOTE
    };
    Bar {
        name: row_name(case, reference),
        pieces: case.latency.first_token.before.iter().map(piece).collect(),
        words: match case.latency.first_token.before.is_empty() {
            true => String::new(),
            false => human_seconds(case.latency.first_token.before_s()),
        },
        why: (&case.latency.first_token.why, style),
    }
}

fn first<'a>(case: &'a CaseView, reference: &str) -> Bar<'a> {
    let step = &case.steps[0];
    let whole = step.measured_s.filter(|seconds| *seconds > 0.0);
    let piece = |segment: &crate::view::steps::Segment| {
        let (paint, ink, short) = match &segment.part {
            Part::Stage { device, colour, .. } => (Paint::Device(*colour), Paint::OnDevice(*colour), device.clone()),
            Part::Hop { .. } => (Paint::Ink, Paint::Surface, "hop".to_owned()),
            Part::Rest => (Paint::Rest, Paint::Ink, String::new()),
            Part::Whole => (Paint::Grid, Paint::Ink, "stages not measured".to_owned()),
        };
        let share = whole
            .map(|whole| format!(", {:.0} %", 100.0 * segment.seconds / whole))
            .unwrap_or_default();
        Piece {
            paint,
            seconds: segment.seconds,
            short,
            ink,
            words: format!(
                "{}: {}{share}",
                part_words(&segment.part),
                human_seconds(segment.seconds)
            ),
        }
    };
    let (words, why) = match &step.figure {
        Figure::Measured(_) if !case.latency.first_token.is_timed => {
            (String::new(), (case.latency.first_token.why.as_str(), Style::NOTE))
        }
        Figure::Measured(words) => (words.clone(), ("", Style::NOTE)),
        Figure::Invalid(why) => (String::new(), (why.as_str(), Style::ALARM)),
        Figure::Missing(why) => (String::new(), (why.as_str(), Style::NOTE)),
    };
    Bar {
        name: row_name(case, reference),
        pieces: drawn(&case.latency.first_token, step).iter().map(piece).collect(),
        words,
        why,
    }
}

fn panel(scene: &mut Scene, title: &str, bars: &[Bar<'_>], frame: Frame) -> f64 {
    let lengths = bars.iter().map(|bar| length(&bar.pieces));
    let longest = lengths.clone().fold(0.0, f64::max);
    let axis = Axis::linear_seconds(longest, if frame.width > 500.0 { 6 } else { 3 });
    scene.text((frame.x, frame.y + 12.0), title, Style::NOTE, frame.width);
    let mut y = frame.y + 24.0;
    for bar in bars {
        label(scene, frame, y + 13.0, &bar.name, (&bar.words, Style::VALUE));
        let top = y + 20.0;
        scene.rect((frame.x, top), (frame.width, BAR), Paint::Band);
        match &axis {
            Some(axis) if bar.why.0.is_empty() => pieces(scene, bar, axis, Frame { y: top, ..frame }),
            _ => {
                scene.text((frame.x + 10.0, top + 15.0), bar.why.0, bar.why.1, frame.width - 20.0);
            }
        }
        y = top + BAR + 12.0;
    }
    match &axis {
        Some(axis) => scale_below(scene, axis, Frame { y: y - 2.0, ..frame }, 0.0),
        None => y,
    }
}

fn length(pieces: &[Piece]) -> f64 {
    let seconds = pieces.iter().map(|piece| piece.seconds);
    seconds.filter(|seconds| seconds.is_finite()).sum()
}

fn pieces(scene: &mut Scene, bar: &Bar<'_>, axis: &Axis, frame: Frame) {
    let x_of = |seconds: f64| frame.x + axis.position(seconds) * frame.width;
    let mut until = 0.0;
    for piece in bar.pieces.iter().filter(|piece| piece.seconds.is_finite()) {
        let left = x_of(until);
        until += piece.seconds.max(0.0);
        let right = x_of(until);
        // A hop too short to see is still where two stages part.
        if piece.paint == Paint::Ink && right - left < 1.5 {
            scene.line((left, frame.y), (left, frame.y + BAR), Paint::Ink, 1.5);
            continue;
        }
        // A hair between neighbours, as two stages may have one colour.
        let width = if right - left > 3.0 {
            right - left - 1.0
        } else {
            right - left
        };
        scene.rect((left, frame.y), (width, BAR), piece.paint);
        let style = Style::NOTE.paint(piece.ink);
        if !piece.short.is_empty() && style.width(&piece.short) * 1.15 + 8.0 <= right - left {
            let at = (f64::midpoint(left, right), frame.y + 15.0);
            scene.text(at, &piece.short, style.middle(), right - left - 8.0);
        }
        if right - left >= POINTABLE {
            scene.hover((left, frame.y), (right - left, BAR), piece.words.as_str());
        }
    }
}

fn phase_legend(scene: &mut Scene, cases: &[CaseView], frame: Frame) -> f64 {
    let there = |wanted: &[Phase]| {
        let mut phases = cases.iter().flat_map(|case| &case.latency.first_token.before);
        phases.any(|phase| wanted.contains(&phase.phase))
    };
    let groups: [(&[Phase], &str); 4] = [
        (&[Phase::Spawn, Phase::Resolve], "start, find files and devices"),
        (&[Phase::Plan], "plan the device map"),
        (&[Phase::Load], "read and place weights"),
        (&[Phase::Prepare], "tokenise and prepare"),
    ];
    let entries = groups.into_iter().filter(|(phases, _)| there(phases));
    let entries: Vec<(Paint, String)> = entries
        .filter_map(|(phases, words)| Some((phase_paint(*phases.first()?).0, words.to_owned())))
        .collect();
    legend(scene, frame, &entries)
}

fn part_legend(scene: &mut Scene, view: &ReportView, cases: &[CaseView], frame: Frame) -> f64 {
    let used = |wanted: &dyn Fn(&Part) -> bool| {
        let mut parts = cases
            .iter()
            .flat_map(|case| drawn(&case.latency.first_token, &case.steps[0]));
        parts.any(|segment| wanted(&segment.part))
    };
    let mut entries: Vec<(Paint, String)> = Vec::new();
    for name in &view.devices {
        if used(&|part| matches!(part, Part::Stage { device, .. } if device == name)) {
            entries.push((Paint::Device(view.colour_of(name)), name.clone()));
        }
    }
    if used(&|part| matches!(part, Part::Hop { .. })) {
        entries.push((Paint::Ink, "hop".into()));
    }
    if used(&|part| *part == Part::Rest) {
        entries.push((Paint::Rest, "other: choosing and handing out the token".into()));
    }
    match entries.is_empty() {
        true => frame.y,
        false => legend(scene, frame, &entries),
    }
}
