//! Modules in order of execution on both sides, coloured by device, with a mark where the device is another.

use super::palette::Paint;
use super::scene::{Scene, Style};
use super::{Frame, legend};
use crate::view::comparison::moved::MovedView;

const BAR: f64 = 22.0;
/// Between the two bars, for the marks.
const BETWEEN: f64 = 16.0;
/// More marks would only make a page heavy.
const MOST_HOVERS: usize = 40;

/// The picture, without a title. `names` are those of the base and of the new side.
#[must_use]
pub fn chart(view: &MovedView, names: [&str; 2], title: &str, width: f64) -> Scene {
    let mut scene = Scene::new(width, title);
    let used: Vec<(Paint, String)> = view
        .devices
        .iter()
        .enumerate()
        .map(|(index, device)| (Paint::Device(index), device.clone()))
        .collect();
    let y = legend(&mut scene, Frame { x: 0.0, y: 0.0, width }, &used);
    let widest = names
        .iter()
        .map(|name| Style::LABEL.width(name) * 1.15)
        .fold(0.0, f64::max);
    let left = (widest + 16.0).min(width / 3.0);
    let cell = (width - left) / view.modules.len().max(1) as f64;
    let x_of = |index: usize| left + cell * index as f64;
    let tops = [y, y + BAR + BETWEEN];
    let sides: [Vec<Option<usize>>; 2] = [
        view.modules.iter().map(|(_, base, _)| *base).collect(),
        view.modules.iter().map(|(_, _, new)| *new).collect(),
    ];
    for ((top, name), devices) in tops.into_iter().zip(names).zip(&sides) {
        scene.text((0.0, top + 15.0), name, Style::LABEL, left - 12.0);
        for (from, to, device) in runs(devices) {
            let at = (x_of(from), top);
            let wide = x_of(to) - x_of(from);
            match device {
                Some(device) => {
                    let gap = if to < devices.len() { (cell * 0.2).min(2.0) } else { 0.0 };
                    scene.rect(at, (wide - gap, BAR), Paint::Device(device));
                    let style = Style::NOTE.paint(Paint::OnDevice(device)).middle();
                    let words = view.devices.get(device).map_or("", String::as_str);
                    if style.width(words) * 1.15 + 8.0 <= wide {
                        scene.text((at.0 + wide / 2.0, top + 15.0), words, style, wide);
                    }
                }
                // A side without the module: only where it would be.
                None => scene.line(
                    (at.0, top + BAR / 2.0),
                    (at.0 + wide, top + BAR / 2.0),
                    Paint::Grid,
                    2.0,
                ),
            }
        }
    }
    let moves: Vec<Option<(usize, usize)>> = view
        .modules
        .iter()
        .map(|(_, base, new)| {
            (base != new).then(|| (base.map_or(usize::MAX, |at| at), new.map_or(usize::MAX, |at| at)))
        })
        .collect();
    let mut said = 0;
    for (from, to, moved) in runs(&moves) {
        if moved.is_none() {
            continue;
        }
        let (left, right) = (x_of(from), x_of(to));
        let middle = tops[0] + BAR + BETWEEN / 2.0;
        scene.rect((left, middle - 2.0), ((right - left).max(1.5), 4.0), Paint::Alarm);
        if let (true, Some(row)) = (said < MOST_HOVERS, view.rows.get(said)) {
            let words = format!("{}: {} → {}", row.modules, row.base, row.new);
            scene.hover((left, tops[0]), (right - left, 2.0 * BAR + BETWEEN), words);
        }
        said += 1;
    }
    let first = view.modules.first().map_or("", |(name, ..)| name.as_str());
    let last = view.modules.last().map_or("", |(name, ..)| name.as_str());
    let room = (width - left) / 2.0 - 8.0;
    let baseline = tops[1] + BAR + 15.0;
    scene.text((left, baseline), first, Style::NOTE, room);
    if view.modules.len() > 1 {
        scene.text((width, baseline), last, Style::NOTE.end(), room);
    }
    scene.height = baseline + 6.0;
    scene
}

/// Stretches of equal items: from, to (exclusive), and what.
fn runs<T: PartialEq + Copy>(items: &[T]) -> Vec<(usize, usize, T)> {
    let mut runs: Vec<(usize, usize, T)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match runs.last_mut() {
            Some((_, to, known)) if known == item => *to = index + 1,
            _ => runs.push((index, index + 1, *item)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::Mark;
    use crate::view::comparison::moved::{Maps, ModulePlace, moved};

    fn places(number: usize, device: impl Fn(usize) -> &'static str) -> Vec<ModulePlace> {
        let place = |index| ModulePlace {
            module: format!("model.layers.{index}"),
            device: device(index).into(),
            bytes: None,
        };
        (0..number).map(place).collect()
    }

    #[test]
    fn what_moved_is_marked_and_only_that() {
        for (number, width) in [(1, 340.0), (8, 340.0), (400, 1080.0)] {
            let base = places(number, |_| "sim:0");
            let new = places(number, |index| if index == number / 2 { "sim:1" } else { "sim:0" });
            let view = moved(&Maps { case: "c", base, new }).unwrap();
            let scene = chart(&view, ["base", "new"], "t", width);
            let marks = scene.marks.iter().filter(|mark| {
                matches!(
                    mark,
                    Mark::Rect {
                        paint: Paint::Alarm,
                        ..
                    }
                )
            });
            assert_eq!(marks.count(), 1);
            let hovers = scene
                .marks
                .iter()
                .filter(|mark| matches!(mark, Mark::Hover { text, .. } if text.contains("sim:0 → sim:1")));
            assert_eq!(hovers.count(), 1);
            for mark in &scene.marks {
                if let Mark::Rect { x, w, .. } = mark {
                    assert!(*x >= 0.0 && x + w <= width + 1.0, "{mark:?}");
                }
            }
        }
    }
}
