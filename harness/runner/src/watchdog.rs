//! When a worker has been silent for too long: a state machine that is told the time and has no clock.
//!
//! Only what brings a generation nearer to its end counts as progress. Phases, figures of memory and log lines do not,
//! so a worker that only says that it is alive is still caught.

use std::time::Duration;

use placebench_core::outcome::Deadline;
use placebench_core::protocol::EventKind;
use placebench_core::record::Timeouts;

/// What brought an attempt forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More of the model has been downloaded.
    Fetched,
    /// The weights are where they are.
    Loaded,
    /// A generation begins.
    Started,
    /// A token was made.
    Token,
    /// A generation was reported.
    Finished,
    /// The worker has said its last word and only has to exit.
    Ending,
}

impl Progress {
    /// The progress an event stands for.
    pub(crate) fn of(event: &EventKind) -> Option<Self> {
        match event {
            EventKind::Fetching { .. } => Some(Self::Fetched),
            EventKind::Loaded { .. } => Some(Self::Loaded),
            EventKind::Started { .. } => Some(Self::Started),
            EventKind::Token { .. } => Some(Self::Token),
            EventKind::Finished { .. } => Some(Self::Finished),
            EventKind::Done | EventKind::Error { .. } => Some(Self::Ending),
            EventKind::Hello { .. }
            | EventKind::Phase { .. }
            | EventKind::Devices { .. }
            | EventKind::Planned(_)
            | EventKind::Places { .. }
            | EventKind::Links { .. }
            | EventKind::Audited(_)
            | EventKind::Probed(_)
            | EventKind::Memory(_)
            | EventKind::Held { .. }
            | EventKind::FaultsStruck { .. } => None,
        }
    }
}

/// A deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expiry {
    /// Which one.
    pub(crate) deadline: Deadline,
    /// What was allowed.
    pub(crate) limit_s: f64,
    /// When it passed, since the start of the process.
    pub(crate) at: Duration,
}

/// The deadlines of one attempt. All times are since the start of the process.
#[derive(Debug, Clone)]
pub(crate) struct Watchdog {
    limits: Timeouts,
    /// The deadline that applies now, and when its time began.
    current: (Deadline, Duration),
}

impl Watchdog {
    /// The process has just been started.
    pub(crate) fn new(limits: Timeouts) -> Self {
        Self {
            limits,
            current: (Deadline::Load, Duration::ZERO),
        }
    }

    /// Something got done at that time.
    pub(crate) fn progress(&mut self, progress: Progress, at: Duration) {
        let deadline = match progress {
            // How long a download takes says nothing about loading: only a silent one is stuck.
            Progress::Fetched => Deadline::Load,
            // What lies between loading and the first generation is waited for as long as a first token is.
            Progress::Loaded | Progress::Started => Deadline::FirstToken,
            Progress::Token | Progress::Finished | Progress::Ending => Deadline::Token,
        };
        self.current = (deadline, at);
    }

    /// Since when nothing has got done.
    pub(crate) fn last_progress(&self) -> Duration {
        self.current.1
    }

    /// When the next deadline passes; `None` where all are infinite.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.next().map(|expiry| expiry.at)
    }

    /// The deadline that has passed by `now`, if one has: the earliest, and the closer one of two at the same time.
    pub(crate) fn expired(&self, now: Duration) -> Option<Expiry> {
        self.next().filter(|expiry| expiry.at <= now)
    }

    fn next(&self) -> Option<Expiry> {
        let step = self.expiry(self.current.0, self.current.1);
        let total = self.expiry(Deadline::Total, Duration::ZERO);
        match (step, total) {
            (Some(step), Some(total)) => Some(if total.at < step.at { total } else { step }),
            (step, total) => step.or(total),
        }
    }

    fn expiry(&self, deadline: Deadline, since: Duration) -> Option<Expiry> {
        let limit_s = match deadline {
            Deadline::Load => self.limits.load_s,
            Deadline::FirstToken => self.limits.first_token_s,
            Deadline::Token => self.limits.token_s,
            Deadline::Total => self.limits.total_s,
        };
        Some(Expiry {
            deadline,
            limit_s,
            at: since.checked_add(allowed(limit_s)?)?,
        })
    }
}

/// The limit as a duration. More than a duration can hold is no limit; nonsense (negative, not a number) allows nothing,
/// so that it is noticed.
fn allowed(limit_s: f64) -> Option<Duration> {
    if limit_s.is_nan() || limit_s <= 0.0 {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(limit_s).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Timeouts = Timeouts {
        load_s: 60.0,
        first_token_s: 30.0,
        token_s: 10.0,
        total_s: 300.0,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn deadline_at(dog: &Watchdog, seconds: u64) -> Option<Deadline> {
        dog.expired(at(seconds)).map(|expiry| expiry.deadline)
    }

    #[test]
    fn each_step_has_its_own_deadline() {
        let mut dog = Watchdog::new(LIMITS);
        assert_eq!(deadline_at(&dog, 59), None);
        assert_eq!(deadline_at(&dog, 60), Some(Deadline::Load));
        dog.progress(Progress::Loaded, at(50));
        assert_eq!(deadline_at(&dog, 79), None);
        assert_eq!(deadline_at(&dog, 80), Some(Deadline::FirstToken));
        dog.progress(Progress::Started, at(60));
        assert_eq!(deadline_at(&dog, 89), None);
        assert_eq!(deadline_at(&dog, 90), Some(Deadline::FirstToken));
        dog.progress(Progress::Token, at(70));
        assert_eq!(deadline_at(&dog, 79), None);
        assert_eq!(deadline_at(&dog, 80), Some(Deadline::Token));
        dog.progress(Progress::Finished, at(75));
        assert_eq!(dog.next_deadline(), Some(at(85)));
        dog.progress(Progress::Ending, at(80));
        assert_eq!(dog.next_deadline(), Some(at(90)));
    }

    #[test]
    fn a_download_has_the_total_and_a_silent_one_the_load_deadline() {
        let mut dog = Watchdog::new(LIMITS);
        for second in (0..240).step_by(50) {
            assert_eq!(dog.expired(at(second)), None, "at {second} s");
            dog.progress(Progress::Fetched, at(second));
        }
        assert_eq!(deadline_at(&dog, 259), None);
        assert_eq!(deadline_at(&dog, 260), Some(Deadline::Load));
        dog.progress(Progress::Fetched, at(259));
        assert_eq!(deadline_at(&dog, 300), Some(Deadline::Total));
    }

    #[test]
    fn a_slow_worker_that_gets_on_runs_into_the_total_only() {
        let mut dog = Watchdog::new(LIMITS);
        dog.progress(Progress::Started, at(55));
        for second in (60..300).step_by(9) {
            assert_eq!(dog.expired(at(second)), None, "at {second} s");
            dog.progress(Progress::Token, at(second));
        }
        assert_eq!(deadline_at(&dog, 299), None);
        let expiry = dog.expired(at(300)).unwrap();
        assert_eq!((expiry.deadline, expiry.limit_s), (Deadline::Total, 300.0));
    }

    #[test]
    fn the_earlier_deadline_wins_even_when_both_have_passed() {
        let mut dog = Watchdog::new(LIMITS);
        assert_eq!(deadline_at(&dog, 1000), Some(Deadline::Load));
        dog.progress(Progress::Token, at(290));
        assert_eq!(
            deadline_at(&dog, 1000),
            Some(Deadline::Token),
            "the closer of two at the same time"
        );
        dog.progress(Progress::Token, at(291));
        assert_eq!(deadline_at(&dog, 1000), Some(Deadline::Total));
    }

    #[test]
    fn infinite_and_absurd_limits() {
        let dog = Watchdog::new(Timeouts {
            load_s: f64::INFINITY,
            total_s: 1e300,
            ..LIMITS
        });
        assert_eq!(dog.next_deadline(), None);
        for nonsense in [f64::NAN, -1.0, 0.0] {
            let dog = Watchdog::new(Timeouts {
                load_s: nonsense,
                ..LIMITS
            });
            assert_eq!(deadline_at(&dog, 0), Some(Deadline::Load));
        }
    }
}
