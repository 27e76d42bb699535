//! What is in the memory of each device: planned above measured, against the budget.
//!
//! A row a device, on one scale for all placements: what was planned as a thin bar, what was measured as a thick one, both
//! on the track of what may be used, which ends in the mark of the budget.

use placebench_core::units::Bytes;

use crate::view::CaseView;
use crate::view::memory::MemoryView;
use crate::view::words::count;

use super::extent::Extent;
use super::font::{Weight, wrap};
use super::memory_words::{Words, row_hover, segment_hover};
use super::palette::Paint;
use super::scene::{Scene, Style, size};
use super::{Frame, label, legend};

/// Devices of one placement in the chart; the table below it has them all.
const MOST_DEVICES: usize = 16;
/// A budget this many times larger than everything in the chart would shrink it to nothing: it is named, not drawn.
const FAR_AWAY: f64 = 6.0;
/// From this width on, names and figures stand beside their bar instead of above it.
const BESIDE: f64 = 600.0;
/// From so many rows on, all are lower.
const DENSE_FROM: usize = 60;
/// Regions that answer a pointer: a page with more of them would be heavy.
const MOST_HOVERS: usize = 240;
/// A shorter segment is no target for a pointer.
const TARGET: f64 = 3.0;
/// Between accelerators and the host.
const APART: f64 = 8.0;
/// Room for a line of words above or below a bar.
const LINE: f64 = 16.0;

/// How high the parts of a row are.
#[derive(Clone, Copy)]
struct Heights {
    planned: f64,
    measured: f64,
    pitch: f64,
}

impl Heights {
    const ROOMY: Self = Self {
        planned: 4.0,
        measured: 11.0,
        pitch: 25.0,
    };
    const DENSE: Self = Self {
        planned: 3.0,
        measured: 7.0,
        pitch: 15.0,
    };

    fn bar(self) -> f64 {
        self.planned + self.measured
    }
}

/// Where everything of a row stands.
struct Layout {
    heights: Heights,
    /// Names and figures beside the bars.
    is_beside: bool,
    /// The bars, wherever they are.
    bars: Frame,
    /// Right ends of the columns of figures.
    columns: [f64; 3],
    extent: Option<Extent>,
    /// Who sets all budgets; empty where several do, so that each has to be told.
    source: &'static str,
}

impl Layout {
    fn x_of(&self, extent: &Extent, bytes: f64) -> f64 {
        extent.x(self.bars, bytes)
    }
}

pub(super) fn draw(scene: &mut Scene, cases: &[CaseView], frame: Frame) -> f64 {
    let layout = layout(cases, frame);
    let mut y = legend(scene, frame, &names(cases, layout.source));
    for case in cases {
        y = placement(scene, case, &layout, Frame { y, ..frame }) + 10.0;
    }
    match &layout.extent {
        Some(extent) => extent.below(
            scene,
            Frame {
                y: y - 12.0,
                ..layout.bars
            },
        ),
        None => y,
    }
}

/// What the colours mean, as far as they are used.
fn names(cases: &[CaseView], source: &str) -> Vec<(Paint, String)> {
    let devices = || cases.iter().flat_map(|case| &case.memory);
    let mut names = vec![
        (Paint::Weights, "weights".to_owned()),
        (Paint::Cache, "KV cache".to_owned()),
        (Paint::Rest, "activations and the rest".to_owned()),
    ];
    if devices().any(|device| device.budget.is_some()) {
        names.push((Paint::Band, "head-room".to_owned()));
        let whose = if source.is_empty() {
            "budget".to_owned()
        } else {
            format!("budget: {source}")
        };
        names.push((Paint::Ink, whose));
    }
    if devices().any(|device| device.refusal.is_some() || device.utilisation().is_some_and(|share| share > 1.0)) {
        names.push((Paint::Alarm, "more than is allowed".to_owned()));
    }
    names
}

fn layout(cases: &[CaseView], frame: Frame) -> Layout {
    let devices = || cases.iter().flat_map(|case| case.memory.iter().take(MOST_DEVICES));
    let largest = devices().map(MemoryView::largest).max().unwrap_or_default();
    let near = |budget: &Bytes| largest.0 == 0 || budget.as_f64() <= largest.as_f64() * FAR_AWAY;
    let budgets = devices().filter_map(|device| device.budget).filter(near).max();
    let is_beside = frame.width >= BESIDE;
    // A bar whose budget is not drawn must not look as if it had no room.
    let is_any_far = devices()
        .filter_map(|device| device.budget)
        .any(|budget| !near(&budget));
    let room = if is_any_far { largest.0 / 5 } else { 0 };
    let end = Bytes(largest.0.saturating_add(room)).max(budgets.unwrap_or_default());
    let extent = |width: f64| Extent::bytes(end, if width > 450.0 { 6 } else { 3 });
    let mut sources = devices()
        .map(|device| device.source)
        .filter(|source| !source.is_empty());
    let source = sources.next().unwrap_or_default();
    let source = if sources.all(|other| other == source) {
        source
    } else {
        ""
    };
    let heights = match devices().count() {
        rows if rows >= DENSE_FROM => Heights::DENSE,
        _ => Heights::ROOMY,
    };
    if !is_beside {
        return Layout {
            heights,
            is_beside,
            bars: frame,
            columns: [frame.right(); 3],
            extent: extent(frame.width),
            source,
        };
    }
    let widest = |of: &dyn Fn(&MemoryView) -> f64, most: f64| devices().map(of).fold(0.0, f64::max).min(most);
    // A browser's own font may be wider than the one that is measured with.
    let wide = |words: &str| match words {
        "" => 0.0,
        words => Style::ALARM.width(words) * 1.1 + 10.0,
    };
    let name = widest(&|device| wide(&device.device), frame.width * 0.2).max(30.0);
    let figure =
        |index: usize, most: f64| widest(&|device| wide(Words::of(device, source).columns[index].as_str()), most);
    let room = [
        figure(0, frame.width * 0.38),
        figure(1, frame.width * 0.1),
        figure(2, frame.width * 0.16),
    ];
    let right = frame.right();
    let bars = Frame {
        x: frame.x + name,
        width: frame.width - name - room.iter().sum::<f64>() - 4.0,
        ..frame
    };
    Layout {
        heights,
        is_beside,
        bars,
        columns: [right - room[1] - room[2], right - room[2], right],
        extent: extent(bars.width),
        source,
    }
}

fn placement(scene: &mut Scene, case: &CaseView, layout: &Layout, frame: Frame) -> f64 {
    let (words, style) = beside_name(case);
    label(scene, frame, frame.y + 13.0, &case.placement, (&words, style));
    let mut y = frame.y + 22.0;
    if case.memory.is_empty() {
        return y - 4.0;
    }
    let shown = || case.memory.iter().take(MOST_DEVICES);
    let mut place = case.memory.first().map(|device| device.place);
    for device in shown() {
        // Memory of the host is not that of an accelerator: it stands a little apart.
        if place != Some(device.place) {
            y += APART;
            place = Some(device.place);
        }
        y = row(scene, device, layout, Frame { y, ..frame });
    }
    let rest = case.memory.len().saturating_sub(MOST_DEVICES);
    if rest > 0 {
        let words = format!("… and {}: see the table", count(rest, "more device", "more devices"));
        scene.text((frame.x, y + 11.0), &words, Style::NOTE, frame.width);
        y += LINE + 2.0;
    }
    y
}

/// How it ended, why nothing was measured, which devices hold nothing.
fn beside_name(case: &CaseView) -> (String, Style) {
    if case.memory.is_empty() {
        return (format!("no memory on record: {}", case.peak.words()), Style::NOTE);
    }
    let mut words: Vec<&str> = Vec::new();
    if case.outcome != "completed" {
        words.push(&case.status_words);
    }
    // What a device was refused is told there.
    let is_refused = case.memory.iter().any(|device| device.refusal.is_some());
    if !is_refused && case.memory.iter().all(MemoryView::is_unmeasured) {
        words.push("nothing measured");
    } else if !is_refused && !case.memory_beside.unused.is_empty() {
        words.push(&case.memory_beside.unused);
    }
    (words.join(" · "), Style::NOTE)
}

/// One device: its words, its bars, its refusal. Returns the bottom.
fn row(scene: &mut Scene, device: &MemoryView, layout: &Layout, frame: Frame) -> f64 {
    let words = Words::of(device, layout.source);
    let mut y = frame.y;
    let style = if words.is_alarm {
        Style::ALARM
    } else {
        Style::NOTE.paint(Paint::Ink)
    };
    if layout.is_beside {
        let baseline = y + layout.heights.bar() / 2.0 + 4.0;
        let name = layout.bars.x - frame.x - 8.0;
        scene.text((frame.x, baseline), &device.device, Style::NOTE.paint(Paint::Ink), name);
        let lefts = [layout.bars.right() + 4.0, layout.columns[0], layout.columns[1]];
        for ((text, right), left) in words.columns.iter().zip(layout.columns).zip(lefts) {
            scene.text((right, baseline), text, style.end(), right - left - 4.0);
        }
    } else {
        let value = words.joined();
        let room = (style.width(&value) * 1.2).min(frame.width * 0.8);
        let written = scene.text((frame.right(), y + 10.0), &value, style.end(), room) * 1.1;
        let name = frame.width - written - 10.0;
        scene.text((frame.x, y + 10.0), &device.device, Style::NOTE.paint(Paint::Ink), name);
        y += LINE;
    }
    if let Some(extent) = &layout.extent {
        bars(scene, device, layout, extent, y);
        hovers(scene, device, layout, extent, y);
    }
    y += layout.heights.pitch;
    if let Some(refusal) = &device.refusal {
        let said = format!("out of memory: {}", refusal.words);
        let (left, room) = (layout.bars.x, frame.right() - layout.bars.x);
        for line in wrap(&said, size::NOTE, Weight::SemiBold, room / 1.1, 3) {
            scene.text((left, y + 4.0), &line, Style::ALARM, room);
            y += LINE;
        }
    }
    y
}

fn bars(scene: &mut Scene, device: &MemoryView, layout: &Layout, extent: &Extent, top: f64) {
    let heights = layout.heights;
    let budget = device.budget.map(Bytes::as_f64);
    if let Some(budget) = budget {
        let right = layout.x_of(extent, budget);
        scene.rect(
            (layout.bars.x, top),
            (right - layout.bars.x, heights.bar()),
            Paint::Band,
        );
    }
    if let Some(planned) = device.planned {
        let parts = [
            (planned.weights, Paint::Weights),
            (planned.cache, Paint::Cache),
            (planned.rest, Paint::Rest),
        ];
        stack(scene, &parts, (layout, extent), (top, heights.planned - 1.0));
    }
    let parts = [
        (device.weights, Paint::Weights),
        (device.cache, Paint::Cache),
        (device.rest(), Paint::Rest),
    ];
    let (y, height) = (top + heights.planned, heights.measured);
    let used = stack(scene, &parts, (layout, extent), (y, height));
    if let Some(needed) = device.refusal.as_ref().and_then(|refusal| refusal.needed) {
        let (left, right) = (layout.x_of(extent, used), layout.x_of(extent, needed.as_f64()));
        // What it asked for is no memory it had: hollow, and never too short to be seen.
        let width = (right - left).max(2.0).min(layout.bars.right() - left);
        scene.rect((left, y), (width, height), Paint::Alarm);
        scene.rect((left + 1.5, y + 1.5), (width - 3.0, height - 3.0), Paint::Surface);
    }
    let Some(budget) = budget else { return };
    if budget > extent.end {
        // The track goes on beyond the picture; where there is no room to say so, the figures do.
        if layout.x_of(extent, used) > layout.bars.right() - 18.0 {
            return;
        }
        let at = (layout.bars.right() - 3.0, top + heights.bar() / 2.0 + 4.0);
        scene.text(at, "→", Style::NOTE.end(), 20.0);
        return;
    }
    let x = layout.x_of(extent, budget);
    if used > budget {
        scene.rect((x, y), (layout.x_of(extent, used) - x, height), Paint::Alarm);
    }
    let x = x.max(layout.bars.x + 1.25).min(layout.bars.right() - 1.25);
    scene.line((x, top - 2.5), (x, top + heights.bar() + 2.5), Paint::Ink, 2.5);
}

/// Parts one behind the other; returns the bytes they end at.
fn stack(
    scene: &mut Scene,
    parts: &[(Option<Bytes>, Paint); 3],
    (layout, extent): (&Layout, &Extent),
    (y, height): (f64, f64),
) -> f64 {
    let mut from = 0.0;
    for (bytes, paint) in parts {
        let to = from + bytes.unwrap_or_default().as_f64();
        let (left, right) = (layout.x_of(extent, from), layout.x_of(extent, to));
        // Less than a tenth of a pixel cannot be seen and would only weigh.
        if right - left >= 0.1 {
            scene.rect((left, y), (right - left, height), *paint);
        }
        from = to;
    }
    from
}

/// What a pointer is told: each part that is wide enough for one, and the head-room.
fn hovers(scene: &mut Scene, device: &MemoryView, layout: &Layout, extent: &Extent, top: f64) {
    let so_far = scene.marks.iter().filter(|mark| mark.is_hover()).count();
    if so_far >= MOST_HOVERS {
        return;
    }
    let planned = device.planned.unwrap_or_default();
    let parts = [
        ("weights", device.weights, planned.weights),
        ("KV cache", device.cache, planned.cache),
        ("activations and the rest", device.rest(), planned.rest),
    ];
    let height = layout.heights.bar();
    let mut from = 0.0;
    let mut left = layout.bars.x;
    for (name, measured, planned) in parts {
        let to = from + measured.or(planned).unwrap_or_default().as_f64();
        let right = layout.x_of(extent, to);
        if right - left >= TARGET {
            let text = segment_hover(device, name, measured, planned);
            scene.hover((left, top), (right - left, height), text);
            left = right;
        }
        from = to;
    }
    if layout.bars.right() - left >= TARGET {
        scene.hover((left, top), (layout.bars.right() - left, height), row_hover(device));
    }
}
