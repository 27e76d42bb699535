//! Several threads at work on one generation, and one breadcrumb.
//!
//! The page has room for one place. Each thread notes on a lane of its own what it has begun; the page shows the step that
//! was begun first and has not ended. While all goes well that changes all the time; once a step hangs, the others run
//! dry or wait for it, and it is the one that stays.

use std::sync::{Arc, Mutex, PoisonError};

use placebench_core::outcome::Phase;

use crate::breadcrumb::{BreadcrumbWriter, Mark, PlaceMark, monotonic_ns};

/// The lanes of a generation, and the page they share.
pub(crate) struct Lanes {
    page: Arc<BreadcrumbWriter>,
    /// What each lane is at; `None` where it waits for work.
    marks: Mutex<Vec<Option<Mark>>>,
}

/// Where a context leaves its breadcrumbs.
pub(crate) enum Trail {
    /// It alone writes the page.
    Page(Arc<BreadcrumbWriter>),
    /// It is one of several threads.
    Lane {
        lanes: Arc<Lanes>,
        /// Its own.
        number: usize,
        phase: Phase,
        token: Option<u32>,
    },
}

impl Trail {
    /// Makes this trail the first of `count + 1` lanes, and returns the others.
    pub(crate) fn split(&mut self, count: usize, phase: Phase) -> Vec<Self> {
        let page = self.page();
        let lanes = Arc::new(Lanes {
            page,
            marks: Mutex::new(vec![None; count + 1]),
        });
        let lane = |number| Self::Lane {
            lanes: Arc::clone(&lanes),
            number,
            phase,
            token: None,
        };
        let mut all: Vec<Self> = (0..=count).map(lane).collect();
        let others = all.split_off(1);
        if let Some(own) = all.pop() {
            *self = own;
        }
        others
    }

    /// The page is this trail's alone again.
    pub(crate) fn rejoin(&mut self) {
        *self = Self::Page(self.page());
    }

    fn page(&self) -> Arc<BreadcrumbWriter> {
        match self {
            Self::Page(page) => Arc::clone(page),
            Self::Lane { lanes, .. } => Arc::clone(&lanes.page),
        }
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        match self {
            Self::Page(page) => page.phase(phase),
            Self::Lane { phase: own, .. } => *own = phase,
        }
    }

    pub(crate) fn generation(&self, number: u32) {
        self.page().generation(number);
    }

    pub(crate) fn token(&mut self, position: u32) {
        match self {
            Self::Page(page) => return page.token(position),
            Self::Lane { token, .. } => *token = Some(position),
        }
        self.mark(None);
    }

    pub(crate) fn module(&self, index: usize) {
        match self {
            Self::Page(page) => page.module(index),
            Self::Lane { .. } => self.mark(Some(PlaceMark::Module(index))),
        }
    }

    pub(crate) fn hop(&self, index: usize) {
        match self {
            Self::Page(page) => page.hop(index),
            Self::Lane { .. } => self.mark(Some(PlaceMark::Hop(index))),
        }
    }

    /// The step is over, and the lane waits.
    pub(crate) fn idle(&self) {
        if let Self::Lane { lanes, number, .. } = self {
            lanes.note(*number, None);
        }
    }

    fn mark(&self, place: Option<PlaceMark>) {
        if let Self::Lane {
            lanes,
            number,
            phase,
            token,
        } = self
        {
            let mark = Mark {
                phase: *phase,
                token: *token,
                place,
                since_ns: monotonic_ns(),
            };
            lanes.note(*number, Some(mark));
        }
    }
}

impl Lanes {
    fn note(&self, number: usize, mark: Option<Mark>) {
        // The page is written under the lock: it has one writer at a time.
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = marks.get_mut(number) {
            *lane = mark;
        }
        if let Some(oldest) = marks.iter().flatten().min_by_key(|mark| mark.since_ns) {
            self.page.mark(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::breadcrumb::{Breadcrumb, PAGE_BYTES, PlaceRef};

    #[test]
    fn the_page_shows_the_step_that_was_begun_first_and_has_not_ended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(PAGE_BYTES as u64).unwrap();
        let mut driver = Trail::Page(Arc::new(BreadcrumbWriter::open(file.path()).unwrap()));
        let page = || Breadcrumb::parse(&std::fs::read(file.path()).unwrap()).unwrap();
        let mut stages = driver.split(2, Phase::Decode);
        let [first, second] = stages.as_mut_slice() else {
            unreachable!()
        };
        first.token(4);
        first.hop(1);
        let begun = page();
        second.token(3);
        second.module(5);
        second.module(6);
        let seen = page();
        assert_eq!((seen.token, seen.place), (Some(4), Some(PlaceRef::Hop(1))));
        assert_eq!((seen.phase, seen.stamp_ns), (Some(Phase::Decode), begun.stamp_ns));
        first.idle();
        let seen = page();
        assert_eq!((seen.token, seen.place), (Some(3), Some(PlaceRef::Module(6))));
        driver.rejoin();
        driver.token(9);
        assert_eq!(page().token, Some(9));
    }
}
