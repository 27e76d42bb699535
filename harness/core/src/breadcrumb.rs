//! The breadcrumb page: where a worker is *right now*.
//!
//! The supervisor makes a zero-filled file of [`PAGE_BYTES`] and names it in the environment; the worker maps it and
//! keeps eight little-endian 64-bit words current with plain stores, so that a step costs no system call and the last
//! word survives any kill. The words are independent: a reader may see a stage and the stamp of the step before it,
//! never a torn word.
//!
//! An engine that runs as several processes keeps the same eight words for each rank, one block of 64 bytes after the other:
//! rank 0 from byte 64 on. The block at byte 0 is that of whoever speaks for all of them.

use crate::outcome::Phase;

/// Size of the page.
pub const PAGE_BYTES: usize = 4096;
/// First word of a page a worker has mapped.
pub const MAGIC: u64 = u64::from_le_bytes(*b"placebc1");

/// Positions of the words, counted in words of 8 bytes.
pub mod word {
    /// [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// Counts every update.
    pub const SEQUENCE: usize = 1;
    /// Index of the phase plus 1; 0 is unknown.
    pub const PHASE: usize = 2;
    /// Number of the generation.
    pub const GENERATION: usize = 3;
    /// Position of the token being made plus 1; 0 is none.
    pub const TOKEN: usize = 4;
    /// 0 none, 1 module, 2 hop.
    pub const PLACE_KIND: usize = 5;
    /// Index into the lists of the last `places` event.
    pub const PLACE_INDEX: usize = 6;
    /// `CLOCK_MONOTONIC` in nanoseconds at the last update.
    pub const STAMP_NS: usize = 7;
    /// How many words there are.
    pub const COUNT: usize = 8;
}

/// Bytes of the words of one process.
pub const BLOCK_BYTES: usize = word::COUNT * 8;
/// Ranks a page has room for: it holds 64 blocks, of which the first is no rank's.
pub const MOST_RANKS: u32 = 63;

/// Which list of the last `places` event an index belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceRef {
    /// A module, by its position.
    Module(usize),
    /// A hop, by its position.
    Hop(usize),
}

/// A page as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breadcrumb {
    /// Counts every update.
    pub sequence: u64,
    /// The phase.
    pub phase: Option<Phase>,
    /// Number of the generation.
    pub generation: u64,
    /// Position of the token being made.
    pub token: Option<u32>,
    /// Where in the model.
    pub place: Option<PlaceRef>,
    /// `CLOCK_MONOTONIC` in nanoseconds at the last update.
    pub stamp_ns: u64,
}

impl Breadcrumb {
    /// Reads a page; `None` where no worker has written one (or it is too short).
    #[must_use]
    pub fn parse(page: &[u8]) -> Option<Self> {
        Self::of_block(page)
    }

    /// Reads the words of a rank; `None` where it has written none, or a page has no room for it.
    #[must_use]
    pub fn of_rank(page: &[u8], rank: u32) -> Option<Self> {
        let block = usize::try_from(rank).ok()?.checked_add(1)?;
        Self::of_block(page.get(block.checked_mul(BLOCK_BYTES)?..)?)
    }

    fn of_block(page: &[u8]) -> Option<Self> {
        let word = |index: usize| -> Option<u64> {
            let bytes = page.get(index * 8..index * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        if word(word::MAGIC)? != MAGIC {
            return None;
        }
        let minus_one = |index| -> Option<u32> { u32::try_from(word(index)?.checked_sub(1)?).ok() };
        let place_index = usize::try_from(word(word::PLACE_INDEX)?).ok()?;
        Some(Self {
            sequence: word(word::SEQUENCE)?,
            phase: minus_one(word::PHASE).and_then(Phase::from_index),
            generation: word(word::GENERATION)?,
            token: minus_one(word::TOKEN),
            place: match word(word::PLACE_KIND)? {
                1 => Some(PlaceRef::Module(place_index)),
                2 => Some(PlaceRef::Hop(place_index)),
                _ => None,
            },
            stamp_ns: word(word::STAMP_NS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_nobody_wrote_is_none() {
        assert_eq!(Breadcrumb::parse(&[0; PAGE_BYTES]), None);
        assert_eq!(Breadcrumb::parse(&MAGIC.to_le_bytes()), None);
    }

    #[test]
    fn ranks_have_words_of_their_own() {
        assert_eq!((MOST_RANKS as usize + 1) * BLOCK_BYTES, PAGE_BYTES);
        let mut page = vec![0_u8; PAGE_BYTES];
        for (rank, token) in [(1_usize, 6_u64), (62, 9)] {
            let block = BLOCK_BYTES * (rank + 1);
            page[block..block + 8].copy_from_slice(&MAGIC.to_le_bytes());
            let token_at = block + 8 * word::TOKEN;
            page[token_at..token_at + 8].copy_from_slice(&token.to_le_bytes());
        }
        let token = |rank| Breadcrumb::of_rank(&page, rank).map(|crumb| crumb.token);
        assert_eq!((token(0), token(1), token(62)), (None, Some(Some(5)), Some(Some(8))));
        assert_eq!((token(MOST_RANKS), token(u32::MAX)), (None, None));
        assert_eq!(Breadcrumb::parse(&page), None, "nobody speaks for all");
    }

    #[test]
    fn words_are_read_back() {
        let mut page = vec![0_u8; PAGE_BYTES];
        for (index, value) in [MAGIC, 9, 1 + u64::from(Phase::Decode.index()), 2, 4, 2, 1, 77]
            .iter()
            .enumerate()
        {
            page[index * 8..index * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        assert_eq!(
            Breadcrumb::parse(&page),
            Some(Breadcrumb {
                sequence: 9,
                phase: Some(Phase::Decode),
                generation: 2,
                token: Some(3),
                place: Some(PlaceRef::Hop(1)),
                stamp_ns: 77,
            })
        );
    }
}
