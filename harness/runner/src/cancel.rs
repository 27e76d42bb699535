//! The wish to stop a run early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that is set once and never cleared. Setting it is one atomic store, so a signal handler may do it.
///
/// The supervisor looks at it at least twenty times a second while a worker is running: it then stops the worker,
/// records the attempt as interrupted, and the run ends with complete files.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    above: Option<Arc<Self>>,
}

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for a part of the work: set by itself, or by setting this one.
    #[must_use]
    pub fn below(&self) -> Self {
        Self {
            flag: Arc::default(),
            above: Some(Arc::new(self.clone())),
        }
    }

    /// Asks for the end.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire) || self.above.as_ref().is_some_and(|above| above.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_the_whole_and_not_the_whole_with_it() {
        let whole = Cancel::new();
        let (part, other) = (whole.below(), whole.below());
        part.cancel();
        assert!(part.is_cancelled() && !whole.is_cancelled() && !other.is_cancelled());
        whole.clone().cancel();
        assert!(whole.is_cancelled() && other.below().is_cancelled());
    }
}
