//! How far a download is.

use std::time::{Duration, Instant};

use hf_hub::api::Progress;

/// How far the download of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The file's name in its repository.
    pub file: String,
    /// Bytes that are here, those of an earlier attempt included.
    pub done_bytes: u64,
    /// Bytes it has.
    pub total_bytes: u64,
}

/// Tells a listener how far a download is: when it begins, several times a second, and when it is over.
pub(super) struct Meter<'a> {
    listener: &'a mut dyn FnMut(&Transfer),
    transfer: Transfer,
    told: Instant,
}

impl<'a> Meter<'a> {
    pub(super) fn new(listener: &'a mut dyn FnMut(&Transfer)) -> Self {
        Self {
            listener,
            transfer: Transfer {
                file: String::new(),
                done_bytes: 0,
                total_bytes: 0,
            },
            told: Instant::now(),
        }
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        (self.listener)(&self.transfer);
    }
}

impl Progress for Meter<'_> {
    /// Called anew for every attempt at the same file, before [`Self::update`] adds what is there already.
    fn init(&mut self, size: usize, filename: &str) {
        let is_new = self.transfer.file != filename;
        self.transfer = Transfer {
            file: filename.to_owned(),
            done_bytes: 0,
            total_bytes: size as u64,
        };
        if is_new {
            self.tell();
        }
    }

    fn update(&mut self, size: usize) {
        const PAUSE: Duration = Duration::from_millis(250);
        self.transfer.done_bytes = self.transfer.done_bytes.saturating_add(size as u64);
        if size > 0 && self.told.elapsed() >= PAUSE {
            self.tell();
        }
    }

    fn finish(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_download_begins_where_it_stopped() {
        let mut heard = Vec::new();
        let mut listener = |transfer: &Transfer| heard.push((transfer.done_bytes, transfer.total_bytes));
        let mut meter = Meter::new(&mut listener);
        meter.init(100, "a");
        // The connection broke after 40 bytes; the next one carries on.
        meter.init(100, "a");
        meter.update(40);
        meter.update(60);
        meter.finish();
        assert_eq!((heard.first(), heard.last()), (Some(&(0, 100)), Some(&(100, 100))));
        assert!(heard.is_sorted(), "{heard:?}");
    }
}
