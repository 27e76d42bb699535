//! A scene as SVG inside a page: colours by class, text as text.

use super::font::Weight;
use super::palette::Paint;
use super::scene::{Anchor, Mark, Outline, Scene};

/// Points of one series that a page draws; more would only make it heavy.
const MOST_POINTS: usize = 400;

/// The class of charts for small screens.
pub const NARROW: &str = "narrow";

/// The picture, with its title for screen readers. `class` is put on the element.
#[must_use]
pub fn svg(scene: &Scene, class: &str) -> String {
    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{title}\">",
        w = short(scene.width),
        h = short(scene.height),
        title = escape(&scene.title),
    );
    for mark in &scene.marks {
        push(&mut svg, mark, class);
    }
    svg.push_str("</svg>");
    svg
}

fn push(svg: &mut String, mark: &Mark, class: &str) {
    match mark {
        Mark::Rect {
            x,
            y,
            w,
            h,
            paint,
            opacity,
        } => {
            let faded = faded(*opacity);
            let [x, y, w, h] = [x, y, w, h].map(|value| short(*value));
            svg.push_str(&format!(
                "<rect class=\"f-{}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{faded}/>",
                paint.name()
            ));
        }
        Mark::Fill {
            outlines,
            paint,
            opacity,
        } => fill(svg, outlines, *paint, *opacity),
        Mark::Line { from, to, paint, width } => {
            let [x1, y1, x2, y2, width] = [from.0, from.1, to.0, to.1, *width].map(short);
            let class = paint.name();
            svg.push_str(&format!(
                "<path class=\"s-{class}\" stroke-width=\"{width}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"
            ));
        }
        Mark::Dots { at, radius, paint } => dots(svg, at, *radius, *paint),
        Mark::Path {
            at,
            paint,
            stroke,
            opacity,
        } => path(svg, at, *paint, *stroke, *opacity),
        Mark::Text {
            at,
            text,
            size,
            weight,
            anchor,
            paint,
            tight,
        } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let bold = if *weight == Weight::SemiBold {
                " font-weight=\"600\""
            } else {
                ""
            };
            // A browser's own font may be wider than the one that was measured with: it then sets the letters closer.
            let length = tight.map_or_else(String::new, |width| format!(" textLength=\"{}\"", width.round()));
            svg.push_str(&format!(
                "<text class=\"f-{}\" x=\"{}\" y=\"{}\" font-size=\"{}\"{bold}{anchor}{length}>{}</text>",
                paint.name(),
                short(at.0),
                short(at.1),
                short(*size),
                escape(text)
            ));
        }
        // A finger has nothing to point with, and the page stays small.
        Mark::Hover { .. } if class == NARROW => {}
        Mark::Hover { x, y, w, h, text } => {
            let [x, y, w, h] = [x, y, w, h].map(|value| short(*value));
            svg.push_str(&format!(
                "<rect class=\"hover\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"><title>{}</title></rect>",
                escape(text)
            ));
        }
    }
}

fn faded(opacity: f64) -> String {
    if opacity < 1.0 {
        format!(" opacity=\"{}\"", short(opacity))
    } else {
        String::new()
    }
}

/// Polygons as one path, each corner by its distance from the one before.
fn fill(svg: &mut String, outlines: &[Outline], paint: Paint, opacity: f64) {
    let mut path = String::new();
    for outline in outlines {
        // Distances between rounded corners: what was rounded away must not add up.
        let mut corners = outline.iter().map(|(x, y)| (rounded(*x), rounded(*y)));
        let Some(mut at) = corners.next() else { continue };
        path.push_str(&format!("M{} {}", short(at.0), short(at.1)));
        for to in corners {
            let by = (short(to.0 - at.0), short(to.1 - at.1));
            match (by.0.as_str(), by.1.as_str()) {
                (dx, "0" | "-0") => path.push_str(&format!("h{dx}")),
                ("0" | "-0", dy) => path.push_str(&format!("v{dy}")),
                (dx, dy) => path.push_str(&format!("l{dx} {dy}")),
            }
            at = to;
        }
        path.push('z');
    }
    if !path.is_empty() {
        let (class, faded) = (paint.name(), faded(opacity));
        svg.push_str(&format!("<path class=\"f-{class}\"{faded} d=\"{path}\"/>"));
    }
}

/// To the tenth of a pixel that is written.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Lines or an area; coordinates after the first pair are those of lines, so that a point takes a few bytes.
fn path(svg: &mut String, at: &[(f64, f64)], paint: Paint, stroke: Option<f64>, opacity: f64) {
    if at.len() < 2 {
        return;
    }
    let points: Vec<String> = at.iter().map(|(x, y)| format!("{} {}", short(*x), short(*y))).collect();
    let name = paint.name();
    let (class, width, close) = match stroke {
        Some(width) => (format!("s-{name}"), format!(" stroke-width=\"{}\"", short(width)), ""),
        None => (format!("f-{name}"), String::new(), "z"),
    };
    let faded = if opacity < 1.0 {
        format!(" opacity=\"{}\"", short(opacity))
    } else {
        String::new()
    };
    svg.push_str(&format!(
        "<path class=\"{class}\"{width}{faded} d=\"M{}{close}\"/>",
        points.join(" ")
    ));
}

/// Points as one path of strokes without length: a few bytes a point.
fn dots(svg: &mut String, at: &[(f64, f64)], radius: f64, paint: Paint) {
    let step = at.len().div_ceil(MOST_POINTS).max(1);
    let path: String = at
        .iter()
        .step_by(step)
        .map(|(x, y)| format!("M{} {}h0", short(*x), short(*y)))
        .collect();
    if !path.is_empty() {
        let (class, width) = (paint.name(), short(radius * 2.0));
        svg.push_str(&format!(
            "<path class=\"s-{class} dots\" stroke-width=\"{width}\" d=\"{path}\"/>"
        ));
    }
}

/// At most one decimal.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
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
        let path = "<path class=\"f-d1\" opacity=\"0.3\" d=\"M1 2h4v2h-4zM0 0l3.5 6h-7z\"/>";
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
