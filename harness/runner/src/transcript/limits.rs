//! How much of what a worker says is kept. Far above what any run needs: a worker that comes near has lost its way.

use crate::breach::Breach;

/// Bytes on the event pipe. The longest generations this project can ask for come to some hundred megabytes.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// Phases: some three for each generation.
pub(super) const MOST_PHASES: usize = 100_000;

/// Figures of memory: one for each device and kind.
pub(super) const MOST_FIGURES: usize = 1000;

/// Whether one more can be kept.
pub(super) fn room_for(kept: usize, most: usize, what: &'static str) -> Result<(), Breach> {
    if kept < most {
        return Ok(());
    }
    Err(Breach::TooMuch {
        what,
        most: most as u64,
    })
}
