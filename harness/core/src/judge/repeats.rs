//! The same case again and again: how often it says the same.

use crate::protocol::Generation;

/// The texts of a case that was generated more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Generations.
    pub(super) total: usize,
    /// Different texts among them.
    pub(super) distinct: usize,
    /// Generations that have the most common text.
    pub(super) matching: usize,
}

impl Repeats {
    /// Counts by tokens, those of companions included; `None` where nothing was repeated.
    pub(super) fn of(generations: &[&Generation]) -> Option<Self> {
        if generations.len() < 2 {
            return None;
        }
        let mut groups: Vec<(&Generation, usize)> = Vec::new();
        for generation in generations {
            match groups.iter_mut().find(|(first, _)| is_same(first, generation)) {
                Some((_, count)) => *count += 1,
                None => groups.push((generation, 1)),
            }
        }
        Some(Self {
            total: generations.len(),
            distinct: groups.len(),
            matching: groups.iter().map(|(_, count)| *count).max().unwrap_or(0),
        })
    }

    /// Share of the generations that have the most common text: 1 for a placement that is deterministic.
    pub(super) fn exact_match_rate(&self) -> f64 {
        self.matching as f64 / self.total as f64
    }
}

/// Whether two generations have the same tokens, in all sequences; the same text where tokens are not known.
pub(super) fn is_same(a: &Generation, b: &Generation) -> bool {
    let is_same_sequence = |a: &Generation, b: &Generation| match a.has_ids() && b.has_ids() {
        true => a.output_ids == b.output_ids,
        false => a.text == b.text,
    };
    a.companions.len() == b.companions.len() && sequences(a).zip(sequences(b)).all(|(a, b)| is_same_sequence(a, b))
}

/// A generation and its companions.
pub(super) fn sequences(generation: &Generation) -> impl Iterator<Item = &Generation> {
    std::iter::once(generation).chain(&generation.companions)
}

#[cfg(test)]
mod tests {
    use super::super::testing::generation;
    use super::*;

    #[test]
    fn a_race_is_a_rate() {
        let [a, b, c] = [&[1, 2][..], &[1, 3], &[4]].map(generation);
        let repeats = Repeats::of(&[&b, &a, &a, &c, &a]).unwrap();
        assert_eq!((repeats.total, repeats.distinct, repeats.matching), (5, 3, 3));
        assert!((repeats.exact_match_rate() - 0.6).abs() < 1e-12);
        assert_eq!(
            Repeats::of(&[&a, &a]).unwrap().exact_match_rate().to_bits(),
            1.0_f64.to_bits()
        );
        assert_eq!(Repeats::of(&[&a]), None, "nothing was repeated");
    }

    #[test]
    fn companions_count() {
        let with = |companion: &[u32]| Generation {
            companions: vec![generation(companion)],
            ..generation(&[1])
        };
        let (a, b) = (with(&[5]), with(&[6]));
        assert_eq!(Repeats::of(&[&a, &b]).unwrap().distinct, 2);
    }
}
