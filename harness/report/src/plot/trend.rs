//! A figure through the runs: points in their order, the level of each stretch, and where it changed.

use super::axis::Axis;
use super::palette::Paint;
use super::scene::{Mark, Scene, Style};
use crate::view::trend::{ChartData, value};

const HEIGHT: f64 = 120.0;
/// Above the points: the words of changes.
const TOP: f64 = 22.0;
/// Room between the points and the edges of their band.
const PADDING: f64 = 8.0;

/// Values that say something to whoever points at them, the newest.
const MOST_HOVERS: usize = 60;

/// How much a chart tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Medians and levels.
    Plain,
    /// Also the range of each run's attempts, and a word on every point.
    Full,
}

/// The chart, without a title: the page has one.
#[must_use]
pub fn chart(data: &ChartData, title: &str, detail: Detail, width: f64) -> Scene {
    let mut scene = Scene::new(width, title);
    scene.height = TOP + HEIGHT + 20.0;
    let ranges = data
        .ranges
        .iter()
        .enumerate()
        .filter_map(|(at, range)| Some((at, (*range)?)));
    let ranges: Vec<(usize, (f64, f64))> = ranges.filter(|_| detail == Detail::Full).collect();
    let ends = ranges.iter().flat_map(|(_, (low, high))| [*low, *high]);
    let shown: Vec<f64> = data.values.iter().copied().chain(ends).collect();
    let Some(axis) = Axis::between(&shown, 4, |tick| value(&data.unit, tick)) else {
        scene.text((0.0, TOP), "no value to draw", Style::NOTE, width);
        return scene;
    };
    let labels = axis.ticks.iter().map(|(_, label)| Style::NOTE.width(label) * 1.15);
    let left = labels.fold(0.0, f64::max).min(width / 3.0) + 8.0;
    let last = data.values.len().saturating_sub(1).max(1) as f64;
    let x_of = |position: f64| left + PADDING + (width - left - 2.0 * PADDING) * position / last;
    let y_of = |value: f64| TOP + PADDING + (HEIGHT - 2.0 * PADDING) * (1.0 - axis.position(value));
    scene.rect((left, TOP), (width - left, HEIGHT), Paint::Band);
    for (tick, label) in &axis.ticks {
        let y = y_of(*tick);
        scene.line((left, y), (width, y), Paint::Grid, 1.0);
        scene.text((left - 8.0, y + 4.0), label, Style::NOTE.end(), left);
    }
    for ((first, end, _), spread) in data.levels.iter().zip(&data.spreads) {
        if let Some((low, high)) = spread {
            let (from, to) = (x_of(*first as f64 - 0.3).max(left), x_of(*end as f64 + 0.3).min(width));
            scene.faded_rect(
                (from, y_of(*high)),
                (to - from, y_of(*low) - y_of(*high)),
                Paint::Rest,
                0.5,
            );
        }
    }
    changes(&mut scene, data, (left, width), &x_of);
    scene.marks.push(Mark::Dots {
        at: (ranges.iter())
            .flat_map(|(at, (low, high))| [(x_of(*at as f64), y_of(*low)), (x_of(*at as f64), y_of(*high))])
            .filter(|(_, y)| y.is_finite())
            .collect(),
        radius: 1.5,
        paint: Paint::Muted,
    });
    for (first, end, level) in &data.levels {
        // A level of one run is as wide as a point.
        let (from, to) = (x_of(*first as f64 - 0.3), x_of(*end as f64 + 0.3));
        scene.line(
            (from.max(left), y_of(*level)),
            (to.min(width), y_of(*level)),
            Paint::Ink,
            2.0,
        );
    }
    let at = data.values.iter().enumerate().filter(|(_, value)| value.is_finite());
    scene.marks.push(Mark::Dots {
        at: at
            .map(|(position, value)| (x_of(position as f64), y_of(*value)))
            .collect(),
        radius: if data.values.len() > 150 { 1.5 } else { 2.5 },
        paint: Paint::Point,
    });
    let (from, to) = &data.dates;
    let baseline = TOP + HEIGHT + 15.0;
    let room = (width - left) / 2.0 - 8.0;
    scene.text((left, baseline), from, Style::NOTE, room);
    if data.values.len() > 1 {
        scene.text((width, baseline), to, Style::NOTE.end(), room);
    }
    if detail == Detail::Full {
        let from = data.hovers.len().saturating_sub(MOST_HOVERS);
        for (at, words) in data.hovers.iter().enumerate().skip(from) {
            let (start, end) = (x_of(at as f64 - 0.5).max(left), x_of(at as f64 + 0.5).min(width));
            scene.hover((start, TOP), (end - start, HEIGHT), words.as_str());
        }
    }
    scene
}

/// A series as a line of the height of text, on a scale of its own; the newest value is a dot.
#[must_use]
pub fn spark(values: &[f64]) -> String {
    const WIDTH: f64 = 120.0;
    const TALL: f64 = 20.0;
    /// A pixel or two for each.
    const MOST: usize = 40;
    let newest = values.get(values.len().saturating_sub(MOST)..).unwrap_or(values);
    let Some(axis) = Axis::between(newest, 2, |_| String::new()) else {
        return String::new();
    };
    let last = newest.len().saturating_sub(1).max(1) as f64;
    let at = |index: usize, value: f64| {
        let x = 3.0 + (WIDTH - 6.0) * index as f64 / last;
        format!("{x:.0} {:.0}", 3.0 + (TALL - 6.0) * (1.0 - axis.position(value)))
    };
    let finite = newest.iter().enumerate().filter(|(_, value)| value.is_finite());
    let points: Vec<String> = finite.map(|(index, value)| at(index, *value)).collect();
    let Some(end) = points.last() else {
        return String::new();
    };
    format!(
        "<svg class=\"sparkline\" viewBox=\"0 0 {WIDTH} {TALL}\" width=\"{WIDTH}\" height=\"{TALL}\" aria-hidden=\"true\">\
         <path class=\"s-muted\" d=\"M{}\"/><path class=\"s-point end\" d=\"M{end}h0\"/></svg>",
        points.join("L")
    )
}

/// A line for each change, with its words above where there is room for them; the newest first.
fn changes(scene: &mut Scene, data: &ChartData, (left, right): (f64, f64), x_of: &dyn Fn(f64) -> f64) {
    let mut free_to = f64::MAX;
    for (at, words, is_worse) in data.changes.iter().rev() {
        let x = x_of(*at as f64 - 0.5);
        let paint = if *is_worse { Paint::Alarm } else { Paint::Muted };
        scene.line((x, TOP), (x, TOP + HEIGHT), paint, 1.5);
        let style = if *is_worse { Style::ALARM } else { Style::NOTE };
        let width = style.width(words) * 1.1;
        let centre = x.max(left + width / 2.0).min(right - width / 2.0);
        if centre + width / 2.0 <= free_to {
            scene.text((centre, TOP - 7.0), words, style.middle(), width * 1.2);
            free_to = centre - width / 2.0 - 8.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(values: &[f64]) -> ChartData {
        ChartData {
            unit: "s".into(),
            values: values.to_vec(),
            levels: vec![(0, 2, 1.0), (3, 5, 1.2)],
            changes: vec![(3, "+20.0 %".into(), true)],
            ratio: Some(1.2),
            ranges: values.iter().map(|value| Some((value * 0.9, value * 1.1))).collect(),
            hovers: values.iter().map(|value| format!("run with {value}")).collect(),
            spreads: vec![Some((0.9, 1.1)), None],
            dates: ("2026-01-01".into(), "2026-01-06".into()),
        }
    }

    fn inside(scene: &Scene) -> bool {
        let is_in = |(x, y): (f64, f64)| (0.0..=scene.width).contains(&x) && (0.0..=scene.height).contains(&y);
        scene.marks.iter().all(|mark| match mark {
            Mark::Dots { at, .. } | Mark::Path { at, .. } => at.iter().all(|at| is_in(*at)),
            Mark::Line { from, to, .. } => is_in(*from) && is_in(*to),
            Mark::Fill { outlines, .. } => outlines.iter().flatten().all(|at| is_in(*at)),
            Mark::Rect { x, y, w, h, .. } | Mark::Hover { x, y, w, h, .. } => is_in((*x, *y)) && is_in((x + w, y + h)),
            Mark::Text { at, .. } => is_in(*at),
        })
    }

    #[test]
    fn a_change_is_marked_and_worded() {
        let scene = chart(&data(&[1.0, 1.01, 0.99, 1.2, 1.21, 1.19]), "t", Detail::Full, 320.0);
        assert!(scene.marks.iter().any(|mark| mark.says("+20.0 %")));
        assert!(scene.marks.iter().any(|mark| mark.says("2026-01-06")));
        let alarms = scene.marks.iter().filter(|mark| {
            matches!(
                mark,
                Mark::Line {
                    paint: Paint::Alarm,
                    ..
                }
            )
        });
        assert_eq!(alarms.count(), 1);
        assert!(inside(&scene), "{scene:#?}");
        let told = |scene: &Scene| {
            scene
                .marks
                .iter()
                .filter(|mark| matches!(mark, Mark::Hover { .. }))
                .count()
        };
        assert_eq!(told(&scene), 6);
        let plain = chart(&data(&[1.0; 6]), "t", Detail::Plain, 320.0);
        assert_eq!(told(&plain), 0);
        let many = chart(&data(&[1.0; 500]), "t", Detail::Full, 320.0);
        assert_eq!(told(&many), MOST_HOVERS);
    }

    #[test]
    fn a_spark_has_a_line_and_an_end_or_is_not_there() {
        assert_eq!((spark(&[]), spark(&[f64::NAN])), (String::new(), String::new()));
        assert!(spark(&[1.0]).contains("h0"));
        let two = spark(&[1.0, 2.0]);
        assert!(two.contains("M3 17L117 3") && two.contains("M117 3h0"), "{two}");
        assert!(spark(&[0.5; 9999]).len() < 1000);
    }

    #[test]
    fn odd_values_are_drawn_inside_or_not_at_all() {
        for values in [
            vec![],
            vec![0.0],
            vec![f64::NAN],
            vec![1e308, 1e-308],
            vec![1e308; 6],
            vec![5.0; 500],
        ] {
            let mut odd = data(&values);
            odd.levels = values
                .first()
                .map(|value| (0, values.len() - 1, *value))
                .into_iter()
                .collect();
            odd.changes.clear();
            let scene = chart(&odd, "t", Detail::Full, 320.0);
            assert!(
                values.iter().any(|value| !value.is_finite()) || inside(&scene),
                "{values:?}: {scene:#?}"
            );
        }
    }
}
