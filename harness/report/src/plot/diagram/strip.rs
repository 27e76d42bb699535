//! A placement as one strip, coloured by device: where there is no room for lanes.

use crate::plot::palette::Paint;
use crate::plot::pattern;
use crate::plot::scene::{Scene, Style};
use crate::view::device_use::DeviceUseView;
use crate::view::modules::ModuleView;

use super::block::{self, Look, blocks};
use super::lanes::gauge;
use super::{GAUGE, MOST_LANES, Row, SLACK, at_mark, hover};

/// Height of a strip, of a low one, and of the one above that shows the plan.
const STRIP: f64 = 24.0;
const LOW: f64 = 12.0;
const PLANNED: f64 = 5.0;

pub(super) fn draw(scene: &mut Scene, row: &Row<'_>, y: f64) -> f64 {
    let place = &row.case.placed;
    let layout = row.layout;
    let mut y = row.head(scene, y);
    if !place.planned_stages.is_empty() {
        strip(
            scene,
            row,
            (y, PLANNED),
            |module| module.resolved.as_deref(),
            |_, _| Look::Here,
        );
        y += PLANNED + 2.0;
    }
    let height = if layout.is_compact { LOW } else { STRIP };
    let is_streamed = place.modules.iter().any(|module| module.runs_on.is_some());
    let look = |index: usize, module: &ModuleView| match row.look(index, module) {
        Look::Resting => Look::Here,
        look => look,
    };
    if is_streamed {
        // Above, where modules run; below, where their weights rest.
        strip(scene, row, (y, height / 2.0), ModuleView::runs, look);
        strip(scene, row, (y + height / 2.0, height / 2.0), ModuleView::rests, look);
    } else {
        strip(scene, row, (y, height), ModuleView::rests, look);
        if !layout.is_compact {
            device_names(scene, row, y);
        }
    }
    for (run, ()) in row.runs(|_, module| module.missed().map(|_| ())) {
        let (left, right) = (row.columns.left(run.from), row.columns.left(run.to));
        scene.rect((left, y + height + 1.0), (right - left - 1.0, 2.5), Paint::Alarm);
    }
    hover::strip(scene, row, (y, height));
    let marked = (y, height);
    y += height + 6.0;
    y = broken(scene, row, marked, y);
    y = devices(scene, row, y);
    row.remarks(scene, y)
}

fn strip<'a>(
    scene: &mut Scene,
    row: &Row<'a>,
    level: (f64, f64),
    device: impl Fn(&'a ModuleView) -> Option<&'a str>,
    look: impl Fn(usize, &ModuleView) -> Look,
) {
    let modules = row.case.placed.modules.iter().enumerate();
    let cells: Vec<Option<(usize, Look)>> = modules
        .map(|(index, module)| Some((row.colour(device(module)?)?, look(index, module))))
        .collect();
    for (run, (colour, look)) in row.runs(|index, _| cells.get(index).copied().flatten()) {
        let what = (Paint::Device(colour), look, Paint::Surface);
        blocks(scene, row.columns, run, level, what);
    }
}

/// The name of the device in each part of the strip that has room for it.
fn device_names(scene: &mut Scene, row: &Row<'_>, y: f64) {
    for (run, device) in row.runs(|_, module| module.rests().map(str::to_owned)) {
        let Some(colour) = row.colour(&device) else { continue };
        let (left, right) = (row.columns.left(run.from), row.columns.left(run.to));
        let is_seen = (run.from..run.to).all(|index| {
            let module = row.case.placed.modules.get(index);
            module.is_some_and(|module| !matches!(row.look(index, module), Look::Pale | Look::Hollow))
        });
        let ink = if is_seen { Paint::OnDevice(colour) } else { Paint::Ink };
        let style = Style::NOTE.paint(ink);
        let needed = style.width(&device) * SLACK;
        if needed + 10.0 > right - left {
            continue;
        }
        let middle = f64::midpoint(left, right);
        // The gaps between modules, and stripes, must not cross the words.
        let ground = if is_seen { Paint::Device(colour) } else { Paint::Surface };
        let rim = if is_seen { 0.0 } else { 2.0 };
        let size = (needed + 8.0, STRIP - 2.0 * rim);
        scene.fill(vec![pattern::rect((middle - size.0 / 2.0, y + rim), size)], ground, 1.0);
        scene.text((middle, y + 16.0), &device, style.middle(), needed);
    }
}

/// The place where the case broke, with what happened below. Returns the bottom.
fn broken(scene: &mut Scene, row: &Row<'_>, (top, height): (f64, f64), y: f64) -> f64 {
    let Some(broken) = &row.case.placed.broken else {
        return y;
    };
    let (left, right) = (row.columns.left(broken.at), row.columns.right(broken.at));
    let frame = row.layout.frame;
    let at = if broken.is_hop {
        scene.line((left, top - 3.0), (left, y + 1.0), Paint::Alarm, 2.5);
        left
    } else {
        let middle = f64::midpoint(left, right);
        let wide = (right - left + 3.0).max(9.0).min(frame.width);
        let left = (middle - wide / 2.0 - 0.5).min(frame.right() - wide).max(frame.x);
        block::frame(scene, (left, top - 2.0), (wide, height + 4.0), Paint::Alarm, 2.5);
        scene.line((middle, top + height + 2.0), (middle, y + 1.0), Paint::Alarm, 1.5);
        middle
    };
    at_mark(scene, frame, (at, y + 12.0), &broken.words);
    y + 18.0
}

/// What each device holds, a line each; of many, only those that hold too much. Returns the bottom.
fn devices(scene: &mut Scene, row: &Row<'_>, y: f64) -> f64 {
    let all = &row.case.placed.devices;
    let frame = row.layout.frame;
    let is_short = row.layout.is_compact || all.len() > MOST_LANES;
    let shown = |device: &&DeviceUseView| !device.words.is_empty() && (device.is_over || !is_short);
    let devices: Vec<&DeviceUseView> = all.iter().filter(shown).collect();
    if devices.is_empty() {
        return y;
    }
    let mut y = y;
    for device in devices {
        scene.rect((frame.x, y + 3.0), (9.0, 9.0), Paint::Device(device.colour));
        let words = format!("{} · {}", device.device, device.words);
        let style = if device.is_over { Style::ALARM } else { Style::NOTE };
        let room = frame.width - 15.0 - GAUGE.0 - 10.0;
        scene.text((frame.x + 15.0, y + 12.0), &words, style, room);
        gauge(scene, (frame.right() - GAUGE.0, y + 3.0), device);
        y += 17.0;
    }
    y + 2.0
}
