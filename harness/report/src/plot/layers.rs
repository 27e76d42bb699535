//! Marks of one look together, so that a page has one element for all of them.
//!
//! A mark joins earlier ones of its look where nothing drawn in between lies under it: what the picture shows stays the same.
//! Texts too: a picture is read by its label and by the table beside it, not text by text.

use super::bounds::Bounds;
use super::font::Weight;
use super::palette::Paint;
use super::scene::{Anchor, Mark, Scene};

/// Browsers may set a text in a font that much wider than the embedded one.
const WIDER: f64 = 0.25;

/// What marks have in common that one element can draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Look {
    /// Filled outlines.
    Fill { paint: Paint, opacity: f64 },
    /// Lines.
    Stroke { paint: Paint, width: f64, opacity: f64 },
    /// Points, as strokes without length.
    Dots { paint: Paint, radius: f64 },
    /// Letters.
    Text {
        size: f64,
        weight: Weight,
        anchor: Anchor,
        paint: Paint,
    },
    /// Regions that say something.
    Hover,
}

impl Look {
    fn of(mark: &Mark) -> Self {
        match *mark {
            Mark::Rect { paint, opacity, .. }
            | Mark::Fill { paint, opacity, .. }
            | Mark::Path {
                paint,
                opacity,
                stroke: None,
                ..
            } => Self::Fill { paint, opacity },
            Mark::Line { paint, width, .. } => Self::Stroke {
                paint,
                width,
                opacity: 1.0,
            },
            Mark::Path {
                paint,
                opacity,
                stroke: Some(width),
                ..
            } => Self::Stroke { paint, width, opacity },
            Mark::Dots { paint, radius, .. } => Self::Dots { paint, radius },
            Mark::Text {
                size,
                weight,
                anchor,
                paint,
                ..
            } => Self::Text {
                size,
                weight,
                anchor,
                paint,
            },
            Mark::Hover { .. } => Self::Hover,
        }
    }

    /// True where marks of the look that lie on each other look like one: nothing shines through, and no area is taken out of
    /// another that runs the other way round.
    fn may_overlap(self) -> bool {
        match self {
            Self::Fill { .. } | Self::Dots { .. } => false,
            Self::Stroke { opacity, .. } => opacity >= 1.0,
            Self::Text { .. } | Self::Hover => true,
        }
    }
}

/// Marks of one look, in their order.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) look: Look,
    pub(super) marks: Vec<&'a Mark>,
    covered: Vec<Bounds>,
    all: Option<Bounds>,
}

impl<'a> Layer<'a> {
    fn new(look: Look) -> Self {
        Self {
            look,
            marks: Vec::new(),
            covered: Vec::new(),
            all: None,
        }
    }

    fn meets(&self, bounds: Bounds) -> bool {
        self.all.is_some_and(|all| all.meets(bounds)) && self.covered.iter().any(|covered| covered.meets(bounds))
    }

    fn push(&mut self, mark: &'a Mark, bounds: Bounds) {
        self.marks.push(mark);
        self.covered.push(bounds);
        self.all = Some(self.all.map_or(bounds, |all| all.with(bounds)));
    }
}

/// The marks of a scene as layers, from the lowest. Regions that answer a pointer come last, above everything.
pub(super) fn layers(scene: &Scene) -> Vec<Layer<'_>> {
    let mut layers: Vec<Layer<'_>> = Vec::new();
    let mut above = Layer::new(Look::Hover);
    for mark in &scene.marks {
        let Some(bounds) = drawn(mark) else { continue };
        let look = Look::of(mark);
        if look == Look::Hover {
            above.push(mark, bounds);
            continue;
        }
        let joined = below(&layers, look, bounds).and_then(|index| layers.get_mut(index));
        if let Some(layer) = joined {
            layer.push(mark, bounds);
        } else {
            let mut layer = Layer::new(look);
            layer.push(mark, bounds);
            layers.push(layer);
        }
    }
    if !above.marks.is_empty() {
        layers.push(above);
    }
    layers
}

/// The highest layer of that look that a mark can join: what lies above it is not under the mark.
fn below(layers: &[Layer<'_>], look: Look, bounds: Bounds) -> Option<usize> {
    for (index, layer) in layers.iter().enumerate().rev() {
        if layer.look == look && (look.may_overlap() || !layer.meets(bounds)) {
            return Some(index);
        }
        if layer.meets(bounds) {
            return None;
        }
    }
    None
}

/// What a mark may cover in any browser: lines have a thickness, and letters the browser's own font.
fn drawn(mark: &Mark) -> Option<Bounds> {
    let bounds = mark.bounds()?;
    Some(match mark {
        Mark::Line { width, .. }
        | Mark::Path {
            stroke: Some(width), ..
        } => bounds.widened(width / 2.0),
        Mark::Dots { radius, .. } => bounds.widened(*radius),
        Mark::Text { size, .. } => Bounds {
            left: bounds.left - WIDER * (bounds.right - bounds.left),
            right: bounds.right + WIDER * (bounds.right - bounds.left),
            ..bounds.widened(WIDER * size)
        },
        Mark::Rect { .. } | Mark::Fill { .. } | Mark::Path { stroke: None, .. } | Mark::Hover { .. } => bounds,
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::Style;
    use super::*;

    fn looks(scene: &Scene) -> Vec<(Look, usize)> {
        layers(scene)
            .iter()
            .map(|layer| (layer.look, layer.marks.len()))
            .collect()
    }

    fn fill(paint: Paint, opacity: f64) -> Look {
        Look::Fill { paint, opacity }
    }

    #[test]
    fn what_lies_apart_is_drawn_together() {
        let mut scene = Scene::new(100.0, "");
        for row in [0.0, 20.0, 40.0] {
            scene.rect((0.0, row), (50.0, 10.0), Paint::Band);
            scene.rect((0.0, row), (20.0, 10.0), Paint::Weights);
            scene.hover((0.0, row), (50.0, 10.0), "weights");
        }
        let expected = [
            (fill(Paint::Band, 1.0), 3),
            (fill(Paint::Weights, 1.0), 3),
            (Look::Hover, 3),
        ];
        assert_eq!(looks(&scene), expected);
    }

    #[test]
    fn what_lies_on_something_stays_on_it() {
        let mut scene = Scene::new(100.0, "");
        scene.rect((0.0, 0.0), (50.0, 10.0), Paint::Band);
        scene.rect((0.0, 0.0), (20.0, 10.0), Paint::Weights);
        scene.rect((10.0, 0.0), (20.0, 10.0), Paint::Band);
        // And what shines through shines through what it lies on, of its own colour too.
        scene.faded_rect((0.0, 50.0), (20.0, 10.0), Paint::Cache, 0.5);
        scene.faded_rect((10.0, 50.0), (20.0, 10.0), Paint::Cache, 0.5);
        let expected = [
            (fill(Paint::Band, 1.0), 1),
            (fill(Paint::Weights, 1.0), 1),
            (fill(Paint::Band, 1.0), 1),
            (fill(Paint::Cache, 0.5), 1),
            (fill(Paint::Cache, 0.5), 1),
        ];
        assert_eq!(looks(&scene), expected);
    }

    #[test]
    fn texts_of_one_style_are_together() {
        let mut scene = Scene::new(100.0, "");
        for (index, style) in [Style::NOTE, Style::LABEL, Style::NOTE].into_iter().enumerate() {
            scene.text((0.0, 20.0 * index as f64), "words", style, 90.0);
            scene.rect((60.0, 20.0 * index as f64), (5.0, 5.0), Paint::Ink);
        }
        let counts: Vec<usize> = layers(&scene).iter().map(|layer| layer.marks.len()).collect();
        assert_eq!(counts, [2, 3, 1]);
    }
}
