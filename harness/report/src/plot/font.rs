//! The embedded font: measuring, cutting and wrapping text. No system font is ever asked.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, InvalidFont, PxScale, ScaleFont};

use crate::view::no_break::{NO_BREAK, unbroken};

/// The two weights that are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Text.
    Regular,
    /// Titles and names.
    SemiBold,
}

static REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.subset.otf");
static SEMI_BOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.subset.otf");

/// Browsers set the labels of a page in their own font, which may be wider: room that is left for it.
const SLACK: f64 = 1.1;

/// The font of a weight.
///
/// # Errors
/// Never for a correctly built crate; the font is part of it.
pub fn font(weight: Weight) -> Result<&'static FontRef<'static>, InvalidFont> {
    static FONTS: [OnceLock<Result<FontRef<'static>, InvalidFont>>; 2] = [OnceLock::new(), OnceLock::new()];
    let (slot, bytes) = match weight {
        Weight::Regular => (&FONTS[0], REGULAR),
        Weight::SemiBold => (&FONTS[1], SEMI_BOLD),
    };
    slot.get_or_init(|| FontRef::try_from_slice(bytes))
        .as_ref()
        .map_err(|_| InvalidFont)
}

/// The scale at which an em is `size` pixels high.
#[must_use]
pub fn scale(font: &FontRef<'_>, size: f64) -> PxScale {
    let per_em = font.units_per_em().unwrap_or(1.0);
    #[expect(clippy::cast_possible_truncation, reason = "sizes of text are small")]
    let size = size as f32;
    PxScale::from(size * font.height_unscaled() / per_em)
}

/// Width of a text in pixels; an estimate where a character is not in the font.
#[must_use]
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let Ok(font) = font(weight) else {
        return size * 0.6 * text.chars().count() as f64;
    };
    let scaled = font.as_scaled(scale(font, size));
    text.chars()
        .map(|c| f64::from(scaled.h_advance(scaled.glyph_id(c))))
        .sum()
}

/// The text, with its middle replaced by `…` where it is wider than `room`; nothing where not even that fits.
#[must_use]
pub fn fit(text: &str, size: f64, weight: Weight, room: f64) -> String {
    let room = room / SLACK;
    if width(text, size, weight) <= room {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let cut = |kept: usize| -> String {
        let head = kept.div_ceil(2);
        let tail = kept - head;
        let (start, end) = (&characters[..head], &characters[characters.len() - tail..]);
        start.iter().chain(std::iter::once(&'…')).chain(end).collect()
    };
    // The width grows with what is kept, so the longest cut that fits is found by halving.
    let (mut fits, mut too_wide) = (0, characters.len());
    while too_wide - fits > 1 {
        let kept = usize::midpoint(fits, too_wide);
        if width(&cut(kept), size, weight) <= room {
            fits = kept;
        } else {
            too_wide = kept;
        }
    }
    if fits == 0 { String::new() } else { cut(fits) }
}

/// The text on at most `most` lines of `room` pixels; words that are too long, and the last line, are cut. A number stays with
/// its unit.
#[must_use]
pub fn wrap(text: &str, size: f64, weight: Weight, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let text = unbroken(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let mut line = word.to_owned();
        let last = lines.len() + 1 == most;
        while let Some(next) = words.peek() {
            let longer = format!("{line} {next}");
            if !last && width(&longer.replace(NO_BREAK, " "), size, weight) * SLACK > room {
                break;
            }
            line = longer;
            words.next();
        }
        lines.push(fit(&line.replace(NO_BREAK, " "), size, weight, room));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_room() {
        let name = "model.layers.3.self_attn.q_proj".repeat(3);
        for room in [10.0, 40.0, 120.0, 400.0] {
            let cut = fit(&name, 13.0, Weight::Regular, room);
            assert!(width(&cut, 13.0, Weight::Regular) <= room, "{cut}");
        }
        assert_eq!(fit("auto", 13.0, Weight::Regular, 100.0), "auto");
        assert_eq!(fit("auto", 13.0, Weight::Regular, 1.0), "");
        assert!(fit(&name, 13.0, Weight::Regular, 120.0).contains('…'));
    }

    #[test]
    fn titles_wrap() {
        let lines = wrap(
            "one two three four five six seven eight",
            18.0,
            Weight::SemiBold,
            120.0,
            2,
        );
        assert_eq!(lines.len(), 2);
        assert!(
            lines.iter().all(|line| width(line, 18.0, Weight::SemiBold) <= 120.0),
            "{lines:?}"
        );
        let lines = wrap("takes 1.25 ms (0 to 39 %)", 18.0, Weight::SemiBold, 90.0, 9);
        assert!(lines.iter().any(|line| line.contains("1.25 ms")), "{lines:?}");
        assert!(lines.iter().all(|line| !line.starts_with(['%', 'm'])), "{lines:?}");
        assert!(wrap("", 18.0, Weight::SemiBold, 120.0, 2).is_empty());
    }

    #[test]
    fn signs_of_the_reports_are_in_the_font() {
        for weight in [Weight::Regular, Weight::SemiBold] {
            let font = font(weight).unwrap();
            for c in "azAZ09 ·–…→×µ≥≤".chars() {
                assert_ne!(font.glyph_id(c).0, 0, "{c}");
            }
        }
    }
}
