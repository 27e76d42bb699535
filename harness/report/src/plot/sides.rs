//! The measurements of two sides: a row of points each, on one scale, and a line from every attempt to its counterpart.

use placebench_core::judge::median;

use super::axis::Axis;
use super::font::{Weight, fit};
use super::palette::Paint;
use super::scene::{Mark, Scene, Style, size};
use super::{Frame, scale_below};
use crate::view::comparison::timings::Ratio;
use crate::view::trend::value;

const BAND: f64 = 26.0;
/// Between the two bands, for the lines.
const BETWEEN: f64 = 30.0;
const PADDING: f64 = 8.0;
/// More lines would be a grey area.
const MOST_LINES: usize = 60;

/// The picture, without a title. `names` are those of the base and of the new side.
#[must_use]
pub fn chart(ratio: &Ratio, names: [&str; 2], title: &str, width: f64) -> Scene {
    let mut scene = Scene::new(width, title);
    let finite = ratio
        .pairs
        .iter()
        .copied()
        .filter(|(base, new)| base.is_finite() && new.is_finite());
    let pairs: Vec<(f64, f64)> = finite.collect();
    let values: Vec<f64> = pairs.iter().flat_map(|(base, new)| [*base, *new]).collect();
    let widest = names
        .iter()
        .map(|name| Style::LABEL.width(name) * 1.15)
        .fold(0.0, f64::max);
    let left = (widest + 16.0).min(width / 3.0);
    let frame = Frame {
        x: left,
        y: 0.0,
        width: width - left,
    };
    // A unit is a word of the record, and may be any.
    let label = |tick: f64| {
        fit(
            &value(&ratio.unit, tick),
            size::NOTE,
            Weight::Regular,
            frame.width * 0.8,
        )
    };
    let most_ticks = if width < 500.0 { 3 } else { 6 };
    let Some(axis) = Axis::between(&values, most_ticks, label) else {
        scene.text((0.0, 14.0), "no measurement to draw", Style::NOTE, width);
        scene.height = 20.0;
        return scene;
    };
    let x_of = |value: f64| frame.x + PADDING + axis.position(value) * (frame.width - 2.0 * PADDING);
    let tops = [4.0, 4.0 + BAND + BETWEEN];
    for top in tops {
        scene.rect((frame.x, top), (frame.width, BAND), Paint::Band);
    }
    for (tick, _) in &axis.ticks {
        scene.line((x_of(*tick), tops[0]), (x_of(*tick), tops[1] + BAND), Paint::Grid, 1.0);
    }
    if pairs.len() <= MOST_LINES {
        for (base, new) in &pairs {
            scene.line((x_of(*base), tops[0] + BAND), (x_of(*new), tops[1]), Paint::Cache, 1.0);
        }
    }
    let (base, new): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    for ((top, name), values) in tops.into_iter().zip(names).zip([base, new]) {
        scene.text((0.0, top + 17.0), name, Style::LABEL, left - 12.0);
        let dot = |value: &f64| (x_of(*value), top + BAND / 2.0);
        let radius = if values.len() > 150 { 2.0 } else { 3.0 };
        scene.marks.push(Mark::Dots {
            at: values.iter().map(dot).collect(),
            radius,
            paint: Paint::Point,
        });
        if let Some(middle) = median(&values) {
            scene.line((x_of(middle), top), (x_of(middle), top + BAND), Paint::Ink, 2.0);
            let words = format!("{name}: median {}, n = {}", value(&ratio.unit, middle), values.len());
            scene.hover((frame.x, top), (frame.width, BAND), words);
        }
    }
    let y = tops[1] + BAND + 4.0;
    scene.height = scale_below(&mut scene, &axis, Frame { y, ..frame }, PADDING);
    scene
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(pairs: &[(f64, f64)]) -> Ratio {
        Ratio {
            pairs: pairs.to_vec(),
            unit: "s".into(),
            ..Ratio::default()
        }
    }

    #[test]
    fn both_sides_share_a_scale_and_attempts_their_line() {
        let scene = chart(&ratio(&[(0.010, 0.012), (0.011, 0.013)]), ["base", "new"], "t", 340.0);
        let dots: Vec<&Vec<(f64, f64)>> = scene
            .marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Dots { at, .. } => Some(at),
                _ => None,
            })
            .collect();
        assert_eq!(dots.len(), 2);
        assert!(dots[0][0].0 < dots[1][0].0 && dots[0][0].1 < dots[1][0].1);
        let lines = scene.marks.iter().filter(|mark| {
            matches!(
                mark,
                Mark::Line {
                    paint: Paint::Cache,
                    ..
                }
            )
        });
        assert_eq!(lines.count(), 2);
        assert!(scene.marks.iter().any(|mark| mark.says("base")));
    }

    #[test]
    fn nothing_one_and_a_thousand_are_drawn_inside() {
        assert!(
            chart(&ratio(&[]), ["a", "b"], "t", 340.0)
                .marks
                .iter()
                .any(|mark| mark.says("no measurement"))
        );
        let many: Vec<(f64, f64)> = (1..=1000).map(|n| (f64::from(n), f64::from(n) * 1.1)).collect();
        for pairs in [&[(1.0, 1.0)][..], &[(f64::NAN, 1.0), (0.0, 0.0)], &many] {
            let scene = chart(
                &ratio(pairs),
                ["base", "a side with a name that is far too long for its place"],
                "t",
                340.0,
            );
            for mark in &scene.marks {
                if let Mark::Dots { at, .. } = mark {
                    assert!(at.iter().all(|(x, y)| (0.0..=340.0).contains(x) && *y <= scene.height));
                }
            }
        }
    }
}
