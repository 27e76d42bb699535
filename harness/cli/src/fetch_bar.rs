//! A bar for a download that goes on in this process.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use placebench_core::protocol::EventKind;

use crate::terminal::printable;

/// Shows on standard error how far a download is, where that is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct FetchBar(ProgressBar);

impl Default for FetchBar {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl FetchBar {
    /// Takes note of an event; those that are no download change nothing.
    pub(crate) fn on(&self, event: &EventKind) {
        let EventKind::Fetching {
            file,
            done_bytes,
            total_bytes,
        } = event
        else {
            return;
        };
        if done_bytes == total_bytes {
            self.0.finish_and_clear();
            return;
        }
        let message = printable(file);
        if self.0.is_finished() || self.0.message() != message {
            self.0.reset();
            // Drawn for the first time only now: a model that is here needs no bar.
            if console::user_attended_stderr() {
                self.0.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.0.set_message(message);
        }
        self.0.set_length(total_bytes.0);
        self.0.set_position(done_bytes.0);
    }
}

#[cfg(test)]
mod tests {
    use placebench_core::units::Bytes;

    use super::*;

    #[test]
    fn a_bar_follows_one_file_after_the_other() {
        let bar = FetchBar::default();
        let on = |file: &str, done: u64, total: u64| {
            bar.on(&EventKind::Fetching {
                file: file.into(),
                done_bytes: Bytes(done),
                total_bytes: Bytes(total),
            });
        };
        on("a\u{1b}[31m", 0, 10);
        on("a\u{1b}[31m", 4, 10);
        assert_eq!((bar.0.position(), bar.0.length()), (4, Some(10)));
        assert_eq!(bar.0.message(), "a\\u{1b}[31m", "names from elsewhere stay harmless");
        on("a\u{1b}[31m", 10, 10);
        assert!(bar.0.is_finished());
        on("b", 3, 7);
        assert!(!bar.0.is_finished());
        assert_eq!((bar.0.position(), bar.0.length()), (3, Some(7)));
        bar.on(&EventKind::Done);
        assert_eq!(bar.0.position(), 3, "other events are none of its business");
    }
}
