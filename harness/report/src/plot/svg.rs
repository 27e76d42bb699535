//! A scene as SVG inside a page: colours by class, text as text.

use super::font::Weight;
use super::layers::{Layer, Look, layers};
use super::palette::Paint;
use super::pattern;
use super::scene::{Anchor, Mark, Scene, size};

/// Points of one series that a page draws; more would only make it heavy.
const MOST_POINTS: usize = 400;

/// The class of charts for small screens.
pub const NARROW: &str = "narrow";

/// The colour of a text without a class: that of notes, which are the most.
const PLAIN: Paint = Paint::Muted;

/// The look of text and regions, beside the classes of colours.
pub(super) const STYLE: &str = "svg{font-size:11.5px;fill:var(--muted)}svg :is(.tn,.tv,.tl){font-size:13px}svg :is(.tn,.tb){font-weight:600}svg :is(.tn,.tv){fill:var(--ink)}svg .tm{text-anchor:middle}\
    svg .te{text-anchor:end}svg .hover *{fill:transparent}";

/// The picture, with its title for screen readers. `class` is put on the element.
#[must_use]
pub fn svg(scene: &Scene, class: &str) -> String {
    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{title}\">",
        w = short(scene.width),
        h = short(scene.height),
        title = escape(&scene.title),
    );
    for layer in layers(scene) {
        push(&mut svg, &layer, class);
    }
    svg.push_str("</svg>");
    svg
}

/// One element for a layer.
fn push(svg: &mut String, layer: &Layer<'_>, class: &str) {
    match layer.look {
        Look::Fill { paint, opacity } => element(svg, &format!("f-{}", paint.name()), None, opacity, &path_of(layer)),
        Look::Stroke { paint, width, opacity } => {
            element(
                svg,
                &format!("s-{}", paint.name()),
                Some(width),
                opacity,
                &path_of(layer),
            );
        }
        Look::Dots { paint, radius } => {
            let class = format!("s-{} dots", paint.name());
            element(svg, &class, Some(radius * 2.0), 1.0, &path_of(layer));
        }
        Look::Text {
            size,
            weight,
            anchor,
            paint,
        } => texts(svg, &layer.marks, &text_look(size, weight, anchor, paint)),
        // A finger has nothing to point with, and the page stays small.
        Look::Hover if class == NARROW => {}
        Look::Hover => {
            svg.push_str("<g class=\"hover\">");
            for mark in &layer.marks {
                if let Mark::Hover { x, y, w, h, text } = mark {
                    region(svg, (*x, *y), (*w, *h), text);
                }
            }
            svg.push_str("</g>");
        }
    }
}

fn element(svg: &mut String, class: &str, width: Option<f64>, opacity: f64, path: &str) {
    if path.is_empty() {
        return;
    }
    // Lines are one pixel thick where nothing else is said.
    let width = width.map(short).filter(|width| width != "1");
    let width = width.map_or_else(String::new, |width| format!(" stroke-width=\"{width}\""));
    let faded = if opacity < 1.0 {
        format!(" opacity=\"{}\"", short(opacity))
    } else {
        String::new()
    };
    svg.push_str(&format!("<path class=\"{class}\"{width}{faded} d=\"{path}\"/>"));
}

/// The outlines and lines of a layer, one after the other.
fn path_of(layer: &Layer<'_>) -> String {
    let mut pen = Pen::default();
    for mark in &layer.marks {
        match mark {
            Mark::Rect { x, y, w, h, .. } => pen.lines(&pattern::rect((*x, *y), (*w, *h)), true),
            Mark::Fill { outlines, .. } => outlines.iter().for_each(|outline| pen.lines(outline, true)),
            Mark::Line { from, to, .. } => pen.lines(&[*from, *to], false),
            Mark::Path { at, stroke, .. } if at.len() > 1 => pen.lines(at, stroke.is_none()),
            Mark::Dots { at, .. } => {
                let step = at.len().div_ceil(MOST_POINTS).max(1);
                at.iter().step_by(step).for_each(|&at| pen.dot(at));
            }
            Mark::Path { .. } | Mark::Text { .. } | Mark::Hover { .. } => {}
        }
    }
    pen.path
}

/// Writes a path, each point by its distance from the one before: a few bytes a point.
#[derive(Debug, Default)]
struct Pen {
    path: String,
    /// Where it is; nowhere before the first point.
    at: Option<(f64, f64)>,
}

impl Pen {
    /// Lines from point to point, the last joined to the first where they are closed.
    fn lines(&mut self, points: &[(f64, f64)], is_closed: bool) {
        let Some((first, rest)) = points.split_first() else {
            return;
        };
        self.go(*first);
        let start = self.at;
        let mut was_slanted = false;
        for to in rest {
            was_slanted = self.draw(*to, was_slanted);
        }
        if is_closed {
            self.path.push('z');
            self.at = start;
        }
    }

    /// A stroke without length.
    fn dot(&mut self, at: (f64, f64)) {
        self.go(at);
        self.path.push_str("h0");
    }

    fn go(&mut self, (x, y): (f64, f64)) {
        let to = (rounded(x), rounded(y));
        match self.at {
            None => self.path.push_str(&format!("M{}", pair(to.0, to.1))),
            Some(from) => self.path.push_str(&format!("m{}", pair(to.0 - from.0, to.1 - from.1))),
        }
        self.at = Some(to);
    }

    /// Draws a line; returns whether the next slanted one needs no letter.
    fn draw(&mut self, (x, y): (f64, f64), was_slanted: bool) -> bool {
        // Distances between rounded points: what was rounded away must not add up.
        let to = (rounded(x), rounded(y));
        let from = self.at.unwrap_or(to);
        let by = (short(to.0 - from.0), short(to.1 - from.1));
        let is_slanted = match (by.0.as_str(), by.1.as_str()) {
            (dx, "0") => {
                self.path.push_str(&format!("h{dx}"));
                false
            }
            ("0", dy) => {
                self.path.push_str(&format!("v{dy}"));
                false
            }
            _ => {
                let by = pair(to.0 - from.0, to.1 - from.1);
                let letter = match (was_slanted, by.starts_with('-')) {
                    (false, _) => "l",
                    (true, true) => "",
                    (true, false) => " ",
                };
                self.path.push_str(letter);
                self.path.push_str(&by);
                true
            }
        };
        self.at = Some(to);
        is_slanted
    }
}

/// Two lengths; a sign parts them as well as a space.
fn pair(x: f64, y: f64) -> String {
    let (x, y) = (short(x), short(y));
    if y.starts_with('-') {
        format!("{x}{y}")
    } else {
        format!("{x} {y}")
    }
}

/// The attributes of texts of one look, with a space before; nothing for notes.
fn text_look(size: f64, weight: Weight, anchor: Anchor, paint: Paint) -> String {
    let mut classes: Vec<String> = Vec::new();
    let mut other_size = String::new();
    let is_label = (size - size::LABEL).abs() < f64::EPSILON;
    match (is_label, paint, weight) {
        // Names and values have a class of their own each, for they are many.
        (true, Paint::Ink, Weight::SemiBold) => classes.push("tn".into()),
        (true, Paint::Ink, Weight::Regular) => classes.push("tv".into()),
        _ => {
            if paint != PLAIN {
                classes.push(format!("f-{}", paint.name()));
            }
            if is_label {
                classes.push("tl".into());
            } else if (size - size::NOTE).abs() > f64::EPSILON {
                other_size = format!(" style=\"font-size:{}px\"", short(size));
            }
            if weight == Weight::SemiBold {
                classes.push("tb".into());
            }
        }
    }
    match anchor {
        Anchor::Start => {}
        Anchor::Middle => classes.push("tm".into()),
        Anchor::End => classes.push("te".into()),
    }
    if classes.is_empty() {
        return other_size;
    }
    format!(" class=\"{}\"{other_size}", classes.join(" "))
}

/// Texts of one look: what they share is said once.
fn texts(svg: &mut String, marks: &[&Mark], look: &str) {
    let is_group = marks.len() > 1 && !look.is_empty();
    if is_group {
        svg.push_str(&format!("<g{look}>"));
    }
    for mark in marks {
        let Mark::Text { at, text, tight, .. } = mark else {
            continue;
        };
        // A browser's own font may be wider than the one that was measured with: it then sets the letters closer.
        let length = tight.map_or_else(String::new, |width| format!(" textLength=\"{}\"", width.round()));
        svg.push_str(&format!(
            "<text{} x=\"{}\" y=\"{}\"{length}>{}</text>",
            if is_group { "" } else { look },
            // Letters are not set finer than that.
            short(at.0.round()),
            short(at.1.round()),
            escape(text)
        ));
    }
    if is_group {
        svg.push_str("</g>");
    }
}

/// A region that says something: every pixel that it touches.
fn region(svg: &mut String, (x, y): (f64, f64), (w, h): (f64, f64), text: &str) {
    let (left, top) = (x.floor(), y.floor());
    let (width, height) = ((x + w).ceil() - left, (y + h).ceil() - top);
    svg.push_str(&format!(
        "<path d=\"M{}h{width}v{height}h-{width}z\"><title>{}</title></path>",
        pair(left, top),
        escape(text)
    ));
}

/// To the tenth of a pixel that is written.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// At most one decimal, without the zero before it.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    match (text, text.split_once("0.")) {
        ("-0", _) => "0".to_owned(),
        (_, Some((sign @ ("" | "-"), tenth))) => format!("{sign}.{tenth}"),
        _ => text.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::Style;

    #[test]
    fn polygons_are_one_path_from_corner_to_corner() {
        let mut scene = Scene::new(100.0, "");
        let triangle = vec![(0.0, 0.0), (3.5, 6.04), (-3.5, 6.04)];
        scene.fill(
            vec![vec![(1.0, 2.0), (5.0, 2.0), (5.0, 4.0), (1.0, 4.0)], triangle],
            Paint::Device(9),
            0.3,
        );
        let svg = svg(&scene, "wide");
        let path = "<path class=\"f-d1\" opacity=\".3\" d=\"M1 2h4v2h-4zm-1-2l3.5 6h-7z\"/>";
        assert!(svg.contains(path), "{svg}");
    }

    #[test]
    fn hostile_labels_stay_labels() {
        let mut scene = Scene::new(100.0, "\"><script>");
        scene.text((0.0, 0.0), "<a>&'\"", Style::LABEL, 1000.0);
        let svg = svg(&scene, "wide");
        assert!(!svg.contains("<script") && !svg.contains("<a>"), "{svg}");
    }

    #[test]
    fn a_label_without_room_keeps_its_width_in_any_font() {
        let mut scene = Scene::new(100.0, "");
        scene.text((0.0, 0.0), "model.layers.3 -> model.layers.4", Style::LABEL, 90.0);
        scene.text((0.0, 20.0), "auto", Style::LABEL, 90.0);
        let svg = svg(&scene, "wide");
        let (cut, short) = svg.split_once("</text>").unwrap();
        assert!(cut.contains("textLength=\"") && cut.contains('…'), "{cut}");
        assert!(!short.contains("textLength"), "{short}");
    }
}
