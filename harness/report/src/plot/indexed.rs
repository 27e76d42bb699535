//! A picture with few colours as numbers of a palette: a third of the bytes to compress, and half of the file.

use std::collections::HashMap;

/// Most colours of a palette with one byte a pixel.
const MOST: usize = 256;

/// Pixels as numbers of colours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    /// Red, green and blue of each colour, in order of appearance.
    pub(super) palette: Vec<u8>,
    /// The number of each pixel's colour.
    pub(super) pixels: Vec<u8>,
}

impl Indexed {
    /// `None` where there are more colours than a palette holds. `rgb` has three bytes a pixel, `width` pixels a line.
    pub(super) fn of(rgb: &[u8], width: usize) -> Option<Self> {
        let mut numbers: HashMap<&[u8], u8> = HashMap::new();
        let mut palette = Vec::new();
        let mut pixels = Vec::with_capacity(rgb.len() / 3);
        // Pictures are level fields: most pixels have the colour of the one before.
        let mut last: (&[u8], u8) = (&[], 0);
        let mut above: &[u8] = &[];
        for line in rgb.chunks(3 * width.max(1)) {
            // And many lines are the line above.
            if line == above {
                pixels.extend_from_within(pixels.len() - line.len() / 3..);
                continue;
            }
            above = line;
            for pixel in line.chunks_exact(3) {
                if pixel != last.0 {
                    let number = match numbers.get(pixel) {
                        Some(number) => *number,
                        None if numbers.len() == MOST => return None,
                        None => {
                            let number = u8::try_from(numbers.len()).ok()?;
                            numbers.insert(pixel, number);
                            palette.extend_from_slice(pixel);
                            number
                        }
                    };
                    last = (pixel, number);
                }
                pixels.push(last.1);
            }
        }
        Some(Self { palette, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_keeps_its_colour() {
        for colours in [1_usize, 2, 255, 256] {
            let colour = |at: usize| {
                let [low, high, ..] = (at % colours).to_le_bytes();
                [low, high, 7]
            };
            let rgb: Vec<u8> = (0..1000).flat_map(colour).collect();
            let indexed = Indexed::of(&rgb, 50).unwrap();
            assert_eq!(indexed.palette.len(), colours * 3);
            let again: Vec<u8> = indexed
                .pixels
                .iter()
                .flat_map(|number| indexed.palette[usize::from(*number) * 3..][..3].to_vec())
                .collect();
            assert_eq!(again, rgb);
        }
    }

    #[test]
    fn too_many_colours_are_left_alone() {
        let rgb: Vec<u8> = (0..=256_u16)
            .flat_map(|at| [at.to_le_bytes()[0], at.to_le_bytes()[1], 0])
            .collect();
        assert_eq!(Indexed::of(&rgb, 257), None);
        assert_eq!(
            Indexed::of(&[], 9),
            Some(Indexed {
                palette: vec![],
                pixels: vec![]
            })
        );
    }
}
