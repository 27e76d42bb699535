//! Whether a picture can be read: nothing outside it, and no two texts on each other.

#![allow(dead_code, reason = "every test file uses its own part")]

use placebench_report::plot::bounds::Bounds;
use placebench_report::plot::scene::{Mark, Scene};

/// By how much a shape and a text may leave the picture: its edge is no wall.
const SHAPE: f64 = 2.0;
const TEXT: f64 = 1.0;

/// By how much each of two texts may reach into the other: letters have some room around them.
const TOUCH: f64 = 0.5;

/// The texts of a scene with what they cover.
pub(crate) fn texts(scene: &Scene) -> Vec<(&str, Bounds)> {
    let one = |mark: &'_ Mark| mark.bounds();
    let text = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Text { text, .. } => Some((text.as_str(), one(mark)?)),
        _ => None,
    });
    text.collect()
}

/// What is wrong with a picture.
pub(crate) fn findings(scene: &Scene) -> Vec<String> {
    let size = (scene.width, scene.height);
    let mut found = Vec::new();
    if !(scene.height.is_finite() && scene.height > 0.0) {
        found.push(format!("a height of {}", scene.height));
    }
    for mark in &scene.marks {
        let may_leave = if matches!(mark, Mark::Text { .. }) { TEXT } else { SHAPE };
        let Some(bounds) = mark.bounds() else { continue };
        if !bounds.widened(-may_leave).is_within(size) {
            let words: String = format!("{mark:?}").chars().take(300).collect();
            found.push(format!("outside {}×{}: {words}", size.0, size.1));
        }
    }
    let mut texts = texts(scene);
    texts.sort_by(|(_, a), (_, b)| a.left.total_cmp(&b.left));
    for (index, (text, bounds)) in texts.iter().enumerate() {
        let near = texts[index + 1..]
            .iter()
            .take_while(|(_, other)| other.left < bounds.right);
        for (other, covered) in near {
            if bounds.widened(-TOUCH).meets(covered.widened(-TOUCH)) {
                found.push(format!("“{text}” and “{other}” on each other at {covered:?}"));
            }
        }
    }
    found
}

/// Fails where a picture cannot be read.
pub(crate) fn assert_fits(scene: &Scene, what: &str) {
    let found = findings(scene);
    assert!(found.is_empty(), "{what}, {} wide:\n{}", scene.width, found.join("\n"));
}
