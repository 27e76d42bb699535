//! Patterns whose every word tells where it belongs, so that wrong data can be named.

use placebench_core::doctor::probe::Arrived;

/// What memory is filled with before a copy goes there.
pub(crate) const SENTINEL: u32 = 0xA5C3_96F1;

/// An odd multiplier, so that multiplication modulo 2^32 can be undone, and its inverse.
const SPREAD: u32 = 0x9E37_79B1;
const UNSPREAD: u32 = inverse(SPREAD);

/// A pattern; no two seeds below 2^16 share a word at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) seed: u32,
}

/// How what arrived differs from what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Bytes that are wrong.
    pub(crate) wrong_bytes: u64,
    /// Position of the first of them.
    pub(crate) first_wrong_byte: u64,
    /// What most of the wrong words are.
    pub(crate) arrived: Arrived,
}

impl Pattern {
    /// Word number `index`.
    fn word(self, index: u32) -> u32 {
        index.wrapping_mul(SPREAD) ^ self.key()
    }

    /// The place a word belongs to.
    fn place_of(self, word: u32) -> u32 {
        (word ^ self.key()).wrapping_mul(UNSPREAD)
    }

    fn key(self) -> u32 {
        (self.seed.wrapping_add(1)).wrapping_mul(0x85EB_CA6B)
    }

    /// The first `len` words.
    pub(crate) fn words(self, len: usize) -> Vec<u32> {
        (0_u32..).take(len).map(|index| self.word(index)).collect()
    }

    /// Compares what arrived with the pattern. `earlier` are patterns that were copied there before.
    pub(crate) fn damage(self, arrived: &[u32], earlier: &[Self]) -> Option<Damage> {
        let mut wrong_bytes = 0;
        let mut first = None;
        let mut kinds = [0_u64; KINDS.len()];
        for (index, &found) in (0_u32..).zip(arrived) {
            let differing = (found ^ self.word(index)).to_le_bytes();
            if differing == [0; 4] {
                continue;
            }
            let at = u64::from(index) * 4;
            let offset = differing.iter().take_while(|byte| **byte == 0).count() as u64;
            first.get_or_insert(at + offset);
            wrong_bytes += differing.iter().filter(|byte| **byte != 0).count() as u64;
            let kind = self.kind(found, index, arrived.len(), earlier);
            if let Some(counted) = KINDS.iter().position(|known| *known == kind) {
                kinds[counted] += 1;
            }
        }
        let most = KINDS.iter().zip(kinds).max_by_key(|(_, count)| *count);
        Some(Damage {
            wrong_bytes,
            first_wrong_byte: first?,
            arrived: most.map_or(Arrived::Other, |(kind, _)| *kind),
        })
    }

    fn kind(self, found: u32, index: u32, len: usize, earlier: &[Self]) -> Arrived {
        if found == 0 {
            Arrived::Zeros
        } else if found == SENTINEL {
            Arrived::NeverWritten
        } else if earlier.iter().any(|pattern| pattern.word(index) == found) {
            Arrived::Stale
        } else if (self.place_of(found) as usize) < len {
            Arrived::Shifted
        } else {
            Arrived::Other
        }
    }
}

/// The last of equals wins in [`Iterator::max_by_key`], so the vaguest comes first.
const KINDS: [Arrived; 5] = [
    Arrived::Other,
    Arrived::Shifted,
    Arrived::Zeros,
    Arrived::NeverWritten,
    Arrived::Stale,
];

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each round doubles the right bits, of which the
/// number itself has three.
const fn inverse(odd: u32) -> u32 {
    let mut guess = odd;
    let mut round = 0;
    while round < 4 {
        guess = guess.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(guess)));
        round += 1;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 1024;
    const SENT: Pattern = Pattern { seed: 7 };
    const BEFORE: Pattern = Pattern { seed: 6 };

    fn arrived(words: &[u32]) -> Option<Arrived> {
        SENT.damage(words, &[BEFORE]).map(|damage| damage.arrived)
    }

    #[test]
    fn a_faithful_copy_has_no_damage() {
        assert_eq!(SENT.damage(&SENT.words(LEN), &[BEFORE]), None);
        assert_eq!(SENT.damage(&[], &[BEFORE]), None);
    }

    #[test]
    fn what_arrived_has_a_name() {
        assert_eq!(arrived(&[0; LEN]), Some(Arrived::Zeros));
        assert_eq!(arrived(&[SENTINEL; LEN]), Some(Arrived::NeverWritten));
        assert_eq!(arrived(&BEFORE.words(LEN)), Some(Arrived::Stale));
        let mut shifted = SENT.words(LEN);
        shifted.rotate_left(16);
        assert_eq!(arrived(&shifted), Some(Arrived::Shifted));
        let stranger = Pattern { seed: 40_000 };
        assert_eq!(arrived(&stranger.words(LEN)), Some(Arrived::Other));
    }

    #[test]
    fn wrong_bytes_are_counted_and_the_first_is_named() {
        let mut words = SENT.words(LEN);
        words[3] ^= 0x0100_0000;
        words[9] ^= 0x0000_ffff;
        let damage = SENT.damage(&words, &[]).unwrap();
        assert_eq!((damage.wrong_bytes, damage.first_wrong_byte), (3, 3 * 4 + 3));
    }

    #[test]
    fn half_of_a_copy_that_never_came_is_named_by_the_other_half() {
        let mut words = SENT.words(LEN);
        words[LEN / 2..].fill(SENTINEL);
        let damage = SENT.damage(&words, &[BEFORE]).unwrap();
        assert_eq!(damage.arrived, Arrived::NeverWritten);
        assert!(damage.first_wrong_byte / 4 == (LEN / 2) as u64);
    }

    #[test]
    fn every_word_tells_its_place() {
        for index in [0, 1, 77, 1 << 20, u32::MAX] {
            assert_eq!(SENT.place_of(SENT.word(index)), index);
        }
        let same = SENT
            .words(LEN)
            .iter()
            .zip(BEFORE.words(LEN))
            .filter(|(a, b)| **a == *b)
            .count();
        assert_eq!(same, 0);
    }
}
