//! A scene as PNG: shapes by plotters' bitmap painter, text by the embedded font.

use ab_glyph::{Font, Point, ScaleFont, point};
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::{Color, RGBAColor, RGBColor};

use super::font::{self, Weight};
use super::indexed::Indexed;
use super::palette::{Paint, Scheme};
use super::scene::{Anchor, Mark, Scene};
use crate::RenderError;

/// Pixels of a picture for each CSS pixel, so that it is sharp on dense screens and when enlarged.
const SCALE: f64 = 2.0;

/// Pictures taller than this many CSS pixels are painted at their plain size, to bound memory.
const TALL: f64 = 5000.0;

/// With more pictures than this, none is looked at for its fineness: they would take seconds to paint and compress.
const MANY: usize = 100;

/// Steps between a letter and what it stands on. The eye sees no difference from more, and a picture's colours fit a palette.
const SHADES: f32 = 15.0;

/// How much is spent on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fineness {
    /// Two pixels for each of the page, and well compressed.
    Fine,
    /// One pixel for each of the page, and quickly compressed. The page has the same charts as drawings.
    Plain,
}

impl Fineness {
    /// What is due to each of that many pictures.
    #[must_use]
    pub fn of(pictures: usize) -> Self {
        if pictures > MANY { Self::Plain } else { Self::Fine }
    }
}

/// The picture as a PNG file, twice as wide as the scene where it is fine.
///
/// # Errors
/// When the painter or the encoder fails.
pub fn png(scene: &Scene, fineness: Fineness) -> Result<Vec<u8>, RenderError> {
    let is_plain = fineness == Fineness::Plain || scene.height > TALL;
    let scale = if is_plain { 1.0 } else { SCALE };
    let width = pixels(scene.width * scale).max(1);
    let height = pixels(scene.height * scale).max(1);
    let mut buffer = vec![255_u8; width as usize * height as usize * 3];
    {
        let mut painter = Painter {
            backend: BitMapBackend::with_buffer(&mut buffer, (width, height)),
            scale,
            scene,
        };
        for mark in &scene.marks {
            painter.mark(mark)?;
        }
        painter
            .backend
            .present()
            .map_err(|error| painter_error(scene, &error))?;
    }
    encode(scene, (width, height), &buffer, fineness)
}

fn encode(
    scene: &Scene,
    (width, height): (u32, u32),
    pixels: &[u8],
    fineness: Fineness,
) -> Result<Vec<u8>, RenderError> {
    let error = |error: png::EncodingError| RenderError::Plot {
        picture: scene.title.clone(),
        message: error.to_string(),
    };
    let indexed = Indexed::of(pixels, width as usize);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels = match &indexed {
        Some(indexed) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(indexed.palette.as_slice());
            indexed.pixels.as_slice()
        }
        None => {
            encoder.set_color(png::ColorType::Rgb);
            pixels
        }
    };
    match fineness {
        Fineness::Fine => encoder.set_compression(png::Compression::Balanced),
        Fineness::Plain => encoder.set_compression(png::Compression::Fast),
    }
    match (&indexed, fineness) {
        // Numbers of colours are no amounts: differences of neighbours say nothing.
        (Some(_), _) => encoder.set_filter(png::Filter::NoFilter),
        (None, Fineness::Fine) => {}
        (None, Fineness::Plain) => {
            // Charts are level fields, which this turns into zeros. Trying every filter on every line was a tenth of the time.
            encoder.set_filter(png::Filter::Up);
        }
    }
    let mut writer = encoder.write_header().map_err(error)?;
    writer.write_image_data(pixels).map_err(error)?;
    writer.finish().map_err(error)?;
    Ok(bytes)
}

fn painter_error(scene: &Scene, error: &dyn std::fmt::Display) -> RenderError {
    RenderError::Plot {
        picture: scene.title.clone(),
        message: error.to_string(),
    }
}

/// A length as whole pixels, never negative.
fn pixels(length: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let whole = length.ceil().clamp(0.0, 65_535.0) as u32;
    whole
}

struct Painter<'a> {
    backend: BitMapBackend<'a>,
    scale: f64,
    scene: &'a Scene,
}

impl Painter<'_> {
    fn mark(&mut self, mark: &Mark) -> Result<(), RenderError> {
        match mark {
            Mark::Rect {
                x,
                y,
                w,
                h,
                paint,
                opacity,
            } => self.rect((*x, *y), (x + w, y + h), paint_of(*paint, *opacity)),
            Mark::Fill {
                outlines,
                paint,
                opacity,
            } => outlines
                .iter()
                .try_for_each(|outline| self.polygon(outline, paint_of(*paint, *opacity))),
            Mark::Line { from, to, paint, width } => self.line(*from, *to, *width, paint_of(*paint, 1.0)),
            Mark::Hover { .. } => Ok(()),
            Mark::Dots { at, radius, paint } => at.iter().try_for_each(|&at| self.dot(at, *radius, *paint)),
            Mark::Path {
                at,
                paint,
                stroke,
                opacity,
            } => self.path(at, *stroke, paint_of(*paint, *opacity)),
            Mark::Text {
                at,
                text,
                size,
                weight,
                anchor,
                paint,
                tight: _,
            } => self.text(*at, text, (*size, *weight), *anchor, *paint),
        }
    }

    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (nearest(x * self.scale), nearest(y * self.scale))
    }

    fn rect(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBAColor) -> Result<(), RenderError> {
        let (from, to) = (self.at(from), self.at(to));
        // The painter leaves out the last row and column, so that neighbours do not overlap; the thinnest bar is still one pixel.
        let to = (to.0.max(from.0 + 1), to.1.max(from.1 + 1));
        let done = self.backend.draw_rect(from, to, &colour, true);
        done.map_err(|error| painter_error(self.scene, &error))
    }

    /// Blocks of a diagram are upright, and sharpest as rectangles.
    fn polygon(&mut self, outline: &[(f64, f64)], colour: RGBAColor) -> Result<(), RenderError> {
        if let Some((from, to)) = super::pattern::as_rect(outline) {
            return self.rect(from, to, colour);
        }
        let corners: Vec<(i32, i32)> = outline.iter().map(|&corner| self.at(corner)).collect();
        let done = self.backend.fill_polygon(corners, &colour);
        done.map_err(|error| painter_error(self.scene, &error))
    }

    /// Scales, medians and budgets are upright or level, and sharpest as rectangles.
    fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: RGBAColor) -> Result<(), RenderError> {
        let half = width / 2.0;
        if (from.0 - to.0).abs() < f64::EPSILON {
            return self.rect(
                (from.0 - half, from.1.min(to.1)),
                (from.0 + half, from.1.max(to.1)),
                colour,
            );
        }
        if (from.1 - to.1).abs() < f64::EPSILON {
            return self.rect(
                (from.0.min(to.0), from.1 - half),
                (from.0.max(to.0), from.1 + half),
                colour,
            );
        }
        let stroke = colour.stroke_width(pixels(width * self.scale));
        let done = self.backend.draw_line(self.at(from), self.at(to), &stroke);
        done.map_err(|error| painter_error(self.scene, &error))
    }

    fn dot(&mut self, at: (f64, f64), radius: f64, paint: Paint) -> Result<(), RenderError> {
        let colour = paint_of(paint, 0.6);
        let done = self
            .backend
            .draw_circle(self.at(at), pixels(radius * self.scale), &colour, true);
        done.map_err(|error| painter_error(self.scene, &error))
    }

    fn path(&mut self, at: &[(f64, f64)], stroke: Option<f64>, colour: RGBAColor) -> Result<(), RenderError> {
        let mut points: Vec<(i32, i32)> = at.iter().map(|at| self.at(*at)).collect();
        // A line between equal points has no direction.
        points.dedup();
        if points.len() < 2 {
            return Ok(());
        }
        let done = match stroke {
            Some(width) => {
                let style = colour.stroke_width(pixels(width * self.scale));
                self.backend.draw_path(points, &style)
            }
            None => self.backend.fill_polygon(points, &colour),
        };
        done.map_err(|error| painter_error(self.scene, &error))
    }

    /// Glyphs at fractions of a pixel: the painter's own text sits on whole pixels and looks uneven.
    fn text(
        &mut self,
        at: (f64, f64),
        text: &str,
        (size, weight): (f64, Weight),
        anchor: Anchor,
        paint: Paint,
    ) -> Result<(), RenderError> {
        let font = font::font(weight)?;
        let scale = font::scale(font, size * self.scale);
        let scaled = font.as_scaled(scale);
        let width: f32 = text.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum();
        let start = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::End => width,
        };
        let mut pen = self.pen(at, start);
        for c in text.chars() {
            let glyph = scaled.glyph_id(c).with_scale_and_position(scale, pen);
            pen.x += scaled.h_advance(glyph.id);
            if let Some(outline) = font.outline_glyph(glyph) {
                self.glyph(&outline, paint)?;
            }
        }
        Ok(())
    }

    /// Where the first glyph goes: at its fraction of a pixel along the line, on a whole pixel across it.
    fn pen(&self, at: (f64, f64), start: f32) -> Point {
        #[expect(clippy::cast_possible_truncation, reason = "positions in a picture are small")]
        let (x, y) = ((at.0 * self.scale) as f32, (at.1 * self.scale).round() as f32);
        point(x - start, y)
    }

    fn glyph(&mut self, outline: &ab_glyph::OutlinedGlyph, paint: Paint) -> Result<(), RenderError> {
        let corner = outline.px_bounds().min;
        let (left, top) = (nearest(f64::from(corner.x)), nearest(f64::from(corner.y)));
        let mut covered = Vec::new();
        outline.draw(|x, y, coverage| covered.push((x, y, coverage)));
        for (x, y, coverage) in covered {
            let colour = paint_of(paint, f64::from((coverage.clamp(0.0, 1.0) * SHADES).round() / SHADES));
            let x = left.saturating_add_unsigned(x);
            let y = top.saturating_add_unsigned(y);
            let done = self.backend.draw_pixel((x, y), colour.to_backend_color());
            done.map_err(|error| painter_error(self.scene, &error))?;
        }
        Ok(())
    }
}

fn paint_of(paint: Paint, opacity: f64) -> RGBAColor {
    let [red, green, blue] = paint.rgb(Scheme::Light);
    RGBColor(red, green, blue).mix(opacity)
}

fn nearest(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let whole = value.round().clamp(-65_535.0, 65_535.0) as i32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red, green and blue of every pixel, line by line, of a picture with one pixel for each of the page.
    fn painted(scene: &Scene) -> Vec<[u8; 3]> {
        let bytes = png(scene, Fineness::Plain).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        // Pictures of few colours are written with a palette.
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect()
    }

    #[test]
    fn shapes_reach_their_last_pixel_and_no_further() {
        let ink = Paint::Ink.rgb(Scheme::Light);
        let mut scene = Scene::new(6.0, "");
        scene.height = 2.0;
        scene.rect((1.0, 0.0), (1.0, 1.0), Paint::Ink);
        scene.fill(
            vec![super::super::pattern::rect((4.0, 0.0), (2.0, 2.0))],
            Paint::Ink,
            1.0,
        );
        let is_ink: Vec<bool> = painted(&scene).iter().map(|pixel| *pixel == ink).collect();
        assert_eq!(is_ink[..6], [false, true, false, false, true, true]);
        assert_eq!(is_ink[6..], [false, false, false, false, true, true]);
    }

    #[test]
    fn polygons_are_filled() {
        let ink = Paint::Ink.rgb(Scheme::Light);
        let mut scene = Scene::new(40.0, "");
        scene.height = 20.0;
        scene.fill(vec![vec![(0.0, 0.0), (40.0, 0.0), (20.0, 20.0)]], Paint::Ink, 1.0);
        let pixels = painted(&scene);
        assert_eq!(pixels[5 * 40 + 20], ink, "inside");
        assert_eq!(pixels[18 * 40 + 2], [255; 3], "outside");
    }
}
