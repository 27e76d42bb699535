//! What a mark covers: for the order in which a page may draw marks, and for tests that ask what lies on what.

use super::font;
use super::scene::{Anchor, Mark};

/// What part of a font's size is above the baseline, from where capitals begin, and below it.
const ABOVE: f64 = 0.75;
const BELOW: f64 = 0.22;

/// An upright rectangle, in CSS pixels from the top left of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Its left edge.
    pub left: f64,
    /// Its top.
    pub top: f64,
    /// Its right edge.
    pub right: f64,
    /// Its bottom.
    pub bottom: f64,
}

impl Bounds {
    /// What holds all of some points; nothing without a point. A number that is none makes the edges none.
    fn around(points: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let mut points = points.into_iter();
        let (x, y) = points.next()?;
        let first = Self {
            left: x,
            top: y,
            right: x,
            bottom: y,
        };
        // The lesser of a number and none is the number, and nobody would see that one was none.
        let mut none = 0.0 * (x + y);
        let all = points.fold(first, |all, (x, y)| {
            none += 0.0 * (x + y);
            Self {
                left: all.left.min(x),
                top: all.top.min(y),
                right: all.right.max(x),
                bottom: all.bottom.max(y),
            }
        });
        Some(Self {
            left: all.left + none,
            top: all.top + none,
            right: all.right + none,
            bottom: all.bottom + none,
        })
    }

    /// The same with `by` more at each side.
    #[must_use]
    pub fn widened(self, by: f64) -> Self {
        Self {
            left: self.left - by,
            top: self.top - by,
            right: self.right + by,
            bottom: self.bottom + by,
        }
    }

    /// What holds both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// True where both cover some surface, and not only touch. What is no number covers anything.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        let is_apart = self.right <= other.left
            || other.right <= self.left
            || self.bottom <= other.top
            || other.bottom <= self.top;
        !is_apart
    }

    /// True where all four edges are numbers, within a picture of that size.
    #[must_use]
    pub fn is_within(self, (width, height): (f64, f64)) -> bool {
        self.left >= 0.0 && self.top >= 0.0 && self.right <= width && self.bottom <= height
    }
}

impl Mark {
    /// What the mark covers, the thickness of its lines left out; of a text, its letters in the embedded font from the tops of
    /// capitals down to the tails. Nothing for a mark without a point.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Rect { x, y, w, h, .. } | Self::Hover { x, y, w, h, .. } => {
                Bounds::around([(*x, *y), (x + w, y + h)])
            }
            Self::Fill { outlines, .. } => Bounds::around(outlines.iter().flatten().copied()),
            Self::Line { from, to, .. } => Bounds::around([*from, *to]),
            Self::Dots { at, .. } | Self::Path { at, .. } => Bounds::around(at.iter().copied()),
            Self::Text {
                at: (x, y),
                text,
                size,
                weight,
                anchor,
                ..
            } => {
                let width = font::width(text, *size, *weight);
                let left = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                Bounds::around([(left, y - ABOVE * size), (left + width, y + BELOW * size)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::Paint;
    use super::super::scene::{Scene, Style};
    use super::*;

    #[test]
    fn marks_cover_what_they_draw() {
        let mut scene = Scene::new(100.0, "");
        scene.rect((1.0, 2.0), (3.0, 4.0), Paint::Ink);
        scene.line((9.0, 1.0), (5.0, 7.0), Paint::Ink, 1.0);
        scene.text((50.0, 20.0), "auto", Style::NOTE.middle(), 90.0);
        let [rect, line, text] = scene
            .marks
            .iter()
            .map(|mark| mark.bounds().unwrap())
            .collect::<Vec<_>>()[..]
        else {
            unreachable!("three marks")
        };
        assert_eq!([rect.left, rect.top, rect.right, rect.bottom], [1.0, 2.0, 4.0, 6.0]);
        assert_eq!([line.left, line.top, line.right, line.bottom], [5.0, 1.0, 9.0, 7.0]);
        assert!((text.left + text.right - 100.0).abs() < 1e-6 && text.top < 20.0 && text.bottom > 20.0);
        assert!(rect.is_within((4.0, 6.0)) && !rect.is_within((3.0, 6.0)));
        let none = Bounds::around([(0.0, 0.0), (f64::NAN, 1.0), (2.0, 2.0)]).unwrap();
        assert!(!none.is_within((9.0, 9.0)) && none.meets(rect));
        assert_eq!(Bounds::around([]), None);
    }

    #[test]
    fn neighbours_do_not_meet() {
        let [one, beside, on] = [0.0, 4.0, 3.0].map(|x| Bounds::around([(x, 0.0), (x + 4.0, 4.0)]).unwrap());
        assert!(!one.meets(beside) && one.meets(on) && on.meets(beside));
        assert!(one.widened(0.1).meets(beside));
        assert_eq!(one.with(beside).right, 8.0);
    }
}
