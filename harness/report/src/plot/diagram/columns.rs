//! The columns of a placement diagram: one for each module, as wide as its bytes.

use crate::view::CaseView;
use crate::view::modules::{ModuleView, short};

use crate::plot::scene::{Scene, Style};

/// No column is thinner than this many pixels, where there is room for all of them.
const THINNEST: f64 = 7.0;
/// The thinnest columns take at most this part of the room together.
const THIN_PART: f64 = 0.4;
/// The longest name above a column.
const NAME_ROOM: f64 = 130.0;
/// Room between two names.
const APART: f64 = 8.0;

/// Columns that several rows may share: those of the same modules.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Left sides, and the right side of the last.
    edges: Vec<f64>,
    /// Their widths are those of bytes.
    pub(super) is_to_scale: bool,
}

impl Columns {
    /// Columns for the modules of the first case, from the bytes of all cases that have the same modules: a case that
    /// loaded nothing is drawn to the scale of one that did.
    pub(super) fn new(modules: &[ModuleView], cases: &[CaseView], x: f64, width: f64) -> Self {
        let names: Vec<String> = modules.iter().map(|module| module.module.clone()).collect();
        let alike = cases
            .iter()
            .map(|case| case.placed.modules.as_slice())
            .filter(|other| is_alike(&names, other));
        let mut bytes: Vec<f64> = vec![0.0; names.len()];
        for other in alike {
            for (most, module) in bytes.iter_mut().zip(other) {
                *most = most.max(module.bytes.unwrap_or_default().as_f64());
            }
        }
        let is_to_scale = bytes.iter().any(|bytes| *bytes > 0.0);
        if !is_to_scale {
            bytes.fill(1.0);
        }
        // Whole pixels are sharp, and short to write; columns of a pixel or two need their fractions.
        let is_fine = width / names.len().max(1) as f64 >= 2.0 * THINNEST;
        let mut edges = vec![x];
        let mut at = x;
        for share in widths(&bytes, width) {
            at += share;
            edges.push(if is_fine { at.round() } else { at });
        }
        Self {
            names,
            edges,
            is_to_scale,
        }
    }

    /// One column, to show what a look means.
    pub(super) fn sample(x: f64, width: f64) -> Self {
        Self {
            names: vec![String::new()],
            edges: vec![x, x + width],
            is_to_scale: false,
        }
    }

    /// True where these are the columns of those modules.
    pub(super) fn are_of(&self, modules: &[ModuleView]) -> bool {
        is_alike(&self.names, modules)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The left side of a column; of one behind the last, its right side.
    pub(super) fn left(&self, index: usize) -> f64 {
        let last = self.edges.last().copied().unwrap_or_default();
        self.edges.get(index).copied().unwrap_or(last)
    }

    pub(super) fn right(&self, index: usize) -> f64 {
        self.left(index + 1)
    }

    /// Names above the columns, as many as there is room for. Returns the bottom.
    pub(super) fn draw_names(&self, scene: &mut Scene, y: f64) -> f64 {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        let mut put = |scene: &mut Scene, index: usize, words: &str| -> bool {
            let wide = (Style::NOTE.width(words) * 1.1).min(NAME_ROOM);
            let (low, high) = (self.left(0), self.left(self.len()));
            let middle = f64::midpoint(self.left(index), self.right(index));
            let centre = middle.min(high - wide / 2.0).max(low + wide / 2.0);
            let span = (centre - wide / 2.0 - APART / 2.0, centre + wide / 2.0 + APART / 2.0);
            // A name that had to move away from its column would name another.
            let is_near = (centre - middle).abs() <= wide / 2.0;
            let is_free = taken.iter().all(|other| span.1 <= other.0 || span.0 >= other.1);
            let has_room = is_near && is_free && wide <= high - low;
            if has_room {
                scene.text((centre, y + 11.0), words, Style::NOTE.middle(), wide * 1.1);
                taken.push(span);
            }
            has_room
        };
        let numbers: Vec<Option<usize>> = self.names.iter().map(|name| number(name)).collect();
        let named = || (0..self.len()).filter(|index| numbers[*index].is_none());
        for index in named().next().into_iter().chain(named().next_back()).chain(named()) {
            put(scene, index, short(&self.names[index]));
        }
        let step = self.step(&numbers);
        let mut is_first = true;
        for (index, layer) in numbers.iter().enumerate() {
            // The first that has room for it says what is numbered.
            if let Some(layer) = layer.filter(|layer| layer % step == 0) {
                if !is_first {
                    put(scene, index, &layer.to_string());
                } else if put(scene, index, short(&self.names[index])) {
                    is_first = false;
                }
            }
        }
        y + 16.0
    }

    /// Every how many layers there is room for a number.
    fn step(&self, numbers: &[Option<usize>]) -> usize {
        let layers = numbers.iter().flatten().count().max(1);
        let widths = (0..self.len()).filter(|index| numbers.get(*index).is_some_and(Option::is_some));
        let cell = widths.map(|index| self.right(index) - self.left(index)).sum::<f64>() / layers as f64;
        let needed = Style::NOTE.width(&layers.to_string()) * 1.1 + APART;
        let steps = [1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 50, 64, 100, 128];
        let fits = steps.into_iter().find(|step| *step as f64 * cell >= needed);
        fits.unwrap_or(layers)
    }
}

fn is_alike(names: &[String], modules: &[ModuleView]) -> bool {
    names.len() == modules.len() && names.iter().zip(modules).all(|(name, module)| *name == module.module)
}

/// The number of a layer: `model.layers.12` is 12. Parts of a layer have none.
fn number(name: &str) -> Option<usize> {
    name.rsplit_once('.')?.1.parse().ok()
}

/// The room shared out by bytes, none less than what can be seen.
fn widths(bytes: &[f64], room: f64) -> Vec<f64> {
    let thinnest = THINNEST.min(room * THIN_PART / bytes.len().max(1) as f64);
    let mut is_thin = vec![false; bytes.len()];
    loop {
        let thin = is_thin.iter().filter(|thin| **thin).count();
        let left = room - thinnest * thin as f64;
        let rest: f64 = bytes
            .iter()
            .zip(&is_thin)
            .filter(|(_, thin)| !**thin)
            .map(|(bytes, _)| bytes)
            .sum();
        let share = |bytes: f64| if rest > 0.0 { bytes / rest * left } else { thinnest };
        let mut found = false;
        for (bytes, thin) in bytes.iter().zip(&mut is_thin) {
            if !*thin && share(*bytes) < thinnest {
                *thin = true;
                found = true;
            }
        }
        if !found {
            let width = |(bytes, thin): (&f64, &bool)| if *thin { thinnest } else { share(*bytes) };
            return bytes.iter().zip(&is_thin).map(width).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_fill_the_room_and_none_vanishes() {
        for bytes in [
            vec![1.0],
            vec![0.0, 0.0],
            vec![1e12, 0.0, 1.0, 5.0],
            vec![262_144.0, 106_496.0, 106_496.0, 256.0, 0.0],
            vec![3.0; 200],
        ] {
            for room in [60.0, 300.0, 700.0] {
                let widths = widths(&bytes, room);
                let least = THINNEST.min(room * THIN_PART / bytes.len() as f64) - 1e-9;
                assert!(widths.iter().all(|width| *width >= least), "{bytes:?}: {widths:?}");
                let sum: f64 = widths.iter().sum();
                let is_full = (sum - room).abs() < 1e-6 || bytes.iter().all(|bytes| *bytes == 0.0);
                assert!(is_full, "{bytes:?} in {room}: {sum}");
            }
        }
        assert!(widths(&[], 100.0).is_empty());
    }

    #[test]
    fn wider_means_more_bytes() {
        let widths = widths(&[400.0, 100.0, 0.0], 507.0);
        assert_eq!(widths, [400.0, 100.0, 7.0]);
    }

    #[test]
    fn layers_have_numbers() {
        assert_eq!(number("model.layers.12"), Some(12));
        assert_eq!(number("model.layers.3.mlp"), None);
        assert_eq!(number("lm_head"), None);
    }
}
