//! Where every module is: a bar for each placement, modules in order of execution, coloured by device.

use crate::view::modules::{PlacementView, StageView};
use crate::view::status::outcome_words;
use crate::view::timing::Timing;
use crate::view::words::count;
use crate::view::{CaseView, ReportView};

use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend};

const BAR: f64 = 30.0;
const PLANNED_BAR: f64 = 10.0;
/// From this many modules on, lines between them would cover them.
const MOST_CELLS: usize = 120;

pub(super) fn draw(scene: &mut Scene, view: &ReportView, cases: &[CaseView], frame: Frame) -> f64 {
    let mut used: Vec<(Paint, String)> = Vec::new();
    for device in &view.devices {
        let here = |stage: &StageView| stage.device == *device;
        let placed =
            |case: &CaseView| case.placed.stages.iter().any(here) || case.placed.planned_stages.iter().any(here);
        if cases.iter().any(placed) {
            used.push((Paint::Device(view.colour_of(device)), device.clone()));
        }
    }
    let mut y = if used.is_empty() {
        frame.y
    } else {
        legend(scene, frame, &used)
    };
    for case in cases {
        y = row(scene, case, Frame { y, ..frame }) + 18.0;
    }
    y - 10.0
}

fn row(scene: &mut Scene, case: &CaseView, frame: Frame) -> f64 {
    let place = &case.placed;
    let facts = facts(case);
    let beside = Style::NOTE.width(&facts) * 1.2 + Style::LABEL.width(&case.placement) * 1.1 + 16.0 <= frame.width;
    let mut y = frame.y + 22.0;
    if beside {
        label(scene, frame, frame.y + 13.0, &case.placement, (&facts, Style::NOTE));
    } else {
        scene.text((frame.x, frame.y + 13.0), &case.placement, Style::LABEL, frame.width);
        scene.text((frame.x, frame.y + 29.0), &facts, Style::NOTE, frame.width);
        y += 16.0;
    }
    if place.stages.is_empty() {
        scene.faded_rect((frame.x, y), (frame.width, BAR), Paint::Band, 1.0);
        let why = format!("no placement on record: {}", place.missing);
        scene.text((frame.x + 12.0, y + 19.0), &why, Style::NOTE, frame.width - 24.0);
        return y + BAR + 6.0;
    }
    if !place.planned_stages.is_empty() {
        scene.text((frame.x, y + 10.0), "planned", Style::NOTE, frame.width);
        y += 15.0;
        bar(scene, &place.planned_stages, Frame { y, ..frame }, PLANNED_BAR, 1.0);
        y += PLANNED_BAR + 4.0;
        scene.text((frame.x, y + 11.0), "loaded", Style::ALARM, frame.width);
        y += 16.0;
    }
    let opacity = if place.loaded { 1.0 } else { 0.45 };
    bar(scene, &place.stages, Frame { y, ..frame }, BAR, opacity);
    names(scene, place, Frame { y, ..frame });
    y += BAR;
    stuck(scene, case, Frame { y, ..frame })
}

/// Devices, hops and bytes of a placement, and what became of it.
fn facts(case: &CaseView) -> String {
    let place = &case.placed;
    let mut devices: Vec<&str> = place.stages.iter().map(|stage| stage.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    let mut facts = Vec::new();
    if !devices.is_empty() {
        facts.push(count(devices.len(), "device", "devices"));
    }
    if !place.loaded && !devices.is_empty() {
        facts.push("planned, not loaded".to_owned());
    }
    if !case.traffic.is_empty() {
        facts.push(case.traffic.clone());
    }
    if case.outcome != "completed" {
        facts.push(case.status_words.clone());
    } else if matches!(case.timing, Timing::Invalid(_)) {
        facts.push(format!("text {}", case.text_words));
    }
    facts.join(" · ")
}

fn bar(scene: &mut Scene, stages: &[StageView], frame: Frame, height: f64, opacity: f64) {
    let modules: usize = stages.iter().map(|stage| stage.modules).sum();
    let cell = frame.width / modules.max(1) as f64;
    let mut x = frame.x;
    for stage in stages {
        let width = cell * stage.modules as f64;
        scene.faded_rect((x, frame.y), (width, height), Paint::Device(stage.colour), opacity);
        if modules <= MOST_CELLS && height >= BAR && opacity >= 1.0 {
            for between in 1..stage.modules {
                let at = x + cell * between as f64;
                scene.faded_rect((at - 0.5, frame.y), (1.0, height), Paint::Surface, 0.35);
            }
        }
        x += width;
        if x < frame.right() - 0.5 {
            let gap = (cell * 0.3).min(3.0);
            scene.rect((x - gap / 2.0, frame.y), (gap, height), Paint::Surface);
        }
    }
}

/// Device and bytes inside each stage, its modules below it, and a line for each hop.
fn names(scene: &mut Scene, place: &PlacementView, frame: Frame) {
    let modules: usize = place.stages.iter().map(|stage| stage.modules).sum();
    let cell = frame.width / modules.max(1) as f64;
    let mut x = frame.x;
    let mut free_from = frame.x;
    for stage in &place.stages {
        let width = cell * stage.modules as f64;
        // Text on a faded bar is read on the page's colour, not on the device's.
        let ink = if place.loaded {
            Paint::OnDevice(stage.colour)
        } else {
            Paint::Ink
        };
        let full = if stage.size.is_empty() {
            stage.device.clone()
        } else {
            format!("{} · {}", stage.device, stage.size)
        };
        let style = Style::NOTE.paint(ink);
        let words = if style.width(&full) * 1.15 + 16.0 <= width {
            full.as_str()
        } else {
            stage.device.as_str()
        };
        if style.width(words).min(40.0) * 1.15 + 8.0 <= width {
            if place.loaded {
                // The lines between modules must not cross the words.
                let covered = (style.width(words) * 1.15 + 8.0).min(width);
                scene.rect(
                    (x + (width - covered) / 2.0, frame.y),
                    (covered, BAR),
                    Paint::Device(stage.colour),
                );
            }
            scene.text((x + width / 2.0, frame.y + 19.0), words, style.middle(), width - 8.0);
        }
        let range = range(stage);
        let room = frame.right() - x;
        let needed = Style::NOTE.width(&range) * 1.1 + 12.0;
        if x >= free_from && (needed <= width || (place.stages.len() == 1 && room > 60.0)) {
            scene.text((x, frame.y + BAR + 15.0), &range, Style::NOTE, width);
            free_from = x + needed.min(width);
        }
        x += width;
        if x < frame.right() - 0.5 {
            let thick = (cell * 0.15).min(1.5);
            scene.line((x, frame.y - 4.0), (x, frame.y + BAR + 4.0), Paint::Ink, thick);
        }
    }
}

/// `embed_tokens … layers.3`, without what all modules begin with.
fn range(stage: &StageView) -> String {
    let short = |name: &str| name.strip_prefix("model.").unwrap_or(name).to_owned();
    if stage.modules == 1 {
        short(&stage.first)
    } else {
        format!("{} – {}", short(&stage.first), short(&stage.last))
    }
}

/// The place where a case ended, below its bar. Returns the bottom of the row.
fn stuck(scene: &mut Scene, case: &CaseView, frame: Frame) -> f64 {
    let Some(at) = &case.place else {
        return frame.y + 20.0;
    };
    let place = &case.placed;
    let module = at.split_once(" → ").map_or(at.as_str(), |(_, to)| to);
    let names: Vec<&str> = place.modules.iter().map(|module| module.module.as_str()).collect();
    let y = frame.y + 20.0;
    if let Some(index) = names.iter().position(|name| *name == module) {
        let cell = frame.width / names.len().max(1) as f64;
        let is_hop = at.contains(" → ");
        let x = frame.x + cell * (index as f64 + if is_hop { 0.0 } else { 0.5 });
        scene.line((x, frame.y - BAR - 7.0), (x, frame.y + 7.0), Paint::Alarm, 3.0);
    }
    let words = format!("{} at {at}", case.outcome_kind.map_or("ended", outcome_words));
    scene.text((frame.x, y + 12.0), &words, Style::ALARM, frame.width);
    y + 18.0
}
