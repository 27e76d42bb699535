//! What is in the memory of each device, against its budget.

use placebench_core::units::Bytes;

use crate::view::CaseView;
use crate::view::memory::MemoryView;
use crate::view::words::count;

use super::axis::Axis;
use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, label, legend, scale_below};

const BAR: f64 = 14.0;
const INDENT: f64 = 12.0;
/// Devices of one placement in the chart; the table below it has them all.
const MOST_DEVICES: usize = 16;
/// A budget this many times larger than everything in the chart would shrink it to nothing: it is named, not drawn.
const FAR_AWAY: f64 = 6.0;

pub(super) fn draw(scene: &mut Scene, cases: &[CaseView], frame: Frame) -> f64 {
    let devices = || cases.iter().flat_map(|case| &case.memory);
    let largest = devices().map(MemoryView::largest).max().unwrap_or_default();
    let near = |budget: &Bytes| largest.0 == 0 || budget.as_f64() <= largest.as_f64() * FAR_AWAY;
    let budgets = devices()
        .filter_map(|device| device.budget)
        .filter(near)
        .max()
        .unwrap_or_default();
    let axis = Axis::bytes(largest.max(budgets), if frame.width > 500.0 { 6 } else { 3 });
    let names = [
        (Paint::Weights, "weights"),
        (Paint::Cache, "KV cache"),
        (Paint::Rest, "rest of the peak"),
        (Paint::Ink, "budget"),
    ];
    let mut y = legend(scene, frame, &names.map(|(paint, name)| (paint, name.to_owned())));
    for case in cases {
        y = rows(scene, case, axis.as_ref(), Frame { y, ..frame }) + 12.0;
    }
    let bars = Frame {
        x: frame.x + INDENT,
        y,
        width: frame.width - INDENT,
    };
    axis.map_or(y, |axis| scale_below(scene, &axis, bars, 0.0))
}

fn rows(scene: &mut Scene, case: &CaseView, axis: Option<&Axis>, frame: Frame) -> f64 {
    let outcome = if case.outcome == "completed" {
        ""
    } else {
        case.status_words.as_str()
    };
    label(scene, frame, frame.y + 13.0, &case.placement, (outcome, Style::NOTE));
    let inner = Frame {
        x: frame.x + INDENT,
        width: frame.width - INDENT,
        ..frame
    };
    let mut y = frame.y + 20.0;
    if case.memory.is_empty() {
        scene.rect((inner.x, y), (inner.width, BAR + 10.0), Paint::Band);
        let why = format!("no memory on record: {}", case.peak.words());
        scene.text((inner.x + 10.0, y + 16.0), &why, Style::NOTE, inner.width - 20.0);
        return y + BAR + 10.0;
    }
    for device in case.memory.iter().take(MOST_DEVICES) {
        bar(scene, device, axis, Frame { y, ..inner });
        y += 18.0 + BAR + 8.0;
    }
    let rest = case.memory.len().saturating_sub(MOST_DEVICES);
    if rest > 0 {
        let words = format!("… and {}: see the table", count(rest, "more device", "more devices"));
        scene.text((inner.x, y + 11.0), &words, Style::NOTE, inner.width);
        y += 18.0;
    }
    y
}

fn bar(scene: &mut Scene, device: &MemoryView, axis: Option<&Axis>, frame: Frame) {
    let value = value_words(device);
    let room = (Style::NOTE.width(&value) * 1.2).min(frame.width * 0.7);
    let written = scene.text((frame.right(), frame.y + 12.0), &value, Style::NOTE.end(), room);
    scene.text(
        (frame.x, frame.y + 12.0),
        &device.device,
        Style::NOTE.paint(Paint::Ink),
        frame.width - written - 12.0,
    );
    let top = frame.y + 18.0;
    scene.rect((frame.x, top), (frame.width, BAR), Paint::Band);
    let Some(axis) = axis else { return };
    let x_of = |bytes: f64| frame.x + axis.position(bytes) * frame.width;
    for (value, _) in &axis.ticks {
        scene.line((x_of(*value), top), (x_of(*value), top + BAR), Paint::Grid, 1.0);
    }
    let mut from = 0.0;
    let parts = [(device.weights, Paint::Weights), (device.cache, Paint::Cache)];
    for (bytes, paint) in parts {
        let to = from + bytes.unwrap_or_default().as_f64();
        scene.rect((x_of(from), top), (x_of(to) - x_of(from), BAR), paint);
        from = to;
    }
    let peak = device.peak.unwrap_or_default().as_f64();
    scene.rect(
        (x_of(from), top),
        ((x_of(peak) - x_of(from)).max(0.0), BAR),
        Paint::Rest,
    );
    if let Some(budget) = device
        .budget
        .filter(|budget| axis.ticks.last().is_some_and(|(end, _)| budget.as_f64() <= *end))
    {
        let x = x_of(budget.as_f64()).max(frame.x + 1.5).min(frame.right() - 1.5);
        scene.line((x, top - 3.0), (x, top + BAR + 3.0), Paint::Ink, 3.0);
    }
}

/// `peak 1.25 MiB of 2.00 MiB (63 %)`.
fn value_words(device: &MemoryView) -> String {
    let [weights, _, peak, budget] = &device.words;
    let used = match (device.peak, device.weights) {
        (Some(_), _) => format!("peak {peak}"),
        (None, Some(_)) => format!("weights {weights}, no peak"),
        (None, None) => "not measured".into(),
    };
    match (device.budget, device.share.as_str()) {
        (Some(_), "") => format!("{used}, budget {budget}"),
        (Some(_), share) => format!("{used} of {budget} ({share})"),
        (None, _) => format!("{used}, no budget"),
    }
}
