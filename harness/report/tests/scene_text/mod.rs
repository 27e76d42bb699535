//! Where the texts of a scene are, so that tests can say that none leaves the picture or touches another.

use placebench_report::plot::font;
use placebench_report::plot::scene::{Anchor, Mark, Scene};

/// A text with its left, top, right and bottom.
#[derive(Debug)]
pub(crate) struct Boxed<'a> {
    pub(crate) text: &'a str,
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

/// The texts of a scene.
pub(crate) fn texts(scene: &Scene) -> Vec<Boxed<'_>> {
    let one = |mark| match mark {
        &Mark::Text {
            at,
            ref text,
            size,
            weight,
            anchor,
            ..
        } => {
            let width = font::width(text, size, weight);
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            Some(Boxed {
                text,
                left,
                top: at.1 - 0.75 * size,
                right: left + width,
                bottom: at.1 + 0.22 * size,
            })
        }
        _ => None,
    };
    scene.marks.iter().filter_map(one).collect()
}

/// Fails where a text leaves the picture, or touches another.
pub(crate) fn assert_apart(scene: &Scene, what: &str) {
    let texts = texts(scene);
    for (index, text) in texts.iter().enumerate() {
        assert!(
            text.left >= -0.5
                && text.right <= scene.width + 0.5
                && text.top >= -0.5
                && text.bottom <= scene.height + 0.5,
            "{what}: {text:?} leaves {}×{}",
            scene.width,
            scene.height
        );
        for other in &texts[index + 1..] {
            let is_beside = text.right <= other.left || other.right <= text.left;
            let is_below = text.bottom <= other.top || other.bottom <= text.top;
            assert!(is_beside || is_below, "{what}: {text:?} touches {other:?}");
        }
    }
}
