//! A picture before it is painted: a flat list of marks, laid out once for PNG and SVG alike.

use super::font::{self, Weight};
use super::palette::Paint;
use super::pattern;

/// The corners of a polygon.
pub type Outline = Vec<(f64, f64)>;

/// Where a text begins, relative to its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At its left.
    Start,
    /// At its middle.
    Middle,
    /// At its right.
    End,
}

/// One mark. Positions are in CSS pixels from the top left.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A filled rectangle.
    Rect {
        /// Left.
        x: f64,
        /// Top.
        y: f64,
        /// Width.
        w: f64,
        /// Height.
        h: f64,
        /// Fill.
        paint: Paint,
        /// From 0, invisible, to 1.
        opacity: f64,
    },
    /// Filled polygons of one colour, as many as there are: one element of a page, a few bytes each.
    Fill {
        /// Their corners.
        outlines: Vec<Outline>,
        /// Fill.
        paint: Paint,
        /// From 0, invisible, to 1.
        opacity: f64,
    },
    /// A straight line.
    Line {
        /// Start.
        from: (f64, f64),
        /// End.
        to: (f64, f64),
        /// Colour.
        paint: Paint,
        /// Thickness.
        width: f64,
    },
    /// Many points of one kind.
    Dots {
        /// Their centres.
        at: Vec<(f64, f64)>,
        /// Their radius.
        radius: f64,
        /// Colour.
        paint: Paint,
    },
    /// Straight lines from point to point, or the area they enclose.
    Path {
        /// The points, in order.
        at: Vec<(f64, f64)>,
        /// Colour.
        paint: Paint,
        /// Thickness of the lines; absent for the area.
        stroke: Option<f64>,
        /// From 0, invisible, to 1.
        opacity: f64,
    },
    /// A line of text.
    Text {
        /// Where it is anchored, on the baseline.
        at: (f64, f64),
        /// The text.
        text: String,
        /// Height of the font.
        size: f64,
        /// Weight.
        weight: Weight,
        /// Which end `at` is.
        anchor: Anchor,
        /// Colour.
        paint: Paint,
        /// Its width with the embedded font, where there is hardly more room than that.
        tight: Option<f64>,
    },
    /// A region that says something to whoever points at it: in a page, not on paper. What it says must be in the
    /// chart's table too.
    Hover {
        /// Left.
        x: f64,
        /// Top.
        y: f64,
        /// Width.
        w: f64,
        /// Height.
        h: f64,
        /// What is said.
        text: String,
    },
}

/// A picture: its size, what it says, and its marks in painting order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Width in CSS pixels.
    pub width: f64,
    /// Height in CSS pixels.
    pub height: f64,
    /// What the picture says, for those who cannot see it.
    pub title: String,
    /// What to paint.
    pub marks: Vec<Mark>,
}

/// Text heights: the title of a picture, its labels, and notes.
pub mod size {
    /// Title.
    pub const TITLE: f64 = 18.0;
    /// Labels of rows.
    pub const LABEL: f64 = 13.0;
    /// Everything smaller.
    pub const NOTE: f64 = 11.5;
}

/// How much wider than the embedded font the widest of the usual system fonts are: Verdana and DejaVu Sans, by 18 %.
const WIDEST: f64 = 1.19;

impl Scene {
    /// An empty picture.
    #[must_use]
    pub fn new(width: f64, title: &str) -> Self {
        Self {
            width,
            height: 0.0,
            title: title.to_owned(),
            marks: Vec::new(),
        }
    }

    /// A filled rectangle.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), paint: Paint) {
        self.faded_rect((x, y), (w, h), paint, 1.0);
    }

    /// A rectangle that shines through.
    pub fn faded_rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), paint: Paint, opacity: f64) {
        if w > 0.0 && h > 0.0 {
            self.marks.push(Mark::Rect {
                x,
                y,
                w,
                h,
                paint,
                opacity,
            });
            if let Some((stripes, ink)) = pattern::of_device(paint, (x, y), (w, h)) {
                self.fill(stripes, ink, opacity * pattern::STRENGTH);
            }
        }
    }

    /// Filled polygons of one colour.
    pub fn fill(&mut self, outlines: Vec<Outline>, paint: Paint, opacity: f64) {
        if !outlines.is_empty() {
            self.marks.push(Mark::Fill {
                outlines,
                paint,
                opacity,
            });
        }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), paint: Paint, width: f64) {
        self.marks.push(Mark::Line { from, to, paint, width });
    }

    /// A region that says something to whoever points at it. Every one costs a page about a hundred bytes.
    pub fn hover(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), text: impl Into<String>) {
        if w > 0.0 && h > 0.0 {
            self.marks.push(Mark::Hover {
                x,
                y,
                w,
                h,
                text: text.into(),
            });
        }
    }

    /// A label: text of `size` in `weight`, cut in its middle where it is wider than `room`. Returns its width.
    pub fn text(&mut self, at: (f64, f64), text: &str, style: Style, room: f64) -> f64 {
        let text = font::fit(text, style.size, style.weight, room);
        let width = font::width(&text, style.size, style.weight);
        if !text.is_empty() {
            self.marks.push(Mark::Text {
                at,
                text,
                size: style.size,
                weight: style.weight,
                anchor: style.anchor,
                paint: style.paint,
                tight: (width * WIDEST > room).then_some(width),
            });
        }
        width
    }
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    size: f64,
    weight: Weight,
    anchor: Anchor,
    paint: Paint,
}

impl Style {
    /// A picture's title.
    pub const TITLE: Self = Self::new(size::TITLE, Weight::SemiBold, Paint::Ink);
    /// The name of a row.
    pub const LABEL: Self = Self::new(size::LABEL, Weight::SemiBold, Paint::Ink);
    /// A value beside a name.
    pub const VALUE: Self = Self::new(size::LABEL, Weight::Regular, Paint::Ink);
    /// Scales, legends and remarks.
    pub const NOTE: Self = Self::new(size::NOTE, Weight::Regular, Paint::Muted);
    /// What went wrong.
    pub const ALARM: Self = Self::new(size::NOTE, Weight::SemiBold, Paint::Alarm);

    const fn new(size: f64, weight: Weight, paint: Paint) -> Self {
        Self {
            size,
            weight,
            anchor: Anchor::Start,
            paint,
        }
    }

    /// The same, ending at its position.
    #[must_use]
    pub const fn end(self) -> Self {
        Self {
            anchor: Anchor::End,
            ..self
        }
    }

    /// The same, around its position.
    #[must_use]
    pub const fn middle(self) -> Self {
        Self {
            anchor: Anchor::Middle,
            ..self
        }
    }

    /// The same in another colour.
    #[must_use]
    pub const fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }

    /// The width a text would take.
    #[must_use]
    pub fn width(self, text: &str) -> f64 {
        font::width(text, self.size, self.weight)
    }
}
