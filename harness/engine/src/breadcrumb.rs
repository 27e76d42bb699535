//! The writing side of the breadcrumb page.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;
use placebench_core::breadcrumb::{MAGIC, PAGE_BYTES, word};
use placebench_core::outcome::Phase;
use rustix::time::{ClockId, clock_gettime};

/// A place in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceMark {
    /// A module, by its position.
    Module(usize),
    /// A hop, by its position.
    Hop(usize),
}

/// A step that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) phase: Phase,
    pub(crate) token: Option<u32>,
    pub(crate) place: Option<PlaceMark>,
    /// When, on the clock of [`monotonic_ns`].
    pub(crate) since_ns: u64,
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Where the worker says where it is. Without a page (in-process use) the words go to ordinary memory.
pub struct BreadcrumbWriter {
    words: Words,
}

enum Words {
    Page(MmapRaw),
    Memory(Box<[AtomicU64; word::COUNT]>),
}

impl BreadcrumbWriter {
    /// A breadcrumb nobody reads.
    #[must_use]
    pub fn unread() -> Self {
        Self {
            words: Words::Memory(Box::default()),
        }
    }

    /// Maps the page the supervisor made.
    ///
    /// # Errors
    /// When the file cannot be opened, is too small, or cannot be mapped.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("the breadcrumb page must have {PAGE_BYTES} bytes"),
            ));
        }
        let writer = Self {
            words: Words::Page(MmapRaw::map_raw(&file)?),
        };
        writer.set(word::MAGIC, MAGIC);
        Ok(writer)
    }

    /// A phase begins; token and place are unknown again.
    pub fn phase(&self, phase: Phase) {
        self.set(word::PHASE, u64::from(phase.index()) + 1);
        self.set(word::PLACE_KIND, 0);
        self.step();
    }

    /// A generation begins.
    pub fn generation(&self, number: u32) {
        self.set(word::GENERATION, u64::from(number));
        self.set(word::TOKEN, 0);
        self.set(word::PLACE_KIND, 0);
        self.step();
    }

    /// Work on a token begins.
    pub fn token(&self, position: u32) {
        self.set(word::TOKEN, u64::from(position) + 1);
        self.step();
    }

    /// A module begins to compute.
    pub fn module(&self, index: usize) {
        self.place(1, index);
    }

    /// An activation starts on its way.
    pub fn hop(&self, index: usize) {
        self.place(2, index);
    }

    /// A whole step at once, with the time it was begun.
    pub(crate) fn mark(&self, mark: &Mark) {
        let (kind, index) = match mark.place {
            None => (0, 0),
            Some(PlaceMark::Module(index)) => (1, index),
            Some(PlaceMark::Hop(index)) => (2, index),
        };
        self.set(word::PHASE, u64::from(mark.phase.index()) + 1);
        self.set(word::TOKEN, mark.token.map_or(0, |token| u64::from(token) + 1));
        self.set(word::PLACE_INDEX, index as u64);
        self.set(word::PLACE_KIND, kind);
        self.stamp(mark.since_ns);
    }

    fn place(&self, kind: u64, index: usize) {
        self.set(word::PLACE_INDEX, index as u64);
        self.set(word::PLACE_KIND, kind);
        self.step();
    }

    fn step(&self) {
        self.stamp(monotonic_ns());
    }

    fn stamp(&self, nanoseconds: u64) {
        self.set(word::STAMP_NS, nanoseconds);
        // One writer only, so counting needs no locked instruction.
        let sequence = self.word(word::SEQUENCE);
        let next = u64::from_le(sequence.load(Ordering::Relaxed)).wrapping_add(1);
        sequence.store(next.to_le(), Ordering::Release);
    }

    fn set(&self, index: usize, value: u64) {
        self.word(index).store(value.to_le(), Ordering::Relaxed);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        match &self.words {
            Words::Memory(words) => &words[index],
            Words::Page(page) => page_word(page, index),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "a page shared with another process can only be reached through its address; every access is an aligned atomic word"
)]
fn page_word(page: &MmapRaw, index: usize) -> &AtomicU64 {
    assert!(index < word::COUNT, "the page has {} words", word::COUNT);
    // SAFETY: the mapping is page-aligned, at least PAGE_BYTES long (checked in `open`), lives as long as `page`, and is only
    // ever accessed through atomics of this process; `index` was checked above, so the word lies inside and is aligned.
    unsafe { AtomicU64::from_ptr(page.as_mut_ptr().cast::<u64>().add(index)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::breadcrumb::{Breadcrumb, PlaceRef};

    #[test]
    fn a_reader_of_the_file_sees_every_step() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(PAGE_BYTES as u64).unwrap();
        let writer = BreadcrumbWriter::open(file.path()).unwrap();
        writer.phase(Phase::Decode);
        writer.generation(1);
        writer.token(3);
        writer.hop(2);
        let seen = Breadcrumb::parse(&std::fs::read(file.path()).unwrap()).unwrap();
        assert_eq!(seen.phase, Some(Phase::Decode));
        assert_eq!(seen.generation, 1);
        assert_eq!(seen.token, Some(3));
        assert_eq!(seen.place, Some(PlaceRef::Hop(2)));
        assert!(seen.stamp_ns > 0);
        let before = seen.sequence;
        writer.module(0);
        let seen = Breadcrumb::parse(&std::fs::read(file.path()).unwrap()).unwrap();
        assert_eq!(seen.place, Some(PlaceRef::Module(0)));
        assert_eq!(seen.sequence, before + 1);
    }

    #[test]
    fn a_short_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(BreadcrumbWriter::open(file.path()).is_err());
    }
}
